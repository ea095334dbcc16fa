"""Image lists: what an operator asks for, read from text or several kinds of YAML. No I/O here.

``parse_list`` reads one file's bytes, ``merge_wishes`` joins those of several and refuses contradictions.
"""

from airgap.lists.entry import Entry, RegistrySettings, Selection, Wish, Wishes, merge_entries, merge_wishes
from airgap.lists.mistakes import together
from airgap.lists.parse import MAX_INPUT, parse_list
from airgap.lists.tags import MAX_CHOSEN, Chooser, TagRule
from airgap.lists.values import MAX_ENTRIES

__all__ = [
    "MAX_CHOSEN", "MAX_ENTRIES", "MAX_INPUT", "Chooser", "Entry", "RegistrySettings", "Selection", "TagRule", "Wish",
    "Wishes", "merge_entries", "merge_wishes", "parse_list", "together",
]  # fmt: skip
