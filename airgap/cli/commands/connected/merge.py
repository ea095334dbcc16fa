"""The command ``merge``: merge a chain of bundles into one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from airgap.admission.door import UnverifiedBundle, Whole, open_bundle
from airgap.admission.site import read_revoked
from airgap.admission.terms import Terms
from airgap.bundle.chain import Chain, Link, arrange
from airgap.bundle.diagnosis import diagnosing
from airgap.bundle.media import Media
from airgap.cli.commands.connected.export import export_result, tell
from airgap.cli.commands.connected.making import Making
from airgap.cli.options import inputs
from airgap.cli.options.bases import PatchLevelOption, PatchOption, Since, SinceKeyOption, SinceOption, open_bases
from airgap.cli.options.groups import grouped
from airgap.cli.options.stores import Reach, ThreadsOption
from airgap.cli.options.turns import WAIT, StreamWaitOption
from airgap.cli.terminal.console import Console, Said
from airgap.delta.merging import check_place, merge
from airgap.exporter.export import export
from airgap.exporter.request import Cargo, ExportRequest, FarSide
from airgap.state import Remembered, State
from airgap.text import command

Bundles = Annotated[
    list[Path], typer.Argument(metavar="BUNDLE...", help="The bundles' directories or media, in any order; all are needed.")
]
UnverifiedOption = Annotated[
    bool, typer.Option("--accept-unverified-bundles", help="Merge bundles without verifying their signatures.")
]


@grouped
def merge_command(
    bundles: Bundles,
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory to create the bundle's directory in.")],
    stream: Annotated[str, typer.Option("--stream", help="The stream of the bundles; the merged bundle gets its next serial.")],
    key: inputs.KeyOption,
    policy: inputs.PolicyOption = None,
    accept_unverified: UnverifiedOption = False,
    revoked: inputs.RevokedOption = None,
    making: Making = Making(),
    since: SinceOption = None,
    since_key: SinceKeyOption = None,
    patch: PatchOption = "auto",
    patch_level: PatchLevelOption = "default",
    reach: Reach = Reach(),
    threads: ThreadsOption = 4,
    restart: Annotated[bool, typer.Option("--restart", help="Discard an unfinished bundle with different content.")] = False,
    wait: StreamWaitOption = WAIT,
    state: inputs.StateOption = None,
    init_state: inputs.InitStateOption = False,
    passphrase_file: inputs.PassphraseOption = None,
    said: Said = Said(),
) -> None:
    """Merge the bundles of one stream into one: a chain of them, or a single bundle, for a site that starts late.

    The merged bundle holds what a site has after importing all of them in order: for each name the latest image, and every
    attachment. Patched layers are rebuilt from earlier bundles; nothing is fetched from a registry. If the chain begins with an
    incremental bundle, the merged bundle is for sites that have what that one builds on.

    Interrupted? Run the same command again: it continues where it stopped.

    Example: airgap merge /srv/out/prod-site-0001 /srv/out/prod-site-0002 /srv/out/prod-site-0003 --out /mnt/usb --stream prod-site
    --key keys/airgap.key --policy policy.json

    Example: airgap merge out/prod-site-0002 out/prod-site-0003 --since out/prod-site-0001 --out /mnt/usb --stream prod-site
    --key keys/airgap.key --policy policy.json
    """
    console = said.console()
    label, packing = making.label(stream), making.packing(patch, patch_level)
    signers = inputs.signers(key, passphrase_file)
    trust = _Trust(policy, accept_unverified, revoked, state, console)
    with (
        diagnosing(console, threads),
        State(inputs.state_directory(state), begin=init_state) as memory,
        open_bases(
            Since(since or (), since_key or (), threads, inputs.state_directory(state), trust.revoked), reach, console
        ) as bases,
    ):
        links = arrange([trust.open(paths) for paths in _together(bundles)], label.stream)
        chain = Chain(links, [base.content for base in bases if base.content is not None])
        notes = check_place(chain, label.serial, lambda below: memory.last_exported(label.stream, below))
        merged = merge(chain, bases)
        notes += merged.notes
        for note in notes:
            console.say(note)
        far_side = FarSide([*bases, *merged.bases], merged.patches, Remembered(links[-1].catalog.serial, links[-1].digest))
        cores = min(threads, os.cpu_count() or 1)  # rebuilding takes a core and memory
        cargo = Cargo(merged.lock, chain)
        request = ExportRequest(label, cargo, out, signers, packing, far_side, threads=cores, restart=restart, wait=wait)
        done = export(request, memory, console)
        facts, lines = export_result(done, signers)
        sources = [link.catalog.name for link in links]
        base = command("--since", done.path)
        later = f"next         export later bundles {base}: a site that imported only this one has nothing older"
        lines = [f"merged       {', '.join(sources)}", *lines, later]
        tell(console, memory, done, {**facts, "merged": sources, "notes": notes}, lines)


def _together(paths: Sequence[Path]) -> list[list[Path]]:
    """The paths of each bundle: those with the same catalog. A bundle may lie on several media."""
    found: dict[bytes, list[Path]] = {}
    for path in dict.fromkeys(paths):
        found.setdefault(Media.find([path]).catalog_raw, []).append(path)
    return list(found.values())


class _Trust:
    """Opens bundles and verifies them by the policy, unless the operator accepts them unverified."""

    def __init__(self, policy: Path | None, accept: bool, revoked: Path | None, state: Path | None, console: Console) -> None:
        directory = inputs.state_directory(state)
        self.revoked = read_revoked(revoked, directory)
        self._terms = None if accept and policy is None else Terms.of_site(directory, policy, revoked=revoked)
        self._console = console

    def open(self, paths: Sequence[Path]) -> Link:
        """One bundle. Raises ``Refused`` or ``Damaged``."""
        opened = UnverifiedBundle.at(paths) if self._terms is None else open_bundle(paths, self._terms.told(), Whole)
        catalog = opened.catalog
        if self._terms is None:
            self._console.say(f"{catalog.name}: signature not verified")
        if opened.expired:
            self._console.say(f"{catalog.name} expired at {catalog.expires}; the merged bundle has its own expiry")
        return Link(opened.digest, catalog, opened.volumes)
