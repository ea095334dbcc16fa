"""The results of the importing commands: facts for machines, lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from airgap.admission.door import Judged
from airgap.cli.terminal.console import Each, InAll
from airgap.importer.preview import Preview
from airgap.importer.run import Imported
from airgap.text import human_size, listing, plural
from airgap.trust.judge.judging import Judgement
from airgap.trust.policy.demands import NAME as ATTESTATIONS
from airgap.trust.policy.unnamed import NAME


def bundle_facts(opened: Judged) -> dict[str, Any]:
    """Facts about a verified bundle."""
    catalog = opened.catalog
    return {
        "bundle": catalog.name,
        "stream": catalog.stream,
        "serial": catalog.serial,
        "catalog": str(opened.digest),
        "image_count": len(catalog.images),
        "volume_count": len(catalog.volumes),
        "bytes": catalog.total_size,
        "scope": opened.verdict.scope,
        "signers": list(opened.verdict.signers),
        "reasons": list(opened.verdict.reasons),
    }


def trust_lines(opened: Judged) -> list[str]:
    """Which bundle it is and who signed it."""
    catalog = opened.catalog
    size = f"{plural(len(catalog.images), 'image')}, {plural(len(catalog.volumes), 'volume')}, {human_size(catalog.total_size)}"
    return [
        f"bundle       {catalog.name}: {size}",
        f"signed by    {', '.join(opened.verdict.signers) or 'nobody: the policy accepts anything'}",
    ]


def judgement_lines(judgements: Sequence[Judgement], verbose: bool, signed: bool = True) -> list[str]:
    """Why images were accepted: a line per image and reason with the platforms that it holds for, or with -v one per instance.

    One line for all images of which no signature was required, unless ``verbose``; ``signed`` says whether the bundle had to be.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    unsigned = {one.reference for one in judgements if not one.verdict.signature_required}
    by_own = {one.reference for one in judgements if one.verdict.signature_required}
    for judgement in judgements:
        if verbose or judgement.verdict.signature_required:
            each = judgement.instance.short if verbose else ""
            platform = judgement.platform or ("no platform stated" if verbose else judgement.instance.short)
            reason = f"{judgement.verdict.reason} ({judgement.verdict.scope})"
            found.setdefault((str(judgement.reference), each, reason), []).append(platform)
    lines: list[str] = []
    if unsigned and not verbose:
        on = "on the bundle's signature" if signed else "unsigned: the policy requires no signature of the bundle"
        which = f"{plural(len(unsigned), 'image')} " if by_own else ""
        lines = [f"accepted     {which}{on}; no image signatures required"]
    for (reference, each, reason), platforms in found.items():
        of = listing(list(dict.fromkeys(platforms)))
        lines.append(Each(f"accepted     {reference}{f' {each}' if each else ''} ({of}): {reason}"))
    return [
        *lines,
        *([InAll(f"accepted     {plural(len(by_own), 'image')} by their signatures")] if by_own and not verbose else []),
        *unnamed_lines(judgements),
        *attested_lines(judgements),
    ]


def unnamed_lines(judgements: Sequence[Judgement]) -> Iterator[str]:
    """One line about the images that were accepted by a signature without a name, if there are any."""
    decided = {one.reference: scope for one in judgements for scope in one.verdict.unnamed_scopes}
    if decided:
        scopes = listing([scope or '""' for scope in sorted(set(decided.values()))], 8)
        yield f"unnamed      {plural(len(decided), 'image')} by signatures that name no image ({NAME}: {scopes})"


def attested_lines(judgements: Sequence[Judgement]) -> Iterator[str]:
    """One line about the images that had the attestations that the site demands, if there are any."""
    decided = {one.reference: scope for one in judgements for scope in one.verdict.demand_scopes}
    if decided:
        scopes = listing([scope or '""' for scope in sorted(set(decided.values()))], 8)
        yield f"attested     {plural(len(decided), 'image')} by the attestations that are demanded ({ATTESTATIONS}: {scopes})"


