"""``airgap watch``: import bundles as their volumes arrive."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap import fsio
from airgap.admission import site
from airgap.admission.roots import stamp
from airgap.cli.commands.site.landing import FromBucket, landing_of
from airgap.cli.commands.site.repairing import mender
from airgap.cli.options.groups import grouped
from airgap.cli.options.loading import Loading, Trusting
from airgap.cli.options.maps import read_map
from airgap.cli.options.stores import Reach, target_builder
from airgap.cli.options.turns import Leasing, writing
from airgap.cli.terminal.colours import coloured
from airgap.cli.terminal.console import Console, Quiet, Verbose, chosen
from airgap.cli.terminal.outcome import import_result
from airgap.errors import Interrupted, UsageError
from airgap.format.times import format_time
from airgap.importer.run import Destination, Imported
from airgap.limits import MAX_POLICY
from airgap.naming.mapping import FileTarget, TargetSpec, parse_target
from airgap.schemas.names import headed
from airgap.state import State
from airgap.text import printable
from airgap.watch.arrivals import Arrivals
from airgap.watch.attempts import Attempts
from airgap.watch.results import Results
from airgap.watch.watching import Site, Watcher, WatchEvent, watch

_LONGEST = 4000  # characters of one line


@grouped
def watch_command(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Where media are mounted, or where a data diode drops files; or s3://BUCKET/PREFIX."),
    ],
    to: Annotated[
        str,
        typer.Option("--to", metavar="TARGET", help="docker://HOST[:PORT][/PREFIX], oci:DIR, k3s:DIR or containers-storage:."),
    ],
    trusting: Trusting = Trusting(),
    once: Annotated[bool, typer.Option("--once", help="Import what is complete now, then exit.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.1, metavar="SECONDS", help="Time between scans.")] = 10.0,
    settle: Annotated[
        float, typer.Option("--settle", min=0.0, metavar="SECONDS", help="Treat a file as complete once unchanged for this long.")
    ] = 5.0,
    patience: Annotated[
        float,
        typer.Option(
            "--patience",
            min=0.0,
            metavar="SECONDS",
            help="How long an incomplete bundle may delay newer ones of its stream, and --repair waits, without new data; not with "
            "--once.",
        ),
    ] = 3600.0,
    results: Annotated[
        Path | None, typer.Option("--results", metavar="DIR", help="Write results here instead of beside the bundles.")
    ] = None,
    loading: Loading = Loading(),
    reach: Reach = Reach(),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line for every event.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Import bundles as their volumes arrive: below DIR, in any order, until SIGTERM or Ctrl-C.

    An incomplete bundle waits, and its missing files are listed. Bundles of one stream are imported in the order of their serials.
    The result of each is written beside it, as STREAM-SERIAL.result.json and .txt. A refused bundle is tried again when its files
    or the policy change. Exceptions, such as an older serial, are for `airgap import`.

    Example: airgap watch /srv/drop --to docker://registry.site:5000/mirror --policy policy.json

    Example: airgap watch /media --to oci:/srv/store --policy policy.json --once --json

    Example: airgap watch s3://incoming/site-a --to docker://registry.site:5000/mirror --policy policy.json
    """
    console = Console(as_json, quiet or as_json, verbose)
    spec = _target(to, loading.rules)
    where = trusting.directory
    signing = loading.signing(trusting.passphrase_file, needs_place=True)
    asked = trusting.terms(console.say, **loading.asked)  # a mistake in the policy is said now
    platforms = [str(one) for one in asked.platforms]
    plain = [] if loading.digest_tags else ["no digest tags"]
    leasing = Leasing(reach.options(loading.threads, console), not loading.no_lease)
    service = Site(
        destination=Destination(spec, target_builder(spec, reach, loading.threads, console, loading.files(signing))),
        signing=signing,
        state=where,
        purpose=json.dumps([str(spec), repr(getattr(spec, "rules", "")), platforms, signing.label, *plain, *sorted(asked.without)]),
        turn=lambda memory, told: writing(memory, spec, "airgap watch", loading.wait, told, leasing, signing),
        terms=lambda: trusting.terms(**loading.asked),
        conditions=_Conditions(
            Path(site.read_policy(trusting.policy)[1]),
            (where / site.REVOKED, *(path for path in (trusting.revoked, trusting.trusted_root) if path)),
            (
                asked.require_signed,
                asked.unnamed.texts,
                asked.demands.texts,
                trusting.max_age,
                loading.repair,
                *(s.key_id for s in asked.secrets),
            ),
            lambda: stamp(where),
        ),
        describe=lambda done: _described(done, str(spec), verbose),
        mend=mender(loading.repair, loading.scratch, where, console),
        importing=(
            *("--to", to, "--state", str(where)),
            *(("--policy", str(trusting.policy)) if trusting.policy else ()),
            *(word for rule in loading.rules or () for word in ("--map", rule)),
            *(word for platform in platforms for word in ("--platform", platform)),
        ),
    )
    with State(where):  # a memory that is lost or damaged is said now
        pass
    busy = UsageError("another airgap watch is using this state", where=printable(str(where)), hint="give each its own --state")
    with fsio.exclusive(where / "watch.lock", busy):
        attempts = Attempts(where / "watch.json")
        landing = landing_of(directory, service, attempts, loading.scratch or where, where / "results", results, console)
        shown = _Log(as_json, quiet, console, landing)
        if attempts.remark:
            shown(WatchEvent("remark", attempts.remark))
        watcher = Watcher(
            site=service,
            arrivals=landing.arrivals if landing else Arrivals(directory, settle),
            attempts=attempts,
            results=landing.results if landing else Results(directory, results, where / "results"),
            patience=0.0 if once else patience,
            progress=console,
            tell=shown,
        )
        code = _run(
            watcher,
            shown,
            f"{landing.place if landing else directory} for {spec}",
            lambda: watch(watcher, interval, 0.0 if landing else settle, once),
        )
    if code:
        raise typer.Exit(code)


