"""What a cluster is to require of the images below a name, keys included, and what the writers of its objects share. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airgap.errors import UsageError
from airgap.mirror.yamltext import Value
from airgap.text import printable
from airgap.trust.keys.certificates import Roots
from airgap.trust.policy.requirements import Fulcio, Pki, SignedIdentity

#: The address of a service that nobody must ask: what it would say stands beside the signature, or the signature does not count.
NOWHERE = "https://nobody.invalid"
#: What all objects have: by it, ``kubectl apply --prune`` finds those of an earlier policy.
LABELS: Mapping[str, Value] = {"app.kubernetes.io/managed-by": "airgap"}


@dataclass(frozen=True)
class Demand:
    """A ``sigstoreSigned`` requirement with its keys read.

    Attributes:
        keys: one of these public keys has signed (PEM); empty for certificates.
        logs: one of these transparency logs has recorded it (PEM); empty if none needs to.
        trusted: the authorities of ``fulcio`` or ``pki``.
        ct_logs: one of these logs has recorded a certificate of ``fulcio`` (PEM); empty if nobody says which.
        identity: which name the signature must be made for; the same demand may stand under different names.
    """

    keys: tuple[str, ...]
    logs: tuple[str, ...]
    trusted: Roots | None
    fulcio: Fulcio | None
    pki: Pki | None
    ct_logs: tuple[str, ...]
    identity: SignedIdentity | None = field(compare=False)


@dataclass(frozen=True)
class Scope:
    """Images at and below a name: all demands must be met; without any, everything is accepted or, with ``rejects``, nothing."""

    name: str
    demands: tuple[Demand, ...] = ()
    rejects: bool = False

    @property
    def is_host(self) -> bool:
        """Whether it is a whole registry."""
        return "/" not in self.name


@dataclass(frozen=True)
class Wanted:
    """What the objects are made from.

    Attributes:
        scopes: those that need an object, and those that accept anything.
        insecure: whether the target is reached over plain HTTP.
    """

    scopes: Sequence[Scope]
    insecure: bool = False

    @property
    def accepted(self) -> list[str]:
        """The names below which images are accepted, signed as it is demanded."""
        return [scope.name for scope in self.scopes if not scope.rejects]


@dataclass(frozen=True)
class Objects:
    """The objects, and what they do not see."""

    items: Sequence[Mapping[str, Value]]
    notes: tuple[str, ...]


def cannot(title: str, scope: str, what: str, hint: str) -> UsageError:
    """The error that a format cannot express what the policy says of a scope."""
    return UsageError(f"{title} cannot {what}", where=printable(scope), hint=hint)


def metadata(scope: str, number: int = 0) -> Mapping[str, Value]:
    """The metadata of an object for a scope: a name as Kubernetes allows it, the same in every run."""
    words = re.sub(r"[^a-z0-9]+", "-", scope.lower()).strip("-")[-80:].strip("-")
    digest = hashlib.sha256(scope.encode()).hexdigest()[:8]
    name = f"airgap-{words}-{digest}" + (f"-{number + 1}" if number else "")
    return {"name": name, "labels": LABELS}
