"""Destination names come from the operator's rule and the source reference, from nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import UsageError
from airgap.naming.mapping import LayoutTarget, RegistryTarget, destinations, parse_target
from airgap.naming.renaming import RenameRule, RenameRules
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import TAG_KINDS, Image, digest_tag
from airgap.oci.reference import Reference
from airgap.targets.collecting import is_attachment


def image(reference: str, content: bytes = b"") -> Image:
    raw = content or reference.encode()
    return Image(Reference.parse(reference), Descriptor(media.OCI_MANIFEST, Digest.of(raw), len(raw)))


def roots(*wanted: Image) -> list[tuple[Reference, Digest]]:
    return [(one.reference, one.root.digest) for one in wanted]


def mapped(target: str, rule: str, *references: str) -> list[str]:
    return [str(name) for name in destinations(roots(*map(image, references)), parse_target(target, rule)).values()]


@pytest.mark.parametrize(
    ("target", "rule", "reference", "name"),
    [
        ("docker://r.site", "", "nginx:1", "r.site/docker.io/library/nginx:1"),
        ("docker://r.site:5000/mirror", "", "nginx:1", "r.site:5000/mirror/docker.io/library/nginx:1"),
        ("docker://r.site/a/b/", "keep-host", "quay.io/x/y:2", "r.site/a/b/quay.io/x/y:2"),
        ("docker://r.site/m", "", "localhost:5000/x:1", "r.site/m/localhost-5000/x:1"),
        ("docker://r.site/m", "", "UPPER.example/x:1", "r.site/m/upper.example/x:1"),
        ("docker://r.site/m", "strip-host", "quay.io/x/y:2", "r.site/m/x/y:2"),
        ("docker://r.site", "strip-host", "nginx:1", "r.site/library/nginx:1"),
        ("oci:/srv/store", "", "nginx:1", "docker.io/library/nginx:1"),
    ],
)
def test_a_name(target: str, rule: str, reference: str, name: str) -> None:
    assert mapped(target, rule, reference) == [name]


def test_tag_and_digest_are_kept() -> None:
    digest = Digest.of(b"content")
    wanted = image(f"nginx:1@{digest}", b"content")
    assert [str(name) for name in destinations(roots(wanted), parse_target("docker://r.site")).values()] == [
        f"r.site/docker.io/library/nginx:1@{digest}"
    ]


@pytest.mark.parametrize("tag", ["1", "2"], ids=["the same name", "another tag"])
@pytest.mark.parametrize("content", [b"", b"same"], ids=["another image", "the same image"])
def test_two_sources_never_share_a_repository_at_the_target(tag: str, content: bytes) -> None:
    both = [image("docker.io/a/x:1", content), image(f"quay.io/a/x:{tag}", content)]
    with pytest.raises(UsageError, match="two source repositories would share") as caught:
        destinations(roots(*both), parse_target("docker://r.site/m", "strip-host"))
    assert caught.value.where == "r.site/m/a/x"
    assert caught.value.got == "docker.io/a/x and quay.io/a/x"
    assert "--map prefix=" in caught.value.hint


def test_what_is_wanted_by_digest_alone_gets_a_tag_that_nobody_takes_for_an_attachment() -> None:
    for digest in (Digest.of(b"x"), Digest.of(b"x", "sha512")):
        wanted = Reference.parse(f"quay.io/a/x@{digest}")
        named = destinations([(wanted, digest)], parse_target("docker://r.site/m"))[wanted]
        assert str(named) == f"r.site/m/quay.io/a/x:airgap-{digest.algorithm}-{digest.hex[:64]}"
        assert not is_attachment(named)
        assert named.tag not in {digest_tag(digest, suffix) for suffix in ("", *TAG_KINDS)}


@pytest.mark.parametrize("target", ["docker://r.site", "oci:/x", "oci-archive:/x.tar"])
@pytest.mark.parametrize("source", ["quay.io/a/x@{pinned}", "quay.io/a/x:1@{pinned}"])
def test_a_name_is_never_told_of_an_index_that_was_made_anew(target: str, source: str) -> None:
    pinned, made = Digest.of(b"index"), Digest.of(b"made anew")
    wanted = Reference.parse(source.format(pinned=pinned))
    for digest_tags in (True, False):
        named = destinations([(wanted, made)], parse_target(target), digest_tags=digest_tags)[wanted]
        assert pinned.hex not in str(named)
        assert named.tag == "1" or made.hex in str(named)


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("", ""),
        ("docker:", ""),
        ("docker://", ""),
        ("docker:///x", ""),
        ("docker://r.site/UPPER", ""),
        ("docker://r.site/../x", ""),
        ("docker://r site/x", ""),
        ("docker://r.site/x\n", ""),
        ("oci:", ""),
        ("r.site/x", ""),
        ("dir:", ""),
        ("k3s:", ""),
        ("dir:/x", "strip-host"),
        ("containers-storage", ""),
        ("containers-storage:name", ""),
        ("docker://r.site", "rename"),
        ("oci:/x", "strip-host"),
        ("docker://user:secret@r.site/x", ""),
    ],
)
def test_no_target(target: str, rule: str) -> None:
    with pytest.raises(UsageError):
        parse_target(target, rule)


def test_what_a_target_is_called_in_the_state() -> None:
    assert str(parse_target("docker://r.site:5000/m/")) == "docker://r.site:5000/m"
    assert str(parse_target("oci:relative")) == f"oci:{Path.cwd() / 'relative'}"
    assert parse_target("oci:/x") == LayoutTarget(Path("/x"))


component = st.from_regex(r"[a-z0-9]{1,6}((\.|_|__|-)[a-z0-9]{1,4})?", fullmatch=True)
host = st.from_regex(r"[a-z]{1,4}\.[a-z]{2}(:[1-9][0-9]{0,3})?", fullmatch=True)


@settings(max_examples=60, deadline=None)
@given(host, st.lists(component, max_size=2), host, st.lists(component, min_size=1, max_size=3), st.sampled_from(RenameRule))
def test_every_name_stays_below_host_and_prefix(to: str, prefix: list[str], source: str, path: list[str], rule: RenameRule) -> None:
    reference = Reference.parse(f"{source}/{'/'.join(path)}:1")
    moved = RegistryTarget(to, "/".join(prefix), RenameRules(rest=rule)).repository(reference.repository)
    assert moved.host == to
    assert moved.path.startswith("/".join([*prefix, ""]))
    assert moved.path.endswith(reference.repository.path)


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive", "dir", "k3s", "containers-storage"])
def test_a_target_whose_path_is_no_text_is_refused_and_no_traceback(transport: str) -> None:
    place = os.fsdecode(b"/mnt/\xc4\xe3" if transport != "containers-storage" else b"[overlay@/mnt/\xc4\xe3+/run/x]")
    with pytest.raises(UsageError, match="not UTF-8 text") as caught:
        parse_target(f"{transport}:{place}")
    assert "link" in caught.value.hint
