"""The schemas of results and documents: every key has one type and one meaning, and the command line prints them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from airgap.cli.application import application
from airgap.schemas.catalogue import json_schema, titles
from airgap.schemas.keys import KEYS
from airgap.schemas.notation import DIALECT, optional, schema
from airgap.schemas.results import RESULTS
from tests.support.cli import USAGE, failed, here
from tests.unit.test_fast_set import commands

ROOT = Path(__file__).resolve().parents[2]


def keys_in(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key at every depth of a schema, with what it may hold."""
    if isinstance(value, dict):
        for name, inner in value.get("properties", {}).items():
            yield name, inner
            yield from keys_in(inner)
        for part in ("items", "additionalProperties"):
            yield from keys_in(value.get(part))


def shape(value: dict[str, Any]) -> str:
    """The type of a value and of what it consists of, without the keys of objects."""
    inner = [shape(part) for part in (value.get("items"), value.get("additionalProperties")) if isinstance(part, dict)]
    return json.dumps([value.get("type"), value.get("pattern"), inner])


@pytest.mark.parametrize("name", titles())
def test_every_schema_is_one(name: str) -> None:
    found = json_schema(name)
    Draft202012Validator.check_schema(found)
    assert (found["$schema"], found["properties"]["schema"]) == (DIALECT, {"const": f"airgap.{name}/1"})
    assert (found["required"][0], found["additionalProperties"]) == ("schema", False)
    assert "eaders must accept keys" in found["description"] or name not in RESULTS


def test_a_key_has_one_type_and_one_meaning_in_all_results() -> None:
    found: dict[str, set[tuple[str, str]]] = {}
    for name in RESULTS:
        for key, value in keys_in(json_schema(name)):
            if key != "schema":
                found.setdefault(key, set()).add((value["description"], shape(value)))
    assert {key: sorted(said) for key, said in found.items() if len(said) > 1} == {}
    assert sorted(found) == list(KEYS), "the table has the keys that occur, in order"


def takes_json(name: str) -> bool:
    """Whether the command with this name, such as ``media check``, has ``--json``."""
    found = application()
    for word in name.split():
        found = found.commands[word]
    return any("--json" in one.opts for one in found.params)


def test_every_command_that_prints_json_has_a_schema_of_its_result() -> None:
    renamed = {"prune": "prune-result", "receipt": "receipt-result", "serve": "serve-event", "watch": "watch-event"}
    names = {name: takes_json(name) for name in commands(application())}
    assert {name for name, takes in names.items() if not takes} == {"help", "completion", "man"}
    for name in (name.replace(" ", "-") for name, takes in names.items() if takes):
        assert renamed.get(name, name) in RESULTS


def test_of_several_bundles_each_has_what_one_alone_has_as_far_as_it_came_and_how_it_ended() -> None:
    of_one, of_many = json_schema("import"), json_schema("import-bundles")
    assert of_many["required"] == ["schema", "bundles", "exit_code"]
    each = of_many["properties"]["bundles"]["items"]
    assert sorted(each["required"]) == ["bundle", "catalog", "directories", "outcome"]
    assert of_one["properties"].keys() - each["properties"].keys() == {"schema"}


def test_all_keys_of_a_notation_can_be_made_optional_but_not_those_inside() -> None:
    assert optional("a b?(c d?(e)) f") == "a? b? ? ( c d ? ( e ) ) f?"
    keys = {key: ("objects" if key in "bd" else "text", key) for key in "abcdef"}
    found = schema("airgap.x/1", "x", "", f"{optional('a b?(c d?(e)) f')} f", keys)
    assert found["required"] == ["schema", "f"]
    assert found["properties"]["b"]["items"]["required"] == ["c"]


def test_a_mistake_in_a_notation_is_found() -> None:
    keys = {"a": ("objects", "some"), "b": ("text", "one")}
    for wrong in ("a(b", "a(b))", "a b)"):
        with pytest.raises(ValueError, match="parenthesis"):
            schema("airgap.x/1", "x", "", wrong, keys)
    with pytest.raises(KeyError):
        schema("airgap.x/1", "x", "", "a(c)", keys)


@pytest.mark.smoke("schema")
def test_the_command_lists_the_schemas_and_prints_one_by_either_name() -> None:
    assert [line.split()[0] for line in here("schema").stdout.splitlines()] == list(titles())
    assert {one["name"]: one["title"] for one in json.loads(here("schema", "--json").stdout)["schemas"]} == titles()
    assert json.loads(here("schema", "import").stdout) == json_schema("import")
    assert here("schema", "airgap.import/1").stdout == here("schema", "import").stdout
    failed(here("schema", "improt"), USAGE, "did you mean import")
    failed(here("schema", "\x1b[31m"), USAGE, "airgap schema")


def test_the_page_lists_every_schema_and_every_key_as_they_are() -> None:
    page = (ROOT / "docs/json.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9_-]+)` \| ([^|]*) \|(?: ([^|]*) \|)?$", page, re.MULTILINE)
    assert {name: title for name, title, rest in rows if not rest} == titles()
    assert {name: (kind, meaning) for name, kind, meaning in rows if meaning} == KEYS
