"""``airgap trust``: what the site trusts of a Sigstore instance: pinned once, then brought up to date from bundles."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap.admission import roots
from airgap.admission.terms import Terms
from airgap.cli.options import inputs
from airgap.cli.options.decrypting import DecryptOption, site_secrets
from airgap.cli.options.groups import grouped
from airgap.cli.options.rooted import STOP, WARN, Rooted, StopOption, WarnOption
from airgap.cli.terminal.console import Console, Said
from airgap.errors import Interrupted
from airgap.format.times import format_time
from airgap.state import State
from airgap.text import plural
from airgap.trust.sigstore.installed import Installed
from airgap.trust.sigstore.rootchanges import Change, parts_of

trust = typer.Typer(no_args_is_help=True, help="Pin, update and show what is trusted of a Sigstore instance.")

_PLACE, _PATIENCE = "sigstore root", 60.0  # seconds
_SIGNS = {"added": "+", "removed": "-"}


@trust.command("pin")
@grouped
def pin_command(
    root: Annotated[
        Path, typer.Argument(metavar="ROOT.JSON", help="A root of the instance's TUF repository, such as 1.root.json.")
    ],
    replaced: Annotated[
        bool, typer.Option("--replace", help="Forget what is known, for another instance or because it is damaged.")
    ] = False,
    init_state: inputs.InitStateOption = False,
    state: inputs.StateOption = None,
    said: Said = Said(),
) -> None:
    """Pin the root from which every later one is followed: the one thing that is trusted because you say so.

    Take it from a source that you trust, such as the instance's own repository on two ways, and compare the digest that is shown.

    Example: airgap trust pin 1.root.json
    """
    console = said.console()
    with (
        State(inputs.state_directory(state), begin=init_state) as memory,
        memory.turn([_PLACE], "airgap trust pin", _PATIENCE, console.say),
    ):
        done, fresh = roots.pin(memory, root, _now(), replace=replaced)
    digest = done.trust.roots[done.version]
    lines = [f"{'pinned' if fresh else 'known':<12} root version {done.version}, {digest}"]
    facts = {"root_version": done.version, "root_digest": str(digest), "already_there": not fresh}
    console.result(facts, [*lines, "next         airgap trust update BUNDLE"] if done.target is None else lines)


@trust.command("update")
@grouped
def update_command(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="A bundle that carries a trusted root (export --carry-root), or a copy of a TUF repository."
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Install it without asking.")] = False,
    policy: inputs.PolicyOption = None,
    revoked: inputs.RevokedOption = None,
    allow_clock_behind: inputs.ClockOption = False,
    decrypt_key: DecryptOption = None,
    passphrase_file: inputs.PassphraseOption = None,
    state: inputs.StateOption = None,
    said: Said = Said(),
) -> None:
    """Verify a newer trusted root from the one that is pinned, show what changes, and install it if you say so.

    Nothing is installed without --yes, or a yes at a terminal. What a bundle carries must have been current when the bundle was
    made; a copy of a repository must be current now. Nothing ever leads back to an older one.

    Example: airgap trust update /mnt/usb --policy policy.json

    Example: airgap trust update /srv/tuf-mirror --yes
    """
    console, directory, now = said.console(), inputs.state_directory(state), _now()
    offer = roots.offered(paths, lambda: _terms(directory, policy, revoked, decrypt_key, passphrase_file, allow_clock_behind), now)
    with State(directory) as memory, memory.turn([_PLACE], "airgap trust update", _PATIENCE, console.say):
        update = roots.look(memory, offer, now)
        installed = yes or _wanted(console, update)
        if installed:
            roots.install(memory, update)
    found = update.after
    facts = {
        "source": found.source,
        "installed": installed,
        "root_version_before": update.before.version,
        **_facts(found),
        "root_changes": [change.facts() for change in update.changes],
        "remarks": list(offer.remarks),
    }
    lines = [*(f"note         {remark}" for remark in offer.remarks), *_update_lines(update), *map(_line, update.changes)]
    end = "installed" if installed else "not changed  nothing was installed: repeat it with --yes"
    console.result(facts, [*lines, end])


@trust.command("show")
@grouped
def show_command(
    root_warn_age: WarnOption = WARN,
    root_max_age: StopOption = STOP,
    state: inputs.StateOption = None,
    said: Said = Said(),
) -> None:
    """Show what is installed of a Sigstore instance: versions, age, and every log and authority.

    Example: airgap trust show
    """
    console, directory, now = said.console(), inputs.state_directory(state), _now()
    ages = Rooted(None, root_warn_age, root_max_age).ages
    found, floor = None, None
    if State.begun(directory):
        with State(directory) as memory:
            found, floor = roots.installed_in(memory), memory.latest_time()
    if found is None:
        facts: dict[str, Any] = dict.fromkeys(("root_version", "root_digest", "current", "source", "age_days"))
        console.result(
            {**facts, "installed": False, "parts": [], "warnings": []}, ["nothing is pinned: airgap trust pin ROOT.JSON"]
        )
        return
    age = None if found.current is None else roots.age_of(found, now, floor)
    warnings = [] if age is None else list(_warnings(age, ages))
    root = found.trusted_root
    parts = [] if root is None else parts_of(root)
    facts = {**_facts(found), "source": found.source, "age_days": None if age is None else age.days, "installed": root is not None}
    lines = [
        f"root         version {found.version}, {found.trust.roots[found.version]}",
        f"from         {found.source}, {format_time(found.installed)}",
    ]
    if found.current is None or age is None:
        lines.append("not updated  only a root is pinned: airgap trust update BUNDLE")
    else:
        lines.append(f"current      {format_time(found.current)}, {plural(age.days, 'day')} ago")
    lines += [f"trusted      {part}" for part in parts]
    facts |= {"parts": [part.facts() for part in parts], "warnings": warnings}
    console.result(facts, [*lines, *(f"warning      {one}" for one in warnings)])


def _terms(
    directory: Path, policy: Path | None, revoked: Path | None, keys: list[Path] | None, passphrase: Path | None, behind: bool
) -> Terms:
    asked = Terms.of_site(directory, policy, revoked=revoked, secrets=site_secrets(keys, passphrase))
    return replace(asked, allow_clock_behind=behind)


def _wanted(console: Console, update: roots.Update) -> bool:
    """Whether whoever sits at the terminal says yes; without a terminal nobody does."""
    if console.as_json or not sys.stdin.isatty():
        return False
    for line in (*_update_lines(update), *map(_line, update.changes)):
        typer.echo(line, err=True)
    try:
        return typer.confirm("install it?", err=True)
    except typer.Abort:
        raise Interrupted("a question was not answered", hint="start again, or give --yes") from None


def _facts(found: Installed) -> dict[str, Any]:
    return {
        "root_version": found.version,
        "root_digest": str(found.trust.roots[found.version]),
        "current": None if found.current is None else format_time(found.current),
    }


def _update_lines(update: roots.Update) -> Iterator[str]:
    before, after = update.before, update.after
    yield f"from         {after.source}"
    yield (
        f"root         version {before.version} -> {after.version}"
        if before.version != after.version
        else f"root         version {after.version}"
    )
    if after.current is not None:
        yield f"current      {format_time(after.current)}"
    if not update.changes:
        yield "the same     no log and no authority changes"


def _line(change: Change) -> str:
    return f"{_SIGNS.get(change.what, '~')} {change.what:<10} {change.part}"


def _warnings(age: dt.timedelta, ages: roots.Ages) -> Iterator[str]:
    if age >= ages.stop:
        yield f"it is too old (root-max-age {ages.stop.days}d): keyless signatures are not judged by it any more"
    elif age >= ages.warn:
        yield f"it grows old (root-warn-age {ages.warn.days}d): bring a newer one"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)