def import_result(done: Imported, target: str, verbose: bool) -> tuple[dict[str, Any], list[str]]:
    """The result of an import."""
    facts = bundle_facts(done.opened) | {
        "target": target,
        "names": [{"source": str(source), "destination": str(destination)} for source, destination in done.names.items()],
        "rebuilt": [str(reference) for reference in done.rebuilt],
        "left_out": [str(reference) for reference in done.left_out],
        "not_held": list(done.not_held),
        "without": dict(done.without),
        "repaired": [
            {"file": one.name, "present": one.present, "rebuilt_blocks": one.rebuilt, "copied_blocks": one.copied}
            for one in done.repaired
        ],
        "judgements": [judgement.facts() for judgement in done.opened.judgements],
        "remarks": list(done.remarks),
        "already_there": done.loaded is None,
        "sent_bytes": done.loaded.sent if done.loaded else 0,
        "sent_blobs": done.loaded.sent_blobs if done.loaded else 0,
        "present_blobs": done.loaded.present_blobs if done.loaded else 0,
        "mounted_blobs": done.loaded.mounted_blobs if done.loaded else 0,
        "rebuilt_blobs": done.loaded.rebuilt_blobs if done.loaded else 0,
        "dropped_signatures": done.loaded.dropped_signatures if done.loaded else 0,
    }
    lines = [*trust_lines(done.opened), *(f"repaired     {one}" for one in done.repaired)]
    lines += [f"note         {remark}" for remark in done.remarks]
    if done.loaded is None:
        lines.append(f"nothing to do: {target} already has everything")
        return facts, lines
    lines += judgement_lines(done.opened.judgements, verbose, bool(done.opened.verdict.signers))
    lines += [Each(f"loaded       {source} -> {destination}") for source, destination in done.names.items()]
    lines.append(InAll(f"loaded       {plural(len(done.names), 'image')} into {target}"))
    lines += [
        f"rebuilt      {name}: some platforms are left out, so its digest changed and a signature on the index no longer applies"
        for name in done.rebuilt
    ]
    lines += [f"left out     {name}: volumes are missing" for name in done.left_out]
    lines += [f"not held     {name}: {target.partition(':')[0]} cannot hold it" for name in done.not_held]
    if done.loaded.dropped_signatures:
        lines.append(f"dropped      {plural(done.loaded.dropped_signatures, 'lookaside file')} without a GPG signature")
    made = f", {done.loaded.rebuilt_blobs} of them rebuilt from patches" if done.loaded.rebuilt_blobs else ""
    lines.append(f"sent         {human_size(done.loaded.sent)} in {plural(done.loaded.sent_blobs, 'blob')}{made}")
    return facts, lines


def preview_result(found: Preview, target: str) -> tuple[dict[str, Any], list[str]]:
    """The result of a dry run."""
    opened = found.found.opened
    facts = bundle_facts(opened) | {
        "target": target,
        "dry_run": True,
        "names": [
            {
                "source": str(change.source),
                "destination": str(change.destination),
                "now": str(change.before) if change.before else None,
                "then": str(change.after),
                "change": change.word,
            }
            for change in found.changes
        ],
        "rebuilt": [str(reference) for reference in found.found.rebuilt],
        "left_out": [str(reference) for reference in found.found.left_out],
        "without": dict(found.found.without),
        "remarks": list(found.remarks),
        "send_bytes": found.to_send_bytes,
        "send_blobs": found.to_send,
        "present_blobs": found.present,
        "held_blobs": found.held,
        "repositories": [
            {"repository": str(one.repository), "exists": one.exists, "push_allowed": one.allowed} for one in found.outlooks
        ],
        "unknown": list(found.unknown),
    }
    lines = [*trust_lines(opened), *(f"note         {remark}" for remark in found.remarks)]
    for change in found.changes:
        now = f", which is {change.before} now" if change.word == "moved" else ""
        lines.append(Each(f"{change.word:<12} {change.source} -> {change.destination}{now}"))
    words = Counter(change.word for change in found.changes)
    lines += [InAll(f"{word:<12} {plural(count, 'image')}") for word, count in words.items()]
    lines += [f"rebuilt      {name}: some platforms are left out, so its digest will change" for name in found.found.rebuilt]
    lines += [f"left out     {name}: volumes are missing" for name in found.found.left_out]
    if found.held:
        lines.append(f"held         {plural(found.held, 'blob')} not in the bundle, all present at the target")
    lines.append(
        f"to send      {human_size(found.to_send_bytes)} in {plural(found.to_send, 'blob')}; {found.present} already there"
    )
    lines += [f"not known    {what}" for what in found.unknown]
    return facts, [*lines, "dry run      everything was verified, nothing was written"]
