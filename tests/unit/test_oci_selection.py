"""Platforms: what people write, what covers what, and that what was asked for and is not there is known."""

from __future__ import annotations

import json

import pytest

from airgap.errors import Damaged, UsageError
from airgap.limits import MAX_MANIFEST
from airgap.oci import media
from airgap.oci.descriptor import Descriptor, Platform
from airgap.oci.digest import Digest
from airgap.oci.manifest import Manifest
from airgap.oci.selection import PlatformFilter, config_of, platform_in
from tests.support import images


def wish(*texts: str) -> PlatformFilter:
    return PlatformFilter(tuple(map(Platform.parse, texts)))


def child(seed: str, platform: Platform | None, media_type: str = media.OCI_MANIFEST, **annotations: str) -> Descriptor:
    return Descriptor(media_type, Digest.of(seed.encode()), 1, platform, annotations=annotations)


def unread(child: Descriptor) -> Platform | None:
    raise AssertionError(f"the config of {child} was read although its index states the platform")


def test_platforms() -> None:
    arm = Platform.parse("Linux/ARM64/v8")
    assert str(arm) == "linux/arm64/v8"
    assert Platform.parse("linux/arm64").covers(arm)
    assert not Platform.parse("linux/arm64/v7").covers(arm)
    assert not Platform.parse("windows/arm64").covers(arm)
    for text in ("", "linux", "linux/", "/arm", "a/b/c/d", "unknown/unknown", "linux/unknown", "windows(10.0)/amd64", "linux/am d"):
        with pytest.raises(UsageError):
            Platform.parse(text)
    assert Platform.stated(str(arm)) == arm


@pytest.mark.parametrize(
    ("asked", "there", "covered"),
    [
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm/v7", "linux/arm", True),
        ("linux/amd64/v1", "linux/amd64", True),
        ("linux/amd64/v3", "linux/amd64", False),
        ("linux/arm/v6", "linux/arm", False),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm", "linux/arm/v6", True),
        ("linux/arm", "linux/arm64", False),
    ],
)
def test_a_variant_that_is_not_written_is_the_one_that_engines_take(asked: str, there: str, covered: bool) -> None:
    assert Platform.parse(asked).covers(Platform.parse(there)) is covered


def test_a_wish_without_a_version_takes_every_version_of_windows() -> None:
    asked = wish("windows/amd64")
    versions = [Platform("windows", "amd64", "", version) for version in ("10.0.17763.1", "10.0.20348.2")]
    children = [child(platform.os_version, platform) for platform in versions]
    assert asked.select(children, unread) == children
    assert not asked.missing


def test_a_platform_wish_keeps_nested_indexes_and_attestations_of_what_it_keeps() -> None:
    index = images.multi_arch("x")
    kept = wish("linux/arm64").select(index.manifest.children, unread)
    assert [str(child.platform) for child in kept] == ["linux/arm64"]
    unknown = Platform("unknown", "unknown")
    attestation = child("a", unknown, **{"vnd.docker.reference.digest": kept[0].digest})
    other = child("b", unknown, **{"vnd.docker.reference.digest": index.manifest.children[0].digest})
    nested = child("n", None, media.OCI_INDEX)
    everything = [*index.manifest.children, attestation, other, nested]
    assert wish("linux/arm64").select(everything, unread) == [*kept, attestation, nested]
    assert wish().select(everything, unread) == everything


def test_one_of_several_platforms_that_is_missing_is_known() -> None:
    asked = wish("linux/arm64", "linux/s390x", "linux/arm/v6")
    asked.select(images.multi_arch("x").manifest.children, unread)
    assert list(map(str, asked.missing)) == ["linux/s390x", "linux/arm/v6"]
    assert list(map(str, asked.there)) == list(images.PLATFORMS)


def test_nothing_is_concluded_from_an_empty_index() -> None:
    asked = wish("linux/arm64")
    assert asked.select([], unread) == []
    assert asked.missing


def test_a_child_without_a_platform_is_what_its_config_says() -> None:
    states = {"arm": Platform("linux", "arm64"), "amd": Platform("linux", "amd64"), "chart": None}
    children = {name: child(name, None) for name in states}
    read = {children[name].digest: platform for name, platform in states.items()}
    asked = wish("linux/arm64")
    kept = asked.select(list(children.values()), lambda one: read[one.digest])
    assert kept == [children["arm"], children["chart"]]
    assert not asked.missing


def test_an_artifact_is_kept_whatever_is_asked_for_but_stands_in_for_no_platform() -> None:
    alone = wish("linux/arm64")
    assert alone.takes(None)
    assert alone.is_beside_the_point
    assert not alone.missing
    beside = wish("linux/arm64")
    assert beside.takes(None)
    assert not beside.takes(Platform("linux", "amd64"))
    assert not beside.is_beside_the_point
    assert beside.missing


def test_unknown_is_a_statement_and_no_artifact() -> None:
    asked = wish("linux/arm64")
    assert not asked.takes(Platform("unknown", "unknown"))
    assert asked.missing


@pytest.mark.parametrize("config", [b"{}", b'{"os":"","architecture":""}', b'{"rootfs":{}}'])
def test_a_config_that_states_nothing_is_that_of_an_artifact(config: bytes) -> None:
    assert platform_in(config, "here") is None


def test_a_config_that_states_half_of_a_platform_states_one() -> None:
    found = platform_in(b'{"os":"linux"}', "here")
    assert found is not None
    assert not Platform.parse("linux/arm64").covers(found)


@pytest.mark.parametrize("config", [b"nul", b"[]", b'{"os":1}', b'{"os":"linux","os":"linux"}', b'{"OS":"linux"}', b"{" * 99])
def test_a_config_that_can_be_read_differently_is_damage(config: bytes) -> None:
    with pytest.raises(Damaged):
        platform_in(config, "here")


def test_a_config_that_is_too_large_to_read_is_not_taken_for_one_that_states_nothing() -> None:
    built = images.image([images.layer("x")]).manifest
    value = json.loads(built.raw)
    value["config"]["size"] = MAX_MANIFEST + 1
    large = Manifest.parse(json.dumps(value).encode(), built.media_type, "here")
    with pytest.raises(UsageError, match="cannot be determined"):
        config_of(large, "here", UsageError)
    assert config_of(built, "here", UsageError) == built.config
    chart = images.artifact(None, "application/vnd.cncf.helm.chart", b"chart").manifest
    assert config_of(chart, "here", UsageError) is None


@pytest.mark.parametrize("config", [b"", b" \n", b"null", b"{}", b'{"os":null,"architecture":null}'])
def test_a_config_that_says_nothing_states_no_platform(config: bytes) -> None:
    assert platform_in(config, "here") is None
