"""JSON that no two parsers can read differently (docs/threats.md, rows 23 to 27)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import Damaged
from airgap.oci import strictjson


@pytest.mark.parametrize(
    "raw",
    [
        b"", b" ", b"[]", b"1", b"null", b'"x"', b"{", b"{}{}", b"{} x", b"\xef\xbb\xbf{}", b"\xff", b'{"a":"\xc0\xaf"}', b"\x00",
        b'{"a":1,"a":1}', b'{"a":{"b":1,"b":2}}', b'{"a":1,"\\u0061":2}', b'{"a":"\\ud800"}', b'{"\\udfff":1}',
        b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b"{'a':1}", b'{"a":01}', b'{"a":1,}', b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' * 40 + b"1" + b"}" * 40, b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"a":"\n"}',
    ],
    ids=range(28),
)  # fmt: skip
def test_refused(raw: bytes) -> None:
    with pytest.raises(Damaged) as caught:
        strictjson.parse_object(raw, "here")
    assert caught.value.where == "here"
    assert caught.value.what.isprintable()


def test_nesting_up_to_the_limit_and_one_more() -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' * depth + b"1" + b"}" * depth

    assert strictjson.parse_object(nested(strictjson.MAX_DEPTH - 1), "here")
    with pytest.raises(Damaged):
        strictjson.parse_object(nested(strictjson.MAX_DEPTH + 1), "here")


@pytest.mark.parametrize("key", ["Layers", "LAYERS", "layer\u017f", "lAyers"])
def test_a_key_that_go_takes_for_another_is_refused(key: str) -> None:
    with pytest.raises(Damaged):
        strictjson.refuse_lookalikes({key: []}, ("layers",), "here")
    strictjson.refuse_lookalikes({"layers": [], "other": 1}, ("layers",), "here")


@pytest.mark.parametrize("value", [True, False, -1, 1.0, 2**53, "1", None, [1], float("nan")])
def test_not_a_number(value: object) -> None:
    with pytest.raises(Damaged):
        strictjson.integer(value, "here")


def test_numbers_up_to_the_limit() -> None:
    assert strictjson.integer(0, "") == 0
    assert strictjson.integer(2**53 - 1, "") == 2**53 - 1


@pytest.mark.parametrize("check", [strictjson.string, strictjson.array, strictjson.mapping])
def test_the_wrong_type(check: Callable[[object, str], object]) -> None:
    for value in (None, 1, True):
        with pytest.raises(Damaged):
            check(value, "here")


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4, alphabet="abcé"), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=4, alphabet="xyz\u20ac"), values, max_size=4))
def test_what_we_write_reads_as_itself_and_only_in_one_way(value: dict[str, object]) -> None:
    raw = strictjson.canonical(value)
    assert strictjson.parse_object(raw, "here") == value
    assert strictjson.canonical(json.loads(raw)) == raw


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40) | st.text(alphabet='{}[]":,0123456789.eE+-\\u \ntrfalsn', max_size=40).map(str.encode))
def test_any_bytes_are_an_object_or_damage(raw: bytes) -> None:
    try:
        found = strictjson.parse_object(raw, "here")
    except Damaged:
        return
    assert isinstance(found, dict)


def test_a_hundred_thousand_keys_with_two_equal_ones_are_refused_without_comparing_each_with_each() -> None:
    raw = b"{" + b",".join(b'"%d":0' % i for i in range(100_000)) + b',"z":0,"z":0}'
    with pytest.raises(Damaged, match="duplicate key 'z'"):
        strictjson.parse(raw, "here")
