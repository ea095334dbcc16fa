"""Every parser of bytes from outside, in one table that three checks walk: hostile bytes, work, memory. A new parser is a row.

A row has what an honest input looks like, from which hostile ones are made, and inputs that grow: where a parser does more than
look at each part a fixed number of times, four times the input is more than four times the work.
"""

from __future__ import annotations

from tests.support.parserrow import Parser
from tests.support.parserrows import charts, deployments, documents, files, lists, network, signatures, sigstore, words

PARSERS: tuple[Parser, ...] = tuple(
    row for module in (documents, files, lists, charts, deployments, signatures, sigstore, network, words) for row in module.rows()
)
