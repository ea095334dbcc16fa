"""The files with which podman, skopeo and CRI-O at the site pull the imported images under ``default: reject``. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from airgap.errors import UsageError
from airgap.lookaside.places import check_base
from airgap.mirror.engines import quoted, registries_conf
from airgap.mirror.policy import DOCKER, HostRules, Requirement, Scopes, SiteMirror, SitePolicy
from airgap.trust.judge.advice import portability
from airgap.trust.policy.document import parse_policy
from airgap.trust.policy.scopesyntax import AIRGAP
from airgap.trust.policy.templates import REJECT

_KEY_FILES = ("keyPath", "keyPaths", "rekorPublicKeyPath", "rekorPublicKeyPaths")
_CA_FILES = ("caPath", "caRootsPath", "caIntermediatesPath")


@dataclass(frozen=True)
class MirrorConfig:
    """The three files and what the operator should know about them.

    Attributes:
        policy: ``policy.json``.
        registries_d: a file for ``registries.d``.
        registries_conf: a file for ``registries.conf.d``.
        key_files: key files that the policy names; every host that pulls needs them at that path.
        warnings: what is not supported, or not by every version of podman.
    """

    policy: str
    registries_d: str
    registries_conf: str
    key_files: tuple[str, ...]
    warnings: tuple[str, ...]


def mirror_config(mirror: SiteMirror, policy: SitePolicy, rules: HostRules) -> MirrorConfig:
    """Write the configuration.

    Args:
        mirror: where the images are.
        policy: the site's; its other transports are copied.
        rules: what the names that are pulled require.

    Raises:
        UsageError: something is missing for it.
    """
    docker, warnings = rules.docker, [*rules.stricter, *rules.warnings]
    text = json.dumps(_document(policy, docker), indent=2) + "\n"
    warnings += _portability(text)
    requirements = [requirement for scope in docker.values() for requirement in scope]
    return MirrorConfig(
        policy=text,
        registries_d=_registries_d(mirror, requirements),
        registries_conf=registries_conf(rules.moved, insecure=mirror.insecure),
        key_files=tuple(dict.fromkeys(_key_files(requirements))),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _document(policy: SitePolicy, docker: Scopes) -> dict[str, Any]:
    others = {name: scopes for name, scopes in policy.document.get("transports", {}).items() if name not in (DOCKER, AIRGAP)}
    return {"default": REJECT, "transports": {DOCKER: docker, **others}}


def _portability(text: str) -> Iterator[str]:
    parsed = parse_policy(text.encode(), "the policy.json for the mirror")
    for remark in portability(parsed, json.loads(text)):
        yield f"{remark.where}: ".removeprefix(": ") + remark.what + (f" ({remark.hint})" if remark.hint else "")


def _key_files(requirements: Iterable[Requirement]) -> Iterator[str]:
    for requirement in requirements:
        holders = [requirement, requirement.get("fulcio", {}), requirement.get("pki", {})]
        for found in (holder[field] for holder in holders for field in (*_KEY_FILES, *_CA_FILES) if field in holder):
            yield from [found] if isinstance(found, str) else found


def _registries_d(mirror: SiteMirror, requirements: Sequence[Requirement]) -> str:
    """Where the signatures of the target's images are; the target is what is really asked, whatever the name pulled."""
    kinds = {requirement["type"] for requirement in requirements}
    if "signedBy" in kinds and not mirror.lookaside:
        raise UsageError(
            "GPG signatures are required, but no lookaside is given",
            expected="--lookaside with the directory given to airgap import, or the URL under which it is served",
        )
    lines = ["# Written by airgap mirror-config: a file for /etc/containers/registries.d.", "docker:", f"  {quoted(mirror.root)}:"]
    if mirror.lookaside:
        check_base(mirror.lookaside)
        lines.append(f"    lookaside: {quoted(mirror.lookaside)}")
    lines.append(f"    use-sigstore-attachments: {'true' if 'sigstoreSigned' in kinds else 'false'}")
    return "\n".join(lines) + "\n"
