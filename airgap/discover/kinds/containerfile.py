"""Containerfiles and Dockerfiles: what they are built from (FROM, COPY --from, RUN --mount=from) that is not a stage of their own.

Read as the Dockerfile reference describes it: parser directives, continuations, here-documents, ARG before FROM.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from airgap.discover.anywhere import find_anywhere
from airgap.discover.findings import Sheet
from airgap.discover.variables import Expanded, expand
from airgap.discover.written import full_references

_NAME = re.compile(r"(?:containerfile|dockerfile)(?:[.-].+)?|.+\.(?:containerfile|dockerfile)", re.IGNORECASE)
# Programs and texts about Containerfiles, and what is beside one.
_ABOUT = re.compile(r".*(ignore|\.(py|go|js|ts|rs|rb|java|kt|cs|c|h|sh|md|rst|adoc|lang|vim|tar|log))", re.IGNORECASE)
_FROM = re.compile(r"FROM(\s+--platform=\S+)?\s+\S+(\s+AS\s+\S+)?\s*", re.IGNORECASE)
_BODY = re.compile(r"^[ \t]*(RUN|COPY|ADD|CMD|ENTRYPOINT|WORKDIR|ENV|LABEL|USER|EXPOSE|VOLUME)\s", re.IGNORECASE | re.MULTILINE)
_DIRECTIVE = re.compile(r"#\s*([a-z]+)\s*=\s*(.*?)\s*", re.IGNORECASE)
_HEREDOC = re.compile(r"(?<!<)<<(-?)(['\"]?)([A-Za-z_]\w*)\2", re.ASCII)
_ARG = re.compile(r"([A-Za-z_]\w*)(?:=(\"[^\"]*\"|'[^']*'|\S*))?", re.ASCII)
_MOUNT_FROM = re.compile(r"(?:^|,)from=([^,]*)")
_PLATFORM_ARGS = re.compile(r"(BUILD|TARGET)(PLATFORM|OS|ARCH|VARIANT)")
#: For so many stages of each line a pattern is looked for; beyond that what may be a stage is told instead.
_TRIES = 8
_STAGE = re.compile(r"FROM\s+(?:--\S+\s+)*\S+\s+AS\s+(\S+)", re.IGNORECASE)


@dataclass(frozen=True)
class _Instruction:
    line: int
    word: str
    rest: str


@dataclass
class _Build:
    """What is known while reading: all stages, how often one may still be tried, the ARGs before FROM, those of this stage."""

    stages: frozenset[str]
    tries: int = 0
    outer: dict[str, str] = field(default_factory=dict)
    inner: dict[str, str] | None = None

    @property
    def values(self) -> Mapping[str, str]:
        return self.outer if self.inner is None else self.inner


def is_containerfile(name: str, text: str) -> bool:
    """By its name, or because its first lines look like one."""
    if _NAME.fullmatch(name):
        return _ABOUT.fullmatch(name) is None
    lines = (line for line in text.split("\n", 200) if line.strip() and not line.lstrip().startswith("#"))
    begin = next((line for line in lines if not re.match(r"\s*ARG\s+[A-Za-z_]", line, re.IGNORECASE)), "")
    return _FROM.fullmatch(begin.strip()) is not None and _BODY.search(text) is not None


def find_in_containerfile(text: str, sheet: Sheet, first_line: int = 1) -> None:
    """Note the images of one Containerfile, of which ``first_line`` is the number of the first line."""
    find_anywhere(text, sheet, first_line, exact=False, comments=True)
    lines = text.split("\n")
    escape = _directives(lines, sheet, first_line)
    instructions = list(_instructions(lines, escape, sheet, first_line))
    if not any(instruction.word == "FROM" for instruction in instructions):
        if "{{" in text:
            sheet.unresolved(first_line, "a Containerfile that is generated from a template", hint="generate it first")
        else:
            sheet.note(first_line, "named like a Containerfile, but has no FROM")
        return
    found = (_STAGE.match(f"{instruction.word} {instruction.rest}") for instruction in instructions)
    build = _Build(frozenset(stage[1].lower() for stage in found if stage), _TRIES * len(instructions))
    for instruction in instructions:
        _one(instruction, build, escape, sheet)


def _directives(lines: list[str], sheet: Sheet, first_line: int) -> str:
    """The escape character; the image of ``# syntax=``, which BuildKit fetches to read the rest, is a possible one."""
    escape = "\\"
    for number, line in enumerate(lines):
        directive = _DIRECTIVE.fullmatch(line.strip())
        if directive is None:
            break
        if directive[1].lower() == "escape" and directive[2] == "`":
            escape = "`"
        elif directive[1].lower() == "syntax":
            sheet.image(directive[2], first_line + number, sure=False, remark="BuildKit reads the file with it")
    return escape


