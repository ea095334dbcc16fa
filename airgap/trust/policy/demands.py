"""Which attestations the site demands of images: by scope, and the narrowest decides (pure).

The scopes match as those of transport ``docker`` do. Like the permissions of :mod:`airgap.trust.policy.unnamed` they stand beside
policy.json and not in it. A demand adds to the policy: it never replaces one of its requirements.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from airgap.errors import UsageError
from airgap.oci.reference import Reference
from airgap.text import printable
from airgap.trust.policy.document import Policy
from airgap.trust.policy.scopeadvice import unmatched
from airgap.trust.policy.scopes import image_scopes, narrowest
from airgap.trust.policy.unnamed import asks_for_sigstore

#: The key in ``airgap.toml``, and the option without dashes.
NAME = "attestations"
#: The fields of a demand, in the order in which they are written.
FIELDS = ("predicate", "builder", "source")

SLSA_V1 = "https://slsa.dev/provenance/v1"
SLSA_V02 = "https://slsa.dev/provenance/v0.2"
SLSA = (SLSA_V1, SLSA_V02)

#: The words for predicate types, as cosign's ``--type`` has them, and ``slsa`` for either version (cosign, ``predicate.go``).
TYPES: Mapping[str, tuple[str, ...]] = {
    "slsa": SLSA,
    "slsaprovenance": (SLSA_V02,),
    "slsaprovenance02": (SLSA_V02,),
    "slsaprovenance1": (SLSA_V1,),
    "spdx": ("https://spdx.dev/Document",),
    "spdxjson": ("https://spdx.dev/Document",),
    "cyclonedx": ("https://cyclonedx.org/bom",),
    "vuln": ("https://cosign.sigstore.dev/attestation/vuln/v1",),
    "openvex": ("https://openvex.dev/ns",),
    "link": ("https://in-toto.io/Link/v1",),
    "custom": ("https://cosign.sigstore.dev/attestation/v1",),
}
#: Words of documents whose own version other tools than cosign append to the type: ``https://spdx.dev/Document/v2.3``.
_WITH_VERSION = ("spdx", "spdxjson", "cyclonedx", "openvex")
_VERSION = re.compile(r"/v[0-9]{1,3}(\.[0-9]{1,3}){0,2}", re.ASCII)

_URI = re.compile(r"[a-z][a-z0-9+.-]{0,30}:[!#-+\--\[\]-~]{1,1000}", re.ASCII)  # printable, without blanks, " , and \
_REST = re.compile(r"[A-Za-z0-9._~+@/-]{1,1000}", re.ASCII)
_COMMIT = re.compile(r"@[0-9a-f]{40}(?:[0-9a-f]{24})?\Z", re.ASCII)
_EXPECTED = "SCOPE=TYPE[,builder=ID][,source=REPOSITORY], such as ghcr.io/acme=slsa,source=https://github.com/acme/app; SCOPE=false"


@dataclass(frozen=True, slots=True)
class Demand:
    """One attestation that every image of a scope must have.

    Attributes:
        predicate: a word of ``TYPES``, or the URI of a predicate type.
        builder: the builder's id that a provenance must state; ``""`` for any.
        source: the repository that it must be built from; ``""`` for any. Both are exact, or end in ``*`` after ``/`` or ``@``.
    """

    predicate: str
    builder: str = ""
    source: str = ""

    def is_type(self, uri: str) -> bool:
        """Whether a statement's predicate type is the demanded one."""
        found = TYPES.get(self.predicate, (self.predicate,))
        if uri in found:
            return True
        return self.predicate in _WITH_VERSION and any(uri.startswith(one) and _VERSION.fullmatch(uri[len(one) :]) for one in found)

    def __str__(self) -> str:
        words = [f"builder {self.builder}"] if self.builder else []
        words += [f"source {self.source}"] if self.source else []
        return f"{self.predicate} attestation{' with ' if words else ''}{' and '.join(words)}"

    @property
    def text(self) -> str:
        """As :func:`read_demand` reads it, without the scope."""
        parts = [f"{name}={value}" for name, value in (("builder", self.builder), ("source", self.source)) if value]
        return ",".join([self.predicate, *parts])


@dataclass(frozen=True, slots=True)
class Demanded:
    """What is demanded of one image, and the scope that says so; None: no scope covers it."""

    demands: tuple[Demand, ...] = ()
    scope: str | None = None

    @property
    def label(self) -> str:
        """The place as a person finds it in the configuration."""
        return f"no scope of {NAME} covers the image" if self.scope is None else f'{NAME} "{printable(self.scope)}"'


