"""What ``airgap policy`` writes: requirements from public keys, and whole policies that reject everything else."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from airgap.errors import UsageError
from airgap.trust.policy.requirements import GPG_KEYS
from airgap.trust.policy.scopesyntax import AIRGAP

#: Requirements as they stand in the file.
Rule: TypeAlias = list[dict[str, Any]]

REJECT: Rule = [{"type": "reject"}]
ACCEPT: Rule = [{"type": "insecureAcceptAnything"}]


@dataclass(frozen=True, slots=True)
class PolicyKey:
    """A public key for a policy: the file at ``path`` or, without a path, ``data`` itself (PEM, or a binary keyring).

    ``names`` is everything that the keys in it can be called.
    """

    openpgp: bool = False
    path: str = ""
    data: bytes = b""
    names: frozenset[str] = frozenset()


def signed_by(keys: Sequence[PolicyKey]) -> dict[str, Any]:
    """A requirement that a signature by any one of these keys satisfies.

    Args:
        keys: one or more, all of them with a path or all without.

    Raises:
        UsageError: keys of both kinds, which no requirement can name.
    """
    openpgp = keys[0].openpgp
    if any(key.openpgp != openpgp for key in keys):
        raise UsageError(
            "one requirement cannot name an OpenPGP key and another key",
            expected="keys of one kind",
            hint="give only PEM keys or only OpenPGP keys where any one of them is enough",
        )
    kind = {"type": "signedBy", "keyType": GPG_KEYS} if openpgp else {"type": "sigstoreSigned"}
    return kind | key_field([key.path for key in keys], [key.data for key in keys], openpgp=openpgp)


def key_field(paths: Sequence[str], datas: Sequence[bytes], *, openpgp: bool) -> dict[str, Any]:
    """The field with these keys: the paths, or without any path the contents. One key has the field that older programs know.

    ``signedBy`` has no list of contents: its ``keyData`` is a keyring, and binary keyrings one after another are one.
    """
    if any(paths):
        return {"keyPath": paths[0]} if len(paths) == 1 else {"keyPaths": list(paths)}
    if openpgp:
        return {"keyData": _base64(b"".join(datas))}
    return {"keyData": _base64(datas[0])} if len(datas) == 1 else {"keyDatas": [_base64(data) for data in datas]}


def image_rule(keys: Sequence[PolicyKey]) -> Rule:
    """Images must be signed by any one of these keys. Raises ``UsageError`` as :func:`signed_by`.

    cosign signs a repository and no tag, so only ``matchRepository`` can accept what it signs; GPG signatures name the tag.
    """
    return [signed_by(keys) | ({} if keys[0].openpgp else {"signedIdentity": {"type": "matchRepository"}})]


def bundle_rule(keys: Sequence[PolicyKey], *, any_of: bool) -> Rule:
    """Who must sign a bundle: every one of these keys, or any one of them. Raises ``UsageError`` as :func:`signed_by`."""
    return [signed_by(keys)] if any_of else [signed_by([key]) for key in keys]


def site_policy(
    keys: Sequence[PolicyKey],
    stream: str = "",
    *,
    any_of: bool = False,
    images: Mapping[str, Rule] | None = None,
    other_images: Rule = ACCEPT,
) -> dict[str, Any]:
    """The content of a policy.json for a site. Without any key, everything is rejected.

    Args:
        keys: who signs bundles.
        stream: the only stream to accept; empty for all.
        any_of: one signature by any of the keys is enough; otherwise every key must have signed.
        images: the requirements of image scopes.
        other_images: those of all other images. ``ACCEPT`` means that the bundle's signature is enough: no image is looked at
            before the bundle was signed as ``airgap`` says.

    Raises:
        UsageError: ``any_of`` with keys of both kinds, which no policy can say.
    """
    transports: dict[str, Any] = {}
    if keys:
        transports[AIRGAP] = {stream: bundle_rule(keys, any_of=any_of)}
    if keys or images:
        transports["docker"] = {**(images or {}), "": other_images}
    return {"default": REJECT, "transports": transports}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
