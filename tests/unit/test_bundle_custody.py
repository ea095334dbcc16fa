"""The custody log as a document: the chain, what breaks it, and lines that nobody of ours has written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.documents.custody import MAX_ENTRIES, Custody, CustodyEntry, Log, PastCheck, Seal, new_entry, parse_entry, read_result
from airgap.errors import AirgapError, Damaged, UsageError
from airgap.oci.digest import Digest

CATALOG = Digest.of(b"catalog")
AT = "2026-02-01T08:00:00Z"


def written(*entries: CustodyEntry, before: bytes = b"") -> bytes:
    raw = before
    for entry in entries:
        log = Log.parse(raw, CATALOG)
        raw = raw[: log.end] + log.next(entry).line() + b"\n"
    return raw


def entry(who: str = "Anna", **fields: Any) -> CustodyEntry:
    return replace(new_entry(CATALOG, AT, who, "depot", "", None), **fields)


THREE = written(
    entry("Anna"), entry("Bert", checked=PastCheck("good", 0, Digest.of(b"r"))), entry("Cleo", seal=Seal("ab" * 8, "sig", "c2ln"))
)


def test_entries_follow_on_each_other():
    log = Log.parse(THREE, CATALOG)
    assert log.problems == ()
    assert [one.who for one in log.entries] == ["Anna", "Bert", "Cleo"]
    assert [one.number for one in log.entries] == [1, 2, 3]
    assert log.entries[0].previous is None
    assert log.entries[2].previous == log.entries[1].digest == Digest.of(THREE.split(b"\n")[1])
    assert (log.end, log.torn, log.lines) == (len(THREE), 0, 3)
    assert b"".join(one.line() + b"\n" for one in log.entries) == THREE


@given(st.integers(0, len(THREE) - 1), st.integers(1, 255))
def test_any_changed_byte_before_the_last_line_breaks_the_chain(position, mask):
    changed = bytearray(THREE)
    changed[position] ^= mask
    log = Log.parse(bytes(changed), CATALOG)
    last = THREE.rstrip(b"\n").rfind(b"\n") + 1
    assert position >= last or log.problems
    assert position < last or log.problems or log.torn or [one.who for one in log.entries[:2]] == ["Anna", "Bert"]


@given(st.binary(max_size=300))
def test_no_bytes_at_all_make_it_fail(raw):
    log = Log.parse(raw, CATALOG)
    assert log.end + log.torn == len(raw)


@pytest.mark.parametrize("taken", [0, 1])
def test_a_line_that_was_taken_out_shows(taken):
    lines = THREE.splitlines(keepends=True)
    assert Log.parse(b"".join(lines[:taken] + lines[taken + 1 :]), CATALOG).problems


def test_a_cut_off_end_does_not_show_and_nobody_says_that_it_would():
    assert Log.parse(b"".join(THREE.splitlines(keepends=True)[:2]), CATALOG).problems == ()


def test_swapped_and_doubled_lines_show():
    first, second, third = THREE.splitlines(keepends=True)
    assert Log.parse(second + first + third, CATALOG).problems
    assert Log.parse(first + second + second + third, CATALOG).problems


def test_the_log_of_another_bundle_shows():
    problems = Log.parse(THREE, Digest.of(b"other")).problems
    assert len(problems) == 3
    assert all("another bundle" in problem for problem in problems)


@pytest.mark.parametrize("kept", [0, 1, 50, len(THREE) // 2, len(THREE) - 1])
def test_a_torn_line_is_no_broken_chain_and_loses_no_earlier_entry(kept):
    torn = THREE[:kept]
    log = Log.parse(torn, CATALOG)
    assert log.problems == ()
    assert log.torn == kept - (torn.rfind(b"\n") + 1)
    again = written(entry("Dora"), before=torn)
    mended = Log.parse(again, CATALOG)
    assert mended.problems == ()
    assert again.startswith(torn[: log.end])
    assert mended.entries[-1].cut == log.torn
    assert ("were cut off" in mended.entries[-1].describe()) == bool(log.torn)


def test_an_entry_behind_a_broken_chain_follows_on_what_is_there():
    broken = THREE.replace(b"Anna", b"Alma", 1)
    log = Log.parse(written(entry("Dora"), before=broken), CATALOG)
    assert len(log.problems) == 1
    assert log.entries[-1].previous == log.entries[-2].digest


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "airgap.custody/2"}, "schema"),
        ({"extra": 1}, "unknown field"),
        ({"number": -1}, "number"),
        ({"number": True}, "number"),
        ({"who": 7}, "string"),
        ({"who": "x" * 201}, "too long"),
        ({"note": "x" * 2001}, "too long"),
        ({"at": "yesterday"}, "time"),
        ({"catalog": "sha256:0"}, "digest"),
        ({"checked": {"result": "good"}}, "number"),
        ({"signature": {"key": "a/b", "form": "sig", "content": ""}}, "signature"),
        ({"signature": {"key": "ab", "form": "exe", "content": ""}}, "signature"),
    ],
)
def test_lines_that_are_no_entries_are_refused(change, says):
    line = json.dumps(json.loads(THREE.splitlines()[0]) | change, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(Damaged) as caught:
        parse_entry(line, 1)
    assert says in str(caught.value)


def test_another_spelling_of_the_same_entry_is_refused():
    with pytest.raises(Damaged):
        parse_entry(THREE.splitlines()[0].replace(b'"cut":0', b'"cut": 0'), 1)


@pytest.mark.parametrize(
    ("who", "where", "note"), [("", "", ""), ("  ", "", ""), ("x" * 201, "", ""), ("a", "x" * 201, ""), ("\udc80", "", "")]
)
def test_what_people_write_has_bounds(who, where, note):
    with pytest.raises(UsageError):
        new_entry(CATALOG, AT, who, where, note, None)


def test_hostile_text_is_shown_harmlessly():
    shown = entry("\x1b[31mAnna\n\u202e", note="<b>").describe()
    assert shown.isprintable()


def test_a_full_log_takes_no_more():
    with pytest.raises(UsageError):
        Log(lines=MAX_ENTRIES).next(entry())


def test_logs_of_several_media_are_merged_by_time_and_a_copy_counts_once():
    other = Log.parse(written(entry("Eve", at="2026-01-01T00:00:00Z")), CATALOG)
    log = Log.parse(THREE, CATALOG)
    custody = Custody.merge([("usb1", log), ("usb2", log), ("usb3", other)])
    assert custody.carriers() == ["Eve", "Anna", "Bert", "Cleo"]
    assert custody.media == {"usb1", "usb2", "usb3"}
    assert [custody.vouched(one) for _, one in custody.entries][2:] == ["unsigned", "signature by abababababababab not verified"]


def test_signatures_are_checked_over_the_entry_without_them():
    log = Log.parse(THREE, CATALOG)
    custody = Custody.merge([("usb1", log)])
    good = custody.checked(lambda content, form, seal: ("Cleo's key", "") if b"signature" not in content else ("", "no"))
    assert good.problems == ()
    assert good.vouched(log.entries[2]) == "signed by Cleo's key"
    bad = custody.checked(lambda content, form, seal: ("", "not by this key"))
    assert "entry 3: its signature is invalid: not by this key" in bad.problems[0]


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"result":7}', b'{"result":"good","exit_code":0,"bundles":[{"catalog":"x"}]}']
)
def test_only_the_result_of_a_check_of_this_bundle_is_taken(raw):
    with pytest.raises(AirgapError) as caught:
        read_result(raw, CATALOG, "check.json")
    assert isinstance(caught.value, UsageError)


def test_a_result_is_taken_with_its_digest():
    raw = json.dumps({"result": "damaged", "exit_code": 4, "bundles": [{"catalog": CATALOG}]}).encode()
    assert read_result(raw, CATALOG, "check.json") == PastCheck("damaged", 4, Digest.of(raw))
