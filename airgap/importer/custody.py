"""Check the custody logs that came with a bundle, and keep them in the site's history.

They decide nothing about the content; signatures do. A broken log is always reported, but refused only if the site requires
custody logs.
"""

from __future__ import annotations

from functools import partial

from airgap.admission.door import Signed
from airgap.admission.terms import Terms
from airgap.bundle.carried import read_custody
from airgap.bundle.media import Media
from airgap.documents.custody import Custody
from airgap.documents.custodysignatures import who_signed
from airgap.errors import Refused
from airgap.format import names
from airgap.format.catalog import Catalog
from airgap.oci.digest import Digest
from airgap.progress import Progress
from airgap.state import Carried, State
from airgap.text import listing, plural, printable

_HINT = "find out who had the media; to accept the bundle anyway, import it without --require-custody"


def check_custody(bundle: Signed, progress: Progress) -> Custody:
    """Read and check the logs.

    Args:
        bundle: the bundle; its terms say whether logs are required, and by which keys they are checked.
        progress: told about broken logs.

    Raises:
        Refused: logs are required, and there is none, one is broken, or an entry is not signed by one of the site's keys.
    """
    media, terms = bundle.media, bundle.terms
    custody = read_custody(media.carried, bundle.digest)
    if terms.custody_keys:
        custody = custody.checked(partial(_who, terms))
    for problem in custody.problems[:20]:
        progress.say(f"CUSTODY LOG BROKEN: {problem}")
    if terms.require_custody:
        _require(custody, media, terms)
    return custody


def _who(terms: Terms, content: bytes, form: str, signature: bytes) -> tuple[str, str]:
    return who_signed(content, form, signature, terms.custody_keys, terms.revoked)


def _require(custody: Custody, media: Media, terms: Terms) -> None:
    where = listing([str(directory) for directory in media.carried])
    missing = [str(one) for one in media.carried if str(one) not in custody.media]
    if custody.problems:
        raise Refused("the custody log is broken", where=where, got="; ".join(custody.problems[:5]), hint=_HINT)
    if missing:
        raise Refused("a medium has no custody log", where=listing(missing), expected=names.CUSTODY, hint=_HINT)
    unsigned = [entry for _, entry in custody.entries if entry.digest not in custody.seals]
    if terms.custody_keys and unsigned:
        raise Refused(
            "entries of the custody log are not signed by a key of the site",
            where=where,
            got=listing([f"entry {entry.number} of {printable(entry.who)}" for entry in unsigned], 5),
            hint=_HINT,
        )


def remarks_of(custody: Custody) -> list[str]:
    """Remarks about the logs, for people; none if there are no logs."""
    found = [f"CUSTODY LOG BROKEN: {problem}" for problem in custody.problems[:20]]
    if custody.entries:
        found.append(f"custody: {_outcome(custody)}")
    return found


def remember_custody(state: State, catalog: Catalog, digest: Digest, custody: Custody) -> None:
    """Keep the entries in the site's history."""
    if custody.entries or custody.problems:
        entries = [
            Carried(
                entry.digest,
                printable(medium),
                entry.at,
                entry.who,
                entry.where,
                entry.note,
                entry.checked.result if entry.checked else "",
                custody.vouched(entry),
            )
            for medium, entry in custody.entries
        ]
        problems = "; ".join(custody.problems[:20])
        state.record_custody(catalog.stream, catalog.serial, digest, entries, _outcome(custody), problems)


def _outcome(custody: Custody) -> str:
    signed = sum(entry.digest in custody.seals for _, entry in custody.entries)
    number = f"{len(custody.entries)} {'entry' if len(custody.entries) == 1 else 'entries'}"
    broken = f"; {plural(len(custody.problems), 'problem')}" if custody.problems else ""
    return f"carried by {listing(custody.carriers(), 10) or 'nobody'} ({number}, {signed} with a verified signature{broken})"
