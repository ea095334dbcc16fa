"""``airgap serve``: serve a store, or a bundle directly from its media, as the site's pull registry."""

from __future__ import annotations

import contextlib
import resource
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from airgap import fsio
from airgap.admission.door import Judged, UnverifiedBundle, believed_by, open_bundle
from airgap.admission.terms import Terms
from airgap.bundle.chain import Chain, Link
from airgap.bundle.diagnosis import diagnosing
from airgap.bundle.several import OnMedia, several, unverified
from airgap.cipher.sites import SiteSecret
from airgap.cli.options import inputs
from airgap.cli.options.decrypting import DecryptOption, site_secrets
from airgap.cli.options.groups import grouped
from airgap.cli.options.rooted import Rooted
from airgap.cli.options.scoped import AttestationsOption, Unnamed, demands_of
from airgap.cli.options.stores import is_layout
from airgap.cli.terminal import signals
from airgap.cli.terminal.console import Console, Quiet, Verbose, report_error
from airgap.errors import AirgapError, MediaError, UsageError
from airgap.format.names import bundle_name
from airgap.format.times import parse_time
from airgap.layout import LayoutReader
from airgap.limits import MAX_SETTINGS
from airgap.oci.stores import Browsable
from airgap.server import Catalogue
from airgap.server.access import Gate, Users
from airgap.server.desk import Desk, Facts
from airgap.server.http import HttpServer, Limits, Listener
from airgap.server.monitor import Monitor, ServedBundle
from airgap.server.service import desk_service, registry_service
from airgap.server.tls import server_context
from airgap.server.watched import Watch, Watched
from airgap.state import Event, State
from airgap.text import listing, printable

_SPARE_FILES = 128
Secrets: TypeAlias = tuple[SiteSecret, ...]


@dataclass(frozen=True)
class _Served:
    """What is served: the store, a stamp that changes with it, its bundles, and whether blobs are hashed as they are sent."""

    place: str
    browsable: Browsable
    stamp: Callable[[], object]
    bundles: Callable[[], Sequence[ServedBundle]]
    hashing: bool = False


