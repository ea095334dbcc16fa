"""What an SBOM says in short: how many packages, under which licences. SPDX and CycloneDX, bare or in an attestation. Pure.

An SBOM is the publisher's word and anybody's input: it is read with a cap, and what is not understood counts as not understood.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airgap.errors import Damaged
from airgap.oci import strictjson
from airgap.oci.descriptor import Descriptor
from airgap.text import printable

#: No document may be larger, in bytes.
MAX_SBOM = 16 * 1024 * 1024
_MAX_NAME = 60
_WRAPPERS = 4
_NONE = ("", "NOASSERTION", "NONE")
_TAG_VALUE = re.compile(r"^(SPDXVersion|PackageName|PackageLicenseConcluded|PackageLicenseDeclared):[ \t]*(.*)$", re.MULTILINE)
_LIKELY = ("spdx", "cyclonedx", "in-toto", "dsse", "sigstore.bundle", "sbom")
#: The annotation by which BuildKit says what a statement is about (in-toto attestation framework).
_PREDICATE = "in-toto.io/predicate-type"


@dataclass(frozen=True)
class Sbom:
    """One document: ``SPDX-2.3`` or ``CycloneDX 1.6``, how many packages, and how many of them by licence."""

    format: str
    packages: int
    licences: Mapping[str, int] = field(default_factory=dict)


def is_likely(layer: Descriptor) -> bool:
    """Whether a layer of an attachment may be an SBOM, by what is said about it."""
    about = layer.annotations.get(_PREDICATE, "")
    if about:
        return "spdx" in about.lower() or "cyclonedx" in about.lower()
    return any(word in layer.media_type.lower() for word in _LIKELY)


def summarize(raw: bytes) -> Sbom | None:
    """The summary of a document, or None when it is no SBOM that we know.

    Raises:
        Damaged: it claims to be JSON and is not, or contradicts its own format.
    """
    if len(raw) > MAX_SBOM:
        return None
    if not raw.lstrip().startswith(b"{"):
        return _tag_value(raw)
    document: Any = strictjson.parse_object(raw, "SBOM")
    for _ in range(_WRAPPERS):
        if not isinstance(document, dict):
            return None
        if "spdxVersion" in document:
            return _spdx(document)
        if document.get("bomFormat") == "CycloneDX":
            return _cyclonedx(document)
        document = _unwrapped(document)
    return None


def _unwrapped(document: dict[str, Any]) -> Any:
    """Contents a sigstore bundle, a DSSE envelope, an in-toto statement, or cosign's own predicate."""
    if isinstance(document.get("dsseEnvelope"), dict):
        return document["dsseEnvelope"]
    if "payloadType" in document and isinstance(document.get("payload"), str):
        try:
            return strictjson.parse(base64.b64decode(document["payload"], validate=True), "SBOM in an envelope")
        except ValueError as error:
            raise Damaged("the payload of an envelope is not base64", where="SBOM") from error
    if "predicate" in document:
        return document["predicate"]
    inner = document.get("Data")
    return strictjson.parse(inner.encode(), "SBOM in a predicate") if isinstance(inner, str) else inner


def _spdx(document: dict[str, Any]) -> Sbom:
    packages = _objects(document.get("packages"))
    licences = Counter(_first(one.get("licenseConcluded"), one.get("licenseDeclared")) for one in packages)
    return _sbom(str(document["spdxVersion"]), len(packages), licences)


def _cyclonedx(document: dict[str, Any]) -> Sbom:
    components = list(_components(document.get("components")))
    licences = Counter(name for one in components for name in _cyclonedx_licences(one.get("licenses")))
    return _sbom(f"CycloneDX {document.get('specVersion', '')}", len(components), licences)


def _components(value: object) -> Iterator[dict[str, Any]]:
    todo = _objects(value)
    while todo:
        one = todo.pop()
        yield one
        todo += _objects(one.get("components"))


def _cyclonedx_licences(value: object) -> list[str]:
    found = []
    for choice in _objects(value):
        one = choice.get("license")
        inner = one if isinstance(one, dict) else {}
        found.append(_first(choice.get("expression"), inner.get("id"), inner.get("name")))
    return found or [""]


def _tag_value(raw: bytes) -> Sbom | None:
    """SPDX in its older form, ``Tag: value`` lines."""
    version, packages, concluded, declared = "", 0, "", ""
    licences: Counter[str] = Counter()
    for tag, text in _TAG_VALUE.findall(raw.decode("utf-8", "replace")):
        value = text.strip()
        if tag == "SPDXVersion":
            version = value
        elif tag == "PackageName":
            licences[_first(concluded, declared)] += bool(packages)
            packages, concluded, declared = packages + 1, "", ""
        elif tag == "PackageLicenseConcluded":
            concluded = value
        else:
            declared = value
    licences[_first(concluded, declared)] += bool(packages)
    return _sbom(version, packages, licences) if version.startswith("SPDX-") else None


def _sbom(form: str, packages: int, licences: Mapping[str, int]) -> Sbom:
    named = {printable(name, _MAX_NAME): count for name, count in licences.items() if name and count}
    return Sbom(printable(form, 20), packages, named)


def _first(*values: object) -> str:
    """The first one that says something."""
    texts: Iterable[str] = (value for value in values if isinstance(value, str))
    return next((text for text in texts if text not in _NONE), "")


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
