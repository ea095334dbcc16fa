"""Build the stores that the flows work on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from airgap.cli.console import Console
from airgap.importer.mapping import LayoutTarget, RegistryTarget
from airgap.layout import LayoutStore
from airgap.oci.stores import Target
from airgap.registry import RegistryOptions, RegistryStore

InsecureOption = Annotated[
    list[str] | None,
    typer.Option(
        "--insecure-registry",
        help="HOST[:PORT] spoken to over plain HTTP; may be repeated. Loopback always is.",
        metavar="HOST[:PORT]",
    ),
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, max=64, help="How many blobs move at a time.")]


@contextlib.contextmanager
def registries(insecure: Sequence[str] | None, threads: int, console: Console) -> Iterator[RegistryStore]:
    """All registries of the world, as one store."""
    options = RegistryOptions(insecure=frozenset(insecure or ()), connections=threads + 2, say=console.say)
    store = RegistryStore(options)
    try:
        yield store
    finally:
        store.close()


def target_builder(
    spec: RegistryTarget | LayoutTarget, insecure: Sequence[str] | None, threads: int, console: Console
) -> Callable[[], contextlib.AbstractContextManager[Target]]:
    """What opens the target when the time has come."""

    @contextlib.contextmanager
    def build() -> Iterator[Target]:
        if isinstance(spec, LayoutTarget):
            with contextlib.closing(LayoutStore(spec.directory)) as layout:
                yield layout
        else:
            with registries(insecure, threads, console) as store:
                yield store

    return build


def is_layout(path: Path) -> bool:
    """Whether a directory is an OCI layout rather than a bundle."""
    return (path / "oci-layout").is_file()
