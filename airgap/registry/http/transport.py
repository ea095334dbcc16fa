"""Calls to registries: authorised, repeated when that may help, and led through redirects without leaking anything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urljoin, urlsplit

from airgap.errors import RegistryError
from airgap.oci.reference import Repository
from airgap.registry.http.auth import Access, Authenticator, Challenge, scope
from airgap.registry.http.endpoints import Endpoints
from airgap.registry.http.failures import NETWORK, network_failure, redact
from airgap.registry.http.patience import PASSING, Patience, Waiting
from airgap.registry.http.wire import Answer, Body, Wire
from airgap.registry.settings.limits import Slots, read_quota
from airgap.registry.settings.options import Endpoint, RegistryOptions, origin
from airgap.text import printable

_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

PULL = "pull"
PUSH = "pull,push"


@dataclass(frozen=True)
class Message:
    """What a request consists of, wherever it goes.

    Args:
        patience: seconds to wait for the answer, where that is not the usual time.
        repeatable: whether it may be made again when it is not known what became of it.
        retries: how often at most it is repeated after a failure that may pass, where that is less often than usual. Whoever only
            asks to wait (429) is waited for as usual.
    """

    method: str
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    body: Body = field(default=None, kw_only=True)
    patience: float | None = field(default=None, kw_only=True)
    repeatable: bool = field(default=True, kw_only=True)
    retries: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Call(Message):
    """One request to a registry about one repository.

    Args:
        path: what follows ``/v2/<name>/``, or an absolute URL that the registry gave (an upload's Location, a next page).
        actions: the token scope's actions, ``PULL`` or ``PUSH``.
        also: further token scopes, for a mount.
    """

    repository: Repository
    path: str
    actions: str = PULL
    also: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def host(self) -> str:
        """The registry as references name it."""
        return self.repository.host

    @property
    def name(self) -> str:
        """The repository's path."""
        return self.repository.path

    @property
    def below(self) -> str:
        """What follows ``/v2/``."""
        return f"{self.repository.path}/{self.path}"

    def access(self, endpoint: Endpoint) -> Access:
        """What a token must allow."""
        return Access(endpoint, self.repository.path, (scope(self.repository.path, self.actions), *self.also))


@dataclass(frozen=True)
class HostCall(Message):
    """One request to a registry about all of it.

    Args:
        path: what follows ``/v2/``, or an absolute URL that the registry gave.
        name: the repository or namespace whose credentials count; ``""`` for those of the whole registry.
        scopes: what a token must allow (distribution "Token Scope Documentation").
    """

    host: str
    path: str
    name: str = field(default="", kw_only=True)
    scopes: tuple[str, ...] = field(default=("registry:catalog:*",), kw_only=True)

    @property
    def below(self) -> str:
        """What follows ``/v2/``."""
        return self.path

    def access(self, endpoint: Endpoint) -> Access:
        """What a token must allow."""
        return Access(endpoint, self.name, self.scopes)


@dataclass(frozen=True)
class FileCall(Message):
    """One request for a file of a web server that is no registry.

    Args:
        url: of the file.
        endpoint: how the server is spoken to.
        authorization: goes to the URL's own scheme, host and port, and not where it redirects to; empty: nobody's.
    """

    url: str
    endpoint: Endpoint
    authorization: str = ""

    @property
    def host(self) -> str:
        """The server."""
        return self.endpoint.host


AnyCall: TypeAlias = Call | HostCall


class Transport:
    """Makes calls. Thread-safe; one for all registries, with one connection pool and one token cache."""

    def __init__(self, options: RegistryOptions) -> None:
        self.options = options
        self._wire = Wire(options)
        self._endpoints = Endpoints(options, self._wire)
        self._auth = Authenticator(options, self._fetch_token)
        self.patience = Patience(options)
        self.slots = Slots(options.per_host)
        self._lock = threading.Lock()
        self._low: set[str] = set()

    def asked(self, host: str) -> bool:
        """Whether a registry has asked who we are."""
        return self._auth.was_asked(self._endpoints.find(host))

    def challenge(self, repository: Repository) -> Challenge:
        """What the registry of a repository has asked for so far; one without a scheme when it has asked for nothing."""
        return self._auth.challenge(self._endpoints.find(repository.host, repository.path))

    def authorization(self, call: Call) -> str:
        """The header that the call would be made with. Raises ``RegistryError`` when the token server gives none."""
        return self._auth.header(call.access(self.endpoint(call)))

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()

    def endpoint(self, call: AnyCall) -> Endpoint:
        """Where the call's registry is.

        Raises:
            Refused: registries.conf blocks it.
        """
        return self._endpoints.find(call.host, call.name)

    def url(self, call: AnyCall) -> str:
        """The absolute URL of a call."""
        return call.path if "://" in call.path else _url(call, self.endpoint(call))

    def call(self, call: AnyCall) -> Answer:
        """Make a call until it is answered with something that will not pass by itself.

        The answer may be any status; the caller must end it.

        Raises:
            RegistryError: no answer, or one that must not be followed or believed.
        """

        return self._persist(call, self.url(call), lambda: self.once(call))

    def ask(self, call: Call | FileCall) -> Answer:
        """As :meth:`call`, also for files of web servers."""
        if isinstance(call, Call):
            return self.call(call)
        return self._persist(call, call.url, lambda: self._follow(call, call.endpoint, call.url, call.authorization))

    def fetch(self, call: AnyCall, limit: int) -> tuple[Answer, bytes]:
        """Make a call and read the small body of a status 200; of any other answer nothing is read yet.

        Raises:
            RegistryError: no complete answer, or one of more than ``limit`` bytes.
        """
        with self.slots.held(call.host):
            return self._read_small(call, lambda: self.call(call), limit)

    def fetch_file(
        self, url: str, limit: int, endpoint: Endpoint | None = None, authorization: str = "", seconds: float | None = None
    ) -> tuple[Answer, bytes]:
        """As :meth:`fetch`, for a file of a static web server that is no registry: nobody's credentials go there but those given.

        Args:
            endpoint: how the server is spoken to; None: as TLS has it by itself.
            authorization: goes to the URL's own scheme, host and port, and not where it redirects to.
            seconds: for all of the body; None: what is usual for a document.
        """

        get = Message("GET")

        def ask() -> Answer:
            return self._persist(get, url, lambda: self._follow(get, endpoint, url, authorization))

        return self._read_small(get, ask, limit, seconds)

    def once(self, call: AnyCall) -> Answer:
        """Make a call a single time (twice when the registry wants a new token).

        Raises:
            RegistryError: an answer that must not be followed or believed.
            One of ``NETWORK``: no answer.
        """
        access = call.access(self.endpoint(call))
        answer = self._authorised(call, access)
        self.slots.answered(call.host, refused=answer.status == 429)
        if answer.status in (401, 403) and answer.own:
            answer.account = self._auth.account(access)
        return answer

    def _authorised(self, call: AnyCall, access: Access) -> Answer:
        endpoint = access.endpoint
        url = _url(call, endpoint)
        own = endpoint.serves(url)
        offered = self._auth.header(access) if own else ""
        answer = self._follow(call, endpoint, url, offered)
        if answer.status != 401 or not answer.own or not isinstance(call.body, bytes | None):
            return answer
        try:
            renewed = self._auth.renew(access, answer.header("WWW-Authenticate"), offered)
        except BaseException:
            answer.close()
            raise
        if not renewed:
            return answer
        answer.finish()
        return self._follow(call, endpoint, url, renewed)

    def refresh(self, call: Call, answer: Answer) -> None:
        """A call whose body cannot simply be sent again was answered 401: get a new token for the next attempt."""
        access = call.access(self.endpoint(call))
        answer.finish()
        self._auth.renew(access, answer.header("WWW-Authenticate"), self._auth.header(access))

    def _retries(self, call: Message) -> int:
        usual = self.options.retries if call.repeatable else 0
        return usual if call.retries is None else min(usual, call.retries)

    def _persist(self, call: Message, url: str, send: Callable[[], Answer]) -> Answer:
        """Send until there is an answer that will not pass by itself."""
        most, fewer = (self.options.retries if call.repeatable else 0), self._retries(call)
        attempt, waiting = -1, Waiting()
        while (attempt := attempt + 1) <= most + waiting.count:
            try:
                answer = send()
            except NETWORK as error:
                if attempt >= fewer + waiting.count or not self.patience.is_worth_repeating(error, url, attempt):
                    raise network_failure(error, call.method, url) from None
                self.patience.pause_after(error, call.method, url, attempt)
                continue
            if call.repeatable and self.patience.wait_out(answer, waiting):
                continue
            limit = (most if answer.status == 429 else fewer) + waiting.count
            if answer.status not in PASSING or attempt >= limit or self.patience.is_hopeless(answer, waiting):
                return answer
            self.patience.pause(attempt, answer)
        raise AssertionError("the last attempt returns or raises")

    def _read_small(
        self, call: Message, ask: Callable[[], Answer], limit: int, seconds: float | None = None
    ) -> tuple[Answer, bytes]:
        """Ask until the small body of a status 200 is here completely."""
        retries = self._retries(call)
        for attempt in range(retries + 1):
            answer = ask()
            if answer.status != 200:
                return answer, b""
            try:
                return answer, answer.read(limit, seconds=seconds)
            except NETWORK as error:
                if attempt == retries:
                    raise network_failure(error, answer.method, answer.url) from None
                self.patience.pause_after(error, answer.method, answer.url, attempt)
        raise AssertionError("the last attempt returns or raises")

    def _follow(self, call: Message, endpoint: Endpoint | None, url: str, authorization: str) -> Answer:
        for _ in range(_MAX_REDIRECTS + 1):
            headers = {**call.headers, "Authorization": authorization} if authorization else call.headers
            self.patience.gate.enter(origin(url))
            answer = self._wire.send(call.method, url, headers, call.body, call.patience, endpoint)
            answer.own = endpoint is not None and endpoint.serves(url)
            if answer.own:
                self._watch_quota(answer)
            self.patience.answered(answer)
            if answer.status not in _REDIRECTS:
                return answer
            target = redirect_target(answer)
            answer.finish()
            if call.method not in ("GET", "HEAD"):
                raise RegistryError(
                    "the registry redirects a request that must not be redirected",
                    where=f"{call.method} {redact(url)}",
                    got=redact(target),
                )
            if origin(target) != origin(url):
                authorization = ""  # and it stays dropped, even if the way leads back
            url = target
        raise RegistryError("too many redirects", where=f"{call.method} {redact(url)}", expected=f"at most {_MAX_REDIRECTS}")

    def _watch_quota(self, answer: Answer) -> None:
        """Say once for each registry that its allowance is running out: before it refuses."""
        quota = read_quota(answer.header("ratelimit-limit"), answer.header("ratelimit-remaining"))
        if quota is None or not quota.is_low:
            return
        host = printable(urlsplit(answer.url).netloc, 120)
        with self._lock:
            known = host in self._low
            self._low.add(host)
        if not known:
            self.options.say(f"registry {host} allows {quota}; `airgap login` may raise that limit")

    def _fetch_token(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, endpoint: Endpoint) -> Answer:
        """Ask a token server; its redirects are not followed, they could only lead the credentials away."""

        def send() -> Answer:
            self.patience.gate.enter(origin(url))
            answer = self._wire.send(method, url, headers, body, endpoint=endpoint)
            answer.own = False
            self.patience.answered(answer)
            return answer

        return self._persist(Message(method), url, send)


def _url(call: AnyCall, endpoint: Endpoint) -> str:
    return call.path if "://" in call.path else f"{endpoint.base}/v2/{call.below}"


def redirect_target(answer: Answer) -> str:
    """Where a ``Location`` leads, absolute.

    Raises:
        RegistryError: nowhere, to something that is not HTTP, from TLS to no TLS, or with credentials in it.
    """
    location = answer.header("Location")
    try:
        target = urljoin(answer.url, location)
        parts = urlsplit(target)
        fine = bool(location and parts.hostname) and parts.scheme in ("http", "https") and "@" not in parts.netloc
        fine = fine and bool(origin(target))
    except ValueError:
        fine = False
    if not fine:
        raise _bad_location(answer, "an unacceptable Location", "an http(s) URL without credentials")
    if urlsplit(answer.url).scheme == "https" and parts.scheme == "http":
        raise _bad_location(
            answer,
            "a Location without TLS",
            "an https:// URL",
            "tell the registry behind the TLS proxy its external address (X-Forwarded-Proto)",
        )
    return parts._replace(fragment="").geturl()


def _bad_location(answer: Answer, what: str, expected: str, hint: str = "") -> RegistryError:
    answer.close()
    return RegistryError(
        f"the registry responded with {what}",
        where=f"{answer.method} {redact(answer.url)}",
        expected=expected,
        got=redact(answer.header("Location")),
        hint=hint,
    )
