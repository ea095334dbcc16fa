"""``airgap verify``: check a bundle as an import would, and load nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from airgap.admission.door import believed_by
from airgap.bundle.several import several
from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.options.loading import AllowExpired, Paths, Trusting
from airgap.cli.options.stores import Reach, ThreadsOption, target_builder
from airgap.cli.terminal.batch import Batch, Told
from airgap.cli.terminal.buckets import from_buckets
from airgap.cli.terminal.console import Said
from airgap.cli.terminal.outcome import bundle_facts, judgement_lines, trust_lines
from airgap.importer import run
from airgap.importer.run import Destination, Verified
from airgap.naming.mapping import parse_store
from airgap.text import plural


@grouped
@from_buckets("paths")
def verify_command(
    paths: Paths,
    trusting: Trusting = Trusting(),
    deep: Annotated[bool, typer.Option("--deep", help="Also rebuild every layer that is carried as a patch.")] = False,
    held_at: Annotated[
        str,
        typer.Option(
            "--held-at", metavar="TARGET", help="Target that holds the blobs an incremental bundle builds on; implies --deep."
        ),
    ] = "",
    allow_expired: AllowExpired = False,
    allow_clock_behind: inputs.ClockOption = False,
    reach: Reach = Reach(),
    threads: ThreadsOption = 2,
    said: Said = Said(),
) -> None:
    """Check a bundle's signatures and every byte: by the policy, and by the signed catalog. Loads nothing.

    Media that hold several bundles: each is verified, in the order of stream and serial.

    Example: airgap verify /mnt/usb1 /mnt/usb2 --policy policy.json
    """
    console = said.console()
    more = {"allow_expired": allow_expired, "allow_clock_behind": allow_clock_behind, "threads": threads}
    terms = trusting.terms(console.say, **more)
    spec = parse_store(held_at) if held_at else None
    destination = Destination(spec, target_builder(spec, reach, threads, console)) if spec else None

    def verified(directories: Sequence[Path]) -> Told:
        done = run.verify(directories, terms, console, deep or destination is not None, destination)
        return _result(done, said.verbose)

    found = several(paths, believed_by(terms), console.say)
    if found:
        Batch(console, "verified").run(found, lambda one: verified(one.directories))
    else:
        console.result(*verified(paths))


def _result(done: Verified, verbose: bool) -> Told:
    facts = bundle_facts(done.opened) | {
        "verified": True,
        "judgements": [judgement.facts() for judgement in done.opened.judgements],
    }
    lines = [*trust_lines(done.opened), *judgement_lines(done.opened.judgements, verbose, bool(done.opened.verdict.signers))]
    if done.rebuilt is not None:
        facts |= {"rebuilt_blobs": done.rebuilt.count, "not_rebuilt": [str(digest) for digest in done.rebuilt.skipped]}
        lines.append(f"rebuilt      {plural(done.rebuilt.count, 'blob')} from patches")
        if done.rebuilt.skipped:
            skipped = plural(len(done.rebuilt.skipped), "blob")
            lines.append(f"not rebuilt  {skipped}: built on blobs that the site holds; name their target with --held-at TARGET")
    return facts, [*lines, "verified     complete, undamaged, trusted"]
