"""How a command line may continue: what a shell asks when somebody presses the Tab key."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airgap.cli.grammar import spelling
from airgap.cli.grammar.explained import choices, is_option, long_name, value_name
from airgap.format import names

_MOST_FILES = 5000
_PUBLIC, _PRIVATE = (".pub", ".asc", ".pem", ".gpg"), (".key", ".pem")
_TARGETS = ("docker://", "oci:", "oci-archive:", "docker-archive:", "dir:", "k3s:", "containers-storage:")
_PUBLIC_KEYS = frozenset({"public-key", "since-key", "custody-key", "site-key", "encrypt-to"})
_PRIVATE_KEYS = frozenset({"key", "sign-by", "decrypt-key", "tls-key"})
_DIRECTORIES = ("DIR", "DEST", "[HOST=]DIR")
_BUNDLES = ("BUNDLE", "PATH", "MEDIA", "STORE|BUNDLE", "A", "B")
_FREE = frozenset({str, int, float})
#: Options whose values are free, and what is often wanted: whole values, and beginnings (after which ``=`` or ``:`` stands).
_OFTEN: Mapping[str, tuple[str, ...]] = {
    "map": ("keep-host", "strip-host", "flatten", "prefix=", "image=", "regex="),
    "media": tuple(name for name in names.PRESETS if name != "fat32"),
    "platform": ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/ppc64le", "linux/riscv64", "linux/s390x"),
    "since": ("docker://", "oci:"),
    "volume-size": tuple(names.PRESETS),
}
_SPECIAL = re.compile(r"([^\w@%+=:,./~-])")


@dataclass(frozen=True)
class Item:
    """One way to continue. ``whole``: nothing can follow in the same word."""

    value: str
    text: str = ""
    whole: bool = True


@dataclass
class _Line:
    """What stands before the word that is asked for.

    Attributes:
        command: the one that was reached.
        path: its names.
        given: options and their last values.
        pending: an option that waits for its value.
        arguments: what stands by position.
        closed: ``--`` was given, so no options follow.
        configured: the streams of the configuration that is named, or found if None.
    """

    command: Any
    context: Any
    configured: Callable[[str | None], Sequence[str]]
    path: tuple[str, ...] = ()
    given: dict[str, str] = field(default_factory=dict)
    pending: Any = None
    arguments: list[str] = field(default_factory=list)
    closed: bool = False

    def read(self, word: str) -> bool:
        """Take one word; whether the line still makes sense."""
        if self.pending is not None:
            self.given[long_name(self.pending)], self.pending = word, None
        elif not self.closed and word == "--":
            self.closed = True
        elif not self.closed and word.startswith("-") and len(word) > 1:
            self._option(word)
        elif not hasattr(self.command, "commands"):
            self.arguments.append(word)
        elif word in self.command.commands:
            self.command, self.path = self.command.commands[word], (*self.path, word)
        else:
            return False
        return True

    def option(self, written: str) -> Any:
        """The option of this command that is written so, or None."""
        name = f"--{spelling.present(' '.join(self.path))(written[2:])}" if written.startswith("--") else written
        return next((one for one in self.options() if name in (*one.opts, *one.secondary_opts)), None)

    def options(self) -> list[Any]:
        """The options of this command."""
        return [one for one in self.command.get_params(self.context) if is_option(one) and not one.hidden]

    def _option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        found = self.option(name)
        if found is None:
            return
        self.given[long_name(found)] = value
        if not found.is_flag and not equals:
            self.pending = found


def answer(root: Any, context: Any, shell: str, words: Sequence[str], streams: Callable[[str | None], Sequence[str]]) -> str:
    """What the script of a shell gets.

    Args:
        root: the program's command.
        context: its context.
        shell: ``bash``, ``zsh`` or ``fish``.
        words: of the command line, the last of which is to be completed; for bash the line, and that word as bash splits it.
        streams: those of the configuration, by what ``--config`` says; None: it is not given.
    """
    if shell == "bash":
        return _for_bash(_Line(root, context, streams), words)
    lines = []
    for item in _items(_Line(root, context, streams), list(words[1:])):
        if not item.value.isprintable():
            continue
        if shell == "zsh":
            lines.append("\t".join(("whole" if item.whole else "part", item.value, item.text)))
        else:
            lines.append(f"{item.value}\t{item.text}".rstrip("\t"))
    return "".join(f"{line}\n" for line in lines)


def _for_bash(begun: _Line, words: Sequence[str]) -> str:
    """Bash ends words also at colons and equals signs, and inserts what it gets as it is: quoted, with the space behind it."""
    line, piece = (*words, "", "")[:2]
    asked, quoted = _split(line)
    seen = asked[-1] if asked else ""
    before = "" if quoted else seen if piece in ("=", ":") else seen.removesuffix((_split(piece)[0] or [""])[-1])
    lines = []
    for item in _items(begun, asked[1:] or [""]):
        if item.value.isprintable() and item.value.startswith(before):
            value = item.value[len(before) :]
            lines.append(value if quoted else _SPECIAL.sub(r"\\\1", value) + (" " if item.whole else ""))
    return "".join(f"{one}\n" for one in lines)


def _split(line: str) -> tuple[list[str], bool]:
    """The words of a line as a shell reads it, the last one perhaps empty, and whether a quote is still open."""
    for closing in ("", "'", '"'):
        try:
            found = shlex.split(line + closing)
        except ValueError:
            continue
        return (found if closing or not line[-1:].isspace() else [*found, ""]), bool(closing)
    return line.split(), False


def _items(line: _Line, words: list[str]) -> list[Item]:
    """How the last of the words may continue."""
    root = line.command
    *before, last = words or [""]
    if not all(line.read(word) for word in before):
        return []
    option, equals, value = last.partition("=")
    if line.pending is not None:
        return [*_values(line, line.pending, last)]
    if not line.closed and equals and option.startswith("--"):
        found = line.option(option)
        return [Item(f"{option}={item.value}", item.text, item.whole) for item in _values(line, found, value)] if found else []
    if not line.closed and last.startswith("-"):
        return [*_options(line, last)]
    if hasattr(line.command, "commands"):
        return [*_commands(line.command, last)]
    return [*_positional(line, root, last)]


def _options(line: _Line, start: str) -> Iterator[Item]:
    for one in line.options():
        if one.multiple or long_name(one) not in line.given:
            yield from (Item(name, one.help or "") for name in (*one.opts, *one.secondary_opts) if name.startswith(start))


def _commands(group: Any, start: str) -> Iterator[Item]:
    for _, entries in group.tables():
        yield from (Item(entry.written, entry.meaning) for entry in entries if entry.written.startswith(start))


def _positional(line: _Line, root: Any, start: str) -> Iterator[Item]:
    arguments = [one for one in line.command.params if not is_option(one) and not getattr(one, "hidden", False)]
    if not arguments:
        return
    one = arguments[min(len(line.arguments), len(arguments) - 1)]
    if len(line.arguments) >= len(arguments) and one.nargs != -1:
        return
    if value_name(one) == "COMMAND...":  # of help and man
        for name in line.arguments:
            root = getattr(root, "commands", {}).get(name)
        yield from _commands(root, start) if hasattr(root, "commands") else ()
    else:
        yield from _values(line, one, start)


def _values(line: _Line, parameter: Any, start: str) -> Iterable[Item]:
    """The values of an option or argument that begin so."""
    name = long_name(parameter) if is_option(parameter) else ""
    shown = value_name(parameter).removesuffix("...")
    found = [Item(one) for one in _known(line, name, shown, parameter)]
    found += [Item(one, whole=one[-1] not in "=:/") for one in (_TARGETS if shown == "TARGET" else _OFTEN.get(name, ()))]
    more = () if choices(parameter) or shown == "TARGET" else _paths(start, _wanted(name, shown, parameter))
    return [*(item for item in found if item.value.startswith(start)), *more]


def _known(line: _Line, name: str, shown: str, parameter: Any) -> Iterable[str]:
    """The values that a parameter may have, as far as they are known."""
    if name == "stream":
        return sorted({*_streams(line.given.get("state")), *line.configured(line.given.get("config"))})
    if shown == "STREAM" or (parameter.name == "lists" and not line.arguments and not {"stream", "resend"} & line.given.keys()):
        return line.configured(line.given.get("config"))
    if name == "without":
        from airgap.oci.image import WITHOUT  # here, as what follows: nothing else needs it

        return WITHOUT
    if line.path == ("schema",):
        from airgap.schemas.catalogue import titles

        return titles()
    return choices(parameter)


def _wanted(name: str, shown: str, parameter: Any) -> Callable[[Path], bool] | None:
    """Which files a parameter takes; directories lead to them. None: it takes no path at all."""
    if name in _PUBLIC_KEYS:
        return lambda path: path.name.endswith(_PUBLIC)
    if name in _PRIVATE_KEYS:
        return lambda path: path.name.endswith(_PRIVATE)
    if shown in _BUNDLES:
        return _is_bundle
    if shown in _DIRECTORIES:
        return lambda path: False  # noqa: ARG005 - only directories
    free = getattr(getattr(parameter, "type_descriptor", None), "annotation", str) in _FREE
    return None if free and "FILE" not in shown else lambda path: True  # noqa: ARG005 - every file


def _is_bundle(path: Path) -> bool:
    return path.name == names.CATALOG or (path / names.CATALOG).is_file()


def _paths(start: str, wanted: Callable[[Path], bool] | None) -> Iterator[Item]:
    if wanted is None:
        return
    folder, name = os.path.split(start)
    inside = f"{folder}/" if folder and not folder.endswith("/") else folder
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as found:  # noqa: PTH111 - as the shell does
            entries = sorted((entry for entry, _ in zip(found, range(_MOST_FILES), strict=False)), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if not entry.name.startswith(name) or (entry.name.startswith(".") and not name.startswith(".")):
            continue
        whole = wanted(Path(entry.path))
        if entry.is_dir():
            yield Item(f"{inside}{entry.name}" if whole and _is_bundle(Path(entry.path)) else f"{inside}{entry.name}/", whole=whole)
        elif whole:
            yield Item(f"{inside}{entry.name}")


def _streams(state: str | None) -> list[str]:
    from airgap.state.place import known_streams  # here, for nothing else of all this needs the state

    base = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state")
    directory = Path(state or os.environ.get("AIRGAP_STATE") or base / "airgap").expanduser()
    return known_streams(directory)
