"""What ``export`` and ``merge`` are told about the bundle that they make: options declared once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from airgap.cli.options import inputs
from airgap.cli.options.bases import PATCHES, one_of
from airgap.cli.options.decrypting import site_keys
from airgap.exporter.request import Label, Packing
from airgap.format import names
from airgap.patch.zstd import EFFORTS
from airgap.text import human_size, plural

VolumeOption = Annotated[
    str | None, typer.Option("--volume-size", help="Largest volume size: 4GiB, 25GB, or fat32, dvd, dvd-dl, bd25, bd50.")
]
ParityOption = Annotated[
    int,
    typer.Option("--parity", min=0, max=255, help="Parity files: as many lost volumes can be rebuilt (media repair)."),
]


@dataclass(frozen=True)
class Making:
    """How a bundle is made: its volumes, its serial and its times."""

    volume_size: VolumeOption = None
    parity: ParityOption = 0
    serial: Annotated[int | None, typer.Option("--serial", min=1, max=names.MAX_SERIAL, help="Default: the stream's next.")] = None
    created: Annotated[str | None, typer.Option("--created", help="RFC 3339. Default: SOURCE_DATE_EPOCH, else now.")] = None
    expires: Annotated[str | None, typer.Option("--expires", help="Time, RFC 3339, or a number of days such as 90d.")] = None

    def label(self, stream: str) -> Label:
        """What the bundle is called, and its times. Raises ``UsageError``."""
        label = Label(names.check_stream(stream), self.serial, inputs.created_time(self.created), inputs.expiry(self.expires))
        inputs.check_period(label.created, label.expires)
        return label

    def packing(self, patch: str, patch_level: str, encrypt_to: Sequence[Path] | None = None) -> Packing:
        """How it is written. Raises ``UsageError``."""
        size = names.volume_size(self.volume_size) if self.volume_size else None
        effort = one_of(patch_level, "--patch-level", EFFORTS)
        return Packing(size, self.parity, one_of(patch, "--patch", PATCHES), effort, site_keys(encrypt_to))


def parity_lines(volumes: int, sizes: Sequence[int]) -> list[str]:
    """What the parity files can rebuild, and their size."""
    if not sizes:
        return []
    count = plural(len(sizes), "parity file")
    worth = "each a copy of the volume" if volumes == 1 else f"any {plural(min(len(sizes), volumes), 'lost volume')} can be rebuilt"
    return [f"parity       {count}, {human_size(sum(sizes))}: {worth}"]
