"""Plans of removals: nothing that anything kept needs is ever in one, whatever generations share."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import UsageError
from airgap.lifecycle.pruneplan import Kept, PlanStep, PrunePlan
from airgap.lifecycle.pruning import HeldManifest, Inventory, Removal, ShelfEntry, plan_removal
from airgap.lifecycle.shelves import Choice, choose, stood_for, unlisted
from airgap.oci.digest import Digest
from airgap.oci.image import digest_tag
from airgap.state import Brought, Generation, Stood


def d(text: object) -> Digest:
    return Digest.of(str(text).encode())


def name(tag: str) -> str:
    return f"site.example/app:{tag}"


def image(tag: str, digest: Digest) -> Brought:
    return Brought(name(tag), digest, image=True)


def attachment(tag: str, digest: Digest) -> Brought:
    return Brought(name(tag), digest, image=False)


def node(*blobs: object, children: tuple[Digest, ...] = (), subject: Digest | None = None) -> HeldManifest:
    return HeldManifest(children, tuple((d(blob), 1) for blob in blobs), subject, (), 1)


OLD, NEW = [image("1", d("old"))], [image("2", d("new"))]
NAMES = (ShelfEntry(name("1"), d("old")), ShelfEntry(name("2"), d("new")))


@pytest.mark.parametrize("layout", [False, True])
def test_what_only_an_old_generation_named_goes_and_shared_blobs_stay(layout: bool) -> None:
    shelf = Inventory(NAMES, {d("old"): node("shared", "own"), d("new"): node("shared")}, layout)
    removal = plan_removal(shelf, NEW, OLD)
    assert removal == Removal((NAMES[0],), (d("old"),), ((d("own"), 1),), ())


def test_indexes_go_before_their_children_and_a_shared_child_stays() -> None:
    nodes = {
        d("old"): node(children=(d("amd"), d("arm"))),
        d("new"): node(children=(d("arm"),)),
        d("amd"): node("a"),
        d("arm"): node("b"),
    }
    assert plan_removal(Inventory(NAMES, nodes), NEW, OLD).manifests == (d("old"), d("amd"))


@pytest.mark.parametrize("suffix", ["", ".sig", ".att", ".sbom"])
def test_an_attachment_of_a_shared_child_stays_although_only_the_old_generation_brought_it(suffix: str) -> None:
    tag = digest_tag(d("arm"), suffix)
    nodes = {d("old"): node(children=(d("arm"),)), d("new"): node(children=(d("arm"),)), d("arm"): node("b"), d("a"): node("s")}
    shelf = Inventory((*NAMES, ShelfEntry(name(tag), d("a"))), nodes, loose_names=True)
    removal = plan_removal(shelf, NEW, [*OLD, attachment(tag, d("a"))])
    assert (removal.names, removal.manifests, removal.stay) == ((NAMES[0],), (d("old"),), (name(tag),))


def test_a_referrer_goes_with_its_subject_and_stays_with_it() -> None:
    row = Brought(f"site.example/app@{d('ref')}", d("ref"), image=False)
    nodes = {d("old"): node(), d("new"): node(), d("ref"): node(subject=d("old"))}
    entries = (*NAMES, ShelfEntry("", d("ref")))
    removal = plan_removal(Inventory(entries, nodes, loose_names=True), NEW, [*OLD, row])
    assert removal.manifests == (d("old"), d("ref"))
    assert ShelfEntry("", d("ref")) in removal.names
    nodes[d("ref")] = node(subject=d("new"))
    assert plan_removal(Inventory(entries, nodes, loose_names=True), NEW, [*OLD, row]).manifests == (d("old"),)


def test_a_name_that_was_not_brought_keeps_what_it_stands_for_with_all_below() -> None:
    nodes = {d("old"): node(children=(d("amd"),)), d("amd"): node("a"), d("new"): node()}
    shelf = Inventory((*NAMES, ShelfEntry(name("mine"), d("old"))), nodes)
    assert plan_removal(shelf, NEW, OLD) == Removal(stay=(name("1"),))


def test_a_name_that_somebody_has_moved_is_not_ours_any_more() -> None:
    shelf = Inventory((ShelfEntry(name("1"), d("theirs")), NAMES[1]), {d("old"): node(), d("theirs"): node(), d("new"): node()})
    removal = plan_removal(shelf, NEW, OLD)
    assert (removal.names, removal.manifests, removal.stay) == ((), (d("old"),), (name("1"),))


def test_a_layout_lets_a_name_go_whose_manifest_stays_and_a_registry_cannot() -> None:
    entries, nodes = (ShelfEntry(name("1"), d("new")), NAMES[1]), {d("new"): node("a")}
    assert plan_removal(Inventory(entries, nodes), NEW, [image("1", d("new"))]) == Removal(stay=(name("1"),))
    assert plan_removal(Inventory(entries, nodes, loose_names=True), NEW, [image("1", d("new"))]) == Removal((entries[0],))


def test_what_a_kept_generation_brought_stays_without_a_name_so_that_there_is_a_way_back() -> None:
    shelf = Inventory((ShelfEntry(name("x"), d("three")),), {d("one"): node("a"), d("two"): node("b"), d("three"): node("c")})
    removal = plan_removal(shelf, [image("x", d("three")), image("x", d("two"))], [image("x", d("one"))])
    assert removal.manifests == (d("one"),)


def case(seed: int) -> tuple[Inventory, list[Brought], list[Brought]]:
    """Manifests over few blobs and earlier manifests; generations and strangers naming some of them; attachments to any of them."""
    rng = random.Random(seed)
    count = rng.randint(1, 12)
    nodes: dict[Digest, HeldManifest] = {}
    for i in range(count):
        children = tuple(d(child) for child in range(i) if rng.random() < 0.2)
        subject = d(rng.randrange(i)) if i and rng.random() < 0.3 else None
        blobs = [f"blob {rng.randrange(5)}" if rng.random() < 0.9 else rng.randrange(count) for _ in range(rng.randrange(4))]
        nodes[d(i)] = node(*dict.fromkeys(blobs), children=children, subject=subject)  # a blob may be a manifest, too

    def tag() -> str:
        plain = rng.choice("abcdef")
        return plain if rng.random() < 0.6 else digest_tag(d(rng.randrange(count)), rng.choice(["", ".sig", ".att"]))

    def some(most: int) -> list[Brought]:
        return [Brought(name(tag()), d(rng.randrange(count)), rng.random() < 0.5) for _ in range(rng.randint(0, most))]

    kept, dropped = some(6), some(8)
    now = {one.name: one.digest for one in rng.sample([*kept, *dropped], len(kept) + len(dropped))}
    now |= {one.name: one.digest for one in some(2)}
    unnamed = [ShelfEntry("", d(rng.randrange(count))) for _ in range(rng.randint(0, 2))]
    entries = tuple(sorted({*(ShelfEntry(name, digest) for name, digest in now.items()), *unnamed}))
    return Inventory(entries, nodes, loose_names=rng.random() < 0.5), kept, dropped


def whole(shelf: Inventory, root: Digest) -> set[Digest]:
    """Everything that a kept root needs, walked the plain way: until nothing new is found."""
    found = {root}
    while True:
        more = set(found)
        for digest in found & shelf.nodes.keys():
            more |= {*shelf.nodes[digest].children, *(blob for blob, _ in shelf.nodes[digest].blobs)}
        more |= {digest for digest, one in shelf.nodes.items() if one.subject in found}
        wanted = {name(digest_tag(digest, suffix)) for digest in found for suffix in ("", ".sig", ".att", ".sbom")}
        more |= {entry.digest for entry in shelf.entries if entry.name in wanted}
        if more == found:
            return found
        found = more


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**64))
def test_nothing_that_is_reachable_from_what_is_kept_is_ever_in_a_plan(seed: int) -> None:
    shelf, kept, dropped = case(seed)
    removal = plan_removal(shelf, kept, dropped)
    gone = {*removal.manifests, *(blob for blob, _ in removal.blobs)}
    left = set(shelf.entries) - set(removal.names)
    for root in {*(entry.digest for entry in left), *(one.digest for one in kept)}:
        assert not whole(shelf, root) & gone
    ours = {(one.name, one.digest) for one in dropped}
    assert all((entry.name, entry.digest) in ours for entry in removal.names if entry.name), "only what was brought goes"
    assert not {one.name for one in kept} & {entry.name for entry in removal.names}
    below = {one.digest for one in dropped}
    for digest in removal.manifests:  # parents come first, so every child is known when its turn comes
        assert digest in below
        below |= set(shelf.nodes[digest].children)
    heights = {digest: i for i, digest in enumerate(removal.manifests)}
    images = {one.digest for one in dropped if one.image}
    assert all(
        heights[digest] < heights[c] for digest in images & heights.keys() for c in shelf.nodes[digest].children if c in heights
    )


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**64))
def test_removing_twice_removes_nothing_more(seed: int) -> None:
    shelf, kept, dropped = case(seed)
    removal = plan_removal(shelf, kept, dropped)
    entries = tuple(entry for entry in shelf.entries if entry not in set(removal.names))
    left = Inventory(entries, {k: v for k, v in shelf.nodes.items() if k not in set(removal.manifests)}, shelf.loose_names)
    again = plan_removal(left, kept, dropped)
    assert (again.names, again.manifests, again.blobs) == ((), (), ())


def generation(serial: int, stream: str = "prod", in_force: bool = False) -> Generation:
    return Generation(stream, serial, "sha256:0", "2026-01-01T00:00:00Z", in_force, False, ())


def test_the_last_generations_of_each_stream_are_kept_and_the_one_in_force() -> None:
    all_of_them = [
        generation(2, in_force=True),
        *(generation(n) for n in (4, 7, 9)),
        generation(1, "lab"),
        generation(2, "lab", True),
    ]
    assert choose(all_of_them, 2) == {("prod", 4)}
    assert choose(all_of_them, 1) == {("prod", 4), ("prod", 7), ("lab", 1)}
    assert choose(all_of_them, 1, "lab") == {("lab", 1)}


PLAN = PrunePlan(
    "docker://site.example",
    "2026-01-01T00:00:00Z",
    (Kept("prod", 1, "sha256:0", False, False), Kept("prod", 2, "sha256:1", True, True)),
    (PlanStep("site.example/app", Removal((NAMES[0],), (d("old"),), ((d("own"), 7),), (name("x"),)), (NAMES[1],)),),
)


def test_a_plan_is_read_as_it_was_written() -> None:
    assert PrunePlan.parse(PLAN.to_bytes(), "plan") == PLAN
    assert not PLAN.is_empty


@pytest.mark.parametrize("change", [b'"keep": false', b'"docker://site.example"', str(d("old")).encode(), b'"size": 7'])
def test_a_plan_that_was_changed_is_refused(change: bytes) -> None:
    raw = PLAN.to_bytes()
    assert change in raw
    other = {b'"keep": false': b'"keep": true', b'"size": 7': b'"size": 8'}.get(change, change[:-2] + b"0" + change[-1:])
    with pytest.raises(UsageError):
        PrunePlan.parse(raw.replace(change, other, 1), "plan")


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"schema": "airgap.prune/2"}', json.dumps({"schema": "airgap.prune/1"}).encode()]
)
def test_what_is_no_plan_is_refused(raw: bytes) -> None:
    with pytest.raises(UsageError):
        PrunePlan.parse(raw, "plan")


def row(stream: str, tag: str, digest: object, since: int, until: int | None = None) -> Stood:
    return Stood(stream, name(tag), d(digest), since, until, taken=False)


def loaded(serial: int, moment: int, *tags: str, stream: str = "prod", pruned: bool = False) -> Generation:
    brought = tuple(image(tag, d(f"{tag} {serial}")) for tag in tags)
    return Generation(stream, serial, "sha256:0", "2026-01-01T00:00:00Z", False, pruned, brought, moment)


def test_generations_that_are_not_whole_do_not_count_among_those_that_are_kept() -> None:
    assert choose([loaded(1, 1), loaded(2, 2), loaded(3, 3, pruned=True)], 2) == {("prod", 3)}


def test_what_a_name_stands_for_or_stood_for_after_a_kept_generation_stays() -> None:
    generations = [loaded(1, 1), loaded(2, 2), loaded(3, 4), loaded(1, 3, stream="lab")]
    standing = [
        row("prod", "a", "one", 1, 2),  # only after the dropped generation
        row("prod", "a", "two", 2, 4),
        row("prod", "b", "old", 1, 3),  # came with the dropped one and stood until the kept one
        row("prod", "c", "between", 3, 4),  # was moved twice between two generations of its stream
        row("prod", "d", "now", 5),  # a rollback put it there
        row("lab", "c", "between", 3, 4),
    ]
    stays = stood_for(generations, standing, Choice(frozenset({("prod", 1)})))
    assert [kept for _, kept in stays] == [False, True, True, False, True, True]
    given_up = stood_for(generations, standing, Choice(frozenset({("prod", 1)}), names=frozenset({name("d")})))
    assert [kept for _, kept in given_up] == [False, True, True, False, False, True]


def test_names_that_no_kept_bundle_brought_are_unlisted_but_not_those_of_another_stream() -> None:
    generations = [loaded(1, 1, "a", "b"), loaded(2, 2, "b"), loaded(1, 3, "a", stream="lab")]
    standing = [
        row("prod", "a", 1, 1),
        row("prod", "b", 2, 2),
        row("prod", "c", 3, 2),
        row("lab", "x", 4, 3),
        row("prod", "x", 4, 3),
    ]
    dropped = {("prod", 1)}
    assert unlisted(generations, standing, dropped) == {name("c"), name("x")}
    assert unlisted(generations, standing, dropped, "prod") == {name("c")}
    assert unlisted(generations, standing, {*dropped, ("lab", 1)}) == {name("a"), name("c"), name("x")}


@pytest.mark.parametrize("layout", [False, True])
def test_somebody_elses_image_under_the_tag_of_a_pruned_one_stays(layout: bool) -> None:
    """Under ``sha256-HEX`` may be an image of another tool, and the pruned image itself."""
    theirs = ShelfEntry(name(digest_tag(d("old"))), d("theirs"))
    nodes = {d("old"): node("own"), d("new"): node(), d("theirs"): node(children=(d("child"),)), d("child"): node("layer")}
    removal = plan_removal(Inventory((*NAMES, theirs), nodes, layout), NEW, OLD)
    assert (removal.names, removal.manifests) == ((NAMES[0],), (d("old"),))
    itself = ShelfEntry(name(digest_tag(d("old"))), d("old"))
    assert plan_removal(Inventory((*NAMES, itself), nodes, layout), NEW, OLD).manifests == ()
