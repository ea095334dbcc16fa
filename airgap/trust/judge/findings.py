"""What signatures one requirement gets from the signature files beside a catalog or another document."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from airgap.errors import AirgapError, Refused
from airgap.trust.judge.catalogbundle import SUFFIX, read_message, read_signature
from airgap.trust.keys import gpg
from airgap.trust.keys.keystore import KeyStore, ReadKey
from airgap.trust.keys.numbers import all_numbers, names_of, number_of
from airgap.trust.keys.revoked import Revoked
from airgap.trust.keys.signatures import PublicKey, decode_signature, load_public_key, verify_by_curve
from airgap.trust.policy.requirements import KeySource, SigstoreSigned, describe
from airgap.trust.sigstore.keyless import signer_of
from airgap.trust.sigstore.trustedroot import TrustedRoot

#: The key that a signature file is named after.
_SIGNER = re.compile(r"\.([0-9a-f]{16})\.(?:sig|sigstore\.json)\Z", re.ASCII)


@dataclass(frozen=True)
class Finding:
    """The signatures found for one requirement.

    ``signers`` are the keys that satisfied it (full fingerprint -> description), ``numbers`` their public numbers, subkeys too, and
    ``good`` the files their signatures are in; ``failures`` says for each other signature file why it did not count, ``obstacle``
    why nothing can satisfy the requirement.
    """

    wanted: str
    signers: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    good: frozenset[str] = frozenset()
    failures: Mapping[str, str] = field(default_factory=dict)
    obstacle: str = ""


def find_openpgp(wanted: str, keys: Sequence[bytes], raw: bytes, files: Mapping[str, bytes], revoked: Revoked) -> Finding:
    """Verify the detached OpenPGP signatures among ``files`` with these keys. Raises ``AirgapError``: a key is invalid."""
    signers: dict[str, str] = {}
    failures: dict[str, str] = {}
    armored = {name: content for name, content in files.items() if name.endswith(".asc")}
    if not armored:
        return Finding(wanted)
    with gpg.open_keyring(keys) as ring:
        known = {key.primary: key for key in ring.listed()}
        revoked = revoked.in_every_form(known.values())
        for name, content in armored.items():
            try:
                good = ring.verify_detached(raw, content)
                key = known[good.primary]
                why = revoked.reason(*names_of(key, good.primary), *names_of(key, good.signer))
                if why is not None:
                    raise Refused(why, got=f"key {good.id}")
                signers[f"openpgp:{good.primary}"] = f"OpenPGP key {good.id} ({name})"
            except Refused as error:
                failures[name] = sentence(error)
        wanted = f"{wanted} ({_ids(gpg.key_id(primary) for primary in ring.primaries)})"
    numbers = {f"openpgp:{primary}": found for primary, found in all_numbers(known.values()).items()}
    return Finding(wanted, signers, numbers, frozenset(armored.keys() - failures.keys()), failures)


def find_raw(keys: Sequence[bytes], source: KeySource, raw: bytes, files: Mapping[str, bytes], revoked: Revoked) -> Finding:
    """Verify the raw signatures among ``files``, in base64 or a Sigstore bundle, with these keys.

    Raises:
        AirgapError: a key is invalid.
    """
    public = [load_public_key(data) for data in keys]
    signers: dict[str, str] = {}
    failures: dict[str, str] = {}
    encoded = {name: content for name, content in files.items() if name.endswith((".sig", SUFFIX))}
    for name, content in encoded.items():
        try:
            key = _maker(public, raw, _raw_signature(name, content, raw), name)
            if (why := revoked.reason(key.fingerprint, key.id)) is not None:
                raise Refused(why, got=f"key {key.id}")
            signers[key.fingerprint] = f"{key.kind} key {key.id} ({name})"
        except Refused as error:
            failures[name] = sentence(error)
    wanted = f"sigstoreSigned {source.describe()} ({_ids(key.id for key in public)})"
    numbers = {key.fingerprint: frozenset((number_of(key),)) for key in public}
    return Finding(wanted, signers, numbers, frozenset(encoded.keys() - failures.keys()), failures)


def _raw_signature(name: str, content: bytes, raw: bytes) -> bytes:
    """The signature's own bytes. Raises ``Refused``: there are none."""
    signature = read_signature(content, raw) if name.endswith(SUFFIX) else decode_signature(content)
    if signature is None:
        raise Refused("not base64")
    return signature


def _maker(keys: Sequence[PublicKey], raw: bytes, signature: bytes, name: str) -> PublicKey:
    """The key that made a signature.

    Without the key of another signer nobody can tell whether their signature is good, so the refusal does not call it bad: it says
    after which key the file is named.

    Raises:
        Refused: none of these.
    """
    key = next((key for key in keys if verify_by_curve(key, raw, signature)), None)
    if key is not None:
        return key
    named = _SIGNER.search(name)
    if named is None:
        raise Refused("no accepted key made it over these bytes")
    if any(key.id == named[1] for key in keys):
        raise Refused("not a signature of these bytes by the key that the file is named after", got=f"key {named[1]}")
    raise Refused("no accepted key made it: the file is named after another key", got=f"key {named[1]}")


def _ids(ids: Iterator[str]) -> str:
    found = sorted(ids)
    return f"{'key' if len(found) == 1 else 'one of the keys'} {', '.join(found)}"


def find_proved(
    requirement: SigstoreSigned,
    raw: bytes,
    files: Mapping[str, bytes],
    read_key: ReadKey,
    revoked: Revoked,
    trusted_root: TrustedRoot | None,
) -> Finding:
    """Verify the Sigstore bundles among ``files`` for a requirement that asks for more than a key: fulcio, or a log.

    Raises:
        AirgapError: something that the requirement names cannot be had.
    """
    signers: dict[str, str] = {}
    numbers: dict[str, frozenset[str]] = {}
    failures: dict[str, str] = {}
    bundles = {name: content for name, content in files.items() if name.endswith(SUFFIX)}
    with contextlib.closing(KeyStore(read_key)) as keys:
        keys.prepare(requirement)
        for name, content in bundles.items():
            try:
                signer = signer_of(requirement, read_message(content, raw), raw, keys, trusted_root)
                if (why := revoked.reason(signer.key.fingerprint, signer.key.id)) is not None:
                    raise Refused(why, got=f"key {signer.key.id}")
                signers[signer.id] = f"{signer.text} ({name})"
                numbers[signer.id] = numbers.get(signer.id, frozenset()) | signer.numbers
            except Refused as error:
                failures[name] = sentence(error)
    return Finding(describe(requirement), signers, numbers, frozenset(bundles.keys() - failures.keys()), failures)


def sentence(error: AirgapError) -> str:
    """An error in one sentence."""
    facts = [error.what]
    facts += [f"{name} {value}" for name, value in (("in", error.where), ("expected", error.expected), ("got", error.got)) if value]
    return ", ".join(facts) + (f" ({error.hint})" if error.hint else "")
