"""Authentication at registries: challenges, Basic, and Bearer tokens that are shared, renewed and never sent elsewhere.

Sources: RFC 9110 section 11.6.1 (challenges), distribution "Token Authentication Specification" and "OAuth2 Token Authentication".
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from airgap.errors import RegistryError
from airgap.registry.http.failures import redact
from airgap.registry.http.refusals import refusal
from airgap.registry.http.wire import Answer
from airgap.registry.settings.credentials import Credential
from airgap.registry.settings.options import Account, Endpoint, RegistryOptions
from airgap.text import printable

_MAX_TOKEN_ANSWER = 1024 * 1024
_MAX_CHALLENGE = 8192
#: Seconds a token lives when the token server does not say ("expires_in" of the token specification).
_DEFAULT_LIFE = 60.0
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+", re.ASCII)
_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_ITEM = re.compile(rf'[\s,]*({_WORD})(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?', re.ASCII)


@dataclass(frozen=True)
class Challenge:
    """What a registry asks for: ``bearer`` with realm and service, or ``basic``."""

    scheme: str
    realm: str = ""
    service: str = ""


@dataclass(frozen=True)
class Access:
    """What a call needs: the registry, the repository whose credentials count, and the scopes of a token."""

    endpoint: Endpoint
    path: str
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class _Token:
    value: str
    good_until: float


def scope(path: str, actions: str) -> str:
    """A token scope (``repository:library/nginx:pull``)."""
    return f"repository:{path}:{actions}"


def parse_challenges(header: str) -> list[Challenge]:
    """Read ``WWW-Authenticate``, which may hold several challenges; unknown schemes are left out."""
    found: list[tuple[str, dict[str, str]]] = []
    for match in _ITEM.finditer(header[:_MAX_CHALLENGE]):
        name, quoted, plain = match.groups()
        if quoted is None and plain is None:
            found.append((name.lower(), {}))
        elif found:
            found[-1][1][name.lower()] = plain or re.sub(r"\\(.)", r"\1", quoted or "")
    wanted = [(scheme, fields) for scheme, fields in found if scheme == "basic" or (scheme == "bearer" and fields.get("realm"))]
    return [Challenge(scheme, fields.get("realm", ""), fields.get("service", "")) for scheme, fields in wanted]


class Authenticator:
    """Gives every call its ``Authorization`` header. Thread-safe; a token is fetched once for all threads.

    Args:
        options: know who we are to a registry and a repository there.
        fetch: makes one call (method, URL, headers, body, for which registry) with repeats but without authorisation or cross-site
            surprises.
    """

    def __init__(
        self,
        options: RegistryOptions,
        fetch: Callable[[str, str, Mapping[str, str], bytes | None, Endpoint], Answer],
    ) -> None:
        self._credential = options.credential
        self._account = options.account
        self._fetch = fetch
        self._lock = threading.Lock()
        self._busy: dict[Access, threading.Lock] = {}
        self._challenges: dict[str, Challenge] = {}
        self._tokens: dict[Access, _Token] = {}

    def was_asked(self, endpoint: Endpoint) -> bool:
        """Whether the registry has asked who we are."""
        return endpoint.base in self._challenges

    def challenge(self, endpoint: Endpoint) -> Challenge:
        """What the registry has asked for, without a scheme as long as it has asked for nothing."""
        return self._challenges.get(endpoint.base, Challenge(""))

    def account(self, access: Access) -> Account | None:
        """Who the registry knows that we are, None as long as it has not asked."""
        return self._account(access.endpoint.host, access.path) if self.was_asked(access.endpoint) else None

    def header(self, access: Access) -> str:
        """The header's value for a call, ``""`` as long as the registry has not asked for any."""
        challenge = self._challenges.get(access.endpoint.base)
        if challenge is None:
            return ""
        if challenge.scheme == "basic":
            credential = self._credential(access.endpoint.host, access.path)
            return credential.basic() if credential is not None and credential.username else ""
        return f"Bearer {self._token(access, challenge)}"

    def renew(self, access: Access, asked: str, refused: str) -> str:
        """The header to answer a 401 with, ``""`` when there is nothing (more) to offer.

        Args:
            asked: the ``WWW-Authenticate`` header of the 401.
            refused: the ``Authorization`` header that was sent.
        """
        challenges = parse_challenges(asked)
        challenge = next((one for one in challenges if one.scheme == "bearer"), challenges[0] if challenges else None)
        if challenge is None:
            return ""
        with self._lock:
            self._challenges[access.endpoint.base] = challenge
            known = [one for one, token in self._tokens.items() if refused == f"Bearer {token.value}"]
            for one in known:
                del self._tokens[one]
        offered = self.header(access)
        return "" if offered == refused else offered

    def _token(self, access: Access, challenge: Challenge) -> str:
        with self._lock:
            known = self._known(access)
            busy = self._busy.setdefault(access, threading.Lock())
        if known:
            return known
        with busy:
            with self._lock:
                known = self._known(access)
            if known:
                return known
            token = self._request(access, challenge)
            with self._lock:
                self._tokens[access] = token
            return token.value

    def _known(self, access: Access) -> str:
        wider = Access(access.endpoint, access.path, (scope(access.path, "pull,push"),))
        for candidate in (access, wider):
            token = self._tokens.get(candidate)
            usable = candidate == access or access.scopes == (scope(access.path, "pull"),)
            if token is not None and usable and token.good_until > time.monotonic():
                return token.value
        return ""

    def _request(self, access: Access, challenge: Challenge) -> _Token:
        realm = _checked_realm(challenge.realm, access.endpoint)
        credential = self._credential(access.endpoint.host, access.path)
        if credential is not None and credential.identity_token:
            answer = self._fetch(
                "POST",
                realm,
                {"Content-Type": "application/x-www-form-urlencoded"},
                _refresh(access, challenge, credential),
                access.endpoint,
            )
        else:
            fields = [("service", challenge.service)] if challenge.service else []
            fields += [("scope", one) for one in access.scopes]
            joint = "&" if urlsplit(realm).query else "?"
            headers = {} if credential is None else {"Authorization": credential.basic()}
            answer = self._fetch("GET", f"{realm}{joint}{urlencode(fields)}", headers, None, access.endpoint)
        if answer.status != 200:
            answer.account = self._account(access.endpoint.host, access.path)
            raise refusal(answer, f"the token server of {printable(access.endpoint.host, 120)} rejected the request")
        return _read_token(answer)


