"""``airgap inspect``: what a bundle says about itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airgap import fsio
from airgap.bundle.media import Media
from airgap.bundle.several import several, unverified
from airgap.cli.options.decrypting import DecryptOption, site_secrets
from airgap.cli.options.groups import PassphraseOption, grouped
from airgap.cli.terminal.batch import Batch, Told
from airgap.cli.terminal.buckets import from_buckets
from airgap.cli.terminal.console import Each, InAll, Said
from airgap.format.catalog import Catalog, Volume
from airgap.format.names import TRUSTED_ROOT
from airgap.format.outer import Sealed, Unverified
from airgap.text import human_size, plural

if TYPE_CHECKING:
    from airgap.cipher.sites import SiteSecret


@grouped
@from_buckets("bundle", whole=False)
def inspect_command(
    bundle: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="The bundle's directory or media.")],
    decrypt_key: DecryptOption = None,
    passphrase_file: PassphraseOption = None,
    said: Said = Said(),
) -> None:
    """Show what a bundle says about itself. Verifies nothing: see `airgap verify`.

    The content of an encrypted bundle is shown only with --decrypt-key.

    Media that hold several bundles: all are shown, in the order of stream and serial.

    Example: airgap inspect /mnt/usb/prod-site-0007
    """
    console = said.console()
    secrets = site_secrets(decrypt_key, passphrase_file) if decrypt_key else ()
    found = several(bundle, unverified, console.say)
    if found:
        Batch(console, "shown").run(found, lambda one: _inspect(one.directories, secrets))
    else:
        console.result(*_inspect(bundle, secrets))


def _inspect(directories: Sequence[Path], secrets: Sequence[SiteSecret]) -> Told:
    media = Media.find(directories)
    outer = Unverified.read(media.catalog_raw).claims
    catalog = _opened(outer, secrets) if secrets else outer
    readable = catalog if isinstance(catalog, Catalog) else None
    recipients = [wrapped.key_id for wrapped in outer.recipients] if isinstance(outer, Sealed) else []
    here = {file.name for file in catalog.files for one in media.directories if fsio.is_there(one / file.name)}
    facts = {
        "bundle": catalog.name,
        "stream": catalog.stream,
        "serial": catalog.serial,
        "created": catalog.created,
        "expires": catalog.expires,
        "tool": readable.tool if readable else "",
        "previous": readable.previous if readable else None,
        "images": [image.facts() for image in readable.images] if readable else [],
        "blob_count": len(readable.blobs) if readable else 0,
        "volumes": [_file(volume, here) for volume in catalog.volumes],
        "parity": [_file(parity, here) for parity in catalog.parity],
        "bytes": catalog.total_size,
        "signatures": sorted(media.signatures),
        "encrypted_to": recipients,
        "carries_root": readable is not None and readable.trusted_root is not None,
        "verified": False,
    }
    carries = [f"carries      {TRUSTED_ROOT} (not checked here): airgap trust update"] if facts["carries_root"] else []
    return facts, [*_inspect_lines(catalog, media, here), *(f"encrypted    to key {key_id}" for key_id in recipients), *carries]


def _file(file: Volume, here: Collection[str]) -> dict[str, Any]:
    return {"name": file.name, "size": file.size, "sha256": file.sha256, "present": file.name in here}


def _line(word: str, file: Volume, here: Collection[str]) -> str:
    line = f"{word:<12} {file.name}  {file.size} bytes  {file.sha256}"
    return Each(line) if file.name in here else f"{line}  MISSING here"


def _opened(outer: Catalog | Sealed, secrets: Sequence[SiteSecret]) -> Catalog | Sealed:
    from airgap.format import sealed  # here, for it loads what decrypts, and most bundles are not encrypted

    return sealed.unseal(outer, secrets)


def _inspect_lines(catalog: Catalog | Sealed, media: Media, here: Collection[str]) -> list[str]:
    images = catalog.images if isinstance(catalog, Catalog) else ()
    size = f"encrypted, {human_size(catalog.total_size)}; --decrypt-key shows the content"
    if isinstance(catalog, Catalog):
        size = f"{plural(len(images), 'image')}, {plural(len(catalog.blobs), 'blob')}, {human_size(catalog.total_size)}"
    lines = [
        f"bundle       {catalog.name}, created {catalog.created}, expires {catalog.expires or 'never'}",
        f"content      {size}",
    ]
    for image in images:
        lines.append(Each(f"  {image.reference}  {image.root.digest}"))
        lines.append(
            Each(f"      {', '.join(image.platforms) or 'no platform stated'}; {plural(image.attachment_count, 'attachment')}")
        )
    lines += [_line("volume", volume, here) for volume in catalog.volumes]
    lines += [_line("parity", parity, here) for parity in catalog.parity]
    lines.append(InAll(f"volumes      {len(catalog.volumes)}, and {plural(len(catalog.parity), 'parity file')}"))
    lines += [f"signature    {name} (not checked here)" for name in sorted(media.signatures)]
    return lines
