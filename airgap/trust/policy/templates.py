"""What ``airgap policy init`` writes: a policy that rejects everything except bundles signed by the site's keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airgap.errors import UsageError
from airgap.limits import MAX_STREAM
from airgap.oci.stream import is_stream
from airgap.text import printable
from airgap.trust.policy.requirements import GPG_KEYS
from airgap.trust.policy.scopesyntax import AIRGAP

_REJECT = {"type": "reject"}


def site_policy(
    public_keys: Sequence[Path], gpg_keys: Sequence[Path] = (), stream: str = "", *, any_of: bool = False
) -> dict[str, Any]:
    """The content of a policy.json for a site.

    Images are accepted because the bundle's signature vouches for them: ``docker`` accepts anything, but nothing reaches that
    point unless the bundle was signed as ``airgap`` says. Without any key, everything is rejected.

    Args:
        public_keys: files with ECDSA, Ed25519 or RSA public keys.
        gpg_keys: files with OpenPGP public keys.
        stream: the only stream to accept; empty for all.
        any_of: one signature by any of the keys is enough; otherwise every key must have signed.

    Raises:
        UsageError: not a stream name; or ``any_of`` with keys of both kinds, which no policy can say.
    """
    if stream and not is_stream(stream):
        expected = f"lower-case letters and digits, . _ - between them, at most {MAX_STREAM}"
        raise UsageError("not a valid stream name", got=printable(stream, 100), expected=expected)
    requirements = _requirements([str(path) for path in public_keys], [str(path) for path in gpg_keys], any_of)
    policy: dict[str, Any] = {"default": [_REJECT], "transports": {}}
    if requirements:
        policy["transports"] = {AIRGAP: {stream: requirements}, "docker": {"": [{"type": "insecureAcceptAnything"}]}}
    return policy


def _requirements(public_keys: list[str], gpg_keys: list[str], any_of: bool) -> list[dict[str, Any]]:
    raw: dict[str, Any] = {"type": "sigstoreSigned"}
    openpgp: dict[str, Any] = {"type": "signedBy", "keyType": GPG_KEYS}
    if not any_of:
        return [{**raw, "keyPath": path} for path in public_keys] + [{**openpgp, "keyPath": path} for path in gpg_keys]
    if public_keys and gpg_keys:
        raise UsageError("a policy cannot require either an OpenPGP key or another key", hint="give only keys of one kind")
    return [{**base, "keyPaths": paths} for base, paths in ((raw, public_keys), (openpgp, gpg_keys)) if paths]
