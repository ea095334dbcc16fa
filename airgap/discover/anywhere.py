"""Images wherever a text has them, without knowing the fields that hold images: always only possible."""

from __future__ import annotations

import re

from airgap.discover.findings import Sheet
from airgap.discover.written import full_references, looks_like_image

_SHORT = re.compile(r"\b(?:docker|docker-image)://([a-z0-9][A-Za-z0-9._/:@-]{0,511}+)", re.ASCII)
_IMAGE_KEY = re.compile(r"[ \t-]*+[\"']?(?=[\w.-]*?image(?!\w*pull))[\w.-]++[\"']?[ \t]*+[:=]", re.IGNORECASE | re.ASCII)


def find_anywhere(
    text: str, sheet: Sheet, first_line: int = 1, *, literal: bool = True, exact: bool = True, comments: bool = False
) -> bool:
    """Note every full reference of a text as a possible image; whether one stands in a comment.

    Args:
        first_line: the number of the text's first line in its file.
        literal: whether the text's lines are lines of the file; else everything is in ``first_line``.
        exact: say what is a reference but for a variable or a mistake, too. Left out where text is no deployment's.
        comments: the text has lines of comments; what they name is a note.
    """
    commented = False
    for written in full_references(text):
        line = first_line + (written.line if literal else 0)
        if comments and written.comment:
            commented = True
            if not written.broken:
                sheet.note(line, "named in a comment", written.text)
        elif not written.broken:
            sheet.spot(written.text, line)
        elif exact:
            sheet.open(line, written.broken, written.text)
    if "docker" in text:
        line, at = 0, 0
        for found in _SHORT.finditer(text):
            line += text.count("\n", at, found.start())
            at = found.start()
            sheet.image(found[1], first_line + (line if literal else 0), sure=False)
    return commented


def find_in_lines(text: str, sheet: Sheet, first_line: int, *, literal: bool = True) -> bool:
    """Note what stands behind keys with ``image`` in their name in a text that does not parse; whether it had such keys.

    Full references are not its business: :func:`find_anywhere` has them.
    """
    seen = False
    for number, line in enumerate(text.split("\n")):
        found = _IMAGE_KEY.match(line)
        if found is None:
            continue
        seen = True
        value = line[found.end() :].strip().rstrip(",").strip("\"'")
        if looks_like_image(value):
            sheet.image(value, first_line + (number if literal else 0), sure=False)
    return seen
