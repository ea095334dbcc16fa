"""Whether the two codecs, compiled and plain Python, do the same.

python -m tests.support.twins DIRECTORY...      over all files there, as gzip and as tokens
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from airgap.patch import pydecode, pyencode
from airgap.patch.tokens import Codec

#: Every (consumed, output) of the steps, and how it ended: "" or the reason of the refusal.
Course = tuple[list[tuple[int, bytes]], str]


def course(codec: Codec, data: bytes, cuts: Sequence[int] = ()) -> Course:
    """Feed a codec pieces of ``data`` that end at ``cuts`` (ascending), what is left over in front of each, and the rest."""
    steps: list[tuple[int, bytes]] = []
    start = 0
    for cut in (*cuts, len(data)):
        try:
            step = codec.step(data[start:cut], cut == len(data))
        except ValueError as error:
            return steps, str(error)
        steps.append(step)
        start += step[0]
    assert start == len(data), "the last step takes all"
    return steps, ""


def output(run: Course) -> bytes:
    """All that a codec gave."""
    return b"".join(made for _, made in run[0])


def random_cuts(data: bytes, count: int, source: random.Random) -> list[int]:
    """Places in front of the end of ``data``."""
    return sorted(source.randrange(len(data)) for _ in range(count if data else 0))


def _compiled() -> tuple[Callable[[], Codec], Callable[[], Codec]]:
    from airgap.native import _deflate

    return _deflate.TokenDecoder, _deflate.TokenEncoder


def differences(data: bytes, cuts: Sequence[int] = ()) -> list[str]:
    """In which directions the twins differ over ``data``, whatever it is."""
    decoder, encoder = _compiled()
    found = []
    if course(decoder(), data, cuts) != course(pydecode.TokenDecoder(), data, cuts):
        found.append("decode")
    if course(encoder(), data, cuts) != course(pyencode.TokenEncoder(), data, cuts):
        found.append("encode")
    return found


def main(folders: list[str]) -> int:
    """Compare over all files; how many differ is said, and is the exit code (at most 1)."""
    source = random.Random(1)
    count = differing = 0
    for path in sorted(path for folder in folders for path in Path(folder).iterdir()):
        data = path.read_bytes()
        count += 1
        for cuts in ([], random_cuts(data, 3, source)):
            if found := differences(data, cuts):
                differing += 1
                print(f"the twins differ: {path}, cut at {cuts}: {', '.join(found)}")
    print(f"{count} inputs, {differing} on which the twins differ")
    return min(differing, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
