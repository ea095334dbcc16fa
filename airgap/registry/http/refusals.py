"""Refusals of registries, turned into errors that say what to do; no credential, no query."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

from airgap.errors import NotFound, RegistryError
from airgap.registry.http.failures import MAX_ERROR_BODY, NETWORK, redact
from airgap.registry.http.wire import Answer
from airgap.registry.settings.options import Account
from airgap.text import printable

_ERROR_BODY_SECONDS = 20.0
_MAY_LACK = "; some registries also answer this for repositories that do not exist"
_LOG_IN = "log in (registries allow more requests to authenticated users)"
_HINTS = {
    407: "put the login into HTTP_PROXY: http://USER:PASSWORD@HOST:PORT",
    413: "the registry or a proxy in front of it limits the size of uploads: raise that limit",
    429: f"{_LOG_IN}, or wait longer with --registry-patience SECONDS",
    507: "free some space on the registry",
}


def refusal(answer: Answer, what: str = "") -> RegistryError:
    """The error for an answer that is not a success; reads and finishes it.

    A 404 that the registry itself gave is ``NotFound``; one from a place it redirected to only means that its storage is broken.
    """
    codes, said = read_errors(answer)
    status = f"{answer.status} {printable(answer.reason, 60)}".strip()
    hint = _HINTS.get(answer.status, "")
    if answer.status == 400 and "too large" in said:
        hint = "the registry limits the size of manifests"
    plain = answer.status == 400 and answer.url.startswith("http:")
    if plain and (answer.method == "HEAD" or "HTTP request to an HTTPS server" in said):
        host = printable(urlsplit(answer.url).netloc, 120)
        hint = f"if the registry speaks TLS, put its CA into certs.d/{host}/ca.crt or --cert-dir {host}=DIR"
    if answer.status == 400 and "SSL certificate" in said:
        hint = "put client.cert and client.key of the registry into certs.d or --cert-dir: see docs/registries.md"
    expected = ""
    if answer.status in (401, 403) and (answer.own or answer.account):
        what, expected, hint = _denied(answer, what)
    if answer.status == 429 and (seconds := answer.header("Retry-After").strip()[:9]).isdecimal():
        hint = f"run the same command again in {int(seconds)} s, or wait with --registry-patience {int(seconds)}; {_LOG_IN}"
    if answer.status == 407:
        what = "the proxy requires a login"
    kind = NotFound if answer.status == 404 and answer.own and "DENIED" not in codes else RegistryError
    got = f"{status}: {said}" if said else status
    what = what or "the registry rejected the request"
    return kind(what, where=f"{answer.method} {redact(answer.url)}", expected=expected, got=got, hint=hint)


def _denied(answer: Answer, what: str) -> tuple[str, str, str]:
    """What is wrong, what was expected and the hint, of a 401 or 403: there is no login, or the one that there is does not do."""
    account = answer.account or Account(urlsplit(answer.url).netloc)
    host = printable(account.host, 120)
    if not account.user:
        again = account.again or f"airgap login {host}"
        none = f"a login for {host} (none was found)" if answer.account else ""
        return what or f"{host} requires a login", none, f"log in with `{again}`{_MAY_LACK}"
    hint = f"log in again with `{account.again}`" if account.again else f"correct the login in {account.origin}"
    whose = f"{account.user}, from {account.origin}"
    if answer.status == 401:
        return what or f"{host} refuses this login", f"a login that {host} accepts (not {whose})", hint
    return what or f"{host} denies this to {account.user}", f"a login with the right to do this (not {whose})", f"{hint}{_MAY_LACK}"


def read_errors(answer: Answer) -> tuple[list[str], str]:
    """The registry's error codes and what it said, made printable (distribution-spec "Error Codes")."""
    body = error_body(answer)
    try:
        errors = json.loads(body)["errors"][:3]
        codes = [str(error["code"]) for error in errors]
        said = "; ".join(_one_error(error) for error in errors)
    except (ValueError, KeyError, TypeError, RecursionError):
        text = re.sub(r"<[^>]*>", " ", body.decode("utf-8", "replace"))
        return [], printable(" ".join(text.split()), 200)
    return codes, printable(said, 400)


def error_body(answer: Answer) -> bytes:
    """The beginning of what a registry says beside a refusal, empty if it cannot be read. The connection can be used again."""
    try:
        body = answer.read(MAX_ERROR_BODY, truncate=True, seconds=_ERROR_BODY_SECONDS)
        return body if answer.encoding in ("", "identity", "aws-chunked") else b""  # an error page of a proxy, which compresses all
    except NETWORK:
        return b""


def _one_error(error: dict[str, object]) -> str:
    message = str(error.get("message") or "")
    detail = error.get("detail")
    more = f" ({detail})" if isinstance(detail, str) and detail else ""
    return f"{error['code']}: {message}{more}" if message else str(error["code"])
