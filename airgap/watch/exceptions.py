"""What to say of a refusal that a person may overrule: watch makes no exceptions, ``airgap import`` does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from airgap.errors import AirgapError
from airgap.text import command

#: The options of ``airgap import`` for a deliberate exception, as hints name them.
_OPTION = re.compile(r"--allow-[a-z-]+")


def name_import(error: AirgapError, paths: Sequence[Path], options: Sequence[str]) -> None:
    """Complete a hint that names such an option.

    Args:
        error: the error; its hint may change.
        paths: the directories of the bundle.
        options: those with which ``airgap import`` does what this watch does.
    """
    if exceptions := dict.fromkeys(_OPTION.findall(error.hint)):
        error.hint += f"; watch makes no exceptions, so run:\n  {command('airgap', 'import', *paths, *options, *exceptions)}"
