"""Months in the life of sites, drawn from a seed: exports, imports, prunes, rollbacks, receipts, merges, and a plain model of them.

The model knows for every generation what names stood for. After every step the target's files must say the same: names and digests,
every image of a kept generation whole with what hangs off it; and what is done twice must change nothing.
"""

from __future__ import annotations

import collections
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airgap.documents.receipt import Receipt
from tests.support.cli import DAMAGED, USAGE, failed, here
from tests.support.year import Far, LayoutShelf, Vendor, done, missing

NAMES = [f"{path}:{tag}" for path in ("shop/app", "shop/tool", "lib") for tag in ("latest", "1", "2")]
STREAMS = ("prod", "lab")


@dataclass
class Bundle:
    """A bundle: what it brings, and how it was made."""

    path: Path
    stream: str
    serial: int
    images: dict[str, str]
    full: bool
    platform: bool = False


@dataclass
class Generation:
    """What the names of a stream stood for after an import.

    Attributes:
        names: name -> digest.
        brought: the names in its bundle.
        whole: whether there is a way back to it.
        step: when it was made.
    """

    names: dict[str, str]
    brought: set[str]
    step: int
    whole: bool = True


@dataclass
class Model:
    """What a site must have.

    Attributes:
        now: what every name stands for.
        pinned: images by digest alone.
        owned: the names of every stream.
        generations: by stream and serial.
        force: the serial in force of every stream.
        rebuilt: digests that are not the vendor's.
        taken: the bundles.
    """

    far: Far
    now: dict[str, str] = field(default_factory=dict)
    pinned: dict[str, str] = field(default_factory=dict)
    owned: dict[str, set[str]] = field(default_factory=lambda: {stream: set() for stream in STREAMS})
    generations: dict[tuple[str, int], Generation] = field(default_factory=dict)
    force: dict[str, int] = field(default_factory=dict)
    rebuilt: set[str] = field(default_factory=set)
    taken: list[Bundle] = field(default_factory=list)

    def wanted(self) -> set[tuple[str, str]]:
        """Every image that must be whole: of names now, of kept generations, by digest alone."""
        names = [self.now, self.pinned, *(one.names for one in self.generations.values() if one.whole)]
        return {(name, digest) for some in names for name, digest in some.items()}


