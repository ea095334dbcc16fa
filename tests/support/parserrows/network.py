"""Settings of registries, and what registries and their clients say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from airgap.lookaside.registriesd import parse_registries_file
from airgap.oci.reference import Reference
from airgap.oci.strictjson import canonical as line_of
from airgap.registry.http.auth import parse_challenges
from airgap.registry.settings.credentials import CredentialStore
from airgap.registry.settings.limits import read_quota
from airgap.registry.settings.rulefiles import load_rules
from airgap.server.access import Users
from airgap.server.wire import Refusal, take_request
from tests.support import parserseeds as seeds
from tests.support.parserrow import WHERE, Parser, document, in_file, text
from tests.support.parserseeds import numbered, repeated


def rows() -> Iterator[Parser]:
    """The rows."""
    yield from _settings()
    yield from _network()


def _head(raw: bytes) -> None:
    received = bytearray(raw)
    while take_request(received, "client") is not None:
        pass


def _settings() -> Iterator[Parser]:
    def registries(path: Path) -> None:
        rules = load_rules(path, {}, path.parent / "none")
        rules.places(Reference.parse("quay.io/a/b").repository, True)
        rules.expand("a")

    conf = (
        b'[[registry]]\nprefix = "quay.io/a"\nlocation = "m.example/b"\n[[registry.mirror]]\nlocation = "n.example"\n'
        b'[aliases]\n"fedora" = "registry.fedoraproject.org/fedora"\n'
    )
    yield Parser(
        "registries.conf",
        in_file(registries),
        (conf,),
        {
            "registries": numbered('[[registry]]\nlocation = "r%d.example"\n'),
            "mirrors": numbered('[[registry.mirror]]\nlocation = "m%d.example"\n', '[[registry]]\nlocation = "r.example"\n'),
            "aliases": numbered('"a%d" = "quay.io/a/b"\n', "[aliases]\n"),
            "a long place": repeated("a.", b'[[registry]]\nlocation = "', b'/"'),
            "a long alias": repeated("a-", b'[aliases]\n"', b'" = "quay.io/a"'),
            "keys": numbered("k%d = 1\n"),
            "numbers": repeated("1,", b"a = [", b"1]"),
            "dotted keys": repeated("a.", b"", b"b = 1"),
            "comments": repeated("#\n"),
        },
        ("airgap.registry.settings.rulefiles:load_rules",),
        most=1 << 20,
    )
    yield Parser(
        "registries.d",
        lambda raw: parse_registries_file(raw, "file"),
        (b"default-docker:\n  lookaside: https://a.example\ndocker:\n  quay.io/a:\n    sigstore: file:///srv/sigs\n",),
        {
            "scopes": numbered("  quay.io/a%d: {lookaside: 'https://a.example'}\n", "docker:\n"),
            "keys": numbered("k%d: 1\n"),
            "a long scope": repeated("a/", b"docker: {", b"b: {}}"),
            "empty lists": repeated("[],", b"docker: [", b"1]"),
            "a long address": repeated("a", b"default-docker: {lookaside: 'https://", b"'}"),
        },
        ("airgap.lookaside.registriesd:parse_registries_file",),
        most=1 << 20,
    )
    entry = b"ann:$2b$05$" + b"a" * 53 + b"\n"
    yield Parser(
        "htpasswd",
        lambda raw: Users.parse(raw, WHERE),
        (entry,),
        {
            "users": lambda n: b"".join(b"u%d" % i + entry for i in range(n)),
            "comments": repeated("#\n"),
        },
        ("airgap.server.access:Users.parse",),
        most=1 << 20,
    )

    def login(path: Path) -> None:
        CredentialStore((path,), {"PATH": "/nonexistent"}).lookup("quay.io", "team/app")

    auths = {"auths": {"quay.io/team": {"auth": "YTpi"}, "https://index.docker.io/v1/": {"auth": "YTpi"}}}
    yield document(
        "auth file",
        in_file(login),
        line_of(auths),
        "airgap.registry.settings.credentials:read_auth_file",
        most=1 << 20,
        grow={
            "entries": seeds.of_value(lambda n: {"auths": {f"r{i}.example/a": {"auth": "YTpi"} for i in range(n)}}),
            "helpers": seeds.of_value(lambda n: {"credHelpers": {f"r{i}.example": "x" for i in range(n)}}),
        },
    )


def _network() -> Iterator[Parser]:
    request = b"GET /v2/a/manifests/1 HTTP/1.1\r\nHost: a\r\nAccept: b\r\n\r\n"
    yield Parser(
        "HTTP request",
        _head,
        (request, request * 2),
        {
            "requests": repeated(request),
            "blank lines": repeated("\r\n", b"", request),
            "fields": numbered("A%d: b\r\n", "GET / HTTP/1.1\r\n", "\r\n"),
            "blanks in a value": repeated(" ", b"GET / HTTP/1.1\r\nA: b", b"\x01\r\n\r\n"),
            "blanks and a word": repeated(" ", b"GET / HTTP/1.1\r\nA:", b"b\r\n\r\n"),
            "a long target": repeated("a", b"GET /", b" HTTP/1.1\r\n\r\n"),
            "a long method": repeated("A"),
        },
        ("airgap.server.wire:take_request",),
        (Refusal,),
        most=64 << 10,
    )
    yield Parser(
        "WWW-Authenticate",
        text(parse_challenges),
        (b'Bearer realm="https://a/token",service="a", Basic realm="x"',),
        {
            "words": repeated("a "),
            "blanks": repeated(" ", b"a"),
            "quotes": repeated('a="'),
            "escaped quotes": repeated('\\"', b'Bearer realm="'),
            "open quotes": repeated("a=\"'"),
            "commas": repeated(","),
            "equals": repeated("a ="),
        },
        ("airgap.registry.http.auth:parse_challenges",),
        most=64 << 10,
    )
    yield Parser(
        "quota",
        text(lambda text: read_quota(text, text)),
        (b"100;w=21600",),
        {"digits": repeated("1"), "blanks": repeated(" ")},
        ("airgap.registry.settings.limits:read_quota",),
        most=64 << 10,
    )
