"""How a chart in an HTTP repository is named: ``URL/NAME:VERSION``, as in a registry, with what else is asked of it. Pure.

https://charts.example.com/stable/web:^1.4                        a version or a range, none for the newest release
https://charts.example.com/stable/web:1.4.2@sha256:...            the archive's digest, as a lock has it
https://charts.example.com/stable/web:^1.4#keyring=/etc/keys.gpg  its provenance file must be signed by one of these keys
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from airgap.errors import Damaged, UsageError
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.registry.web import web_url
from airgap.text import printable

_EXPECTED = "chart:https://HOST[:PORT]/PATH/NAME:VERSION[@sha256:DIGEST][#keyring=FILE]"
_KEYRING = "keyring="
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class ChartAddress:
    """A chart in an HTTP repository.

    Attributes:
        repository: the repository's URL, without a slash at its end.
        name: of the chart.
        version: a version or a range; ``""`` for the newest release.
        digest: of the archive; None as long as it may be any.
        keyring: the file of OpenPGP keys of which one must have signed its provenance file; None: nobody asks.
    """

    repository: str
    name: str
    version: str
    digest: Digest | None = None
    keyring: Path | None = None

    @classmethod
    def parse(cls, text: str) -> ChartAddress:
        """Read one.

        Raises:
            UsageError: it does not have this form.
        """
        place, _, asked = text.partition("#")
        named, _, pin = place.partition("@sha256:")
        repository, _, last = named.rpartition("/")
        name, _, version = last.partition(":")
        parts = web_url(repository)
        if not _NAME.fullmatch(name) or parts.query or (asked and not asked.startswith(_KEYRING)) or asked == _KEYRING:
            raise UsageError("not a valid address of a chart", expected=_EXPECTED, got=printable(text, 300))
        try:
            digest = Digest.parse(f"sha256:{pin}") if pin else None
        except Damaged as error:
            raise UsageError("not a valid address of a chart", expected=_EXPECTED, got=printable(text, 300)) from error
        keyring = Path(asked.removeprefix(_KEYRING)) if asked else None
        return cls(repository.rstrip("/"), name, version, digest, keyring)

    def reference(self) -> Reference:
        """What the site knows a version of it by: ``HOST/PATH/NAME:VERSION``, where ``_`` stands for ``+``, as in a registry.

        Raises:
            UsageError: the URL cannot be a repository's name.
        """
        parts = web_url(self.repository)
        path = unquote(f"{parts.path.strip('/')}/{self.name}".strip("/")).lower()
        try:
            return Reference.parse(f"{parts.netloc}/{path}:{self.version.replace('+', '_')}")
        except UsageError as error:
            hint = f"give it another: chart:{self} as {parts.netloc}/charts/{self.name.lower()}:VERSION"
            raise UsageError(
                "a chart's address cannot be its name at the site",
                where=printable(str(self), 300),
                expected=error.expected,
                got=error.got,
                hint=hint,
            ) from error

    def pinned(self, version: str, digest: Digest) -> ChartAddress:
        """The one archive of it that was found, which needs no more proof than its digest."""
        return replace(self, version=version, digest=digest, keyring=None)

    def __str__(self) -> str:
        version = f":{self.version}" if self.version else ""
        pin = f"@{self.digest}" if self.digest else ""
        keyring = f"#{_KEYRING}{self.keyring}" if self.keyring else ""
        return f"{self.repository}/{self.name}{version}{pin}{keyring}"