class Months:
    """Draws and checks one step after the other.

    Args:
        seed: decides everything.
        vendor: publishes and exports.
        fars: the sites.
        between: called between months, for instance to collect a registry's garbage.
    """

    def __init__(self, seed: int, vendor: Vendor, fars: list[Far], between: Callable[[], None] = lambda: None) -> None:
        self.rng = random.Random(seed)
        self.vendor = vendor
        self.sites = [Model(far) for far in fars]
        self.bundles: dict[str, list[Bundle]] = {stream: [] for stream in STREAMS}
        self.counts: collections.Counter[str] = collections.Counter()
        self._between = between
        self._step = 0

    def run(self, months: int) -> collections.Counter[str]:
        """Live so long; how often each thing was done."""
        for month in range(months):
            for name in self.rng.sample(NAMES, self.rng.randint(1, 4)) if month else NAMES[:6]:
                self.vendor.release(name, (month, self.rng.random()), attached=self.rng.random() < 0.8)
            for site in self.sites:
                for step in (self.update, *self.rng.choices([self.update, self.prune, self.back, self.receipt, self.older], k=2)):
                    self._step += 1
                    step(site)
                    self.check(site)
            if self.rng.random() < 0.4:
                self.merge()
            self._between()
        return self.counts

    # what is done

    def update(self, site: Model) -> None:
        """A new bundle for this site, and perhaps for others; imported in one of several ways."""
        stream = self.rng.choice(STREAMS)
        bundle = self.export(stream, site)
        self.take(site, bundle)
        for other in self.sites:
            if other is not site and self.rng.random() < 0.3:
                self.take(other, bundle)
                self.check(other)

    def export(self, stream: str, site: Model) -> Bundle:
        """A full or incremental bundle of some names, some of them by digest alone."""
        rng = self.rng
        names = rng.sample(sorted(self.vendor.now), rng.randint(1, len(self.vendor.now)))
        images = {name: self.vendor.now[name] for name in names}
        options: list[object] = []
        platform = rng.random() < 0.1
        if platform:
            options += ["--platform", "linux/arm64"]
        elif rng.random() < 0.3:
            name = rng.choice(names)
            images.pop(name)
            images[f"{name.rpartition(':')[0]}@{self.vendor.now[name]}"] = self.vendor.now[name]
        how = rng.random()
        mine = [one for one in site.taken if one.stream == stream]
        if how < 0.4 and site.taken:
            path = site.far.root / "base.receipt"
            done(site.far.run("receipt", site.far.target, "-o", path, "--site", "plant-7"))
            options += ["--since", path]
        elif how < 0.6 and mine:
            options += ["--since", rng.choice(mine).path]
        elif how < 0.7 and site.taken:
            options += ["--since", site.far.target]
        if rng.random() < 0.2:
            options += ["--volume-size", 30_000]
        full = "--since" not in options
        self.counts["export full" if full else "export incremental"] += 1
        path = self.vendor.export(stream, list(images), *options)
        bundle = Bundle(path, stream, int(path.name.rpartition("-")[2]), images, full, platform)
        self.bundles[stream].append(bundle)
        return bundle

    def take(self, site: Model, bundle: Bundle, *options: object) -> None:
        """Import a bundle, and once more."""
        rng = self.rng
        pinned = any("@" in name for name in bundle.images)
        platforms = ["--platform", "linux/arm64"] if rng.random() < 0.1 and not pinned else []
        if rng.random() < 0.5 and len(list(bundle.path.glob("volume-*"))) > 1:
            platforms.append("--partial")
        media = self._with_last_volume_lost(bundle.path) if "--partial" in platforms else bundle.path
        before = names_of(site)
        result = site.far.take(media, *platforms, *options)
        if result.returncode == DAMAGED:
            nothing = "no image is complete" in result.stderr
            failed(result, DAMAGED, "no image is complete" if nothing else "the target lacks")
            assert "--partial" in platforms if nothing else not bundle.full
            assert names_of(site) == before
            self.counts["import refused: nothing complete" if nothing else "import refused: base missing"] += 1
            return
        facts = done(result)
        left_out = {one.removeprefix("origin.example/") for one in facts["left_out"]}
        self.counts["import partial" if left_out else "import"] += 1
        loaded = {name: digest for name, digest in bundle.images.items() if name not in left_out}
        found = names_of(site)
        for name, digest in loaded.items():
            if "@" in name:
                site.pinned[name] = digest
                continue
            if platforms[:1] == ["--platform"] or bundle.platform:
                digest = found[name]
                site.rebuilt.add(digest)
            site.now[name] = digest
            site.owned[bundle.stream].add(name)
        site.taken.append(bundle)
        own = site.owned[bundle.stream]
        snapshot = {name: digest for name, digest in site.now.items() if name in own}
        if facts["already_there"] and (known := site.generations.get((bundle.stream, bundle.serial))) and known.whole:
            return
        site.generations[bundle.stream, bundle.serial] = Generation(snapshot, set(loaded), self._step)
        site.force[bundle.stream] = bundle.serial
        if not left_out:
            assert done(site.far.take(media, *platforms, "--allow-older"))["already_there"] is True, "a second time is a no-op"

    def _with_last_volume_lost(self, bundle: Path) -> Path:
        copy = self.vendor.root / "partial" / bundle.name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(bundle, copy)
        max(copy.glob("volume-*")).unlink()
        return copy

    def older(self, site: Model) -> None:
        """A bundle that the site has taken before, or skipped."""
        stream = self.rng.choice(STREAMS)
        if self.bundles[stream]:
            self.counts["import older"] += 1
            self.take(site, self.rng.choice(self.bundles[stream]), "--allow-older")

    def prune(self, site: Model) -> None:
        """Plan, apply, and find nothing more to remove."""
        rng = self.rng
        keep, only = rng.randint(1, 3), rng.choice(["", *STREAMS])
        unlisted = rng.random() < 0.2
        if not site.generations:
            return
        options = [*(["--stream", only] if only else []), *(["--unlisted"] if unlisted else [])]
        before = names_of(site)
        site.far.prune(keep, *options)
        self.counts["prune --unlisted" if unlisted else "prune"] += 1
        for stream in STREAMS:
            own = sorted(serial for of, serial in site.generations if of == stream and site.generations[of, serial].whole)
            for serial in own[:-keep] if only in ("", stream) else ():
                if serial != site.force.get(stream):
                    site.generations[stream, serial].whole = False
        listed = {name for one in site.generations.values() if one.whole for name in one.brought}
        gone = before.keys() - names_of(site).keys()
        assert not gone & listed
        assert unlisted or not gone
        if unlisted:  # what is known by digest alone is given up, too, and goes now or when nothing else needs it any more
            gone |= site.pinned.keys() - listed
        for name in gone:
            self._forget(site, name, *STREAMS)
            site.pinned.pop(name, None)
            for one in site.generations.values():
                one.names.pop(name, None)
        again = done(site.far.run("prune", site.far.target, "--keep", keep, *options))
        assert (again["removed_manifests"], again["removed_names"]) == ([], []), "a second time there is nothing to remove"

    def _forget(self, site: Model, name: str, *streams: str) -> None:
        site.now.pop(name, None)
        for stream in streams:
            site.owned[stream].discard(name)

    def back(self, site: Model) -> None:
        """To any generation, kept or not; exactly or not at all."""
        if not site.generations:
            return
        stream, serial = self.rng.choice(sorted(site.generations))
        remove = self.rng.random() < 0.3
        generation = site.generations[stream, serial]
        options = ["--remove-new"] if remove else []
        result = site.far.back(stream, serial, *options)
        if not generation.whole:
            failed(result, USAGE)
            self.counts["rollback refused: pruned"] += 1
            return
        facts = done(result)
        self.counts["rollback --remove-new" if remove else "rollback"] += 1
        site.now |= generation.names
        site.force[stream] = serial
        new = site.owned[stream] & site.now.keys() - generation.names.keys()
        assert {_below(one["name"]) for one in facts["new_names"]} & set(NAMES) == new
        if remove and new:
            others = {name for other in STREAMS if other != stream for name in site.owned[other]}
            left = names_of(site)
            for name in new - others:
                assert name not in left or isinstance(site.far.shelf, LayoutShelf) is False
                if name not in left:
                    self._forget(site, name, stream)
            for (of, _), one in site.generations.items():
                if of == stream and one.step > generation.step:
                    one.whole = False
        assert done(site.far.back(stream, serial))["moved_names"] == [], "a second time there is nothing to move"

    def receipt(self, site: Model) -> None:
        """A receipt says what is there, and all of it that is known."""
        path = site.far.root / "site.receipt"
        if not site.taken:
            return
        done(site.far.run("receipt", site.far.target, "-o", path, "--site", "plant-7"))
        held = Receipt.from_bytes(path.read_bytes()).holdings
        lacking = {(name, digest) for name, digest in site.wanted() if digest not in held.manifests}
        assert lacking == set()
        for digest in held.manifests:
            places = held.blobs[digest].repositories or ("",)
            assert any(site.far.shelf.manifest(_below(place), digest) is not None for place in places)
        self.counts["receipt"] += 1

    def merge(self) -> None:
        """The last bundles of a stream as one, taken by a site that is new."""
        stream = self.rng.choice(STREAMS)
        chain = self.bundles[stream][-self.rng.randint(1, 4) :]
        if not chain:
            return
        key, state, policy = self.vendor.sender.key, self.vendor.root / "exporter-state", self.vendor.sender.policy
        fixed = [
            "--out",
            self.vendor.root / "out",
            "--stream",
            stream,
            "--key",
            key,
            "--state",
            state,
            "--policy",
            policy,
            "--json",
        ]
        result = here("merge", *(one.path for one in chain), *fixed)
        if result.returncode == DAMAGED:
            facts = failed(result, DAMAGED, "a blob is in none of the bundles")
            assert "needed: " in facts["next"], facts
            self.counts["merge refused: needs more"] += 1
            return
        path = Path(done(result)["path"])
        images = {name: digest for one in chain for name, digest in one.images.items()}
        platform = {name: one.platform for one in chain for name in one.images}
        merged = Bundle(path, stream, int(path.name.rpartition("-")[2]), images, chain[0].full, any(platform.values()))
        self.bundles[stream].append(merged)
        self.counts["merge"] += 1
        late = Far.layout(self.vendor.root / f"late-{path.name}", self.vendor.sender)
        taken = late.take(path)
        if taken.returncode == DAMAGED:
            failed(taken, DAMAGED, "the target lacks")
            assert any(not one.full for one in chain)
            return
        done(taken)
        found = late.names()
        assert found.keys() & set(NAMES) == {name for name in images if "@" not in name}
        for name, digest in images.items():
            if not platform[name]:
                assert "@" in name or found[name] == digest
                assert late.lost(name, digest, self.vendor.hanging[digest]) == []

    # what must hold

    def check(self, site: Model) -> None:
        """Names as the model says; every image that counts whole, with what hangs off it."""
        tags = site.far.shelf.tags()
        assert names_of(site) == site.now
        for name, digest in sorted(site.wanted()):
            repository = name.partition("@")[0] if "@" in name else name.rpartition(":")[0]
            assert missing(site.far.shelf, repository, digest) == [], name
            for one in self.vendor.hanging[digest] if digest not in site.rebuilt else ():
                at = one if ":" in one else tags.get(f"{repository}:{one}")
                assert at is not None, f"{name}: {one}"
                assert missing(site.far.shelf, repository, at) == [], f"{name}: {one}"


def names_of(site: Model) -> dict[str, str]:
    """What the vendor's names stand for at a site; tags that images by digest alone have got there are not among them."""
    return {name: digest for name, digest in site.far.names().items() if name in NAMES}


def _below(place: str) -> str:
    """A name at a target as the vendor has it."""
    for top in ("origin.example/", "mirror/"):
        if top in place:
            return place.partition(top)[2]
    return place


def facts_of(counts: collections.Counter[str]) -> dict[str, Any]:
    """For a report, by name."""
    return dict(sorted(counts.items()))
