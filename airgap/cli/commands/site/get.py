"""``airgap get``: take files and charts out of a registry, a store or a bundle."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from airgap.admission.terms import Terms
from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.options.stores import Reach, registries
from airgap.cli.terminal.console import Each, Said
from airgap.oci.places import Place, is_place
from airgap.oci.reference import Reference
from airgap.registry import WebFiles
from airgap.sources.opened import OpenPlaces
from airgap.sources.places import PlaceOptions
from airgap.sources.taking import WrittenFile, take
from airgap.text import human_size, printable


@grouped
def get_command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A reference such as registry.site/mirror/airgap.local/files/tool:1, or oci:DIR:NAME, bundle:DIR:NAME.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="File, or existing directory. Default: its own name, here.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    policy: inputs.PolicyOption = None,
    revoked: inputs.RevokedOption = None,
    reach: Reach = Reach(),
    state: inputs.StateOption = None,
    said: Said = Said(),
) -> None:
    """Take files and charts out of a registry, store or bundle.

    Each is verified by its digest; a bundle's signature is verified by the site's policy first. Registries and stores hold
    what an import has admitted.

    Example: airgap get registry.site:5000/mirror/airgap.local/files/install.sh:1.4 -o install.sh

    Example: airgap get bundle:/mnt/usb/prod-site-0007:airgap.local/files/install.sh:1.4
    """
    console = said.console()
    if is_place(what):
        terms = partial(Terms.of_site, inputs.state_directory(state), policy, revoked=revoked)
        with OpenPlaces(PlaceOptions(terms=terms, say=console.say, web=lambda: WebFiles(reach.options(1, console)))) as places:
            reference, placed = places.image(Place.parse(what))
            found = take(placed.source, placed.repository, placed.root, reference, out, force=force)
    else:
        reference = Reference.parse(what.removeprefix("docker://"))
        with registries(reach, 1, console) as store:
            manifest = store.manifest(reference.repository, reference.selector)
            found = take(store, reference.repository, manifest, reference, out, force=force)
    facts = {
        "image": str(reference),
        "files": [{"path": str(one.path), "bytes": one.layer.size, "digest": one.layer.digest} for one in found],
    }
    console.result(facts, [Each(_line(one)) for one in found])


def _line(one: WrittenFile) -> str:
    return f"wrote        {printable(str(one.path))} ({human_size(one.layer.size)}, {one.layer.digest})"
