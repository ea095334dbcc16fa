"""Which requirements apply: the most specific scope of policy.json that matches wins, and nothing is merged (pure).

``containers-policy.json(5)``: the identity itself, then its namespaces from narrow to wide, then ``""``, then ``default``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from airgap.errors import Refused, UsageError
from airgap.oci.hosts import name_scopes
from airgap.oci.reference import Reference
from airgap.oci.stream import is_stream
from airgap.text import printable
from airgap.trust.policy.document import Policy
from airgap.trust.policy.requirements import Requirements
from airgap.trust.policy.scopesyntax import AIRGAP


@dataclass(frozen=True, slots=True)
class Selected:
    """The requirements that apply, and the place in the policy they come from; the default has no transport."""

    transport: str
    scope: str
    requirements: Requirements

    @property
    def label(self) -> str:
        """The place as a person finds it in the file: ``transports.docker["docker.io/library"]`` or ``default``."""
        return f'transports.{self.transport}["{printable(self.scope)}"]' if self.transport else "default"


def select(policy: Policy, transport: str, candidates: Iterable[str]) -> Selected:
    """The first candidate that the transport has a scope for; else its ``""``; else the default."""
    scopes = policy.transports.get(transport, {})
    scope = narrowest(scopes, candidates)
    return Selected("", "", policy.default) if scope is None else Selected(transport, scope, scopes[scope])


def narrowest(scopes: Collection[str], candidates: Iterable[str]) -> str | None:
    """The first candidate that is a scope; else ``""``, if that is one; else None."""
    return next((scope for scope in (*candidates, "") if scope in scopes), None)


def requirements_for_image(policy: Policy, reference: Reference, transport: str = "docker") -> Selected:
    """The requirements for an image with a docker-style name.

    Raises:
        UsageError: a reference with both tag and digest has no single identity.
    """
    return select(policy, transport, image_scopes(reference))


def requirements_for_stream(policy: Policy, stream: str) -> Selected:
    """The requirements for a bundle of a stream.

    Raises:
        Refused: not a stream name.
    """
    if not is_stream(stream):
        raise Refused("not a valid stream name", got=printable(stream, 100))
    return select(policy, AIRGAP, (stream,))


def image_scopes(reference: Reference) -> Iterator[str]:
    """All scopes that match a docker-style reference, narrow to wide.

    A host without its port is no parent of the host with it, and ``*.x`` never matches ``x`` itself.
    """
    if reference.tag is not None and reference.digest is not None:
        raise UsageError("a reference with both a tag and a digest has no scope", got=str(reference))
    yield str(reference)
    yield from name_scopes(str(reference.repository))


def scope_name(scope: str) -> str:
    """A docker-style scope without its tag or digest."""
    head, slash, last = scope.partition("@")[0].rpartition("/")
    return f"{head}/{last.partition(':')[0]}" if slash else scope
