"""Names are computed, and safe on every file system that media have."""

from __future__ import annotations

import pytest

from airgap.errors import UsageError
from airgap.format import names


@pytest.mark.parametrize("name", ["a", "0", "prod", "prod-site", "prod.site_2", "x" * 48])
def test_a_stream_name(name: str) -> None:
    assert names.check_stream(name) == name
    assert names.bundle_name(name, 7) == f"{name}-0007"


@pytest.mark.parametrize(
    "name",
    ["", "Prod", "a b", "a--b", "-a", "a-", ".a", "a.", "..", "a/b", "a\\b", "a:b", "é", "x" * 49, "a\n", "a\0", "con:", "٣"],
)
def test_no_stream_name(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        names.check_stream(name)
    assert caught.value.got.isprintable()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("fat32", 2**32 - 1), ("FAT32", 2**32 - 1), ("dvd", 4_700_000_000 - 2**26), ("bd25", 25_000_000_000 - 2**26),
        ("4GiB", 2**32), ("4G", 2**32), ("4GB", 4 * 10**9), ("700 MB", 700 * 10**6), ("1.5GB", 1_500_000_000), ("10240", 10240),
    ],
)  # fmt: skip
def test_a_volume_size(text: str, size: int) -> None:
    assert names.volume_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "10239", "1kB", "4 GBs", "GB", "1e9", "0x100000", "4,7GB", "nan", "inf", "9" * 16, "٤GB"]
)
def test_no_volume_size(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        names.volume_size(text)
    assert caught.value.expected or caught.value.what


def test_what_a_file_name_claims_to_be() -> None:
    assert names.volume_name(1) == "volume-0001.tar"
    assert names.is_volume("volume-0001.tar")
    assert names.is_volume("volume-12345.tar")
    for name in (
        "volume-1.tar",
        "volume-0001.tar.gz",
        "Volume-0001.tar",
        "volume-0001.tar\n",
        "xvolume-0001.tar",
        "volume-٠٠٠١.tar",
    ):
        assert not names.is_volume(name)
    for name in (
        "catalog.json.0123456789abcdef.sig",
        "catalog.json.0123456789abcdef.sigstore.json",
        "catalog.json.sigstore.json",
    ):
        assert names.is_signature(name)
    for name in (
        "catalog.json.json",
        "catalog.json.ab.cd.sigstore.json",
        "catalog.json.sig",
        "catalog.json..sig",
        "catalog.json.../x.sig",
        "catalog.json.AB.sig",
        "catalog.json.ab.txt",
    ):
        assert not names.is_signature(name)