def _instructions(lines: list[str], escape: str, sheet: Sheet, first_line: int) -> Iterator[_Instruction]:
    numbered = iter(enumerate(lines, first_line))
    for number, line in numbered:
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        parts = []
        while stripped.endswith(escape):
            parts.append(stripped[:-1])
            # comments and empty lines do not end a continued instruction
            stripped = next((text.strip() for _, text in numbered if text.strip() and not text.lstrip().startswith("#")), "")
        whole = " ".join([*parts, stripped])
        word, _, rest = whole.partition(" ") if " " in whole else whole.partition("\t")
        instruction = _Instruction(number, word.upper(), rest.strip())
        if instruction.word in ("RUN", "COPY", "ADD"):
            _skip_heredocs(instruction, numbered, sheet)
        yield instruction


def _skip_heredocs(instruction: _Instruction, numbered: Iterator[tuple[int, str]], sheet: Sheet) -> None:
    for found in _HEREDOC.finditer(instruction.rest):
        for _, line in numbered:
            line = line.rstrip("\r")
            if (line.lstrip("\t") if found[1] else line) == found[3]:
                break
        else:
            hint = f"end it with a line {found[3]}"
            sheet.unresolved(instruction.line, "an unterminated here-document hides what follows", found[0], hint)


def _one(instruction: _Instruction, build: _Build, escape: str, sheet: Sheet) -> None:
    if instruction.word == "ONBUILD":
        word, _, rest = instruction.rest.partition(" ")
        instruction = _Instruction(instruction.line, word.upper(), rest.strip())
    words = instruction.rest.split()
    flags = list(itertools.takewhile(lambda word: word.startswith("--"), words))
    if instruction.word == "FROM":
        build.inner = {}
        _from(next(iter(words[len(flags) :]), ""), instruction.line, build, escape, sheet)
    elif instruction.word == "ARG":
        _arg(instruction.rest, build, escape)
    elif instruction.word in ("COPY", "RUN"):
        for source in _sources(flags):
            _image(source, expand(source, build.values, escape), instruction.line, build, sheet)
    if instruction.word not in ("FROM", "ARG") and "$" in instruction.rest:
        _with_variables(instruction, build, escape, sheet)


def _with_variables(instruction: _Instruction, build: _Build, escape: str, sheet: Sheet) -> None:
    """What is a full reference once its ARGs have their values, in a command, a variable or a label."""
    for word in instruction.rest.split():
        if "$" not in word or "/" not in word:
            continue
        expanded = expand(word, build.values, escape)
        for written in full_references(word if expanded.missing else expanded.text):
            if not written.broken:
                sheet.image(written.text, instruction.line, sure=False, written=word)
            elif expanded.missing:
                sheet.open(instruction.line, written.broken, written.text)


def _from(name: str, line: int, build: _Build, escape: str, sheet: Sheet) -> None:
    _image(name, expand(name, build.outer, escape), line, build, sheet)


def _arg(rest: str, build: _Build, escape: str) -> None:
    has_values = "=" in rest
    for name, value in _ARG.findall(rest):
        if has_values:
            expanded = expand(value.strip("\"'"), build.values, escape)
            known = None if expanded.missing else expanded.text
        else:
            known = build.outer.get(name)  # an ARG of a stage without a default takes the value from before the first FROM
        if known:
            (build.outer if build.inner is None else build.inner)[name] = known


def _sources(flags: list[str]) -> Iterator[str]:
    for flag in flags:
        if flag.startswith("--from="):
            yield flag.removeprefix("--from=").strip("\"'")
        elif flag.startswith("--mount="):
            found = _MOUNT_FROM.search(flag.removeprefix("--mount=").strip("\"'"))
            if found:
                yield found[1]


def _image(written: str, expanded: Expanded, line: int, build: _Build, sheet: Sheet) -> None:
    """Note an image, unless it is a stage, the number of one, or nothing (``scratch``)."""
    name = expanded.text
    if any(_PLATFORM_ARGS.fullmatch(missing) for missing in expanded.missing):
        if not _is_stage_pattern(written, build):
            sheet.unresolved(line, "the image depends on the platform", written, "add the image of each platform to the list")
    elif expanded.missing:
        what = f"no value for {', '.join(expanded.missing[:3])}"
        sheet.unresolved(line, what, written, "give the ARG a default, or add the image to the list")
    elif name.lower() not in build.stages and name != "scratch" and not name.isdecimal():
        remark = f"with the default of its ARG: {written}" if name != written else ""
        sheet.image(name, line, remark=remark, written=written)


def _is_stage_pattern(written: str, build: _Build) -> bool:
    """Whether stages stand for ``base-${TARGETARCH}``, one for each platform."""
    build.tries -= len(build.stages)
    parts = re.split(r"\$\{\w+\}|\$\w+", written.lower())
    return build.tries >= 0 and any(_fits(stage, parts) for stage in build.stages)


def _fits(stage: str, parts: list[str]) -> bool:
    """Whether a name has these parts in their order, with something in each gap. The first place for each is the best one."""
    first, *middle, last = parts
    at = len(first)
    if not stage.startswith(first):
        return False
    for part in middle:
        at = stage.find(part, at + 1)
        if at < 0:
            return False
        at += len(part)
    return len(stage) - len(last) > at and stage.endswith(last)
