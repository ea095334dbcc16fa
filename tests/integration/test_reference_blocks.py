"""Every block of the README and of the reference pages is run, or there is a reason why not; the list of both is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pages import run_commands
from tests.support.referenceblocks import NOT_RUN, RUN, all_blocks, script
from tests.support.tools import require


def test_every_block_is_run_or_has_a_reason_why_not() -> None:
    blocks = list(all_blocks())
    unknown = [block for block in blocks if (block.named(RUN) is None) == (block.named(NOT_RUN) is None)]
    assert unknown == []
    gone = [key for key in (*RUN, *NOT_RUN) if not any(key[0] == one.page and one.text.startswith(key[1]) for one in blocks)]
    assert gone == []
    assert (len(RUN), len(NOT_RUN), len(blocks)) == (18, 56, 76)  # a block more that is not run is seen here


@pytest.mark.slow("starts registries, and runs whole pages")
@pytest.mark.parametrize("page", sorted({page for page, _ in RUN}))
def test_the_blocks_of_a_page_work_as_they_stand(page: str, tmp_path: Path) -> None:
    for tool in ("docker-registry", "skopeo", "curl", "less", "unshare"):
        require(tool)
    done = run_commands(script(page, tmp_path), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
