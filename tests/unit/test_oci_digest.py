"""Digests: what is accepted is safe as a file name."""

from __future__ import annotations

import pytest

from airgap.errors import Damaged
from airgap.oci.digest import Digest

HEX = "ab" * 32


@pytest.mark.parametrize("text", [f"sha256:{HEX}", f"sha512:{HEX}{HEX}"])
def test_a_digest_is_itself(text: str) -> None:
    digest = Digest.parse(text)
    assert digest == text
    assert (digest.algorithm, digest.hex) == tuple(text.split(":"))
    assert digest.short == "abababababab"
    assert Digest.parse(digest) is digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        HEX,
        f"md5:{HEX[:32]}",
        f"SHA256:{HEX}",
        f"sha256:{HEX.upper()}",
        f"sha256:{HEX[1:]}",
        f"sha256:{HEX}a",
        f"sha512:{HEX}",
        f"sha256:{HEX}{HEX}",
        f" sha256:{HEX}",
        f"sha256:{HEX}\n",
        f"sha256:../../{HEX[6:]}",
        f"sha256:{HEX[:-1]}\u0661",
        f"sha256:{HEX[:-1]}\0",
        f"sha256::{HEX[1:]}",
        None,
        5,
        True,
        ["sha256", HEX],
        {"sha256": HEX},
    ],
)
def test_anything_else_is_damage(text: object) -> None:
    with pytest.raises(Damaged) as caught:
        Digest.parse(text, "here")
    assert caught.value.where == "here"
    assert caught.value.got.isprintable()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_hashing_in_pieces_gives_the_digest_of_the_whole(algorithm: str) -> None:
    hasher = Digest.of(b"", algorithm).hasher()
    hasher.update(b"one ")
    hasher.update(b"two")
    assert Digest.sealed(hasher) == Digest.of(b"one two", algorithm)