def _refresh(access: Access, challenge: Challenge, credential: Credential) -> bytes:
    fields = {
        "grant_type": "refresh_token",
        "refresh_token": credential.identity_token,
        "service": challenge.service,
        "client_id": "airgap",
        "scope": " ".join(access.scopes),
    }
    return urlencode(fields).encode()


def _checked_realm(realm: str, endpoint: Endpoint) -> str:
    """The token server's URL; TLS there is only optional where the registry itself has none (CVE-2019-10214)."""
    try:
        parts = urlsplit(realm)
        fine = bool(parts.hostname) and "@" not in parts.netloc and (parts.port or 1) > 0
    except ValueError:
        fine = False
    if not fine or parts.scheme not in (("https", "http") if endpoint.plain else ("https",)):
        raise RegistryError(
            "the registry names an unacceptable token server",
            where=printable(endpoint.host, 120),
            expected="an https:// URL",
            got=redact(realm),
        )
    return parts._replace(fragment="").geturl()


def _read_token(answer: Answer) -> _Token:
    where = redact(answer.url)
    began = time.monotonic()
    try:
        fields = json.loads(answer.read(_MAX_TOKEN_ANSWER))
        value = fields.get("token") or fields.get("access_token")
        life = float(fields.get("expires_in") or _DEFAULT_LIFE)
    except (ValueError, AttributeError, TypeError, RecursionError):
        value, life = None, 0.0
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise RegistryError("the token server's response contains no token", where=where)
    # A tenth is kept back, so that a call that starts with the token also reaches the registry with it.
    return _Token(value, began + 0.9 * min(max(life, 1.0), 86400.0))
