"""Retries: which failures are retried, for how long, and what the user is told meanwhile."""

from __future__ import annotations

import email.utils
import random
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from airgap.registry.http.failures import is_transient, is_unreached, is_unresolved, network_failure
from airgap.registry.http.gate import Gate
from airgap.registry.http.wire import Answer
from airgap.registry.settings.options import RegistryOptions, origin
from airgap.text import printable

#: Answers that may be others a little later.
PASSING = frozenset({429, 500, 502, 503, 504})
#: Seconds before the second attempt; each further one waits twice as long, up to the most.
_FIRST_WAIT, _MAX_WAIT = 0.5, 120.0
#: The longest pause, in seconds, before a registry that is asked too much is asked again without having said when.
_MAX_REFUSED = 30.0


@dataclass
class Waiting:
    """How often one call was refused with 429, and how many seconds that has cost."""

    count: int = 0
    seconds: float = 0.0


class Patience:
    """Decides about attempts, waits between them and says so. Thread-safe; clients of a run share what ``options.heard`` knows."""

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._away: set[tuple[str, str, int]] = set()
        self._told: dict[str, float] = {}
        self.gate = Gate()

    def answered(self, answer: Answer) -> None:
        """A place exists, so that it is waited for when it is away later."""
        place = origin(answer.url)
        with self._lock:
            self._options.heard.add(place)
            back = place in self._away and answer.status not in PASSING
            if back:
                self._away.discard(place)
        if back:
            self._options.say(f"registry {_host(answer.url)} is answering again")
        if answer.status != 429:
            self.gate.answered(place)

    def may_pass(self, error: BaseException, url: str) -> bool:
        """Whether the same call may succeed later: a name that was known a moment ago is likely to be known again."""
        return is_transient(error) or (is_unresolved(error) and origin(url) in self._options.heard)

    def is_worth_repeating(self, error: BaseException, url: str, attempt: int) -> bool:
        """As :meth:`may_pass`; a place that never answered is rather a wrong address than one that is away for a moment."""
        if not is_unreached(error):
            self._options.heard.add(origin(url))  # it took the connection
        return self.may_pass(error, url) and (attempt == 0 or origin(url) in self._options.heard)

    def pause(self, attempt: int, answer: Answer | None = None) -> None:
        """Wait before the next attempt: exponentially longer, never in step with others, and as long as the answer asks for."""
        seconds = _FIRST_WAIT * 2**attempt * random.uniform(0.75, 1.25)  # noqa: S311 -- jitter, not a secret
        if answer is not None:
            seconds = max(seconds, retry_after(answer))
            answer.finish()
            if answer.status == 429:
                host = _host(answer.url)
                self._options.say(f"registry {host} answered 429 (too many requests), waiting {min(seconds, _MAX_WAIT):.0f} s")
            elif attempt and answer.status in PASSING:
                self._say_away(answer.url, f"answers {answer.status}")
        self._options.sleep(min(seconds, _MAX_WAIT))

    def allows(self, answer: Answer | None, waiting: Waiting) -> bool:
        """Whether this is a 429 that is waited out once more: ``options.patience`` says for how long, however often it comes."""
        if answer is None or answer.status != 429:
            return False
        left = self._options.patience - waiting.seconds
        return 0 < left >= retry_after(answer) and not self.gate.is_given_up(origin(answer.url))

    def is_hopeless(self, answer: Answer, waiting: Waiting) -> bool:
        """Whether it is a 429 that was waited out long enough, or that asks for a longer wait than there is patience."""
        return answer.status == 429 and (waiting.count > 0 or 0 < self._options.patience < retry_after(answer))

    def wait_out(self, answer: Answer | None, waiting: Waiting) -> bool:
        """Wait where :meth:`allows` says so, longer each time or as long as the answer asks for; whether that was done."""
        if answer is None or answer.status != 429 or not self._options.patience:
            return False
        place = origin(answer.url)
        if not self.allows(answer, waiting):
            self.gate.give_up(place, retry_after(answer))
            return False
        growing = min(_FIRST_WAIT * 2 ** min(waiting.count, 20), _MAX_REFUSED) * random.uniform(0.75, 1.25)  # noqa: S311
        left = self._options.patience - waiting.seconds
        seconds = min(max(growing, retry_after(answer)), left)
        began = time.monotonic()
        if not self.gate.shut(place, seconds):
            waiting.count, waiting.seconds = waiting.count + 1, waiting.seconds + time.monotonic() - began
            if self.gate.is_given_up(place):
                return False
            answer.finish()
            return True
        answer.finish()
        waiting.count, waiting.seconds = waiting.count + 1, waiting.seconds + seconds
        host, now = _host(answer.url), time.monotonic()
        with self._lock:
            new = now >= self._told.get(host, now)
            if new:
                self._told[host] = now + seconds
        if new:
            what = f"registry {host} answered 429 (too many requests), waiting {seconds:.0f} s"
            self._options.say(f"{what}; giving up after {left:.0f} s (--registry-patience)")
        self._options.sleep(seconds)
        return True

    def pause_after(self, error: BaseException, method: str, url: str, attempt: int) -> None:
        """As :meth:`pause`, after no answer; said of a place that was heard, which takes no connection or fails once more."""
        if origin(url) in self._options.heard and (attempt or is_unreached(error)):
            what = network_failure(error, method, url).what
            self._say_away(url, what.removeprefix("the registry ") if what.startswith("the registry ") else f"is away ({what})")
        self.pause(attempt)

    def _say_away(self, url: str, how: str) -> None:
        """Once until it answers again."""
        with self._lock:
            new = origin(url) not in self._away
            self._away.add(origin(url))
        if new:
            self._options.say(f"registry {_host(url)} {how}: trying again for a while")


def retry_after(answer: Answer) -> float:
    """How many seconds the answer asks us to wait; 0 when it does not (RFC 9110 section 10.2.3)."""
    text = answer.header("Retry-After").strip()
    if text.isascii() and text.isdigit():
        return float(int(text[:9]))
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max(moment - time.time(), 0.0)


def _host(url: str) -> str:
    return printable(urlsplit(url).netloc.rpartition("@")[2], 120)
