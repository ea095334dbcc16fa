"""The keys and scopes that ``airgap policy`` is told, read and checked."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.errors import UsageError
from airgap.limits import MAX_KEYRING
from airgap.text import printable
from airgap.trust.keys.keyfiles import check_key_file, read_key_file
from airgap.trust.policy.document import Policy
from airgap.trust.policy.scopeadvice import unmatched
from airgap.trust.policy.templates import ACCEPT, REJECT, PolicyKey, Rule, image_rule
from airgap.trust.policy.unnamed import NAME, UnnamedSignatures, asks_for_sigstore

_GPG = "gpg:"
_ID = re.compile(r"(?:0x)?([0-9a-f]{16}|[0-9a-f]{40}|[0-9a-f]{64})", re.ASCII)
_EXPECTED = "SCOPE=KEY, SCOPE=accept or SCOPE=reject, such as docker.io/library=vendor.pub"


class Otherwise(enum.StrEnum):
    """The values of ``--image-default``."""

    ACCEPT = "accept"
    REJECT = "reject"

    @property
    def rule(self) -> Rule:
        """The requirements."""
        return ACCEPT if self is Otherwise.ACCEPT else REJECT


StreamOption = Annotated[str, typer.Option("--stream", help="Trust the bundle keys for this stream only.")]
AnyOption = Annotated[
    bool, typer.Option("--any", help="Any one of several bundle keys is enough; by default every one of them must sign.")
]
ImagesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--image",
        metavar="SCOPE=KEY",
        help="Images below SCOPE (such as docker.io/library) need a signature by KEY: a PEM or OpenPGP public key, gpg:FILE for "
        "OpenPGP alone; or accept or reject in place of KEY. May be repeated; of several keys for one scope, any one is enough.",
    ),
]
ByPathOption = Annotated[
    bool, typer.Option("--by-path", help="Name the key files by path; by default their content goes into the policy.")
]
UnnamedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--unnamed",
        metavar="SCOPE",
        help="Also print what airgap.toml needs for Sigstore bundles (cosign 3) that name no image to count for images below "
        "SCOPE: policy.json cannot say it. SCOPE=false excludes a narrower scope. May be repeated.",
    ),
]


@dataclass(frozen=True)
class GivenKey:
    """A key file that was given, and what is said about it."""

    key: PolicyKey
    path: str
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class ImageRule:
    """What a scope of images is given: fixed requirements, or keys of which any one is enough."""

    fixed: Rule = field(default_factory=list)
    keys: list[GivenKey] = field(default_factory=list)

    @property
    def requirements(self) -> Rule:
        """As they stand in the file. Raises ``UsageError``: keys of two kinds."""
        return self.fixed or image_rule([one.key for one in self.keys])


def bundle_keys(given: Sequence[str] | None, *, by_path: bool) -> list[GivenKey]:
    """The keys of ``--key``, checked.

    Raises:
        UsageError: one is no public key that can sign, or is there twice.
    """
    return _different([_key(text, by_path=by_path, for_images=False) for text in given or []], "--public-key")


def image_rules(given: Sequence[str] | None, *, by_path: bool) -> dict[str, ImageRule]:
    """The rules of ``--image`` by scope.

    Raises:
        UsageError: not a scope that an image can have, not a public key, or two rules that contradict each other.
    """
    found: dict[str, ImageRule] = {}
    for text in given or []:
        scope, equals, value = text.partition("=")
        if not scope or not equals or not value:
            hint = "" if scope else "--image-default says what applies to images without a scope of their own"
            raise UsageError("not a rule for images", where="--image", expected=_EXPECTED, got=printable(text), hint=hint)
        _check_scope(scope)
        before = found.get(scope, ImageRule())
        if value in tuple(Otherwise):
            rule = ImageRule(fixed=Otherwise(value).rule)
        else:
            keys = [*before.keys, _key(value, by_path=by_path, for_images=True)]
            rule = ImageRule(keys=_different(keys, f"--image {printable(scope)}"))
        if before.fixed not in ([], rule.fixed) or (before.keys and not rule.keys):
            raise UsageError("two rules for one scope contradict each other", where="--image", got=printable(scope))
        found[scope] = rule
    return found


def unnamed_lines(permitted: UnnamedSignatures) -> Iterator[str]:
    """The table for ``airgap.toml`` that ``--unnamed`` asks for, ready to be copied."""
    if permitted.scopes:
        yield "unnamed      add these lines to airgap.toml at the site, or give the scopes with --unnamed-signatures:"
        yield f"[site.{NAME}]"
        yield from (f'"{scope}" = {"true" if accepted else "false"}' for scope, accepted in permitted.scopes.items())


def idle_permissions(policy: Policy, permitted: UnnamedSignatures) -> list[str]:
    """A warning for each scope where the policy, as it is written, gives a permission nothing to permit."""
    idle = [scope for scope, accepted in permitted.scopes.items() if accepted and not asks_for_sigstore(policy, scope)]
    return [f"--unnamed {scope or '=true'} has no effect: the policy asks for no sigstore signature there" for scope in idle]


def named_keys(text: str) -> frozenset[str]:
    """What a key to remove can be called: by its id or fingerprint, or as a file by its path and what is in it.

    Raises:
        UsageError: neither an id nor a file with a key. A file that is gone is its path.
    """
    path = Path(text.removeprefix(_GPG))
    found = _ID.fullmatch(text.lower().replace(" ", ""))
    if found and not path.exists():
        return frozenset((found[1],))
    names = frozenset((text, str(path.absolute())))
    if not path.exists():
        return names
    return names | read_key_file(fsio.read_input(path, MAX_KEYRING, "public key")).names


def _check_scope(scope: str) -> None:
    why, hint = unmatched(scope)
    if why:
        raise UsageError(f"this scope matches no image: {why}", where="--image", got=printable(scope), hint=hint)


def _key(text: str, *, by_path: bool, for_images: bool) -> GivenKey:
    path = Path(text.removeprefix(_GPG)).absolute()
    content = fsio.read_input(path, MAX_KEYRING, "public key")
    try:
        found = check_key_file(content, openpgp=True if text.startswith(_GPG) else None, as_it_is=by_path and for_images)
    except UsageError as error:
        error.where = printable(str(path))
        raise
    key = PolicyKey(found.openpgp, str(path) if by_path else "", found.data, found.names)
    return GivenKey(key, str(path), tuple(f"{printable(str(path))}: {remark}" for remark in found.remarks))


def _different(keys: list[GivenKey], where: str) -> list[GivenKey]:
    seen: dict[str, str] = {}
    for one in keys:
        for name in one.key.names:
            if name in seen:
                raise UsageError("the same key is given twice", where=where, got=f"{printable(seen[name])}, {printable(one.path)}")
        seen |= dict.fromkeys(one.key.names, one.path)
    return keys


def remarks_of(keys: Sequence[GivenKey], rules: Mapping[str, ImageRule]) -> list[str]:
    """What is to be said about the keys."""
    return [remark for one in (*keys, *(key for rule in rules.values() for key in rule.keys)) for remark in one.remarks]
