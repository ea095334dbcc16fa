"""The custody log: who had a medium, when and where, and what a check said; ``custody.jsonl`` beside the catalog. Pure.

One entry is one line of canonical JSON. Every entry names the catalog and the SHA-256 of the line before it, so that nothing can
be changed, left out or put in between without the chain breaking. Whoever holds the medium can still rewrite the whole log, or
cut off its end: only signatures say that somebody else wrote an entry, and nothing says that there were no later ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airgap.errors import AirgapError, Damaged, UsageError
from airgap.format.times import check_time
from airgap.limits import MAX_LOG
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.text import listing, plural, printable

SCHEMA = "airgap.custody/1"
#: No entry of a log may be longer, in bytes, and there are not more of them.
MAX_LINE = 64 * 1024
MAX_ENTRIES = 10_000
#: Characters of what people write.
_LIMITS = {"who": 200, "where": 200, "note": 2000}
_MAX_WORD = 200
_FIELDS = ("schema", "number", "catalog", "at", "who", "where", "note", "checked", "previous", "cut", "signature")


@dataclass(frozen=True)
class PastCheck:
    """What a check of the media said: its result in a word, its exit code, and the SHA-256 of the result file."""

    result: str
    exit_code: int
    file: Digest

    def to_json(self) -> dict[str, Any]:
        """As in an entry."""
        return {"result": self.result, "exit_code": self.exit_code, "file": self.file}


@dataclass(frozen=True)
class Seal:
    """A signature over an entry: the key's id, ``sig`` or ``asc``, and what such a signature file would hold."""

    key: str
    form: str
    content: str


@dataclass(frozen=True)
class CustodyEntry:
    """One line of a log.

    Attributes:
        number: from 1.
        catalog: of the bundle that the medium belongs to.
        at: RFC 3339 in UTC, by the clock of whoever wrote it.
        who, where, note: as people wrote it; the latter two may be empty.
        checked: what a check said, or None.
        previous: SHA-256 of the line before it, without its end; None for the first.
        cut: bytes of a torn line that were there in its place: the medium was taken out, or the power went, while one was written.
        seal: a signature, or None.
    """

    number: int
    catalog: Digest
    at: str
    who: str
    where: str = ""
    note: str = ""
    checked: PastCheck | None = None
    previous: Digest | None = None
    cut: int = 0
    seal: Seal | None = None

    def signed_bytes(self) -> bytes:
        """What a signature is over: the entry without it."""
        return strictjson.canonical(self._json())

    def line(self) -> bytes:
        """The line, without its end."""
        seal = self.seal
        signature = {"signature": {"key": seal.key, "form": seal.form, "content": seal.content}} if seal else {}
        return strictjson.canonical(self._json() | signature)

    @property
    def digest(self) -> Digest:
        """What the next entry calls its predecessor."""
        return Digest.of(self.line())

    def _json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "number": self.number,
            "catalog": self.catalog,
            "at": self.at,
            "who": self.who,
            "where": self.where,
            "note": self.note,
            "checked": self.checked.to_json() if self.checked else None,
            "previous": self.previous,
            "cut": self.cut,
        }

    def describe(self) -> str:
        """For people, in one line: the entry without its number."""
        words = [printable(self.who, _LIMITS["who"])]
        words += [f"at {printable(self.where, _LIMITS['where'])}"] if self.where else []
        checked = f"; check: {printable(self.checked.result, _MAX_WORD)}" if self.checked else ""
        note = f"; {printable(self.note, _LIMITS['note'])}" if self.note else ""
        cut = f"; {plural(self.cut, 'byte')} of a torn entry were cut off before it" if self.cut else ""
        return f"{self.at}  {' '.join(words)}{checked}{note}{cut}"