@dataclass(frozen=True, slots=True)
class Demands:
    """What the operator demands: scopes, each with attestations all of which must be there; none for one that is exempt."""

    scopes: Mapping[str, tuple[Demand, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Demands:
        """Read ``SCOPE=TYPE,builder=ID,source=REPOSITORY`` and ``SCOPE=false``; several for one scope add up.

        Raises:
            UsageError: a mistake in one of them, or a scope that is both exempt and not.
        """
        found: dict[str, dict[Demand, None]] = {}
        exempt: set[str] = set()
        for text in texts:
            scope, demand = read_demand(text)
            wanted = found.setdefault(scope, {})
            if demand is None:
                exempt.add(scope)
            else:
                wanted[demand] = None
        for scope in exempt:
            if found[scope]:
                got = f"{printable(scope)}=false, {printable(scope)}={next(iter(found[scope])).text}"
                raise UsageError("two rules for one scope contradict each other", where=f"--{NAME}", got=got)
        return cls({scope: tuple(demands) for scope, demands in found.items()})

    def check(self, policy: Policy) -> None:
        """Refuse a demand that nothing could ever meet: attestations are verified by the policy's own requirements.

        Raises:
            UsageError: the policy requires no sigstore signature of any image of the scope.
        """
        for scope, demands in self.scopes.items():
            if demands and not asks_for_sigstore(policy, scope):
                raise UsageError(
                    "nothing can verify the attestations that are demanded here",
                    where=f'{NAME} "{printable(scope)}"',
                    expected="a sigstoreSigned requirement in the policy for images of this scope",
                    hint="airgap policy add FILE --image SCOPE=KEY names the key that signs them; SCOPE=false demands nothing",
                )

    def of(self, reference: Reference) -> Demanded:
        """What holds for one image; the reference is the one that the policy is asked about."""
        scope = narrowest(self.scopes, image_scopes(reference))
        return Demanded() if scope is None else Demanded(self.scopes[scope], scope)

    @property
    def any(self) -> bool:
        """Whether anything is demanded anywhere."""
        return any(self.scopes.values())

    @property
    def texts(self) -> list[str]:
        """As :meth:`parse` reads them, in one order."""
        found = [(scope, [one.text for one in demands] or ["false"]) for scope, demands in sorted(self.scopes.items())]
        return [f"{scope}={text}" for scope, texts in found for text in texts]


def read_demand(text: str) -> tuple[str, Demand | None]:
    """A scope, and what is demanded there; None if nothing is.

    Raises:
        UsageError: it is no such scope, or no such demand.
    """
    scope, equals, wanted = text.partition("=")
    if not equals or not wanted:
        raise UsageError("not a scope with a demand", where=f"--{NAME}", expected=_EXPECTED, got=printable(text) or "nothing")
    why, hint = unmatched(scope) if scope else ("", "")
    if why:
        raise UsageError(f"this scope matches no image: {why}", where=f"--{NAME}", got=printable(scope), hint=hint)
    if wanted == "false":
        return scope, None
    predicate, *rest = wanted.split(",")
    fields = {"predicate": predicate}
    for part in rest:
        name, equals, value = part.partition("=")
        if name not in FIELDS[1:] or not equals or name in fields:
            raise _mistake("not a field of a demand", part, "builder=ID or source=REPOSITORY, each once, without commas")
        fields[name] = value
    return scope, demand_of(fields)


def demand_of(fields: Mapping[str, str]) -> Demand:
    """A demand by its fields, which are some of ``FIELDS``.

    Raises:
        UsageError: one is missing, or says nothing that could be met.
    """
    predicate = fields.get("predicate", "")
    if predicate not in TYPES and not (predicate.startswith(("https://", "http://")) and _URI.fullmatch(predicate)):
        raise _mistake("not a predicate type", predicate, f"{', '.join(TYPES)}, or a URI such as {SLSA_V1}")
    for name in FIELDS[1:]:
        if name in fields:
            _check_pattern(name, fields[name])
            if not set(TYPES.get(predicate, (predicate,))) <= set(SLSA):
                raise _mistake(f"only a SLSA provenance states a {name}", predicate, f"slsa, {' or '.join(SLSA)}")
    source = fields.get("source", "")
    if repository_of(source) != source:
        raise _mistake("the source must be the repository alone", source, repository_of(source))
    return Demand(predicate, fields.get("builder", ""), source)


def meets(pattern: str, value: str) -> bool:
    """Whether a stated URI is the demanded one.

    ``*`` at the end stands for at least one character of a plain path: nothing that a server could take for another place, such as
    ``..``, an empty segment, or an escape.
    """
    if not pattern.endswith("*"):
        return value == pattern
    return value.startswith(pattern[:-1]) and _is_plain(value[len(pattern) - 1 :])


def repository_of(uri: str) -> str:
    """The repository of a source as builders write it: without ``git+``, the ref or commit at its end, and ``.git``.

    ``git+https://github.com/acme/app@refs/heads/main`` (SPDX download location, in-toto ResourceDescriptor), and
    ``https://github.com/acme/app.git#refs/tags/v1`` (BuildKit). Nothing else is changed: neither case, nor scheme, nor slashes.
    """
    text = uri.removeprefix("git+").partition("#")[0]
    head, at, ref = text.partition("@refs/")
    if at and _is_plain(ref):
        text = head
    return _COMMIT.sub("", text).removesuffix(".git")


def texts_of(scope: str, demands: Iterable[Mapping[str, str]]) -> list[str]:
    """What a table of the configuration says, as :func:`read_demand` reads it. Raises ``UsageError``."""
    found = [demand_of(fields) for fields in demands]
    return [f"{scope}={one.text}" for one in found] or [f"{scope}=false"]


def _is_plain(path: str) -> bool:
    return _REST.fullmatch(path) is not None and not any(part in ("", ".", "..") for part in path.split("/"))


def _check_pattern(name: str, value: str) -> None:
    stem = value.removesuffix("*")
    wild = stem != value
    if not _URI.fullmatch(stem) or "*" in stem or (wild and not re.search(r"[^/][/@]\Z", stem)):
        raise _mistake(f"not a {name} that an attestation can state", value, "a URI; * only at its end, after / or @")


def _mistake(what: str, got: str, expected: str) -> UsageError:
    return UsageError(what, where=f"--{NAME}", expected=expected, got=printable(got, 200) or "nothing")
