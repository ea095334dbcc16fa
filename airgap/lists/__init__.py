"""Image lists: what an operator asks for, read from text or YAML into entries. No I/O here.

``parse_list`` reads one file's bytes, ``merge_entries`` joins the entries of several and refuses contradictions.
"""

from airgap.lists.entry import Entry, merge_entries
from airgap.lists.parse import MAX_INPUT, parse_list
from airgap.lists.values import MAX_ENTRIES

__all__ = ["MAX_ENTRIES", "MAX_INPUT", "Entry", "merge_entries", "parse_list"]
