"""Changes to good bundles, at every field: its structure, its bytes, and other bodies that the log has really taken."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from airgap.oci import strictjson
from tests.support.sigstoreinstance.case import ARTIFACT, STATEMENT
from tests.support.sigstoreinstance.instance import WHEN, Instance
from tests.support.sigstoreinstance.parts import Signed, b64

Path: TypeAlias = tuple[str | int, ...]
_VALUES: tuple[Any, ...] = (None, "", "x", "AAAA", "0", "-1", 0, 1, True, 1.5, [], {}, [{}], {"x": "y"})
_NUMBERS = ("+{}", "0{}", " {}", "{}.0", "{}e0", "-{}")
_FLIPS = 24


@dataclass(frozen=True)
class Seed:
    """A good bundle that both programs accept, and what was signed."""

    name: str
    bundle: dict[str, Any]
    signed: Signed


def seeds(instance: Instance) -> Iterator[Seed]:
    """Bundles of every kind that sigstore-python reads."""
    signer = instance.signer()
    for version, log, stamped in (("0.1", 1, False), ("0.2", 1, True), ("0.3", 1, False), ("0.3 old", 2, True), ("0.3", 2, True)):
        for what, signed in (("message", Signed.message(signer, ARTIFACT)), ("statement", Signed.statement(signer, STATEMENT))):
            yield Seed(f"{what} {version} Rekor {log}", instance.bundle(signed, version=version, log=log, stamped=stamped), signed)


def changes(seed: Seed, instance: Instance, others: list[Seed]) -> Iterator[tuple[str, bytes]]:
    """The bundle changed in one place; what was changed, and the bundle."""
    for path, value in _nodes(seed.bundle):
        label = "/".join(map(str, path))
        for number, other in enumerate(_changed(value)):
            yield f"{label} {number}", _written(_with(seed.bundle, path, other))
        if path:
            yield f"{label} left out", _written(_without(seed.bundle, path))
            yield f"{label} twice", _twice(seed.bundle, path)
        for other_seed in others:
            taken = _at(other_seed.bundle, path)
            if taken is not None and taken != value:
                yield f"{label} of {other_seed.name}", _written(_with(seed.bundle, path, taken))
    yield from _logged(seed, instance)
    raw = _written(seed.bundle)
    for at in range(0, len(raw), max(1, len(raw) // 200)):
        yield f"byte {at}", raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]


def _logged(seed: Seed, instance: Instance) -> Iterator[tuple[str, bytes]]:
    """The same with another body in the log, everything signed as it should be: only what the entry is about is wrong."""
    entry = seed.bundle["verificationMaterial"]["tlogEntries"][0]
    body = json.loads(base64.b64decode(entry["canonicalizedBody"]))
    kind = entry["kindVersion"]
    for path, value in _nodes(body):
        variants = [_with(body, path, other) for other in _changed(value)]
        for number, other in enumerate([*variants, *([_without(body, path)] if path else [])]):
            made = _entry(instance, strictjson.canonical(other), kind)
            label = f"logged {'/'.join(map(str, path))} {number}"
            yield label, _written(_with(seed.bundle, ("verificationMaterial", "tlogEntries", 0), made))


def _entry(instance: Instance, body: bytes, kind: dict[str, str]) -> dict[str, Any]:
    if kind["version"] == "0.0.1":
        return instance.rekor1.entry_of(body, WHEN, kind["kind"], kind["version"])
    return instance.rekor2.entry_of(body, kind["kind"])


def _changed(value: Any) -> Iterator[Any]:
    yield from (other for other in _VALUES if other != value or type(other) is not type(value))
    if isinstance(value, list):
        yield from (value * 2, value[::-1], [*value, {}], value[:-1])
    elif isinstance(value, dict):
        yield {**value, "extra": 1}
        yield {name.upper(): one for name, one in value.items()}
    elif isinstance(value, str):
        yield from _texts(value)


def _texts(value: str) -> Iterator[str]:
    yield from (value + "A", value[:-1], value[1:], value.upper(), value + "\n", f" {value}", value.replace("=", ""), value + "=")
    if value.isdecimal():
        yield from (form.format(value) for form in _NUMBERS)
        yield from (str(int(value) + step) for step in (1, -1, 2**63, 2**64))
    if "\n" in value:
        lines = value.split("\n")
        yield from ("\n".join([*lines[:at], *lines[at + 1 :]]) for at in range(len(lines)))
        yield from ("\n".join([*lines[:at], "line", *lines[at:]]) for at in range(len(lines) + 1))
    try:
        data = base64.b64decode(value, validate=True)
    except ValueError:
        data = b""
    for at in range(0, len(data), max(1, len(data) // _FLIPS)):
        yield b64(data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :])
    if data:
        yield from (b64(data + b"\0"), b64(data[:-1]), b64(b"\0" + data), base64.urlsafe_b64encode(data).decode())


def _nodes(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, value
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inside:
        yield from _nodes(one, (*path, name))


def _at(value: Any, path: Path) -> Any:
    for name in path:
        here = name in value if isinstance(value, dict) else isinstance(value, list) and isinstance(name, int) and name < len(value)
        if not here:
            return None
        value = value[name]
    return value


def _with(document: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    made = copy.deepcopy(document)
    _at(made, path[:-1])[path[-1]] = value
    return made


def _without(document: Any, path: Path) -> Any:
    made = copy.deepcopy(document)
    del _at(made, path[:-1])[path[-1]]
    return made


def _twice(document: Any, path: Path) -> bytes:
    """With one key twice, or one thing of a list."""
    name = path[-1]
    if isinstance(name, int):
        made = copy.deepcopy(document)
        _at(made, path[:-1]).append(_at(made, path))
        return _written(made)
    marked = _with(document, path[:-1], {**_at(document, path[:-1]), "a mark": _at(document, path)})
    return _written(marked).replace(b'"a mark"', json.dumps(name).encode())


def _written(document: Any) -> bytes:
    return json.dumps(document).encode()
