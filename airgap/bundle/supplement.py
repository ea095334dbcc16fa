"""The supplement: some blocks of a bundle's files, sent again. Each is proved by the signed catalog, so it needs no signature.

A directory ``<bundle>-resend-<id of the request>/`` with the bundle's catalog and signatures, ``supplement.json``, the blocks one
after another in ``resend-0001.bin`` and so on, ``SHA256SUMS`` and ``CHECK.txt``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.bundle.volumes import Stretch
from airgap.documents.request import Range, ResendRequest, block_length, files_of, ranges, read_ranges
from airgap.errors import Damaged
from airgap.format import names
from airgap.format.outline import Outline
from airgap.limits import MAX_SUPPLEMENT
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.text import human_size, plural, printable

SCHEMA = "airgap.supplement/1"
_FIELDS = frozenset({"schema", "catalog", "request", "files"})

#: Some blocks of one file of the bundle.
Run = tuple[str, Range]


@dataclass(frozen=True)
class Supplement:
    """What ``supplement.json`` says.

    Attributes:
        catalog: the digest of the catalog of the bundle that it belongs to.
        request: the digest of the request that it answers.
        files: for ``resend-0001.bin`` and so on, what blocks lie in it one after another.
    """

    catalog: Digest
    request: Digest
    files: tuple[tuple[Run, ...], ...]

    @classmethod
    def answering(cls, request: ResendRequest, catalog: Outline) -> Supplement:
        """Lay out the blocks that a request asks for: whole blocks to a file, none larger than the bundle's volumes may be."""
        limit = min(catalog.volume_size or names.PRESETS["fat32"], names.PRESETS["fat32"])
        known, files, left = files_of(catalog), list[list[tuple[str, int]]](), -1
        for name, number in request.blocks():
            length = block_length(known[name], number)
            if length > left:
                files.append([])
                left = limit
            files[-1].append((name, number))
            left -= length
        return cls(request.catalog, Digest.of(request.to_bytes()), tuple(tuple(_runs(blocks)) for blocks in files))

    def places(self, catalog: Outline) -> Iterator[tuple[str, int, str, int, int]]:
        """Where every block lies: file of the bundle, block, file of the supplement, offset and length in bytes.

        Raises:
            Damaged: the bundle has no such block.
        """
        known = files_of(catalog)
        left = sum(len(file.blocks) for file in known.values())
        for i, runs in enumerate(self.files, 1):
            offset = 0
            for name, (first, last) in runs:
                if name not in known or last >= len(known[name].blocks):
                    got = f"block {last} of {printable(name, 60)}"
                    raise Damaged("the supplement has a block that the bundle does not have", where=names.SUPPLEMENT, got=got)
                left -= last + 1 - first
                if left < 0:
                    raise Damaged("the supplement has more blocks than the bundle", where=names.SUPPLEMENT)
                for number in range(first, last + 1):
                    length = block_length(known[name], number)
                    yield name, number, names.resend_name(i), offset, length
                    offset += length

    def to_bytes(self) -> bytes:
        """The exact bytes of ``supplement.json``."""
        files = [[[name, first, last] for name, (first, last) in runs] for runs in self.files]
        top = {"schema": SCHEMA, "catalog": self.catalog, "request": self.request, "files": files}
        return strictjson.canonical(top) + b"\n"

    @classmethod
    def from_bytes(cls, raw: bytes, where: str) -> Supplement:
        """Read a ``supplement.json`` from anywhere. Raises ``Damaged``."""
        top = strictjson.parse_object(raw, where)
        if top.get("schema") != SCHEMA or set(top) != _FIELDS:
            raise Damaged("not a supplement", where=where, expected=SCHEMA, got=printable(str(top.get("schema")), 60))
        files = tuple(_parse_runs(value, where) for value in strictjson.array(top["files"], where))
        return cls(Digest.parse(top["catalog"], where), Digest.parse(top["request"], where), files)


def read_supplements(directories: Iterable[Path], catalog: Outline, digest: Digest) -> dict[str, dict[int, Stretch]]:
    """The blocks that supplements bring, by the file of the bundle they belong to. They are not read here.

    Args:
        directories: the supplements' directories.
        catalog: the verified catalog.
        digest: of its exact bytes.

    Raises:
        Damaged: a supplement belongs to another bundle, or is damaged or incomplete.
    """
    found: dict[str, dict[int, Stretch]] = {}
    for directory in directories:
        where = printable(str(directory / names.SUPPLEMENT))
        supplement = Supplement.from_bytes(fsio.read_capped(directory / names.SUPPLEMENT, MAX_SUPPLEMENT), where)
        if supplement.catalog != digest:
            raise Damaged(
                "the supplement is for another bundle",
                where=where,
                expected=f"{catalog.name}, catalog {digest}",
                got=f"catalog {supplement.catalog}",
                hint="leave it out and use the supplement made from this bundle's resend request",
            )
        sizes: dict[str, int] = {}
        for name, number, file, offset, length in supplement.places(catalog):
            found.setdefault(name, {}).setdefault(number, Stretch(directory / file, offset, length))
            sizes[file] = offset + length
        _check_sizes(directory, sizes)
    return found


def check_txt(supplement: Supplement, catalog: Outline) -> bytes:
    """``CHECK.txt`` of a supplement, CRLF so that every editor shows it."""
    counts: dict[str, int] = {}
    size = 0
    for name, _, _, _, length in supplement.places(catalog):
        counts[name] = counts.get(name, 0) + 1
        size += length
    known = files_of(catalog)
    listed = "".join(f"  {name}  {count} of {plural(len(known[name].blocks), 'block')}\n" for name, count in counts.items())
    text = f"""This supplements a transfer bundle of container images, made by airgap. It holds what was damaged or lost of

  bundle    {catalog.name}   (stream {catalog.stream}, serial {catalog.serial})
  catalog   {supplement.catalog}

Take it along with the media of that bundle, which need not be changed, and name its directory beside theirs:

  airgap import BUNDLE... THIS-DIRECTORY --to TARGET --policy POLICY

Whether it is complete and undamaged itself:

Linux:    sha256sum -c {names.SUMS}
macOS:    shasum -a 256 -c {names.SUMS}
Windows:  certutil -hashfile {names.resend_name(1)} SHA256

Content, {human_size(size)} in {plural(len(supplement.files), "file")}:
{listed}"""
    return text.replace("\n", "\r\n").encode()


def _check_sizes(directory: Path, sizes: Mapping[str, int]) -> None:
    for file, size in sizes.items():
        found = fsio.DirectoryTree(directory).size(file)
        if found != size:
            raise Damaged(
                "the supplement is damaged or incomplete",
                where=printable(str(directory / file)),
                expected=f"a file of {size} bytes",
                got="none" if found is None else f"{found} bytes",
                hint="copy this file again from where the supplement was made",
            )


def _runs(blocks: Iterable[tuple[str, int]]) -> Iterator[Run]:
    by_name: dict[str, list[int]] = {}
    for name, number in blocks:
        by_name.setdefault(name, []).append(number)
    return ((name, found) for name, numbers in by_name.items() for found in ranges(numbers))


def _parse_runs(value: object, where: str) -> tuple[Run, ...]:
    runs: list[Run] = []
    for item in strictjson.array(value, where):
        parts: list[Any] = strictjson.array(item, where)
        if len(parts) != 3:
            raise Damaged("not a valid run of blocks", where=where, expected="[FILE, FIRST, LAST]", got=printable(str(parts), 80))
        runs.append((strictjson.string(parts[0], where), read_ranges([parts[1:]], where)[0]))
    return tuple(runs)
