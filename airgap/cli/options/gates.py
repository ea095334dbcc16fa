"""The options of ``export`` for the checks that images must pass before a bundle is finished, and for attachments."""

from __future__ import annotations

import contextlib
import datetime as dt
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from airgap import fsio
from airgap.admission import site
from airgap.cli.options.rooted import Rooted
from airgap.cli.options.scoped import Unnamed, demands_of
from airgap.cli.terminal.console import Console
from airgap.cli.terminal.outcome import attested_lines, unnamed_lines
from airgap.errors import UsageError
from airgap.exporter.export import Exported
from airgap.exporter.gates import Gates
from airgap.exporter.hooks import Hook
from airgap.layout import LayoutStore
from airgap.limits import MAX_ATTACHED_FILE
from airgap.oci.stores import Browsable, Target
from airgap.planning.attach import Attached, Wanted, check_sizes
from airgap.text import plural, printable
from airgap.trust.judge.terms import ImageTerms

VerifyOption = Annotated[
    Path | None,
    typer.Option(
        "--verify-images", metavar="POLICY", help="Stop unless this containers-policy.json(5) accepts every image's signatures."
    ),
]
RequireSignedOption = Annotated[
    bool, typer.Option("--require-signed", help="With --verify-images: refuse images that the policy would accept unsigned.")
]
GateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        metavar="CMD",
        help="Command to run for every image before the bundle is finished; it must exit with 0. Placeholders: {registry} {layout} "
        "{image} {digest}; with {platform} {platform-digest} {platform-layout} it runs for every platform. May be repeated.",
    ),
]
GateTimeoutOption = Annotated[
    int, typer.Option("--gate-timeout", min=1, metavar="SECONDS", help="Longest time that a gate may take for one image.")
]
AttachOption = Annotated[
    list[str] | None,
    typer.Option(
        "--attach",
        metavar="[IMAGE::]KIND=FILE",
        help="Attach a file to an image as referrer; may be repeated. KIND: sbom-spdx, sbom-cyclonedx, sarif, vuln, vex or a media "
        "type",
    ),
]


def terms_of(
    verify: Path | None,
    require_signed: bool,
    unnamed: Unnamed,
    attestations: Sequence[str] | None,
    rooted: Rooted,
    state: Path,
    say: Callable[[str], None],
) -> ImageTerms | None:
    """By what images are judged, when they are.

    Raises:
        UsageError: the file is no policy, or an option has no meaning without it.
        Refused: as ``Rooted.read``, which looks into ``state``.
    """
    if verify is None:
        given = {
            "--require-signed": require_signed,
            "--unnamed-signatures": unnamed.unnamed_signatures,
            "--accept-unnamed-sigstore-bundles": unnamed.accept_unnamed_bundles,
            "--attestations": attestations,
            "--trusted-root": rooted.trusted_root,
        }
        if option := next((name for name, value in given.items() if value), ""):
            raise UsageError(f"{option} needs a policy", expected="--verify-images POLICY")
        return None
    permitted = unnamed.unnamed
    policy = site.read_policy(verify)[0]
    demands, root = demands_of(attestations, policy), rooted.read(state, policy, say)
    return ImageTerms(policy, site.read_key, dt.datetime.now(dt.UTC), require_signed, permitted, demands, root)


def gates_of(commands: Sequence[str], seconds: int, scratch: Path | None, console: Console) -> Gates | None:
    """The commands, if any; layouts for them are made in ``scratch``, else among temporary files. Raises ``UsageError``."""
    if not commands:
        return None

    @contextlib.contextmanager
    def serve(store: Browsable) -> Iterator[str]:
        from airgap.server import Catalogue, RegistryServer  # here, for it takes time to load, and few have gates

        with RegistryServer(Catalogue(store), "127.0.0.1", 0, console.detail) as server:
            yield server.address

    @contextlib.contextmanager
    def lay_out() -> Iterator[tuple[Path, Target]]:
        place = scratch or Path(tempfile.gettempdir())
        fsio.make_directory(place, fsio.PRIVATE)
        with fsio.disk_errors("cannot create a directory", place):
            directory = fsio.TemporaryDirectory(place / "gate")
        with directory as made, LayoutStore(made / "layout") as layout:
            layout.prepare()
            yield layout.path, layout

    return Gates([Hook.parse(text) for text in commands], seconds, serve, lay_out, console.detail)


def attached_by(texts: Sequence[str]) -> list[Attached]:
    """The files to attach. Raises ``UsageError``."""
    found = [_read(Wanted.parse(text)) for text in texts]
    check_sizes(found)
    return found


def outcome_facts(done: Exported) -> dict[str, Any]:
    """What the images passed, for ``--json``."""
    return {
        "judgements": [judgement.facts() for judgement in done.judgements],
        "gates": [outcome.facts() for outcome in done.outcomes],
    }


def outcome_lines(done: Exported) -> list[str]:
    """The same for people."""
    lines = []
    if done.judgements:
        lines.append(f"accepted     {plural(len(done.judgements), 'image instance')} by the policy")
        lines += [*unnamed_lines(done.judgements), *attested_lines(done.judgements)]
    if done.outcomes:
        commands = {outcome.command for outcome in done.outcomes}
        images = {(outcome.image, outcome.digest) for outcome in done.outcomes}
        lines.append(f"passed       {plural(len(images), 'image')} through {plural(len(commands), 'gate')}")
    return lines


def _read(wanted: Wanted) -> Attached:
    path = Path(wanted.path)
    content = fsio.read_input(path, MAX_ATTACHED_FILE, "file to attach")
    if not content:
        raise UsageError("the file to attach is empty", where=printable(wanted.path))
    return Attached(wanted.image, wanted.media_type, path.name, content)
