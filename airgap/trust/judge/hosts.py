"""Which hosts read a policy: since which release podman and skopeo know its fields, and which signatures none of them finds (pure).

A program refuses the whole file because of one field that it does not know. The releases are those whose own copy of the library
containers/image has the field; before the first one here, there were neither ``sigstoreSigned`` nor several keys in ``signedBy``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airgap.errors import UsageError
from airgap.text import printable
from airgap.trust.keys.evidence import SignatureForm

_Version = tuple[int, ...]

_SIGSTORE: Mapping[str, _Version] = {"podman": (4, 2), "skopeo": (1, 9)}
_KEYLESS: Mapping[str, _Version] = {"podman": (4, 4), "skopeo": (1, 11)}
_SEVERAL: Mapping[str, _Version] = {"podman": (5, 2, 2), "skopeo": (1, 16, 1)}
#: What is newer than the format itself, as ``TYPE`` or ``TYPE.FIELD`` of a requirement.
_SINCE: Mapping[str, Mapping[str, _Version]] = {
    "signedBy.keyPaths": {"podman": (4, 2), "skopeo": (1, 9, 1)},
    "sigstoreSigned": _SIGSTORE,
    "sigstoreSigned.fulcio": _KEYLESS,
    "sigstoreSigned.rekorPublicKeyPath": _KEYLESS,
    "sigstoreSigned.rekorPublicKeyData": _KEYLESS,
    "sigstoreSigned.keyPaths": _SEVERAL,
    "sigstoreSigned.keyDatas": _SEVERAL,
    "sigstoreSigned.rekorPublicKeyPaths": _SEVERAL,
    "sigstoreSigned.rekorPublicKeyDatas": _SEVERAL,
    "sigstoreSigned.pki": {"podman": (5, 4, 1), "skopeo": (1, 19)},
}
#: The forms of signatures that no release of podman, skopeo and CRI-O finds, whatever the policy says; airgap judges by them.
_UNREAD: Mapping[str, str] = {
    SignatureForm.REFERRER: "a cosign signature in a referrer (OCI 1.1 mode)",
    SignatureForm.BUNDLE: "a Sigstore bundle",
}
#: The same as a sentence.
TAGS_ALONE = "podman, skopeo and CRI-O find sigstore signatures only in .sig tags"
_HOST = re.compile(rf"({'|'.join(_SIGSTORE)})-([0-9]{{1,4}}(?:\.[0-9]{{1,4}}){{0,2}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Host:
    """A program that reads the policy. ``podman-5`` is every podman 5, from its first release on."""

    program: str
    version: _Version

    @classmethod
    def parse(cls, text: str) -> Host:
        """Read ``podman-5`` or ``skopeo-1.9.3``.

        Raises:
            UsageError: another program, or not a version.
        """
        found = _HOST.fullmatch(text)
        if found is None:
            expected = "podman-VERSION or skopeo-VERSION, such as podman-5 or skopeo-1.9"
            raise UsageError("not a host that reads policies", where="--for", got=printable(text, 80), expected=expected)
        return cls(found[1], tuple(map(int, found[2].split("."))))

    def __str__(self) -> str:
        return f"{self.program}-{_dotted(self.version)}"

    def unknown(self, document: object) -> list[str]:
        """What stands in a policy, as plain JSON, that this program does not know; by it, it refuses the file."""
        return sorted({name for name in _newer(document) if self.version < _SINCE[name][self.program]})

    def reason(self, name: str) -> str:
        """For people: since when the program knows this."""
        return f"{name} is known since {self.program} {_dotted(_SINCE[name][self.program])}"


def unread_form(form: str) -> str | None:
    """What a form of signatures is called that no host finds; None for one that hosts find, or that this version does not know."""
    return _UNREAD.get(form)


def unread_forms(document: object) -> list[str]:
    """What is called so, for a policy, as plain JSON, that asks for such signatures anywhere."""
    return list(_UNREAD.values()) if "sigstoreSigned" in _newer(document) else []


def _dotted(version: _Version) -> str:
    return ".".join(map(str, version))


def _newer(value: object) -> Iterator[str]:
    """Everything in a policy that is in the table."""
    if isinstance(value, list):
        for child in value:
            yield from _newer(child)
    elif isinstance(value, dict):
        kind = value.get("type")
        yield from (name for name in _SINCE if name == kind or (name.partition(".")[0] == kind and name.partition(".")[2] in value))
        for child in value.values():
            yield from _newer(child)
