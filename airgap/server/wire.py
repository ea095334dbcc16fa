"""HTTP/1.1: parse request heads strictly and write response heads. Pure, without sockets (RFC 9110, RFC 9112).

Everything that two parties could read differently (bare line feeds, folded lines, blanks before a colon, bodies) is refused, and
so is everything longer than necessary.
"""

from __future__ import annotations

import email.utils
import functools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from airgap.oci import strictjson
from airgap.oci.stores import Reader

JSON = "application/json"
#: Bytes of a request line, and of a whole head; more is refused.
MAX_LINE = 16 * 1024
MAX_HEAD = 32 * 1024
#: Fields in a head; more is refused.
MAX_FIELDS = 100

_END = b"\r\n\r\n"
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 section 5.6.2
#: How a request may begin: a server without TLS is to tell at once that a client wants TLS, which then tries without.
_BEGINNING = re.compile(rf"{_TOKEN}|\r?\Z".encode(), re.ASCII)
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([\x21-\x7e]+) HTTP/(\d)\.(\d)", re.ASCII)
_FIELD = re.compile(rf"({_TOKEN}):([\t\x20-\x7e\x80-\xff]*)", re.ASCII)
_READING = frozenset({"GET", "HEAD"})
_WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request head.

    Attributes:
        method: ``GET`` or ``HEAD``, or what the client wrote instead.
        target: path and query, as sent.
        headers: by lower-case name; the values of repeated ones joined by commas.
        keep_alive: whether the client wants to keep the connection.
        client: the client's address, for the log.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    keep_alive: bool
    client: str = ""


@dataclass(slots=True)
class Response:
    """A response. The body is ``body``, or ``length`` bytes of the reader that ``content`` opens.

    Attributes:
        status: the status code.
        headers: all headers except those that every answer has.
        body: a small body.
        content: opens a large body.
        length: of the body, in bytes.
        route: the kind of request in one word, for the metrics.
        user: the user, if known.
    """

    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content: Callable[[], Reader] | None = None
    length: int = 0
    route: str = "other"
    user: str = ""

    def at(self, route: str) -> Response:
        """The same answer with a route."""
        self.route = route
        return self

    @classmethod
    def of(cls, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> Response:
        """A successful answer with a small body."""
        return cls(headers={"Content-Type": content_type, **(headers or {})}, body=body, length=len(body))


def problem(status: HTTPStatus, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error in the form of distribution-spec, "Error Codes"."""
    body = strictjson.canonical({"errors": [{"code": code, "message": message}]})
    return Response(status, {"Content-Type": JSON, **(headers or {})}, body, length=len(body))


class Refusal(Exception):
    """A request that is refused without further processing; the connection is closed after the answer."""

    def __init__(self, status: HTTPStatus, message: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.answer = problem(status, "UNSUPPORTED", message or status.phrase, headers)


def take_request(received: bytearray, client: str) -> Request | None:
    """Take one request head from the received bytes; None while it is incomplete.

    Args:
        received: bytes from the client; the head is removed from it.
        client: the client's address.

    Raises:
        Refusal: it is malformed, too long, or not a request to read something.
    """
    while received.startswith(b"\r\n"):  # RFC 9112 section 2.2
        del received[:2]
    end = received.find(_END)
    if end < 0 or end > MAX_HEAD:
        _check_unfinished(received)
        return None
    line, _, block = received[:end].decode("latin-1").partition("\r\n")
    del received[: end + len(_END)]
    if len(line) > MAX_LINE:
        raise Refusal(HTTPStatus.REQUEST_URI_TOO_LONG)
    method, target, minor = _request_line(line)
    headers = _fields(block)
    _check_method(method)
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        raise Refusal(HTTPStatus.BAD_REQUEST, "a request body is not allowed")
    wishes = headers.get("connection", "").lower()
    keep_alive = "close" not in wishes if minor else "keep-alive" in wishes
    return Request(method, target, headers, keep_alive, client)


def response_head(answer: Response, keep_alive: bool) -> bytes:
    """The status line and all headers of an answer."""
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        "Server: airgap",
        f"Date: {_date(int(time.time()))}",
        "Docker-Distribution-API-Version: registry/2.0",
        *(f"{name}: {text}" for name, text in answer.headers.items()),
        f"Content-Length: {answer.length}",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    text = "\r\n".join([*lines, "", ""])
    if text.count("\r") != len(lines) + 1 or text.count("\n") != len(lines) + 1:
        raise ValueError("a line break in a response header")
    return text.encode("latin-1")


def _check_unfinished(received: bytearray) -> None:
    if not _BEGINNING.match(received):
        raise Refusal(HTTPStatus.BAD_REQUEST, "a malformed request line")
    if b"\r\n" not in received[: MAX_LINE + 2] and len(received) > MAX_LINE:
        raise Refusal(HTTPStatus.REQUEST_URI_TOO_LONG)
    if len(received) > MAX_HEAD:
        raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)


def _request_line(line: str) -> tuple[str, str, int]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise Refusal(HTTPStatus.BAD_REQUEST, "a malformed request line")
    if match[3] != "1":
        raise Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    return match[1], match[2], int(match[4])


@functools.lru_cache(64)
def _fields(block: str) -> Mapping[str, str]:
    """The headers; clients send the same ones with every request."""
    lines = block.split("\r\n") if block else []
    if len(lines) > MAX_FIELDS:
        raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    headers: dict[str, str] = {}
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise Refusal(HTTPStatus.BAD_REQUEST, "a malformed header")
        name, value = match[1].lower(), match[2].strip(" \t")  # not by the expression: it would try every way to share blanks out
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _check_method(method: str) -> None:
    if method in _WRITING:
        raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "this registry is read-only", {"Allow": "GET, HEAD"})
    if method not in _READING:
        raise Refusal(HTTPStatus.NOT_IMPLEMENTED)


_DATES: dict[int, str] = {}


def _date(second: int) -> str:
    """The current time, written once a second."""
    text = _DATES.get(second)
    if text is None:
        text = email.utils.formatdate(second, usegmt=True)
        _DATES.clear()
        _DATES[second] = text
    return text
