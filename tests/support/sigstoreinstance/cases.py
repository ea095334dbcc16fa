"""All cases that the conformance suite of Sigstore has, made here, and a few for forms that it has none of."""

from __future__ import annotations

from itertools import chain

from tests.support.sigstoreinstance import firstcases as first
from tests.support.sigstoreinstance import secondcases as second
from tests.support.sigstoreinstance.case import Case

CASES: tuple[Case, ...] = tuple(
    chain(
        first.forms(),
        first.contents(),
        first.inclusion(),
        first.certificates(),
        first.keys(),
        second.checkpoints(),
        second.entries(),
        second.times(),
    )
)
