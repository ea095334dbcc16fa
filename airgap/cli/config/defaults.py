"""What the environment and ``airgap.toml`` say of the options that one command line leaves open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airgap.cli.config.document import SITE, STREAM, Document, Setting, meant
from airgap.cli.config.keys import Key, keys_of, plain
from airgap.cli.config.places import find as find_file
from airgap.cli.config.sections import Found, check, gather, keys_of_commands
from airgap.cli.config.variables import CHOICE
from airgap.errors import UsageError
from airgap.oci.places import is_place
from airgap.text import listing, printable

__all__ = ["Defaults", "chosen", "keys_of", "plain"]

#: Commands of a group that read ``[site]``, because they say what the site's commands would decide.
_OF_SITE = ("policy explain", "trust update", "trust show")

#: With the option on the left, these do not hold that the environment or the file gives: the command takes one or the other.
_INSTEAD = {"apply": ("keep", "stream", "also_unlisted", "plan"), "resend": ("lists",)}


def chosen(ctx: Any) -> Path | None:
    """The file that counts for the command of this context. Raises as ``places.find``."""
    return find_file(ctx.meta.get(CHOICE), os.environ)


class Defaults:
    """What one command line leaves open, and who says it.

    Attributes:
        replaced: parameters that the command line names in other words: a stream instead of its lists.
        given: what the environment and the file say, once ``by_parameter`` was asked.
    """

    def __init__(self, command: Any, ctx: Any, keys: Mapping[str, Key], said: Mapping[str, Any]) -> None:
        self._command, self._ctx, self._keys, self._said = command, ctx, keys, said
        self.replaced: list[str] = []
        self.given: dict[Key, Found] = {}
        self._stream: dict[str, str] = {}

    def by_parameter(self) -> dict[str, Any]:
        """Values by parameter. Raises ``UsageError``, ``Refused``."""
        tables = self._tables()
        open_ = [key for key in plain(self._keys) if key.parameter in self.replaced or not self._is_settled(key)]
        self.given = gather(open_, tables, os.environ)
        return {key.parameter: one.converted(key, self._ctx) for key, one in self.given.items()} | self._stream

    def check(self) -> None:
        """Read what is given as the command will. Raises ``UsageError``: where a wrong value is written."""
        for key, one in self.given.items():
            one.check(key)

    def locate(self, error: UsageError) -> None:
        """Let an error name the place of a value in place of an option that nobody typed."""
        option, blank, rest = error.where.partition(" ")
        found = next((one for key, one in self.given.items() if option == f"--{key.name}"), None)
        if found is not None:
            error.where = f"{found.where}{blank and ': '}{rest}"

    def _is_settled(self, key: Key) -> bool:
        if key.parameter in self._said or key.parameter in self._stream:
            return True
        return any(key.parameter in _INSTEAD.get(name, ()) for name in self._said)

    def _tables(self) -> list[Mapping[str, Setting]]:
        """The tables of the file that are about this run, the more special one first."""
        name, on_top = self._command.name, self._ctx.parent is self._ctx.find_root()
        if not on_top:
            name = f"{self._ctx.parent.command.name} {name}"
        if name not in SITE + STREAM + _OF_SITE:
            return []
        path = chosen(self._ctx)
        if path is None:
            return []
        if name in _OF_SITE:
            general = Document(path).site()
            check(general, "site", {}, lambda: keys_of_commands(self._ctx, SITE))
            return [general]
        return self._of_site(Document(path), name) if name in SITE else self._of_stream(Document(path))

    def _of_site(self, document: Document, name: str) -> list[Mapping[str, Setting]]:
        special, general = (document.site(name) if name in document.site_commands else {}), document.site()
        check(special, f"site.{name}", self._keys, dict)
        check(general, "site", self._keys, lambda: keys_of_commands(self._ctx, SITE))
        return [special, general]

    def _of_stream(self, document: Document) -> list[Mapping[str, Setting]]:
        by_name = self._named(document)
        stream = by_name or self._said.get("stream") or (os.environ.get("AIRGAP_STREAM", "") if "stream" in self._keys else "")
        if stream not in document.streams:
            return []
        table = document.stream(stream)
        check(table, f"stream.{stream}", self._keys, lambda: keys_of_commands(self._ctx, STREAM))
        if not by_name:
            return [table]
        self.replaced.append("lists")
        if "lists" not in table and not os.environ.get("AIRGAP_LISTS"):
            where = document.place(("stream", stream))
            raise UsageError("the stream has no lists", where=where, expected='lists = "FILE", or a list of files')
        if "stream" in self._keys:
            self._stream = {self._keys["stream"].parameter: stream}
        return [table]

    def _named(self, document: Document) -> str:
        """The stream that the command line names in place of lists; empty if it names lists."""
        words = self._said.get("lists", ())
        if len(words) != 1 or "resend" in self._said or self._said.get("stream") not in (None, words[0]):
            return ""
        word, there = words[0], os.path.lexists(words[0])
        if word in document.streams and there:
            raise UsageError(
                "both a stream and a file have this name",
                where=document.place(("stream", word)),
                got=printable(word),
                hint=f"say ./{word} for the file, or rename one of them",
            )
        if word not in document.streams and not there and meant(word, document.streams) and not is_place(word):
            raise UsageError(
                "neither a file nor a stream",
                where=printable(str(document.path)),
                expected=f"a file, or a stream: {listing(document.streams)}",
                got=printable(word),
                hint=meant(word, document.streams),
            )
        return word if word in document.streams else ""
