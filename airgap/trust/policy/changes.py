"""What is different between two policies, scope by scope (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from airgap.oci.hosts import name_scopes
from airgap.text import printable
from airgap.trust.policy.document import Policy
from airgap.trust.policy.requirements import Requirements
from airgap.trust.policy.scopes import scope_name, select
from airgap.trust.policy.scopesyntax import AIRGAP
from airgap.trust.policy.words import Called, in_words


@dataclass(frozen=True, slots=True)
class Change:
    """One scope that was added, changed or removed; its requirements in words.

    ``decider`` is where the policy says now what applies to a removed scope, and ``now`` what that is.
    """

    kind: str
    transport: str
    scope: str
    before: tuple[str, ...]
    now: tuple[str, ...]
    decider: str = ""

    @property
    def sentence(self) -> str:
        """For people: what the scope covers and what it requires now."""
        now = " and ".join(self.now)
        return f"{self._what()}: {now}" + (f", as {self.decider} says" if self.decider else "")

    def _what(self) -> str:
        if self.transport == AIRGAP:
            return f"bundles of stream {printable(self.scope)}" if self.scope else "bundles"
        if self.transport == "docker":
            return printable(self.scope) or "all other images"
        return f"{printable(self.transport, 80)} {printable(self.scope)}".rstrip()


def changes(before: Policy, after: Policy, called: Called) -> Iterator[Change]:
    """Every scope whose requirements are not the same.

    Args:
        before: the one policy.
        after: the other.
        called: names a key that stands in a policy itself, by its content.
    """
    for transport in dict.fromkeys((*before.transports, *after.transports)):
        old, new = before.transports.get(transport, {}), after.transports.get(transport, {})
        for scope in dict.fromkeys((*old, *new)):
            then, now = old.get(scope), new.get(scope)
            if then == now:
                continue
            label = ""
            if now is None:
                selected = select(after, transport, name_scopes(scope_name(scope)) if transport == "docker" else ())
                now, label = selected.requirements, selected.label
            kind = "removed" if label else "added" if then is None else "changed"
            yield Change(kind, transport, scope, _words(then, transport, called), _words(now, transport, called), label)


def _words(requirements: Requirements | None, transport: str, called: Called) -> tuple[str, ...]:
    return tuple(in_words(requirement, transport, called) for requirement in requirements or ())
