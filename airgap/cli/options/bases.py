"""Open what ``--since`` names: a receipt, an earlier bundle or its catalog, or a registry or store to scan."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from airgap import __version__, fsio
from airgap.admission import site
from airgap.bundle.media import Media
from airgap.bundle.store import BundleStore
from airgap.cli.options.stores import Reach, registry
from airgap.cli.terminal.console import Console
from airgap.delta.bases import Base, of_catalog
from airgap.documents.holdings import Holdings
from airgap.documents.receipt import Receipt
from airgap.documents.receiptsignatures import check_receipt_signatures, signature_files
from airgap.errors import Damaged, UsageError
from airgap.format import names
from airgap.format.outer import Unverified
from airgap.format.times import format_time
from airgap.layout import LayoutReader, LayoutStore
from airgap.lifecycle.scan import ScanPart, scan, scan_store, what_is_remembered
from airgap.limits import MAX_CATALOG, MAX_RECEIPT
from airgap.naming.mapping import LayoutTarget, RegistryTarget, parse_store
from airgap.naming.meant import meant_target
from airgap.oci.digest import Digest
from airgap.text import printable
from airgap.trust.keys.revoked import Revoked

SinceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--since",
        metavar="BASE",
        help="What the site already has: a receipt, an earlier bundle or its catalog.json, docker://HOST[/PREFIX] or oci:DIR; "
        "may be repeated.",
    ),
]
SinceKeyOption = Annotated[
    list[Path] | None, typer.Option("--since-key", metavar="FILE", help="The site's public key; receipts must be signed with it.")
]
PATCHES = ("never", "auto", "always")
PatchOption = Annotated[
    str,
    typer.Option(
        "--patch", metavar="never|auto|always", help="Carry layers as patches of earlier versions (auto) or of any layer (always)."
    ),
]
PatchLevelOption = Annotated[
    str, typer.Option("--patch-level", metavar="fast|default|best|smallest", help="Effort spent on making patches small.")
]


@dataclass(frozen=True)
class Since:
    """What the options say about bases, the state that knows what was imported into which target, and revoked keys."""

    names: Sequence[str]
    keys: Sequence[Path]
    threads: int
    state: Path
    revoked: Revoked = field(default_factory=Revoked)


@contextlib.contextmanager
def open_bases(since: Since, reach: Reach, console: Console) -> Iterator[list[Base]]:
    """Read every base.

    Raises:
        UsageError: a name is not a valid base.
        Refused: a receipt is not signed with the site's keys.
        RegistryError: a registry cannot be scanned.
    """
    with contextlib.ExitStack() as stack:
        opened = [_open(name, since, reach, console, stack) for name in since.names]
        yield list({base.digest: base for base in reversed(opened)}.values())[::-1]  # a base that is named twice is one


def one_of(text: str, option: str, known: Iterable[str]) -> str:
    """An option with few values. Raises ``UsageError``."""
    if text not in known:
        raise UsageError("unknown value", where=option, expected=" or ".join(known), got=printable(text))
    return text


def _open(name: str, since: Since, reach: Reach, console: Console, stack: contextlib.ExitStack) -> Base:
    if name.startswith(("docker://", "oci:")):
        return _scanned(name, since, reach, console, stack)
    path = Path(name)
    if path.is_dir():
        return _catalog(name, Media.find([path]).catalog_raw, path, console)
    try:
        raw = fsio.read_input(path, max(MAX_RECEIPT, MAX_CATALOG), "base")
    except UsageError as error:
        meant = meant_target(name, ())
        error.hint = f"did you mean {printable(meant)}?" if meant.startswith("docker://") else error.hint
        raise
    if raw.lstrip()[:200].find(b"airgap.receipt/") >= 0:
        return _receipt(path, raw, since, console)
    beside = path.name == names.CATALOG and (path.parent / names.volume_name(1)).exists()
    return _catalog(name, raw, path.parent if beside else None, console)


def _catalog(name: str, raw: bytes, directory: Path | None, console: Console) -> Base:
    """A base from a catalog and the volumes in ``directory``, which tell more precisely what the site has where."""
    with _reading(name):
        catalog = Unverified.read(raw).readable()
    store = None
    if directory is not None:
        try:
            store = BundleStore(catalog, Media.find([directory]).locate(catalog))
        except Damaged as error:
            console.say(f"base {printable(name)}: its layers are read from their source instead, for {error}")
    return of_catalog(name, raw, catalog, store)


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except Damaged as error:
        raise UsageError(
            f"invalid base: {error.what}",
            where=printable(name),
            expected="a receipt, an earlier bundle, its catalog.json, docker://HOST[/PREFIX] or oci:DIR",
            got=error.got,
        ) from error


def _receipt(path: Path, raw: bytes, since: Since, console: Console) -> Base:
    where = printable(str(path))
    if since.keys:
        keys = [site.read_key(str(key)) for key in since.keys]
        signers = check_receipt_signatures(raw, signature_files(path), keys, where, since.revoked)
        console.say(f"receipt {where}: signed by {', '.join(signers)}")
    else:
        console.say(f"receipt {where}: signature not verified (give --since-key)")
    with _reading(where):
        receipt = Receipt.from_bytes(raw, where)
    return Base(where, Digest.of(raw), receipt.holdings, receipt=receipt)


def _scanned(name: str, since: Since, reach: Reach, console: Console, stack: contextlib.ExitStack) -> Base:
    spec = parse_store(name)
    content: LayoutReader | None = None
    known, _ = what_is_remembered(since.state, spec)
    if isinstance(spec, RegistryTarget):
        with registry(reach, since.threads, console) as store:
            holdings = scan(store, ScanPart(spec.host, spec.prefix), console, since.threads, known=known)
    elif isinstance(spec, LayoutTarget):
        content = stack.enter_context(contextlib.closing(LayoutStore(spec.directory)))
        holdings = scan_store(content, console, [digest for _, digest in known])
    return Base(name, _as_receipt(name, holdings), holdings, content=content)


def _as_receipt(name: str, holdings: Holdings) -> Digest:
    """A scan is identified by the digest that its receipt would have, whenever it was made."""
    moment = format_time(dt.datetime.fromtimestamp(0, dt.UTC))
    return Digest.of(Receipt("scan", moment, f"airgap {__version__}", name, {}, holdings).to_bytes())
