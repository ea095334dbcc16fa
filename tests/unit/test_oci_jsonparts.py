"""JSON that is read part by part is the same JSON, however the bytes fall into pieces, and as strictly read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import Damaged
from airgap.oci import jsonparts, strictjson

LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8))
VALUES = st.recursive(
    LEAVES, lambda one: st.one_of(st.lists(one, max_size=4), st.dictionaries(st.text(max_size=3), one, max_size=4)), max_leaves=12
)
TOPS = st.dictionaries(st.sampled_from(["a", "b", "c", "d", ""]), VALUES, max_size=5)


def whole(raw: bytes) -> dict[str, Any]:
    """All parts put together again."""
    top: dict[str, Any] = {}
    for key, name, value in jsonparts.parts(raw, "here", ("a", "b"), jsonparts.Memory(1 << 30)):
        if name is None:
            top[key] = value
        elif isinstance(name, int):
            assert name == len(top[key])
            top[key].append(value)
        else:
            if name in top[key]:
                raise Damaged("twice")
            top[key][name] = value
    return top


@pytest.fixture(params=[1, 2, 3, 7, 1 << 18])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("airgap.oci.jsonparts._PIECE", request.param)
    return int(request.param)


@given(TOPS, st.sampled_from([None, 1]), st.booleans(), st.sampled_from([1, 2, 5, 1 << 18]))
def test_the_parts_are_the_whole(top: dict[str, Any], indent: int | None, escaped: bool, size: int) -> None:
    raw = json.dumps(top, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airgap.oci.jsonparts._PIECE", size)
        assert whole(raw) == strictjson.parse_object(raw, "here") == top


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"[]",
        b"1",
        b"{",
        b"{}{}",
        b"{} x",
        b"\xef\xbb\xbf{}",
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":[1,]}',
        b'{"a":[,1]}',
        b'{"a":{,}}',
        b'{"a":[1',
        b'{"a":{"b"',
        b'{"a":{"b":',
        b'{"a":NaN}',
        b'{"a":[NaN]}',
        b'{"a":["\\ud800"]}',
        b'{"\\ud800":1}',
        b"{1:2}",
        b'{"a":{"\\ud800":1}}',
        b'{"a":["\xff"]}',
        b'{"a":[01]}',
        b'{"c":[01]}',
        b'{"a":[1 2]}',
        b'{"a" 1}',
        b'{"a":1 "b":2}',
        b"{'a':1}",
        b'{"a":[' + b"[" * 31 + b"]" * 31 + b"]}",
        b'{"c":' + b"[" * 32 + b"]" * 32 + b"}",
        b'{"a":' + b"[" * 100_000,
        b'{"a":[' + b"9" * 5000 + b"]}",
    ],
)
def test_what_is_refused_as_a_whole_is_refused_in_parts(raw: bytes, piece: int) -> None:
    with pytest.raises(Damaged):
        strictjson.parse_object(raw, "here")
    with pytest.raises(Damaged):
        whole(raw)


@pytest.mark.slow("documents of many megabytes")
def test_a_part_that_takes_too_much_memory_is_refused_before_it_is_parsed() -> None:
    raw = b'{"a":[{"b":[' + b"[]," * 2_000_000 + b"0]}]}"
    with pytest.raises(Damaged, match="needs too much memory"):
        list(jsonparts.parts(raw, "here", ("a",), jsonparts.Memory(1 << 30)))


def test_parts_that_are_kept_may_take_so_much_together() -> None:
    memory = jsonparts.Memory(1000)
    memory.take(1000)
    with pytest.raises(Damaged, match="needs too much memory"):
        memory.take(1)
