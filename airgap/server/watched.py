"""Values that are read from files and reloaded when these change, so that a server need not be restarted."""

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
    """A value built from files.

    Args:
        what: its name, for messages.
        load: builds it. Raises ``AirgapError``.
        stamp: a cheap stamp that changes when the result of ``load`` may change. Raises ``AirgapError`` or ``OSError``.

    Attributes:
        value: the latest value.

    Raises:
        AirgapError: it cannot be built the first time.
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
        """Build it again if the files have changed; returns whether they have. If that fails, the old value stays.

        Raises:
            AirgapError, OSError: they have changed and cannot be used.
        """
        seen = self._stamp()
        if seen == self._seen:
            return False
        self._seen = seen  # one attempt for each change: a file that is broken is complained about once
        self.value = self._load()
        return True


class Watch:
    """Updates watched values in its own thread while used as a context manager.

    Args:
        values: the values.
        say: told what was reloaded.
        trouble: told what could not be reloaded.
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
        """Check all values once."""
        for value in self._values:
            try:
                if value.refresh():
                    self._say(f"{value.what}: reloaded")
                self._failing.pop(value.what, None)
            except (AirgapError, OSError) as error:
                text = f"{value.what}: {error}"
                if self._failing.get(value.what) != text:
                    self._trouble("reload", f"{text}; the previous version stays in use")
                self._failing[value.what] = text

    def _run(self) -> None:
        while not self._end.wait(PERIOD):
            self.look()
