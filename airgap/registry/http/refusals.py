"""Refusals of registries, turned into errors that say what to do; no credential, no query."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

from airgap.errors import NotFound, RegistryError
from airgap.registry.http.failures import MAX_ERROR_BODY, NETWORK, redact
from airgap.registry.http.wire import Answer
from airgap.text import printable

_ERROR_BODY_SECONDS = 20.0
_LOGIN_HINT = "log in with `airgap login HOST`; some registries also answer this for repositories that do not exist"
_HINTS = {
    401: _LOGIN_HINT,
    403: _LOGIN_HINT,
    413: "the registry or a proxy in front of it limits the size of uploads: raise that limit",
    429: "wait, or log in: registries allow more requests to authenticated users",
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
    kind = NotFound if answer.status == 404 and answer.own and "DENIED" not in codes else RegistryError
    got = f"{status}: {said}" if said else status
    return kind(what or "the registry rejected the request", where=f"{answer.method} {redact(answer.url)}", got=got, hint=hint)


def read_errors(answer: Answer) -> tuple[list[str], str]:
    """The registry's error codes and what it said, made printable (distribution-spec "Error Codes")."""
    body = _error_body(answer)
    try:
        errors = json.loads(body)["errors"][:3]
        codes = [str(error["code"]) for error in errors]
        said = "; ".join(_one_error(error) for error in errors)
    except (ValueError, KeyError, TypeError, RecursionError):
        text = re.sub(r"<[^>]*>", " ", body.decode("utf-8", "replace"))
        return [], printable(" ".join(text.split()), 200)
    return codes, printable(said, 400)


def _error_body(answer: Answer) -> bytes:
    try:
        return answer.read(MAX_ERROR_BODY, truncate=True, seconds=_ERROR_BODY_SECONDS)
    except NETWORK:
        return b""


def _one_error(error: dict[str, object]) -> str:
    message = str(error.get("message") or "")
    detail = error.get("detail")
    more = f" ({detail})" if isinstance(detail, str) and detail else ""
    return f"{error['code']}: {message}{more}" if message else str(error["code"])
