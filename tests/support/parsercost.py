"""How much longer a parser takes for four times the input, measured in a child each, so that none can harm another.

    python -m tests.support.parsercost [WORD...]     only rows whose name has one of the words in it

Processor time is no measure for a test, so this is run by hand (``scripts/hostile-inputs``): it sees what counting the steps of
Python does not, the work in C of regular expressions, copies, and searches through lists.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import sys
import time
from collections.abc import Iterator

from tests.support.parserrow import Parser
from tests.support.parsers import PARSERS

#: Four times the input takes four times as long, up to what caches and collections cost; a quadratic search takes sixteen times.
MOST = 8.0
_ENOUGH = 0.02  # seconds of processor time that can be told from noise
_LIMIT = 120  # seconds of processor time for one row's input


def _seconds(parser: Parser, raw: bytes) -> float:
    began = time.process_time()
    with contextlib.suppress(*parser.errors):
        parser.parse(raw)
    return time.process_time() - began


def _measured(parser: Parser, label: str) -> str:
    """The ratio for one way to grow; a leading ``!`` when it is too large."""
    count, grow = 64, parser.grow[label]
    while True:
        raw = grow(count)
        taken = _seconds(parser, raw)
        if taken >= _ENOUGH:
            break
        if len(raw) * 4 > parser.most or count > 10**7:
            return f"  {taken:.3f} s for {len(raw)} bytes, the most there can be"
        count *= 4
    large = grow(4 * count)
    ratio = min(_seconds(parser, large) for _ in range(2)) / min(taken, _seconds(parser, raw))
    relative = ratio * len(raw) * 4 / len(large) if len(large) else ratio
    return f"{'!' if relative > MOST else ' '} x{relative:.1f}: {taken:.3f} s for {len(raw)} bytes"


def rows(words: list[str]) -> Iterator[tuple[str, str, str]]:
    """Every row's name, what grows, and what it came to."""
    for parser in PARSERS:
        if words and not any(word in parser.name for word in words):
            continue
        for label in parser.grow:
            reading, writing = os.pipe()
            child = os.fork()
            if not child:
                gc.disable()
                resource.setrlimit(resource.RLIMIT_CPU, (_LIMIT, _LIMIT))
                try:
                    said = _measured(parser, label)
                except BaseException as error:  # noqa: BLE001 - whatever it is, it is the result
                    said = f"! {type(error).__name__}: {str(error)[:200]}"
                os.write(writing, said.encode())
                os._exit(0)
            os.close(writing)
            with os.fdopen(reading, "rb") as pipe:
                said = pipe.read().decode() or "! did not end"
            os.waitpid(child, 0)
            yield parser.name, label, said


if __name__ == "__main__":
    wrong = 0
    for name, label, said in rows(sys.argv[1:]):
        wrong += said.startswith("!")
        print(f"{said[:1]} {name}: {label}: {said[1:].strip()}", flush=True)
    sys.exit(1 if wrong else 0)