@dataclass(frozen=True)
class Log:
    """A log as it was read.

    Attributes:
        entries: those that could be read, in order.
        problems: where the chain is broken, in sentences; a log without any follows on itself from the first line to the last.
        end: bytes of all whole lines.
        torn: bytes behind them: an entry whose writing was interrupted. That alone is no broken chain.
        last: SHA-256 of the last whole line.
        lines: how many whole lines.
    """

    entries: tuple[CustodyEntry, ...] = ()
    problems: tuple[str, ...] = ()
    end: int = 0
    torn: int = 0
    last: Digest | None = None
    lines: int = 0

    @classmethod
    def parse(cls, raw: bytes, catalog: Digest) -> Log:
        """Read a log and check its chain. Never raises: what is wrong is in ``problems``.

        Args:
            raw: its bytes, at most ``limits.MAX_LOG``.
            catalog: the catalog on the medium.
        """
        end = raw.rfind(b"\n") + 1
        entries: list[CustodyEntry] = []
        problems: list[str] = []
        last: Digest | None = None
        lines = raw[:end].split(b"\n")[:-1]
        for number, line in enumerate(lines[:MAX_ENTRIES], 1):
            try:
                entry = parse_entry(line, number)
            except AirgapError as error:
                problems.append(f"line {number} is not an entry: {error.what}")
            else:
                entries.append(entry)
                problems += _breaks(entry, number, last, catalog)
            last = Digest.of(line)
        if len(lines) > MAX_ENTRIES:
            problems.append(f"the log has {len(lines)} lines, more than the limit of {MAX_ENTRIES}")
        return cls(tuple(entries), tuple(problems), end, len(raw) - end, last, len(lines))

    def next(self, entry: CustodyEntry) -> CustodyEntry:
        """An entry with its place in the chain.

        Raises:
            UsageError: the log is full.
        """
        if self.lines >= MAX_ENTRIES or self.end > MAX_LOG - 2 * MAX_LINE:
            raise UsageError("the custody log is full", expected=f"at most {MAX_ENTRIES} entries", got=str(self.lines))
        return replace(entry, number=self.lines + 1, previous=self.last, cut=self.torn)


@dataclass(frozen=True)
class Custody:
    """The logs of several media, merged for people. The same log on two media counts once.

    Attributes:
        entries: the medium's name and the entry, by time, each entry once.
        problems: what is wrong, with the medium's name in front.
        seals: what is known of the signatures, by the digest of the entry: the key's description, or an empty text for none or
            one that could not be checked.
        media: those with an entry of their own.
    """

    entries: tuple[tuple[str, CustodyEntry], ...] = ()
    problems: tuple[str, ...] = ()
    media: frozenset[str] = frozenset()
    seals: Mapping[Digest, str] = field(default_factory=dict)

    @classmethod
    def merge(cls, logs: Iterable[tuple[str, Log]]) -> Custody:
        """All entries of all media."""
        found: dict[Digest, tuple[str, CustodyEntry]] = {}
        problems: list[str] = []
        media = set()
        for medium, log in logs:
            media |= {medium} if log.entries else set()
            problems += [f"{printable(medium)}: {problem}" for problem in log.problems]
            for entry in log.entries:
                found.setdefault(entry.digest, (medium, entry))
        ordered = sorted(found.values(), key=lambda one: (one[1].at, one[0], one[1].number))
        return cls(tuple(ordered), tuple(problems), frozenset(media))

    def checked(self, check: Callable[[bytes, str, bytes], tuple[str, str]]) -> Custody:
        """The same with its signatures checked.

        Args:
            check: takes what was signed, ``sig`` or ``asc``, and the signature; gives who signed, or why it is not good.
        """
        seals, problems = {}, list(self.problems)
        for medium, entry in self.entries:
            if entry.seal is not None:
                who, why = check(entry.signed_bytes(), entry.seal.form, entry.seal.content.encode())
                if who:
                    seals[entry.digest] = f"signed by {who}"
                else:
                    problems.append(f"{printable(medium)}: entry {entry.number}: its signature is invalid: {printable(why)}")
        return replace(self, problems=tuple(problems), seals=seals)

    def vouched(self, entry: CustodyEntry) -> str:
        """For people: who signed an entry, as far as that is known."""
        if entry.seal is None:
            return "unsigned"
        return self.seals.get(entry.digest) or f"signature by {entry.seal.key} not verified"

    def carriers(self) -> list[str]:
        """Who had it, in order, each once."""
        return list(dict.fromkeys(printable(entry.who, _LIMITS["who"]) for _, entry in self.entries))


def new_entry(catalog: Digest, at: str, who: str, where: str, note: str, checked: PastCheck | None) -> CustodyEntry:
    """An entry that has no place in a log yet.

    Raises:
        UsageError: nobody is named, or a text is too long.
    """
    if not who.strip():
        raise UsageError("an entry needs a name", where="--who", expected="the name of the person who has the media")
    for name, text in (("who", who), ("where", where), ("note", note)):
        if len(text) > _LIMITS[name]:
            raise UsageError("too long for the custody log", where=f"--{name}", expected=f"at most {_LIMITS[name]} characters")
        if text != text.encode("utf-8", "replace").decode():
            raise UsageError("not text", where=f"--{name}", expected="UTF-8")
    return CustodyEntry(0, catalog, at, who.strip(), where.strip(), note.strip(), checked)