def _described(done: Imported, target: str, verbose: bool) -> tuple[dict[str, Any], list[str]]:
    facts, lines = import_result(done, target, verbose)
    return facts, chosen(lines, quiet=False)


def _run(watcher: Watcher, tell: Callable[[WatchEvent], None], what: str, work: Callable[[], int]) -> int:
    """Run until a signal stops the service: between two imports that is an orderly end."""
    try:
        tell(WatchEvent("watching", what))
        return work()
    except Interrupted:
        if watcher.importing:
            tell(WatchEvent("stopped", "during an import, which continues at the next start", watcher.importing))
            raise
        tell(WatchEvent("stopped", "no import was running"))
        return 0


def _target(to: str, rules: list[str] | None) -> TargetSpec:
    spec = parse_target(to, read_map(rules))
    if isinstance(spec, FileTarget) and not spec.takes_several:
        raise UsageError(
            "this target holds only one bundle",
            where=str(spec),
            expected="docker://, oci:, k3s: or containers-storage:",
            hint="import single bundles with airgap import",
        )
    return spec


@dataclass(frozen=True)
class _Conditions:
    """A stamp that changes with the policy, a key file in it, revoked keys, trusted root or options, as far as stat shows."""

    policy: Path
    others: tuple[Path, ...]
    options: tuple[object, ...]
    installed: Callable[[], str]

    def __call__(self) -> str:
        raw = fsio.read_input(self.policy, MAX_POLICY, "policy")
        try:
            keys = sorted(set(_key_files(json.loads(raw))))
        except (ValueError, RecursionError):  # whoever reads the policy next says what is wrong with it
            keys = []
        return json.dumps(
            [self.options, self.installed(), [_stamp(file) for file in (self.policy, *self.others, *map(Path, keys))]]
        )


def _key_files(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name.endswith(("Path", "Paths")):
                yield from (text for text in (inner if isinstance(inner, list) else [inner]) if isinstance(text, str))
            else:
                yield from _key_files(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _key_files(inner)


def _stamp(path: Path) -> tuple[str, int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return str(path), status.st_ino, status.st_mtime_ns, status.st_size


class _Log:
    """One line for every event, on standard output."""

    def __init__(self, as_json: bool, quiet: bool, console: Console, landing: FromBucket | None) -> None:
        self._as_json = as_json
        self._landing = landing
        self._console = console
        self._quiet = quiet

    def __call__(self, event: WatchEvent) -> None:
        self._console.end()
        event = self._landing.renamed_event(event) if self._landing else event
        if self._as_json:
            at = format_time(dt.datetime.now(dt.UTC))
            head = {"at": at, "event": event.kind, "bundle": event.bundle, "message": event.text}
            sys.stdout.write(json.dumps(headed("watch-event", head | dict(event.facts) | head)) + "\n")
        elif not self._quiet or event.kind in ("imported", "refused", "failed", "waiting"):
            name = f"{event.bundle}: " if event.bundle else ""
            sys.stdout.write(coloured(printable(f"{event.kind:<9} {name}{event.text}", _LONGEST), sys.stdout) + "\n")
        sys.stdout.flush()
        if event.detail:
            sys.stderr.write(event.detail)