@grouped
def serve_command(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="STORE|BUNDLE...", help="An OCI layout directory, or the directories or media of bundles."),
    ],
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Address to listen on; port 0 picks a free port.")
    ] = "127.0.0.1:5000",
    policy: inputs.PolicyOption = None,
    allow_expired: Annotated[bool, typer.Option("--allow-expired", help="Serve a bundle that has expired.")] = False,
    allow_clock_behind: inputs.ClockOption = False,
    revoked: inputs.RevokedOption = None,
    unnamed: Unnamed = Unnamed(),
    attestations: AttestationsOption = None,
    rooted: Rooted = Rooted(),
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Use TLS with this certificate (PEM, with its chain).")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="The certificate's private key (PEM).")] = None,
    htpasswd: Annotated[
        Path | None, typer.Option("--htpasswd", metavar="FILE", help="Allow only the users in this file (`htpasswd -B`).")
    ] = None,
    admin: Annotated[
        str, typer.Option("--admin", metavar="HOST:PORT", help="Separate address for status page, metrics and health check.")
    ] = "",
    max_connections: Annotated[
        int, typer.Option("--max-connections", min=1, max=16384, metavar="N", help="Most connections at a time; further ones wait.")
    ] = Limits.connections,
    grace: Annotated[
        int, typer.Option("--grace", min=0, metavar="SECONDS", help="On shutdown, wait this long for active transfers.")
    ] = 30,
    state: Annotated[Path | None, typer.Option("--state", help="The site's state directory, for the status page.")] = None,
    decrypt_key: DecryptOption = None,
    passphrase_file: inputs.PassphraseOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line when serving begins and ends.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Serve a store or a bundle as a read-only registry: until SIGTERM or Ctrl-C.

    Images imported into a store while it is served appear at once. A bundle is served directly from its media: --policy decides
    whether the bundle and its images are trusted; without --policy nothing is verified. Of several bundles on the media all are
    served: a name refers to what the latest one says, and incremental ones find in the others what they build on.

    Other endpoints: /status for browsers, /metrics for Prometheus, /healthz for probes. -v logs every request. Certificate, key
    and htpasswd file are reloaded when they change. With --json the first line on standard output says the URL and the bundles.

    Example: airgap serve /srv/store --listen 0.0.0.0:443 --tls-cert site.crt --tls-key site.key --htpasswd users

    Example: airgap serve /mnt/usb1 /mnt/usb2 --policy policy.json --admin 127.0.0.1:9100
    """
    console = Console(as_json, quiet, verbose)
    addresses = [_address("--listen", listen), *([_address("--admin", admin)] if admin else [])]
    secrets = site_secrets(decrypt_key, passphrase_file)
    console.stage("reading and checking", 0)
    terms = None
    if policy is not None:
        directory = inputs.state_directory(state)
        asked = Terms.of_site(directory, policy, revoked=revoked, secrets=secrets)
        demands, root = demands_of(attestations, asked.policy), rooted.read(directory, asked.policy, console.say)
        asked = replace(asked, allow_expired=allow_expired, allow_clock_behind=allow_clock_behind)
        terms = replace(asked, unnamed=unnamed.unnamed, demands=demands, trusted_root=root)
    content = _content(paths, terms, secrets, state, console)
    watched: list[Watched[Any]] = []
    catalogue = _watch(watched, "the store", lambda: Catalogue(content.browsable, hashing=content.hashing), content.stamp)
    tls = _tls(watched, tls_cert, tls_key)
    users = _users(watched, htpasswd)
    monitor = Monitor(console.detail if verbose else None, console.say, content.bundles, lambda: _sizes(catalogue()))
    ending = threading.Event()
    access = f"{'TLS' if tls else 'no TLS'}, {'passwords' if users else 'open to all'}"
    history = None if state is None else lambda limit: _history(state, limit)
    desk = Desk(catalogue, Facts(content.place, access, content.bundles, history), monitor, ending.is_set)
    listeners = [Listener(*addresses[0], registry_service(catalogue, users, None if admin else desk))]
    if admin:
        listeners.append(Listener(*addresses[1], desk_service(desk, users)))
    _allow_files(max_connections)
    server = HttpServer(listeners, monitor, tls, Limits(connections=max_connections))
    with Watch(watched, console.say, monitor.trouble), server, _stopped_by_signals(ending):
        console.end()
        scheme = "https" if tls else "http"
        url, status_url = f"{scheme}://{server.address}/v2/", f"{scheme}://{server.addresses[-1]}/status"
        console.say(f"serving {content.place} on {url} - stop with Ctrl-C")
        console.say(f"status page: {status_url}")
        facts = {"url": url, "status_url": status_url, "tls": bool(tls), "passwords": bool(users), **_facts(content.bundles())}
        console.event("serve-event", "serving", content.place, facts)
        while server.running and not ending.wait(1.0):
            pass
        if not ending.is_set():
            raise MediaError("the server stopped unexpectedly", hint="see the messages above")
        console.say(f"stopping: active transfers have {grace} seconds")
        console.event("serve-event", "stopping", f"active transfers have {grace} seconds")
        server.shutdown(grace)
    console.say("stopped")
    console.event("serve-event", "stopped", content.place)


def _facts(served: Sequence[ServedBundle]) -> dict[str, Any]:
    bundles = [
        {"bundle": bundle_name(one.stream, one.serial), "stream": one.stream, "serial": one.serial, "catalog": one.catalog}
        for one in served
    ]
    return {"verified": bool(served) and all(one.vouchers for one in served), "bundles": bundles}


def _content(paths: Sequence[Path], terms: Terms | None, secrets: Secrets, state: Path | None, console: Console) -> _Served:
    first = Path(str(paths[0]).removeprefix("oci:"))
    if not is_layout(first):
        return _bundles(paths, terms, secrets, console)
    if len(paths) > 1:
        raise UsageError("a store must be served alone", got=printable(str(paths[1])), expected="one STORE, or media of bundles")
    layout = LayoutReader(first)
    target = f"oci:{first.absolute()}"
    bundles = (lambda: _loaded(state, target)) if state is not None else tuple
    return _Served(str(first), layout, layout.index, bundles)


def _bundles(paths: Sequence[Path], terms: Terms | None, secrets: Secrets, console: Console) -> _Served:
    """One bundle, or all that are on the media: what is refused or damaged is left out, as long as there is something to serve."""
    if terms is None:
        console.say("no --policy: the signature of this bundle is not verified")
    found = several(paths, unverified if terms is None else believed_by(terms), console.say)
    opened = _open_all(found, terms, secrets, console) if found else [_open(paths, terms, secrets, console)]
    # one bundle is read as it lies, several through each other: incremental ones find there what they build on
    chain = Chain([Link(bundle.digest, bundle.catalog, bundle.volumes) for bundle in opened]) if found else opened[0].store
    for bundle in opened:
        absent = sum(chain.find_blob(digest) is None for digest in bundle.catalog.blobs)
        if absent:
            console.say(f"{bundle.catalog.name} builds on bundles that are not here: {absent} blobs cannot be pulled from here")
    served = [_served(bundle) for bundle in opened]
    place = f"bundle {listing([bundle.catalog.name for bundle in opened])}"
    return _Served(place, chain, lambda: None, lambda: served, hashing=True)


def _open_all(found: Sequence[OnMedia], terms: Terms | None, secrets: Secrets, console: Console) -> list[Judged | UnverifiedBundle]:
    """Those that can be served; raises the first error if none can."""
    opened: list[Judged | UnverifiedBundle] = []
    errors: list[AirgapError] = []
    for one in found:
        try:
            opened.append(_open(one.directories, terms, secrets, console))
        except AirgapError as error:
            error.what = error.what if one.name in error.what else f"{one.name}: {error.what}"
            errors.append(error)
    for failed in errors if opened else errors[1:]:
        report_error(failed, as_json=False)
    if not opened:
        raise errors[0]
    return opened


def _open(paths: Sequence[Path], terms: Terms | None, secrets: Secrets, console: Console) -> Judged | UnverifiedBundle:
    with diagnosing(console):
        if terms is None:
            return UnverifiedBundle.at(paths, secrets)
        # all that an import checks but serials, for several bundles may be served, and blobs, which clients check themselves
        return open_bundle(paths, terms, Judged)


def _served(bundle: Judged | UnverifiedBundle) -> ServedBundle:
    catalog, vouchers = bundle.catalog, tuple[str, ...]()
    if isinstance(bundle, Judged):
        vouchers = bundle.verdict.signers or ("a policy that accepts anything",)
    return ServedBundle(
        stream=catalog.stream,
        serial=catalog.serial,
        since=parse_time(catalog.created),
        expires=parse_time(catalog.expires) if catalog.expires else None,
        catalog=bundle.digest,
        vouchers=vouchers,
    )


def _loaded(state: Path, target: str) -> Sequence[ServedBundle]:
    """The newest bundle of every stream that this site has loaded into a store, and when."""
    if not State.exists(state):
        return ()
    with State(state) as memory:
        taken = memory.taken_into(target)
        expiry = {one.catalog: memory.expiry(one.catalog) for one in taken.values()}
        events = [event for event in memory.history() if event.event == "import" and event.target.split(" ")[0] == target]
    times = {(event.stream, event.serial): event.at for event in events}
    return [
        ServedBundle(
            stream=stream,
            serial=one.serial,
            since=parse_time(at),
            made=False,
            expires=parse_time(when) if (when := expiry[one.catalog]) else None,
            may_expire=expiry[one.catalog] is None,
            catalog=one.catalog,
            vouchers=("the policy at import",),
        )
        for stream, one in taken.items()
        if (at := times.get((stream, one.serial)))
    ]


def _history(state: Path, limit: int) -> Sequence[Event]:
    if not State.exists(state):
        return ()
    with State(state) as memory:
        return memory.history(limit=limit)


def _sizes(catalogue: Catalogue) -> tuple[int, int]:
    names = catalogue.full_names
    return len(names), sum(len(served.tags) for name in names if (served := catalogue.repository(name)))


def _tls(watched: list[Watched[Any]], certificate: Path | None, key: Path | None) -> Watched[Any] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError("TLS needs a certificate and its key", expected="both --tls-cert FILE and --tls-key FILE")

    def stamp() -> object:
        return _stamp(certificate), _stamp(key)

    return _watch(watched, "the TLS certificate", lambda: server_context(certificate, key), stamp)


def _users(watched: list[Watched[Any]], file: Path | None) -> Watched[Gate] | None:
    if file is None:
        return None

    def load() -> Gate:
        return Gate(Users.parse(fsio.read_input(file, MAX_SETTINGS, "htpasswd file"), str(file)))

    return _watch(watched, "the htpasswd file", load, lambda: _stamp(file))


def _watch(watched: list[Watched[Any]], what: str, load: Callable[[], Any], stamp: Callable[[], object]) -> Watched[Any]:
    watched.append(Watched(what, load, stamp))
    return watched[-1]


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise UsageError(f"cannot read a file: {error.strerror}", where=printable(str(path))) from error
    return status.st_ino, status.st_mtime_ns, status.st_size


def _address(option: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        expected = "HOST:PORT, such as 127.0.0.1:5000"
        raise UsageError("not an address to listen on", where=option, got=printable(text), expected=expected)
    return host.strip("[]"), int(port)


def _allow_files(connections: int) -> None:
    """Raise the soft limit of open files, as far as allowed: a connection needs a socket and a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + _SPARE_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextlib.contextmanager
def _stopped_by_signals(ending: threading.Event) -> Iterator[None]:
    """The first signal requests an orderly shutdown, the second ends everything."""

    def stop(number: int, frame: object) -> None:  # noqa: ARG001 - the signature of a signal handler
        if ending.is_set():
            signals.leave()
        ending.set()

    before = {number: signal.signal(number, stop) for number in signals.ending()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
