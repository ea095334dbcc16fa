"""Destination names come from the operator's rule and the source reference, from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import UsageError
from airgap.importer.mapping import LayoutTarget, RegistryTarget, destinations, parse_target
from airgap.importer.renaming import Rule, Rules
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.image import Image
from airgap.oci.reference import Reference


def image(reference: str, content: bytes = b"") -> Image:
    raw = content or reference.encode()
    return Image(Reference.parse(reference), Descriptor(media.OCI_MANIFEST, Digest.of(raw), len(raw)))


def mapped(target: str, rule: str, *references: str) -> list[str]:
    return [str(name) for name in destinations([image(reference) for reference in references], parse_target(target, rule)).values()]


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
    assert [str(name) for name in destinations([wanted], parse_target("docker://r.site")).values()] == [
        f"r.site/docker.io/library/nginx:1@{digest}"
    ]


def test_two_images_that_would_get_one_name_clash() -> None:
    with pytest.raises(UsageError) as caught:
        mapped("docker://r.site/m", "strip-host", "docker.io/a/x:1", "quay.io/a/x:1")
    assert caught.value.where == "r.site/m/a/x:1"
    assert "quay.io/a/x:1" in caught.value.got
    assert mapped("docker://r.site/m", "strip-host", "docker.io/a/x:1", "quay.io/a/x:2")


def test_one_image_under_two_sources_may_share_a_name() -> None:
    same = [image("docker.io/a/x:1", b"same"), image("quay.io/a/x:1", b"same")]
    assert set(map(str, destinations(same, parse_target("docker://r.site", "strip-host")).values())) == {"r.site/a/x:1"}


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
@given(host, st.lists(component, max_size=2), host, st.lists(component, min_size=1, max_size=3), st.sampled_from(Rule))
def test_every_name_stays_below_host_and_prefix(to: str, prefix: list[str], source: str, path: list[str], rule: Rule) -> None:
    reference = Reference.parse(f"{source}/{'/'.join(path)}:1")
    moved = RegistryTarget(to, "/".join(prefix), Rules(rest=rule)).repository(reference.repository)
    assert moved.host == to
    assert moved.path.startswith("/".join([*prefix, ""]))
    assert moved.path.endswith(reference.repository.path)
