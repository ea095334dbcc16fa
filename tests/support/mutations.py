"""Hostile bytes made from honest ones: cut, doubled, mixed, with strange words in them, and documents with strange values."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.support.parserrow import Parser

_WORDS = (
    b"\x00",
    b"\xff",
    b"\xf0\x9f\x92\xa9",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"\x1b[31m",
    b"\r\n",
    b"\n\n",
    b"\t",
    b" ",
    b'"',
    b"'",
    b"\\",
    b"\\ud800",
    b"\\u0000",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[[[[",
    b",",
    b":",
    b": ",
    b"- ",
    b"---\n",
    b"<<: *a",
    b"&a ",
    b"*a",
    b"!!python/object:os.system ",
    b"!!binary x",
    b"!<tag:x>",
    b"|\n",
    b">-\n",
    b"? ",
    b"#",
    b"%",
    b"@",
    b"`",
    b"$",
    b"${",
    b"}",
    b"$(",
    b"{{",
    b"}}",
    b"<<EOF",
    b"-",
    b"--",
    b"=",
    b"==",
    b"/",
    b"//",
    b"../",
    b"*",
    b"\\1",
    b"0",
    b"-1",
    b"1e999",
    b"NaN",
    b"Infinity",
    b"9" * 30,
    b"9" * 5000,
    b"0x10",
    b"1_000",
    b"true",
    b"null",
    b"~",
    b"a" * 300,
    b"/a" * 200,
    b"-----BEGIN X-----",
    b"sha256:",
    b"docker://",
    b"\xe0\xff",
    b"\x80",
    b"\x30\x84\xff\xff\xff\xff",
    b"HTTP/1.1",
    b'="',
    b"1||",
    b"%25",
    b"\xc2\xa0",
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**53,
    2**63,
    -(2**63),
    10**400,
    0.5,
    1e308,
    float("inf"),
    float("nan"),
    "",
    " ",
    "\x00",
    "\ud800",
    "💩",
    "a" * 300,
    "sha256:" + "0" * 64,
    "sha512:" + "0" * 128,
    "docker.io/library/a:1",
    "../../etc/passwd",
    [],
    {},
    [[]],
    [{}],
    {"": None},
    [0] * 3,
    [-1, 0, 1],
    ["a", "a"],
    {"a": {"a": {"a": 1}}},
    "AAAA",
    "2026-01-31T12:00:00Z",
    "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
)


@st.composite
def _spliced(draw: st.DrawFn, parser: Parser) -> bytes:
    """An honest input with some pieces taken out, doubled, or replaced."""
    raw = draw(st.sampled_from(parser.seeds))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.sampled_from((0, 1, 2, 5, 20, 100, 512, 10_000))))
        other = draw(st.sampled_from(parser.seeds))
        at = draw(st.integers(0, len(other)))
        put = draw(
            st.one_of(
                st.sampled_from(_WORDS),
                st.binary(max_size=8),
                st.just(raw[start:end] * 2),
                st.just(other[at : at + 40]),
                st.sampled_from(_WORDS).map(lambda word: word * 50),
            )
        )
        raw = raw[:start] + put + raw[end:]
    return raw


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in list(inside)[:30] for found in _places(one, (*path, key)))]


def _with(value: Any, path: tuple[Any, ...], new: Any, how: str) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        if len(path) == 1 and how == "gone":
            return {key: one for key, one in value.items() if key != path[0]}
        if len(path) == 1 and how == "renamed":
            return {(key.upper() if key == path[0] else key): one for key, one in value.items()}
        return {key: (_with(one, path[1:], new, how) if key == path[0] else one) for key, one in value.items()}
    if len(path) == 1 and how == "gone":
        return value[: path[0]] + value[path[0] + 1 :]
    if len(path) == 1 and how == "doubled":
        return value[: path[0]] + value[path[0] : path[0] + 1] * 2 + value[path[0] + 1 :]
    return [(_with(one, path[1:], new, how) if i == path[0] else one) for i, one in enumerate(value)]


@st.composite
def _revalued(draw: st.DrawFn, documents: list[Any]) -> bytes:
    """An honest document with strange values in some places."""
    value = draw(st.sampled_from(documents))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(_places(value)))
        how = draw(st.sampled_from(("new", "new", "gone", "doubled", "renamed")))
        value = _with(value, path, draw(st.sampled_from(_VALUES)), how)
    return json.dumps(value).encode()


def _documents(parser: Parser) -> list[Any]:
    found = []
    for raw in parser.seeds:
        try:
            found.append(json.loads(raw))
        except ValueError:
            continue
    return found


def hostile(parser: Parser) -> st.SearchStrategy[bytes]:
    """Hostile inputs for a parser."""
    kinds = [_spliced(parser), st.binary(max_size=200), st.lists(st.sampled_from(_WORDS), max_size=30).map(b"".join)]
    documents = _documents(parser)
    if documents:
        kinds += [_revalued(documents)] * 2
    if parser.grow:
        grown = st.tuples(st.sampled_from(sorted(parser.grow)), st.integers(0, 40))
        kinds.append(grown.map(lambda chosen: parser.grow[chosen[0]](chosen[1])))
    return st.one_of(kinds)
