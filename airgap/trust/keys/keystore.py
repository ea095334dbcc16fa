"""The keys that requirements name, read once and kept while images are judged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeAlias

from airgap.errors import Damaged, Refused, UsageError
from airgap.trust.keys import gpg
from airgap.trust.keys.certificates import Roots, load_certificates
from airgap.trust.keys.numbers import OpenPgpKey
from airgap.trust.keys.signatures import PublicKey, load_pem_key
from airgap.trust.policy.document import Policy
from airgap.trust.policy.requirements import KeySource, SignedBy, SigstoreSigned

#: Reads a key file that the policy names; raises an ``AirgapError`` when it cannot.
ReadKey: TypeAlias = Callable[[str], bytes]


def read_keys(source: KeySource, read_key: ReadKey) -> list[bytes]:
    """The key material of a requirement, from files or from the policy itself.

    Raises:
        AirgapError: a file cannot be read: then the whole requirement fails, even if others could be.
        Refused: there is none.
    """
    if not source.paths and not any(source.datas):
        raise Refused("the requirement names no key")
    return [read_key(path) for path in source.paths] + list(source.datas)


def known_openpgp_keys(policy: Policy, read_key: ReadKey) -> list[OpenPgpKey]:
    """All OpenPGP keys that a policy names anywhere and that can be read now. Raises ``MediaError``: the disk does not give one."""
    found: list[OpenPgpKey] = []
    for source in dict.fromkeys(one.keys for one in policy.requirements() if isinstance(one, SignedBy)):
        with contextlib.suppress(UsageError, Refused, Damaged):
            found += gpg.listed_keys(read_keys(source, read_key))
    return found


class KeyStore:
    """Keys by source. Keyrings are private directories: close the store to remove them."""

    def __init__(self, read_key: ReadKey, seconds: float = gpg.VERIFY_SECONDS) -> None:
        self._read_key = read_key
        self._seconds = seconds
        self._stack = contextlib.ExitStack()
        self._keyrings: dict[KeySource, gpg.Keyring] = {}
        self._public: dict[KeySource, tuple[PublicKey, ...]] = {}
        self._roots: dict[tuple[KeySource, KeySource], Roots] = {}

    def keyring(self, source: KeySource) -> gpg.Keyring:
        """A keyring with exactly these OpenPGP keys. Raises ``AirgapError``."""
        if source not in self._keyrings:
            keys = read_keys(source, self._read_key)
            self._keyrings[source] = self._stack.enter_context(gpg.open_keyring(keys, self._seconds))
        return self._keyrings[source]

    def public(self, source: KeySource) -> tuple[PublicKey, ...]:
        """These public keys. Raises ``AirgapError``."""
        if source not in self._public:
            self._public[source] = tuple(load_pem_key(data) for data in read_keys(source, self._read_key))
        return self._public[source]

    def log_keys(self, source: KeySource) -> tuple[PublicKey, ...]:
        """These keys of a transparency log for ``.sig`` signatures, all of them ECDSA. Raises ``AirgapError``."""
        keys = self.public(source)
        other = next((key for key in keys if not key.kind.startswith("ECDSA")), None)
        if other is not None:
            hint = "it counts for Sigstore bundles only: in .sig signatures, podman and skopeo know ECDSA keys of logs"
            raise Refused("unsupported Rekor key type", expected="ECDSA", got=other.kind, hint=hint)
        return keys

    def roots(self, source: KeySource, intermediates: KeySource | None = None) -> Roots:
        """These certificates. Raises ``AirgapError``."""
        helpers = intermediates or KeySource()
        if (source, helpers) not in self._roots:
            found = tuple(cert for data in read_keys(source, self._read_key) for cert in load_certificates(data))
            extra = read_keys(helpers, self._read_key) if helpers.paths or helpers.datas else []
            between = tuple(cert for data in extra for cert in load_certificates(data, alone=True))
            self._roots[source, helpers] = Roots(found, between)
        return self._roots[source, helpers]

    def prepare(self, requirement: SignedBy | SigstoreSigned) -> None:
        """Load everything that a requirement names, before any signature is looked at. Raises ``AirgapError``."""
        if isinstance(requirement, SignedBy):
            self.keyring(requirement.keys)
            return
        if requirement.keys is not None:
            self.public(requirement.keys)
        if requirement.rekor is not None:
            self.public(requirement.rekor)  # of any kind: what may be in a bundle's log may be unfit for other signatures
        if requirement.fulcio is not None:
            self.roots(requirement.fulcio.ca)
        if requirement.pki is not None:
            self.roots(requirement.pki.roots, requirement.pki.intermediates)

    def close(self) -> None:
        """Remove the keyrings."""
        self._stack.close()
