"""Open registries and targets for the commands."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import typer

from airgap.cli.options.targets import FileOptions, file_target
from airgap.cli.terminal.console import Console
from airgap.errors import UsageError
from airgap.layout import LayoutStore
from airgap.limits import AT_A_TIME
from airgap.lists import RegistrySettings
from airgap.naming.mapping import FileTarget, LayoutTarget, TargetSpec
from airgap.oci.hosts import canonical_host
from airgap.oci.stores import Target
from airgap.registry import (
    Bucket,
    CredentialStore,
    Login,
    MirroredSource,
    RegistryOptions,
    RegistryStore,
    Rules,
    certs_directories,
    load_rules,
)
from airgap.text import parse_least_rate, parse_rate, printable

InsecureOption = Annotated[
    list[str] | None,
    typer.Option(
        "--insecure-registry",
        help="Reach this registry over plain HTTP, or TLS with an untrusted certificate; may be repeated. Loopback always is.",
        metavar="HOST[:PORT]",
    ),
]
CertDirOption = Annotated[
    list[str] | None,
    typer.Option(
        "--cert-dir",
        metavar="[HOST=]DIR",
        help="CA (*.crt) and client certificate (*.cert, *.key) for one registry or for all; may be repeated. Default: certs.d.",
    ),
]
AuthfileOption = Annotated[
    Path | None,
    typer.Option("--authfile", metavar="FILE", help="Read registry credentials only from this file. See `airgap login`."),
]
RegistriesConfOption = Annotated[
    Path | None,
    typer.Option("--registries-conf", metavar="FILE", help="Mirrors, blocked and insecure registries. Default: podman's."),
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, max=64, help="Blobs transferred at a time.")]


@dataclass(frozen=True)
class Reach:
    """How registries are reached, from the options of one command."""

    insecure: InsecureOption = None
    cert_dir: CertDirOption = None
    authfile: AuthfileOption = None
    registries_conf: RegistriesConfOption = None
    limit_rate: Annotated[
        str | None,
        typer.Option("--limit-rate", metavar="SIZE", help="Most bytes per second of all transfers together, such as 10MB."),
    ] = None
    min_rate: Annotated[
        str,
        typer.Option(
            "--min-rate", metavar="SIZE", help="Give up on a blob that moves fewer bytes per second for a minute; 0: never."
        ),
    ] = "1KiB"
    per_host: Annotated[
        int,
        typer.Option(
            "--per-host",
            min=0,
            max=64,
            metavar="N",
            help=f"Most requests at a time per registry, fewer while it refuses them (429); 0: {AT_A_TIME}, or --threads.",
        ),
    ] = 0
    registry_patience: Annotated[
        int,
        typer.Option(
            "--registry-patience",
            min=0,
            max=86400,
            metavar="SECONDS",
            help="How long to wait for a registry that refuses too many requests (429), with growing pauses.",
        ),
    ] = 180
    no_referrers_api: Annotated[
        list[str] | None,
        typer.Option(
            "--no-referrers-api",
            metavar="HOST[:PORT][/PATH]",
            help="Ignore the referrers API of this registry and use only fallback tags; may be repeated.",
        ),
    ] = None
    heard: set[tuple[str, str, int]] = field(default_factory=set, repr=False)

    @property
    def rules(self) -> Rules:
        """The rules of registries.conf. Raises ``UsageError``."""
        return load_rules(self.registries_conf, os.environ)

    def elsewhere(self) -> Reach:
        """The same for another machine, where files lie under the same paths; nothing secret is in it."""
        return replace(
            self,
            cert_dir=[_from_root(text) for text in self.cert_dir] if self.cert_dir else None,
            authfile=self.authfile.absolute() if self.authfile else None,
            registries_conf=self.registries_conf.absolute() if self.registries_conf else None,
            heard=set(),
        )

    def options(
        self,
        threads: int,
        console: Console,
        settings: Sequence[RegistrySettings] = (),
        credentials: CredentialStore | None = None,
    ) -> RegistryOptions:
        """The options for the registry client.

        Args:
            settings: what image lists say about some registries; the operator's options take precedence.
            credentials: used instead of the auth files.

        Raises:
            UsageError: a file does not exist or has a mistake in it, or a size is invalid.
        """
        everywhere, directories = _cert_dirs(self.cert_dir or ())
        listed = {one.host: one.cert_dir for one in settings if one.cert_dir is not None}
        return RegistryOptions(
            insecure=frozenset(map(canonical_host, self.insecure or ()))
            | {one.host for one in settings if one.tls_verify is False},
            cert_dirs={**listed, **directories},
            cert_dir=everywhere,
            certs_d=certs_directories(os.environ),
            logins={one.registry: Login(one.username, one.password or "") for one in settings if one.username is not None},
            credentials=credentials or CredentialStore.from_environment(authfile=self.authfile),
            rules=self.rules,
            bucket=None if self.limit_rate is None else Bucket(parse_rate(self.limit_rate)),
            least_rate=parse_least_rate(self.min_rate),
            per_host=self.per_host or max(AT_A_TIME, threads),
            patience=self.registry_patience,
            no_referrers_api=frozenset(_canonical(text) for text in self.no_referrers_api or ()),
            connections=AT_A_TIME + threads + 2,
            say=console.say,
            heard=self.heard,
        )


def _canonical(text: str) -> str:
    """``HOST[:PORT]`` or ``HOST[:PORT]/PATH`` in its one spelling. Raises ``UsageError``."""
    host, slash, path = text.strip("/").partition("/")
    return f"{canonical_host(host)}{slash}{path}"


def _from_root(text: str) -> str:
    host, equals, name = text.rpartition("=")
    return f"{host}{equals}{Path(name).absolute()}"


def _cert_dirs(given: Sequence[str]) -> tuple[Path | None, dict[str, Path]]:
    """The directories that ``--cert-dir`` gives for all registries and for single ones."""
    everywhere, directories = None, {}
    for text in given:
        host, equals, name = text.rpartition("=")
        path = Path(name)
        if not path.is_dir():
            raise UsageError("not a directory", where="--cert-dir", got=printable(text), expected="[HOST[:PORT]=]DIR")
        if equals:
            directories[canonical_host(host)] = path
        else:
            everywhere = path
    return everywhere, directories


@contextlib.contextmanager
def registries(reach: Reach, threads: int, console: Console, settings: Sequence[RegistrySettings] = ()) -> Iterator[MirroredSource]:
    """All registries as one source, read through the mirrors in registries.conf."""
    with MirroredSource(reach.options(threads, console, settings)) as source:
        yield source


@contextlib.contextmanager
def registry(reach: Reach, threads: int, console: Console) -> Iterator[RegistryStore]:
    """Registries by their own names, without mirrors: to write to them, or to see what they hold."""
    with RegistryStore(reach.options(threads, console)) as store:
        yield store


def target_builder(
    spec: TargetSpec, reach: Reach, threads: int, console: Console, files: FileOptions = FileOptions()
) -> Callable[[str], contextlib.AbstractContextManager[Target]]:
    """A function that opens the target for the bundle of a given name."""

    @contextlib.contextmanager
    def build(bundle: str) -> Iterator[Target]:
        if isinstance(spec, FileTarget):
            with file_target(spec, bundle, files) as target:
                yield target
        elif isinstance(spec, LayoutTarget):
            with contextlib.closing(LayoutStore(spec.directory)) as layout:
                yield layout
        else:
            with registry(reach, threads, console) as store:
                yield store

    return build


def is_layout(path: Path) -> bool:
    """Whether a directory is an OCI layout rather than a bundle."""
    return (path / "oci-layout").is_file()
