"""For which images a signature counts that names no image, as cosign 3 writes it: by scope, and the narrowest decides (pure).

The scopes match as those of transport ``docker`` do. They stand beside policy.json and not in it, for podman and skopeo refuse a
whole file because of a key that they do not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from airgap.errors import UsageError
from airgap.oci.hosts import name_scopes
from airgap.oci.reference import Reference
from airgap.text import printable
from airgap.trust.policy.document import Policy
from airgap.trust.policy.requirements import SigstoreSigned
from airgap.trust.policy.scopeadvice import unmatched
from airgap.trust.policy.scopes import image_scopes, narrowest, scope_name, select

#: The key in ``airgap.toml``, and the option without dashes.
NAME = "unnamed-signatures"

_WORDS = {"true": True, "false": False}
_EVERY = "--accept-unnamed-sigstore-bundles is for every image"


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether one image may be accepted by a signature without a name, and the scope that says so; None: no scope covers it."""

    accepted: bool = False
    scope: str | None = None

    @property
    def label(self) -> str:
        """The place as a person finds it in the configuration."""
        if self.scope is None:
            return f"no scope of {NAME} covers the image"
        return f'{NAME} "{printable(self.scope)}" = {"true" if self.accepted else "false"}'


@dataclass(frozen=True, slots=True)
class UnnamedSignatures:
    """What the operator permits: scopes, each with whether key and digest of a signature are enough there. None: nowhere."""

    scopes: Mapping[str, bool] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Sequence[str], *, everywhere: bool = False) -> UnnamedSignatures:
        """Read ``SCOPE``, ``SCOPE=true`` and ``SCOPE=false``.

        Args:
            texts: one scope each.
            everywhere: permit it for every image too that no scope of ``texts`` covers.

        Raises:
            UsageError: no scope that an image can have, or two that contradict each other.
        """
        found: dict[str, bool] = {}
        for text in texts:
            scope, accepted = read_scope(text)
            if found.setdefault(scope, accepted) is not accepted:
                got = f"{printable(scope)}=true, {printable(scope)}=false"
                raise UsageError("two rules for one scope contradict each other", where=f"--{NAME}", got=got)
        return cls({**found, "": True} if everywhere else found)

    def permission(self, reference: Reference) -> Permission:
        """What holds for one image; the reference is the one that the policy is asked about."""
        scope = narrowest(self.scopes, image_scopes(reference))
        return Permission() if scope is None else Permission(self.scopes[scope], scope)

    @property
    def texts(self) -> list[str]:
        """As :meth:`parse` reads them, in one order."""
        return [f"{scope}={'true' if accepted else 'false'}" for scope, accepted in sorted(self.scopes.items())]


def read_scope(text: str) -> tuple[str, bool]:
    """A scope, and whether signatures without a name count there. An empty scope must be meant: ``=true``, never nothing.

    Raises:
        UsageError: it is no such scope.
    """
    scope, equals, word = text.partition("=")
    if (equals and word not in _WORDS) or not text:
        expected = f"SCOPE or SCOPE=false, such as ghcr.io/acme; {_EVERY}"
        raise UsageError("not a scope of images", where=f"--{NAME}", expected=expected, got=printable(text) or "nothing")
    why, hint = unmatched(scope) if scope else ("", "")
    if why:
        raise UsageError(f"this scope matches no image: {why}", where=f"--{NAME}", got=printable(scope), hint=hint)
    return scope, _WORDS[word] if equals else True


def asks_for_sigstore(policy: Policy, scope: str) -> bool:
    """Whether a permission for a scope can matter: the policy asks some image there for a sigstore signature."""
    scopes = policy.transports.get("docker", {})
    below = [found for name, found in scopes.items() if narrowest((scope,), _covering(name)) is not None]
    applying = [select(policy, "docker", _covering(scope)).requirements, *below]
    return any(isinstance(requirement, SigstoreSigned) for found in applying for requirement in found)


def _covering(scope: str) -> Iterator[str]:
    """A scope and those that are wider, but for the empty one."""
    yield scope
    yield from name_scopes(scope_name(scope))