def parse_entry(line: bytes, number: int) -> CustodyEntry:
    """Read one line strictly.

    Raises:
        Damaged: it is not exactly a line as this format writes it.
    """
    where = f"custody log, line {number}"
    if len(line) > MAX_LINE:
        raise Damaged("an entry is too long", where=where, expected=f"at most {MAX_LINE} bytes")
    fields = strictjson.parse_object(line, where)
    if fields.get("schema") != SCHEMA:
        raise Damaged("an unknown schema", where=where, expected=SCHEMA, got=printable(str(fields.get("schema")), 60))
    if set(fields) - set(_FIELDS):
        raise Damaged("an unknown field", where=where, got=printable(", ".join(sorted(set(fields) - set(_FIELDS))), 100))
    previous, checked, seal = fields.get("previous"), fields.get("checked"), fields.get("signature")
    entry = CustodyEntry(
        number=strictjson.integer(fields.get("number"), where),
        catalog=Digest.parse(fields.get("catalog"), where),
        at=check_time(fields.get("at"), where),
        who=_text(fields, "who", where),
        where=_text(fields, "where", where),
        note=_text(fields, "note", where),
        checked=None if checked is None else _checked(strictjson.mapping(checked, where), where),
        previous=None if previous is None else Digest.parse(previous, where),
        cut=strictjson.integer(fields.get("cut"), where),
        seal=None if seal is None else _seal(strictjson.mapping(seal, where), where),
    )
    if entry.line() != line:
        raise Damaged("an entry is not in canonical form", where=where)
    return entry


def read_result(raw: bytes, catalog: Digest, where: str) -> PastCheck:
    """What the result file of a check says of this bundle.

    Raises:
        UsageError: it is not a check result, or it is for another bundle.
    """
    try:
        fields = strictjson.parse_object(raw, where)
        result = strictjson.string(fields.get("result"), f"{where}: result")
        code = strictjson.integer(fields.get("exit_code"), f"{where}: exit_code")
        bundles = [strictjson.mapping(one, where) for one in strictjson.array(fields.get("bundles"), f"{where}: bundles")]
    except Damaged as error:
        hint = "make one: airgap media check PATH... --result FILE"
        raise UsageError(f"not the result of a check: {error.what}", where=where, hint=hint) from error
    stated = [printable(str(bundle.get("catalog")), 100) for bundle in bundles]
    if catalog not in stated:
        raise UsageError("the check result is for another bundle", where=where, expected=catalog, got=listing(stated, 3) or "none")
    return PastCheck(printable(result, _MAX_WORD), code, Digest.of(raw))


def _breaks(entry: CustodyEntry, number: int, last: Digest | None, catalog: Digest) -> Iterator[str]:
    if entry.number != number:
        yield f"entry {entry.number} is on line {number}: entries were removed or inserted"
    if entry.previous != last:
        yield f"entry {number} does not continue the line before it: an entry was changed, removed or inserted"
    if entry.catalog != catalog:
        yield f"entry {number} is about another bundle (catalog {entry.catalog})"


def _text(fields: Mapping[str, Any], name: str, where: str) -> str:
    text = strictjson.string(fields.get(name), f"{where}: {name}")
    if len(text) > _LIMITS[name]:
        raise Damaged("a value is too long", where=f"{where}: {name}", expected=f"at most {_LIMITS[name]} characters")
    return text


def _checked(fields: dict[str, Any], where: str) -> PastCheck:
    return PastCheck(
        printable(strictjson.string(fields.get("result"), where), _MAX_WORD),
        strictjson.integer(fields.get("exit_code"), where),
        Digest.parse(fields.get("file"), where),
    )


def _seal(fields: dict[str, Any], where: str) -> Seal:
    key, form, content = (strictjson.string(fields.get(name), where) for name in ("key", "form", "content"))
    if form not in ("sig", "asc") or not key.isalnum() or len(key) > 64:
        raise Damaged("not a signature", where=where, got=printable(f"{form} {key}", 80))
    return Seal(key, form, content)
