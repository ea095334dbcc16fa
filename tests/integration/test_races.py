"""A sample of ``scripts/races``: two commands started together leave what one after the other leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.life import Life
from tests.support.meetings import MEETINGS, make_releases
from tests.support.races import Meeting, judge, shown

pytestmark = pytest.mark.slow("starts pairs of commands again and again; scripts/races has all of them, and more often")

_SAMPLE = (
    "import 1 / import 2", "import of another stream / prune", "import / rollback", "receipt / import, layout",
    "export / export, two places", "media copy / media copy", "keys / keys",
)  # fmt: skip


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return make_releases(tmp_path_factory.mktemp("releases"))


@pytest.mark.parametrize("meeting", [one for one in MEETINGS if one.name in _SAMPLE], ids=lambda one: one.name)
def test_two_commands_at_once_leave_what_one_after_the_other_leaves(meeting: Meeting, releases: Life, tmp_path: Path) -> None:
    judged = judge(meeting, tmp_path / "stage", releases, times=2, seed=7)
    assert not judged.wrong, shown(judged)
