"""What encrypts media: the bytes are those of AES-256-GCM, however they were written; only the right key opens anything."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from functools import partial

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from airgap.cipher import sites
from airgap.cipher.content import ContentKey, Pieces
from airgap.cipher.forms import PIECE, TAG_SIZE
from airgap.cipher.sites import SiteKey, SiteSecret
from airgap.errors import Damaged, Refused, UsageError
from airgap.trust.keys.signers import generate
from tests.support import images

SECRET = bytes(range(32))
SIZE = 2 * PIECE + 12345
PLAIN = images.seeded("plain", SIZE)


def reference(volume: int) -> tuple[bytes, bytes]:
    """A volume encrypted piece by piece with the library's GCM: content and tags."""
    key = HKDF(hashes.SHA256(), 32, None, b"airgap volumes").derive(SECRET)
    content, tags = b"", b""
    for piece, at in enumerate(range(0, SIZE, PIECE)):
        nonce = volume.to_bytes(4, "big") + piece.to_bytes(8, "big")
        sealed = AESGCM(key).encrypt(nonce, PLAIN[at : at + PIECE], None)
        content, tags = content + sealed[:-16], tags + sealed[-16:]
    return content, tags


def pair(passphrase: bytes | None = None) -> tuple[SiteKey, SiteSecret]:
    private, public, key_id = sites.generate(passphrase)
    site, secret = SiteKey.load(public, "site.pub"), SiteSecret.load(private, lambda: passphrase, "site.key")
    assert site.key_id == secret.key_id == key_id
    return site, secret


def test_stretches_written_in_any_order_and_size_are_what_gcm_makes_of_whole_pieces() -> None:
    content, tags = reference(3)
    key, chosen = ContentKey(SECRET), random.Random(5)
    cuts = sorted({0, SIZE, PIECE - 1, PIECE, PIECE + 1, 15, 16, 17, *(chosen.randrange(SIZE) for _ in range(40))})
    parts = list(itertools.pairwise(cuts))
    chosen.shuffle(parts)
    written = bytearray(SIZE)
    for start, end in parts:
        written[start:end] = key.apply(3, start, PLAIN[start:end])
    assert written == content
    found = b"".join(key.tag(3, piece, content[piece * PIECE : (piece + 1) * PIECE]) for piece in range(3))
    assert found == tags
    assert key.apply(3, 0, content) == PLAIN


def test_a_piece_opens_only_where_it_belongs_and_as_it_was() -> None:
    content, tags = reference(1)
    pieces = Pieces(ContentKey(SECRET), (SIZE, SIZE), (tags, tags))
    for number in range(3):
        part = content[number * PIECE : (number + 1) * PIECE]
        assert pieces.open(1, number, part, "here") == PLAIN[number * PIECE : (number + 1) * PIECE]
    first, last = content[:PIECE], content[2 * PIECE :]
    changed = bytes([first[0] ^ 1]) + first[1:]
    for volume, number, part in (
        (2, 0, first),
        (1, 1, first),
        (1, 0, changed),
        (1, 0, first[:-1]),
        (1, 2, last + b"\0"),
        (1, 0, b""),
    ):
        with pytest.raises(Damaged, match=f"piece {number} of volume {volume} was changed"):
            pieces.open(volume, number, part, "here")
    bad = replace(pieces, tags=(bytes(TAG_SIZE) + tags[TAG_SIZE:], tags))
    with pytest.raises(Damaged):
        bad.open(1, 0, first, "here")


def test_every_bundle_has_a_key_of_its_own_and_no_repr_shows_it() -> None:
    key = ContentKey()
    assert key.secret != ContentKey().secret
    assert len(key.secret) == 32
    for shown in (repr(key), repr(Pieces(key, (1,), None))):
        assert key.secret.hex() not in shown
        assert repr(key.secret) not in shown


def test_a_document_opens_in_its_own_place_only() -> None:
    key = ContentKey(SECRET)
    sealed = key.seal(b"the catalog", b"catalog")
    assert key.unseal(sealed, b"catalog", "here") == b"the catalog"
    assert key.seal(b"the catalog", b"catalog") != sealed
    for raw, context in ((sealed, b"tags"), (sealed[:-1], b"catalog"), (b"", b"catalog"), (bytes(40), b"catalog")):
        with pytest.raises(Damaged):
            key.unseal(raw, context, "here")
    with pytest.raises(Damaged):
        ContentKey().unseal(sealed, b"catalog", "here")


def test_a_wrapped_key_is_for_one_site() -> None:
    (site, secret), (_, other) = pair(), pair(b"passphrase")
    key = ContentKey()
    wrapped = site.wrap(key)
    assert secret.unwrap(wrapped).secret == key.secret
    assert site.wrap(key).secret != wrapped.secret  # a new one-time key every time
    zero = replace(wrapped, ephemeral=bytes(32))  # a point of low order
    changed = replace(wrapped, secret=bytes(48))
    for one, bad in ((other, wrapped), (secret, zero), (secret, changed), (secret, replace(wrapped, ephemeral=b"short"))):
        with pytest.raises(Refused):
            one.unwrap(bad)


def test_keys_of_other_kinds_and_wrong_passphrases_are_refused() -> None:
    private, public, _ = sites.generate(b"right")
    signing = generate("ecdsa", None)
    low = X25519PublicKey.from_public_bytes(bytes(32)).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for pem in (b"", b"garbage", signing.public_pem, private):
        with pytest.raises(UsageError):
            SiteKey.load(pem, "site.pub")
    for pem, passphrase in ((b"", None), (public, None), (private, None), (private, b"wrong"), (signing.private_pem, None)):
        with pytest.raises(UsageError):
            SiteSecret.load(pem, partial(lambda given: given, passphrase), "site.key")
    with pytest.raises(UsageError, match="yields no shared secret"):
        SiteKey.load(low, "low.pub").wrap(ContentKey())
