"""Which request heads are understood, and which are refused before anybody looks at them."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from airgap.server.wire import MAX_FIELDS, MAX_HEAD, MAX_LINE, Refusal, Request, Response, problem, response_head, take_request


def take(raw: bytes) -> Request | None:
    return take_request(bytearray(raw), "192.0.2.7")


def refused(raw: bytes) -> int:
    with pytest.raises(Refusal) as caught:
        take(raw)
    return caught.value.answer.status


def test_a_head_is_taken_off_the_front_and_the_rest_stays():
    received = bytearray(b"\r\nGET /v2/?n=1 HTTP/1.1\r\nHost: x\r\nRange:  bytes=0-1 \r\nX: a\r\nx: b\r\n\r\nGET /next")
    request = take_request(received, "192.0.2.7")
    assert request == Request("GET", "/v2/?n=1", {"host": "x", "range": "bytes=0-1", "x": "a, b"}, True, "192.0.2.7")
    assert received == b"GET /next"


@pytest.mark.parametrize("part", [b"\x16\x03\x01\x02\x00\x01", b"\x80.\x01", b"\n", b" ", b"\rG", b"\r\n\x16"])
def test_what_cannot_become_a_request_any_more_is_not_waited_for(part):
    """A client that begins with TLS waits for an answer before it tries without."""
    assert refused(part) == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("part", [b"", b"\r", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET / HTTP/1.1\r\n\r"])
def test_a_head_that_is_not_whole_is_waited_for(part):
    assert take(part) is None


@pytest.mark.parametrize(
    ("line", "header", "stays"),
    [
        ("1.1", "", True), ("1.1", "Connection: close", False), ("1.1", "Connection: Foo, CLOSE", False),
        ("1.0", "", False), ("1.0", "Connection: Keep-Alive", True),
    ],
)  # fmt: skip
def test_who_keeps_the_connection(line, header, stays):
    request = take(f"GET / HTTP/{line}\r\n{header}{chr(13) + chr(10) if header else ''}\r\n".encode())
    assert request is not None
    assert request.keep_alive is stays


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /\r\n\r\n", 400), (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"GET / x HTTP/1.1\r\n\r\n", 400), (b" GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400), (b"GET /\xff HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/11\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: x\ry: z\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nA: x\r\n y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: x\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505), (b"GET / HTTP/0.9\r\n\r\n", 505),
        (b"PUT / HTTP/1.1\r\n\r\n", 405), (b"DELETE / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 405),
        (b"BREW / HTTP/1.1\r\n\r\n", 501), (b"get / HTTP/1.1\r\n\r\n", 501), (b"CONNECT x:1 HTTP/1.1\r\n\r\n", 501),
        (b"GET /" + b"a" * MAX_LINE + b" HTTP/1.1\r\n\r\n", 414), (b"a" * (MAX_LINE + 1), 414),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_FIELDS + 1) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD, 431), (b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD + b"\r\n\r\n", 431),
    ],
    ids=str,
)  # fmt: skip
def test_what_two_parties_could_read_differently_and_what_is_too_much_is_refused(raw, status):
    assert refused(raw) == status


def test_content_length_of_nothing_is_no_body():
    assert take(b"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n") is not None


def test_an_answer_says_its_length_and_whether_the_connection_goes_on():
    head = response_head(Response.of(b"{}", "application/json", {"X-A": "b"}), False).decode()
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "\r\nContent-Length: 2\r\nConnection: close\r\n\r\n" in head
    assert "\r\nX-A: b\r\n" in head
    assert "\r\nConnection: keep-alive\r\n" in response_head(problem(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", "x"), True).decode()


def test_a_line_break_never_gets_into_a_header():
    with pytest.raises(ValueError, match="line break"):
        response_head(Response.of(b"", "text/plain", {"X": "a\r\nSet-Cookie: b"}), True)
