"""``airgap resolve``: pin an image list into a lock."""

from __future__ import annotations

from typing import Annotated

import typer

from airgap.cli.commands.connected.diff import image_lines
from airgap.cli.commands.connected.locking import LockFile
from airgap.cli.options.asking import Asking, Lists, remark_lines
from airgap.cli.options.groups import grouped
from airgap.cli.options.outputs import HELP, taken
from airgap.cli.options.stores import Reach, ThreadsOption, registries
from airgap.cli.terminal.console import Each, InAll, Said
from airgap.errors import UsageError
from airgap.oci.image import Image
from airgap.text import plural, printable


@grouped
def resolve_command(
    lists: Lists,
    lock: Annotated[str | None, typer.Option("--lock", metavar="FILE", help=f"Write the lock to this file; {HELP}")] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Show what changed since the last lock and replace it. By default pins are kept.")
    ] = False,
    allow_lost: Annotated[
        bool, typer.Option("--allow-lost-signatures", help="Update even if signatures in the last lock are gone.")
    ] = False,
    asking: Asking = Asking(),
    reach: Reach = Reach(),
    threads: ThreadsOption = 4,
    said: Said = Said(),
) -> None:
    """Pin every reference of an image list to a digest: with all platforms, signatures and referrers.

    An existing lock is compared: additions are added; a change or loss of a pin is refused (exit code 3) unless you give --update.

    Example: airgap resolve images.txt --lock images.lock

    Example: airgap resolve images.txt --lock images.lock --update
    """
    file = LockFile.find(lock)
    console = said.console(taken(file.output))
    if update and file.last is None:
        raise UsageError("--update needs an existing lock", where=printable(lock or ""), expected="--lock FILE with the last lock")
    with asking.read(lists, reach, threads, console) as asked, registries(reach, threads, console, asked.settings) as store:
        found = asked.cargo(store).lock(console, threads)
    if taken(file.output):
        for line in remark_lines(found.remarks):
            console.say(line)
    changes = file.accept(found, update=update, allow_lost=allow_lost)
    file.write(found)
    if taken(file.output) and not said.as_json:
        return
    facts = {
        "images": [image.facts() for image in found.images],
        "manifest_count": len(found.manifests),
        "lock": lock,
        "changes": changes.facts() if changes else None,
        "remarks": list(found.remarks),
    }
    if changes is not None and update:
        console.result(facts, [*image_lines(changes), *remark_lines(found.remarks), f"updated      {lock}"])
        return
    lines: list[str] = [Each(f"{image.reference}  {image.root.digest}  {_extent(image)}") for image in found.images]
    lines.append(InAll(f"resolved     {plural(len(found.images), 'image')}"))
    if changes is not None:
        lines += [*image_lines(changes), f"{'unchanged' if changes.same else 'added to':<12} {lock}"]
    console.result(facts, [*lines, *remark_lines(found.remarks)])


def _extent(image: Image) -> str:
    return f"{plural(len(image.platforms), 'platform')}, {plural(image.attachment_count, 'attachment')}"
