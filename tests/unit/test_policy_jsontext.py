"""Changing one value of a JSON text: the rest stays byte for byte."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from airgap.trust.policy.jsontext import with_value, without

WRITTEN = '{\n\t"default" : [ {"type":"reject"} ],\n\t"transports":\n\t{\n\t\t"docker": {"quay.io":[{"type":"reject"}]}\n\t}\n}\n'
TEXTS = {
    "by hand": WRITTEN,
    "line ends of Windows": WRITTEN.replace("\n", "\r\n"),
    "one line": json.dumps(json.loads(WRITTEN)),
    "no blanks": json.dumps(json.loads(WRITTEN), separators=(",", ":")),
    "four blanks": json.dumps(json.loads(WRITTEN), indent=4),
    "escapes": WRITTEN.replace("quay.io", "qu\\u0061y.io"),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(
    "place",
    [("transports", "docker", "new"), ("transports", "docker", "quay.io", 1), ("transports", "dir", "/x"), ("more",)],
    ids=str,
)
def test_what_is_added_and_removed_again_leaves_the_text_as_it_was(text: str, place: tuple[str | int, ...]) -> None:
    added = with_value(text, place, [{"type": "reject"}])
    wanted: Any = json.loads(text)
    *parents, last = place
    for step in parents:
        wanted = wanted.setdefault(step, {}) if isinstance(wanted, dict) else wanted[step]
    if isinstance(wanted, list):
        assert last == len(wanted)
    found: Any = json.loads(added)
    for step in place:
        found = found[step]
    assert found == [{"type": "reject"}]
    made = place[:2] if place[:2] == ("transports", "dir") else place
    assert without(added, made) == text


def test_an_added_entry_looks_like_its_neighbours() -> None:
    assert with_value(WRITTEN, ("transports", "dir"), {"/x": [1]}) == WRITTEN.replace(
        '"reject"}]}\n\t}', '"reject"}]},\n\t\t"dir": {\n\t\t\t"/x": [\n\t\t\t\t1\n\t\t\t]\n\t\t}\n\t}'
    )
    assert with_value('{"a": [1]}', ("a", 1), 2) == '{"a": [1, 2]}'
    assert with_value('{\n  "a": {}\n}', ("a", "b"), 1) == '{\n  "a": {\n    "b": 1\n  }\n}'


def test_what_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(KeyError):
        without(WRITTEN, ("transports", "docker", "ghcr.io"))


def test_any_change_of_any_text_is_the_change_of_its_value() -> None:
    chance = random.Random(15)

    def value(depth: int) -> Any:
        kind = chance.randrange(6 if depth else 4)
        if kind == 4:
            return [value(depth - 1) for _ in range(chance.randrange(4))]
        if kind == 5:
            return {chance.choice(['a"b', "ü", "\n", "", "k", "}"]): value(depth - 1) for _ in range(chance.randrange(4))}
        return (None, 12, "te\\xt,]}", True)[kind]

    for _ in range(400):
        document = {"top": value(3), "more": value(2)}
        blanks = chance.choice([None, 1, 4, "\t"])
        text = json.dumps(document, indent=blanks, ensure_ascii=chance.choice([True, False]))
        place, wanted = [], copy.deepcopy(document)
        inner: Any = wanted
        while True:
            step = chance.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
            place.append(step)
            if not inner[step] or not isinstance(inner[step], dict | list) or chance.random() < 0.3:
                break
            inner = inner[step]
        removed = copy.deepcopy(wanted)
        inner[place[-1]] = new = value(2)
        assert json.loads(with_value(text, place, new)) == wanted, (text, place)
        parent: Any = removed
        for step in place[:-1]:
            parent = parent[step]
        del parent[place[-1]]
        assert json.loads(without(text, place)) == removed, (text, place)
