"""What is read from files and read again when they change, so that a server need not be started anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from airgap.errors import AirgapError

#: Seconds between two looks.
PERIOD = 2.0

_T = TypeVar("_T")


class Watched(Generic[_T]):
    """A value made of files.

    Args:
        what: what it is, for messages.
        load: makes it. Raises ``AirgapError``.
        stamp: says something else when ``load`` would make something else; cheap. Raises ``AirgapError`` or ``OSError``.

    Attributes:
        value: the latest that could be made.

    Raises:
        AirgapError: it cannot be made the first time.
    """

    def __init__(self, what: str, load: Callable[[], _T], stamp: Callable[[], object]) -> None:
        self.what = what
        self._load = load
        self._stamp = stamp
        self._seen = stamp()
        self.value = load()

    def __call__(self) -> _T:
        """The value."""
        return self.value

    def refresh(self) -> bool:
        """Make it again where the files changed; whether they did. What was there stays when that fails.

        Raises:
            AirgapError, OSError: they changed, and cannot be used.
        """
        seen = self._stamp()
        if seen == self._seen:
            return False
        self._seen = seen  # one attempt for each change: a file that is broken is complained about once
        self.value = self._load()
        return True


class Watch:
    """Looks after watched values in a thread of its own while used as a context manager.

    Args:
        values: the values.
        say: is told what was read again.
        trouble: is told what could not be.
    """

    def __init__(self, values: Sequence[Watched[Any]], say: Callable[[str], None], trouble: Callable[[str, str], None]) -> None:
        self._values = values
        self._say = say
        self._trouble = trouble
        self._failing: dict[str, str] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end.set()
        self._thread.join()

    def look(self) -> None:
        """Look once."""
        for value in self._values:
            try:
                if value.refresh():
                    self._say(f"{value.what}: read again")
                self._failing.pop(value.what, None)
            except (AirgapError, OSError) as error:
                text = f"{value.what}: {error}"
                if self._failing.get(value.what) != text:
                    self._trouble("reload", f"{text}; what was there before stays in use")
                self._failing[value.what] = text

    def _run(self) -> None:
        while not self._end.wait(PERIOD):
            self.look()
