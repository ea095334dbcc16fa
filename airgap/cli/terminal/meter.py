"""How far one stage is, as a line for a terminal of any width or for a log. Pure but for the clock that it is given."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from airgap.cli.terminal.cells import cells, clipped
from airgap.text import human_size, plural

_SAMPLES = 30  # of a second each: the rate is that of the last half minute
_LEAST_BAR, _MOST_BAR = 10, 30
_LEAST_LABEL = 12
_ROOMY = 60  # from this width on there are words
_MOST_HOURS = 100


@dataclass
class Meter:
    """The progress of one stage.

    Attributes:
        name: what the stage does.
        total: its length in bytes, 0 when unknown.
        items: its length in things, 0 when unknown.
        noun: what one of them is called.
        clock: seconds from any beginning, never backwards.
        done, finished: the bytes and things done.
        what, where: the thing that was begun last, and where it lies.
    """

    name: str
    total: int
    items: int
    noun: str
    clock: Callable[[], float]
    done: int = 0
    finished: int = 0
    what: str = ""
    where: str = ""
    _began: float = field(init=False)
    _samples: deque[tuple[float, int, int]] = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()
        self._samples = deque([(self._began, 0, 0)], _SAMPLES)

    def sample(self) -> None:
        """Remember how far the stage is now; to be called now and then, so that the rate is a recent one."""
        now = self.clock()
        if now - self._samples[-1][0] >= 1:
            self._samples.append((now, self.done, self.finished))

    def opening(self) -> str:
        """The stage in a log when it begins."""
        return f"{self.name}: {human_size(self.total)}" if self.total else self.name

    def plain(self) -> str:
        """The stage as a line of a log: everything that is known, in words."""
        facts = [
            f"{self._percent} %" if self._is_measured else "",
            f"{human_size(self.done)} of {human_size(self.total)}" if self.total else human_size(self.done) if self.done else "",
            f"{self.finished} of {plural(self.items, self.noun)}"
            if self.items
            else plural(self.finished, self.noun)
            if self.finished
            else "",
            self._rate(),
            f"{left} left" if (left := self._left()) else f"for {_duration(self.clock() - self._began)}",
            self.where,
            self.what,
        ]
        return f"{self.name}: {', '.join(fact for fact in facts if fact)}"

    def line(self, width: int, shown: Callable[[str], str] = str) -> str:
        """The stage in one line of at most ``width`` cells; what tells most is kept longest.

        The order of the line is not the order of importance: that is the one in which the parts are given room here.

        Args:
            width: cells.
            shown: what the terminal makes of a text.
        """
        name = clipped(shown(self.name), max(10, width // 3))
        what = shown(self.what.partition("@")[0])
        least = min(cells(what), _LEAST_LABEL)
        left = width - cells(name) - (1 + least if what else 0)
        parts = self._parts(in_words=width >= _ROOMY)
        for part, text in parts.items():
            room = 1 + cells(text) if text else 0
            parts[part] = text if room <= left else ""
            left -= room if parts[part] else 0
        length = min(_MOST_BAR, left - (cells(what) - least) - 3)  # a bar only from what a full label leaves
        bar = self._bar(length) if self._is_measured and length >= _LEAST_BAR else ""
        room = least + left - (1 + cells(bar) if bar else 0)
        what = what if cells(what) <= room else clipped(what.rpartition("/")[2], room, front=True)
        order = (name, parts["percent"], bar, parts["items"], parts["bytes"], parts["rate"], parts["time"], parts["where"], what)
        return clipped(" ".join(part for part in order if part), width)

    def _parts(self, *, in_words: bool) -> dict[str, str]:
        """What a line may show beside the name and the label, in the order in which it gets room."""
        items = f"{self.finished}/{self.items}" if self.items else str(self.finished) if self.finished else ""
        noun = plural(self.items or self.finished, self.noun).partition(" ")[2]
        left, passed = self._left(), _duration(self.clock() - self._began)
        time = (f"{left} left" if in_words else f"-{left}") if left else passed if in_words or not self._is_measured else ""
        return {
            "percent": f"{self._percent}%" if self._is_measured else "",
            "items": f"{items} {noun}" if items and in_words else items,
            "time": time,
            "rate": self._rate(),
            "where": self.where,
            "bytes": f"{human_size(self.done)}/{human_size(self.total)}" if self.total else "",
        }

    @property
    def _is_measured(self) -> bool:
        return bool(self.total or self.items)

    @property
    def _share(self) -> float:
        """How much is done, from 0 to 1: of the bytes if they are known, else of the things."""
        share = self.done / self.total if self.total else self.finished / self.items if self.items else 0.0
        return min(1.0, max(0.0, share))

    @property
    def _percent(self) -> int:
        return int(self._share * 100)

    def _bar(self, length: int) -> str:
        full = int(self._share * length)
        return f"[{'#' * full}{'-' * (length - full)}]"

    def _speed(self) -> tuple[float, float]:
        """Bytes and things a second, lately."""
        since, done, finished = self._samples[0]
        passed = self.clock() - since
        return ((self.done - done) / passed, (self.finished - finished) / passed) if passed >= 1 else (0.0, 0.0)

    def _rate(self) -> str:
        in_bytes, in_things = self._speed()
        if self.total:
            return f"{human_size(in_bytes)}/s" if in_bytes else ""
        return f"{in_things:.{0 if in_things >= 10 else 1}f}/s" if in_things >= 0.05 else ""

    def _left(self) -> str:
        """The time that the rest takes at the speed of now; empty when nobody can know."""
        in_bytes, in_things = self._speed()
        rest, speed = (self.total - self.done, in_bytes) if self.total else (self.items - self.finished, in_things)
        if rest <= 0 or speed <= 0:
            return ""
        seconds = rest / speed
        return _duration(seconds) if seconds < _MOST_HOURS * 3600 else ""


def _duration(seconds: float) -> str:
    """``0:42``, ``12:05``, ``3:10:00``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
