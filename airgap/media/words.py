"""What a check found, for people in the field and for machines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from airgap.bundle import damage
from airgap.bundle.damage import blocks
from airgap.format.catalog import Catalog
from airgap.media.check import CheckReport, CopyFinding, FileState
from airgap.media.survey import Medium
from airgap.oci.digest import Digest
from airgap.text import human_size, listing, plural, printable

_NO_KEYS = "this shows that the media match the catalog on them, not who made it: `airgap verify` checks that with keys"


def summary(reports: Sequence[CheckReport]) -> tuple[str, int]:
    """The result and the exit code of a whole check: the worst of its bundles."""
    worst = max(reports, key=lambda report: report.exit_code)
    return worst.result, worst.exit_code


def lines(reports: Sequence[CheckReport]) -> list[str]:
    """The whole result, a paragraph for every bundle."""
    shown: list[str] = []
    for report in reports:
        shown += [*_of_bundle(report), ""]
    return [*shown, f"note         {_NO_KEYS}"]


def facts(reports: Sequence[CheckReport]) -> dict[str, Any]:
    """The whole result as one document."""
    result, code = summary(reports)
    return {"result": result, "exit_code": code, "bundles": [_bundle_facts(report) for report in reports]}


def take_back(finding: CopyFinding) -> str:
    """What to do with a bad copy."""
    return f"take {finding.copy.medium.name} back"


def trouble(finding: CopyFinding) -> str:
    """What is wrong with a bad copy: ``is damaged in 2 blocks (4, 9)``."""
    copy, all_of = finding.copy, len(finding.copy.file.blocks)
    if not copy.regular:
        return copy.problem
    if finding.foreign:
        return f"is a different file: {finding.foreign}"
    said = [copy.problem] if copy.problem else []
    rest = [number for number in finding.damaged if number not in finding.unreadable]
    if finding.unreadable:
        said.append(f"cannot be read in {blocks(finding.unreadable, all_of)}")
    if rest and not (copy.problem and len(rest) == 1 and not finding.unreadable):
        said.append(f"is damaged in {blocks(rest, all_of)}")
    if len(rest) == all_of > 1 and not copy.problem:
        said.append("it may belong to another bundle")
    return "; ".join(said) or f"is damaged in {blocks(finding.damaged, all_of)}"


def _of_bundle(report: CheckReport) -> Iterator[str]:
    catalog = report.survey.catalog
    counts = [
        plural(len(catalog.volumes), "volume"),
        plural(len(catalog.images), "image") if isinstance(catalog, Catalog) else "encrypted",
    ]
    counts[1:1] = [plural(len(catalog.parity), "parity file")] if catalog.parity else []
    yield f"bundle       {catalog.name}: {', '.join(counts)}, {human_size(sum(file.size for file in catalog.files))}"
    yield f"catalog      {Digest.of(report.survey.raw)}, made {catalog.created}"
    for medium in report.survey.media:
        yield from _of_medium(report, medium)
    for state in report.files:
        if state.word == "missing" and not state.brought:
            yield f"{'elsewhere' if report.subset and not state.expected else 'MISSING':<12} {_whereabouts(report, state)}"
        elif state.brought:
            yield f"{'sent again' if state.good else 'MISSING':<12} {_brought(state)}"
    yield from (f"UNREADABLE   {error.where}: {error.what}" for error in report.unreadable)
    lost = {number for number, state in enumerate(report.files, 1) if not state.good}
    if lost and not (report.subset and report.result == "good"):
        yield f"without it   {damage.costs(catalog, lost)}"
    yield f"result       {_verdict(report)}"
    yield from (f"next         {step}" for step in _next(report))


def _of_medium(report: CheckReport, medium: Medium) -> Iterator[str]:
    found = [(state, one) for state in report.files for one in state.findings if one.copy.medium == medium]
    good = [state for state, one in found if one.good]
    if medium.supplement:
        yield f"supplement   {printable(str(medium.path))}"
    else:
        yield f"{medium.name if medium.disks else 'disk':<12} {printable(str(medium.path))}: {plural(len(good), 'file')} good"
    yield from (f"DAMAGED      {medium.title}: {printable(problem)}" for problem in medium.problems)
    for state, one in found:
        if not one.good:
            yield f"DAMAGED      {state.title} {trouble(one)}: {take_back(one)}{_instead(state, one)}"
    here = [path for path in report.companions if path.parent == medium.path]
    yield from (f"DAMAGED      {path.name} on {medium.name} does not match the catalog: copy it again" for path in here)
    strangers = [path.name for path in report.survey.strangers if path.parent == medium.path]
    if strangers:
        yield f"FOREIGN      {listing(strangers)} on {medium.name}: not part of this bundle, move it away"
    yield from (f"note         {medium.title}: {printable(note)}" for note in medium.notes)


def _instead(state: FileState, bad: CopyFinding) -> str:
    """Where else a good copy is."""
    others = [other.copy.medium.title for other in state.findings if other.good and other is not bad]
    if others:
        return f"; the one on {listing(others, 3)} is good"
    if state.good:
        return "; the supplement has the damaged blocks"
    several = len(state.findings) > 1 and not state.lost
    return "; but each of its blocks is good on some disk" if several else ""


def _whereabouts(report: CheckReport, state: FileState) -> str:
    if not state.home:
        return f"{state.title} is on none of these disks"
    own = {medium.disks.own for medium in report.survey.media if medium.disks}
    if state.home in own:
        return f"{state.title} should be on disk {state.home}, but is not: take disk {state.home} back"
    return f"{state.title} is on disk {state.home}"


def _brought(state: FileState) -> str:
    count = blocks(sorted(state.brought), len(state.file.blocks))
    left = "" if state.good else f", but {blocks(sorted(state.lost), len(state.file.blocks))} are still missing"
    return f"{state.title}: the supplement has {count}{left}"


def _verdict(report: CheckReport) -> str:
    if report.result == "good":
        away = [state for state in report.files if state.word == "missing"]
        if not away:
            return "good: everything is here and undamaged"
        return f"good: everything that belongs on {_which(report)} is here and undamaged; {_elsewhere(away)}"
    if report.result == "incomplete":
        return f"incomplete: everything here is good; {plural(len(report.wanted), 'file')} missing"
    gone = sum(not state.findings for state in report.wanted)
    unread = bool(report.bad) and all(one.unreadable == one.damaged for one in report.bad)
    counts = f"{plural(len(report.bad), 'copy')} {'unreadable' if unread else 'damaged'}" if report.bad else "not as written"
    counts += f", {plural(gone, 'file')} missing" if gone else ""
    whole = "; good copies of all volumes are here" if report.complete else ""
    return f"{report.result}: {counts}{whole}"


def _which(report: CheckReport) -> str:
    several = len(report.survey.media) > 1
    return "these disks" if several else "this disk"


def _elsewhere(away: Sequence[FileState]) -> str:
    labels = sorted({state.home for state in away if state.home})
    where = f"on disk {listing(labels)}" if labels else "on other disks"
    return f"{plural(len(away), 'other file')} {where}"


def _next(report: CheckReport) -> Iterator[str]:
    catalog, places = report.survey.catalog, [medium.path for medium in report.survey.media]
    if report.result in ("good", "incomplete") and all(not state.findings for state in report.wanted):
        if report.result == "incomplete":
            yield "give the directories of the other disks too, or check these alone with --subset"
        if not report.complete and report.healable:
            yield f"if the missing disk is lost, rebuild its files: {damage.repair_command(catalog, places)}"
        elif report.result == "incomplete":
            yield f"if the missing disk is lost, write a resend request for it: {damage.request_command(catalog, places)}"
        return
    if report.complete:
        yield "leave the bad copies out or copy them again from the original"
    elif report.healable:
        command = damage.repair_command(catalog, places)
        yield f"copy the damaged files again from the original, or rebuild them without it: {command}"
    else:
        yield "copy the damaged files again from the original"
        command = damage.request_command(catalog, places)
        yield f"if the original is out of reach, write a resend request for the lost blocks: {command}"


def _bundle_facts(report: CheckReport) -> dict[str, Any]:
    catalog, one = report.survey.catalog, report.survey
    return {
        "bundle": catalog.name,
        "stream": catalog.stream,
        "serial": catalog.serial,
        "catalog": str(Digest.of(one.raw)),
        "result": report.result,
        "complete": report.complete,
        "subset": report.subset,
        "repair": "" if report.result == "good" or report.complete else "parity" if report.healable else "resend",
        "media": [
            {
                "path": str(medium.path),
                "disk": medium.disks.own if medium.disks else "",
                "problems": list(medium.problems),
                "notes": list(medium.notes),
                "contradicting": [path.name for path in report.companions if path.parent == medium.path],
                "foreign": [path.name for path in one.strangers if path.parent == medium.path],
            }
            for medium in one.media
        ],
        "files": [_file_facts(state) for state in report.files],
        "lost_images": report.costs,
        "unreadable": [error.facts() for error in report.unreadable],
    }


def _file_facts(state: FileState) -> dict[str, Any]:
    return {
        "name": state.file.name,
        "size": state.file.size,
        "state": state.word,
        "disk": state.home,
        "expected_here": state.expected,
        "lost_blocks": sorted(state.lost),
        "resent_blocks": sorted(state.brought),
        "copies": [
            {
                "path": str(one.copy.path),
                "good": one.good,
                "trouble": "" if one.good else trouble(one),
                "damaged_blocks": list(one.damaged),
                "unreadable_blocks": list(one.unreadable),
                "other_file": one.foreign,
            }
            for one in state.findings
        ],
    }
