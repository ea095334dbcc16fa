"""``airgap import``: verify a bundle and load it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from airgap.admission import site
from airgap.admission.door import believed_by
from airgap.admission.terms import Terms
from airgap.bundle.media import Media
from airgap.bundle.several import OnMedia, several
from airgap.cli.commands.site.importwork import Senders
from airgap.cli.commands.site.repairing import mender
from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.options.loading import AllowExpired, Loading, Paths, Trusting
from airgap.cli.options.maps import read_map
from airgap.cli.options.stores import Reach, target_builder
from airgap.cli.options.targets import takes_signatures, with_signatures
from airgap.cli.options.turns import BreakLeaseOption, Leasing, writing
from airgap.cli.terminal.batch import Batch, PassedOver, Told
from airgap.cli.terminal.buckets import from_buckets
from airgap.cli.terminal.console import Console, Said
from airgap.cli.terminal.outcome import import_result, preview_result
from airgap.errors import BaseMissing, Damaged, SeveralBundles
from airgap.importer import order, run
from airgap.importer.importing import import_bundle
from airgap.importer.preview import preview
from airgap.importer.run import Destination
from airgap.naming.mapping import FileTarget, parse_target
from airgap.state import State

RequireCustody = Annotated[
    bool, typer.Option("--require-custody", help="Refuse media whose custody log is missing or broken (airgap media log).")
]
CustodyKey = Annotated[
    list[Path] | None,
    typer.Option(
        "--custody-key",
        metavar="FILE",
        help="Public key to verify custody logs with; may be repeated. With --require-custody each entry must be signed with one.",
    ),
]


@grouped
@from_buckets("paths")
def import_command(
    paths: Paths,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="TARGET",
            help="docker://HOST[:PORT][/PREFIX] or oci:DIR; or a new oci-archive:FILE, docker-archive:FILE, dir:DIR, k3s:DIR; or "
            "containers-storage:.",
        ),
    ],
    trusting: Trusting = Trusting(),
    loading: Loading = Loading(),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Verify everything and show what would be done; write nothing.")
    ] = False,
    replace_names: Annotated[
        bool, typer.Option("--replace-names", help="Take over repositories that earlier imports created for another source.")
    ] = False,
    partial: Annotated[bool, typer.Option("--partial", help="Load the complete images even if volumes are missing.")] = False,
    allow_older: Annotated[bool, typer.Option("--allow-older", help="Accept a serial older than the newest imported.")] = False,
    allow_expired: AllowExpired = False,
    allow_jump: Annotated[bool, typer.Option("--allow-jump", help="Accept a serial far ahead of the last one.")] = False,
    allow_fork: Annotated[
        bool, typer.Option("--allow-fork", help="Accept a bundle whose predecessor is not the one imported here.")
    ] = False,
    allow_clock_behind: inputs.ClockOption = False,
    require_custody: RequireCustody = False,
    custody_key: CustodyKey = None,
    break_lease: BreakLeaseOption = False,
    scheduler: Annotated[
        str,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Let the workers of this Dask scheduler send large blobs to the registry, such as tcp://HOST:8786.",
        ),
    ] = "",
    reach: Reach = Reach(),
    init_state: inputs.InitStateOption = False,
    said: Said = Said(),
) -> None:
    """Verify a bundle and load it: all or nothing, with names set last.

    Interrupted? Run the same command again. Importing the same bundle again does nothing.

    Media that hold several bundles: they are imported one after the other, in the order of their serials. One that fails stops its
    stream; other streams continue, and what was imported stays.

    Example: airgap import /mnt/usb --to docker://registry.site:5000/mirror --policy policy.json --map prefix=docker.io/library=base
    --dry-run

    With --scheduler several machines send the large blobs, each with its own credentials; PATH must be the same on all of them.

    Example: airgap import /shared/in --to docker://registry.site:5000/mirror --policy policy.json --scheduler tcp://10.0.0.5:8786
    """
    console = said.console()
    spec = parse_target(to, read_map(loading.rules))
    where, threads = trusting.directory, loading.threads
    crew = Senders.of(scheduler, spec, loading.repair, reach, threads)
    custody_keys = tuple(site.read_key(str(key)) for key in custody_key or ())

    def terms(say: Callable[[str], None] | None = None) -> Terms:
        return trusting.terms(
            say,
            allow_expired=allow_expired,
            allow_older=allow_older,
            allow_jump=allow_jump,
            allow_fork=allow_fork,
            allow_clock_behind=allow_clock_behind,
            partial=partial,
            replace_names=replace_names,
            require_custody=require_custody,
            custody_keys=custody_keys,
            **loading.asked,
        )

    asked = terms(console.say)  # a mistake is said now, not after others are done
    found: list[OnMedia] = []
    with contextlib.suppress(Damaged):  # which the import itself says, and keeps in the history
        found = several(paths, believed_by(asked), console.say)
        if not found:
            Media.find(paths)
    if found and isinstance(spec, FileTarget) and not spec.takes_several:
        raise SeveralBundles([(one.name, one.directories) for one in found], f"{spec} takes one bundle, and there are several here")
    if dry_run:
        destination = Destination(spec, target_builder(spec, reach, threads, console))

        def look(directories: Sequence[Path], one: OnMedia | None = None) -> Told | PassedOver:
            return _preview(directories, destination, terms(), where, console, one, found)

        _tell(paths, found, look, Batch(console, "previewed", name="import-dry-run"))
        return
    given = loading.signing(trusting.passphrase_file, needs_place=not takes_signatures(spec))
    mend = mender(loading.repair, loading.scratch, where, console)
    leasing = Leasing(reach.options(threads, console), not loading.no_lease, break_lease)

    def load(directories: Sequence[Path], one: OnMedia | None = None) -> Told | PassedOver:
        with (
            with_signatures(spec, given) as signing,
            State(where, begin=init_state) as memory,
            writing(memory, spec, "airgap import", loading.wait, console.say, leasing, signing) as turn,
        ):
            why = order.passed_over(one, found, memory, run.memory_key(spec, terms(), signing), allow_older) if one else ""
            if why:
                return PassedOver(why)
            destination = Destination(spec, target_builder(spec, reach, threads, console, loading.files(signing)), crew)
            done = import_bundle(directories, destination, terms(), memory, console, turn, signing, mend)
        return import_result(done, str(spec), said.verbose)

    _tell(paths, found, load, Batch(console, "imported", in_order=True))


def _tell(paths: Sequence[Path], found: Sequence[OnMedia], work: Callable[..., Told | PassedOver], batch: Batch) -> None:
    """Import one bundle and print its result, or several one after the other."""
    if found:
        batch.run(found, lambda one: work(one.directories, one))
    elif not isinstance(told := work(paths), PassedOver):
        batch.console.result(*told, batch.name)


def _preview(
    paths: Sequence[Path],
    destination: Destination,
    terms: Terms,
    directory: Path,
    console: Console,
    one: OnMedia | None,
    found: Sequence[OnMedia],
) -> Told | PassedOver:
    with State(directory) if State.exists(directory) else contextlib.nullcontext() as memory:
        key = run.memory_key(destination.spec, terms, None)
        if one and memory is not None and (why := order.passed_over(one, found, memory, key, terms.allow_older)):
            return PassedOver(why)
        try:
            shown = preview(paths, destination, terms, memory, console)
        except BaseMissing:
            first = order.before(one, found) if one else None
            if first is None:
                raise
            return PassedOver(f"nobody can tell before {first.name} is imported, which it builds on")
    return preview_result(shown, str(destination.spec))
