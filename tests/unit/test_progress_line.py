"""How far a stage is: what a line shows at every width, and what a log is told when."""

from __future__ import annotations

import pytest

from airgap.cli.terminal.cells import cells, clipped
from airgap.cli.terminal.meter import Meter

NAMES = [
    "docker.io/library/nginx:1.27",
    "例え.jp/工具/日本語の名前:最新",
    "quay.io/a/" + "b" * 150 + "@sha256:" + "0" * 64,
    "e\u0301" * 30,
    "",
]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def running(seconds: int = 20, total: int = 4_000_000_000, items: int = 300, name: str = NAMES[0]) -> Meter:
    """A stage of which a quarter is done."""
    clock = Clock()
    meter = Meter("fetching", total, items, "blob", clock)
    meter.what, meter.where = name, "volume 2 of 9"
    for _ in range(seconds):
        clock.now += 1
        meter.done += total // 4 // seconds
        meter.finished += items // 4 // seconds
        meter.sample()
    return meter


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("total", "items"), [(0, 0), (0, 1000), (4_000_000_000, 0), (10**15, 10**6)])
def test_a_line_is_never_wider_than_it_may_be(name: str, total: int, items: int) -> None:
    meter = running(total=total, items=items, name=name)
    for width in range(1, 241):
        line = meter.line(width)
        assert cells(line) <= width
        assert line.isprintable() or "\u0301" in line


def test_a_line_of_80_columns_shows_items_rate_time_left_volume_and_image() -> None:
    assert running().line(79) == "fetching 25% 60/300 blobs 50.0 MB/s 1:00 left volume 2 of 9 nginx:1.27"


def test_a_line_of_40_columns_shows_what_tells_most() -> None:
    assert running().line(39) == "fetching 25% 60/300 -1:00 nginx:1.27"


def test_a_line_of_200_columns_shows_everything_and_a_bar() -> None:
    bar = f"[{'#' * 7}{'-' * 23}]"
    facts = "60/300 blobs 1.0 GB/4.0 GB 50.0 MB/s 1:00 left volume 2 of 9"
    assert running().line(199) == f"fetching 25% {bar} {facts} docker.io/library/nginx:1.27"


def test_the_rate_is_that_of_the_last_half_minute_so_what_an_earlier_run_left_does_not_count_for_long() -> None:
    clock = Clock()
    meter = Meter("fetching", 10_000, 0, "blob", clock)
    meter.done = 5000  # there already
    for _ in range(40):
        clock.now += 1
        meter.done += 10
        meter.sample()
    assert "10 B/s" in meter.plain()
    assert "7:40 left" in meter.plain()


def test_a_stage_of_unknown_length_tells_how_long_it_takes() -> None:
    clock = Clock()
    meter = Meter("flushing to the disk", 0, 0, "image", clock)
    clock.now += 3725
    assert meter.line(79) == "flushing to the disk 1:02:05"
    assert meter.plain() == "flushing to the disk: for 1:02:05"


def test_a_name_that_is_cut_keeps_its_end_and_counts_wide_characters_as_two() -> None:
    assert cells("日本e\u0301") == 5
    assert clipped("日本語:最新", 8, front=True) == "...:最新"
    assert clipped("日本語", 5) == "日..."
    assert clipped("anything", 2) == ".."
