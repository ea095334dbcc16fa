"""The rule of one result: a command that is killed anywhere and repeated until it exits 0 leaves what an undisturbed one leaves.

Every flow is one command with what must be there before it. What it leaves is compared as a whole: all files that it writes and all
that the state remembers, but for times, signatures and what tells of the attempts themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap.format.names import parity_name, volume_name
from airgap.layout import LayoutStore
from airgap.oci import media
from tests.support import images
from tests.support.confidential import Reader
from tests.support.crash import Crasher, crasher
from tests.support.paritybundles import spoil
from tests.support.site import CREATED

#: Files that are not the same twice, or not results: signatures, what is encrypted, locks.
_OTHER = (".sig", ".airgap.lock")
_TEMPORARY = re.compile(r"\..+\.tmp")
_FILES = ("oci:/", "oci-archive:/", "docker-archive:/", "k3s:/", "dir:/")


@dataclass(frozen=True)
class World:
    """Two versions of some images, keys, and the bundles of both; nothing in it is ever changed."""

    driver: Crasher
    root: Path
    reader: Reader

    @property
    def key(self) -> Path:
        """The exporter's private key."""
        return self.root / "keys/airgap.key"

    def bundle(self, serial: int) -> Path:
        """A bundle of the stream: the first whole, the second since the first."""
        return self.root / f"chain/prod-{serial:04d}"

    def exporting(self, version: int, out: Path, state: Path, *options: object) -> list[object]:
        """An export without a serial: what the next one is must not depend on what died."""
        fixed = ["--stream", "prod", "--created", CREATED, "--volume-size", "40kB", "--threads", 1, "--key", self.key]
        return ["export", f"oci:{self.root}/v{version}", "--out", out, *fixed, "--state", state, "--json", *options]

    def importing(self, serial: int, target: str, state: Path, *options: object) -> list[object]:
        """An import of one of the bundles."""
        fixed = ["--policy", self.root / "policy.json", "--state", state, "--threads", 1, "--json"]
        return ["import", self.bundle(serial), "--to", target, *fixed, *options]

    def run(self, *arguments: object) -> None:
        """Run a command that must end well."""
        done = self.driver.run(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)


@dataclass(frozen=True)
class Flow:
    """One command.

    Attributes:
        arguments: the command line, in a directory of its own.
        prepare: makes what must be there before.
        results: what of the directory is its result.
    """

    arguments: Callable[[World, Path], list[object]]
    prepare: Callable[[World, Path], None] = lambda world, work: None
    results: tuple[str, ...] = ("out",)


def _state_of_one_export(world: World, work: Path) -> None:
    shutil.copytree(world.root / "chain-state", work / "state")


def _state_of_first_export(world: World, work: Path) -> None:
    shutil.copytree(world.root / "first-state", work / "state")


def _damaged(world: World, work: Path) -> None:
    shutil.copytree(world.root / "parity/prod-0001", work / "bundle")
    (work / "bundle" / volume_name(2)).unlink()
    spoil(work / "bundle" / parity_name(1), 0)


def _imported_twice(world: World, work: Path) -> None:
    for serial in (1, 2):
        world.run(*world.importing(serial, f"oci:{work}/out", work / "state"))


def _planned(world: World, work: Path) -> None:
    _imported_twice(world, work)
    world.run("prune", f"oci:{work}/out", "--keep", 1, "--plan", work / "plan.json", "--state", work / "state")


def _lost(world: World, work: Path) -> None:
    _state_of_one_export(world, work)
    (work / "state/state.db").unlink()


def _export(version: int, *options: object) -> Callable[[World, Path], list[object]]:
    return lambda world, work: world.exporting(version, work / "out", work / "state", *options)


def _since(world: World, work: Path) -> list[object]:
    return world.exporting(2, work / "out", work / "state", "--since", world.bundle(1))


def _encrypted(world: World, work: Path) -> list[object]:
    return world.exporting(1, work / "out", work / "state", "--encrypt-to", world.reader.public)


def _merge(world: World, work: Path) -> list[object]:
    fixed = ["--stream", "prod", "--created", CREATED, "--volume-size", "40kB", "--threads", 1, "--key", world.key]
    trusted = ["--policy", world.root / "policy.json", "--state", work / "state", "--json"]
    return ["merge", world.bundle(1), world.bundle(2), "--out", work / "out", *fixed, *trusted]


def _import(target: str, *options: object) -> Callable[[World, Path], list[object]]:
    return lambda world, work: world.importing(1, target.replace("OUT", str(work / "out")), work / "state", *options)


def _rollback(world: World, work: Path) -> list[object]:
    return ["rollback", f"oci:{work}/out", "--stream", "prod", "--to", 1, "--remove-new", "--state", work / "state", "--json"]


def _prune(world: World, work: Path) -> list[object]:
    return ["prune", f"oci:{work}/out", "--apply", work / "plan.json", "--state", work / "state", "--json"]


def _receipt(world: World, work: Path) -> list[object]:
    return ["receipt", f"oci:{world.root}/v1", "-o", work / "out/site.receipt", "--site", "site", "--key", world.key]


def _begin_anew(world: World, work: Path) -> list[object]:
    return world.exporting(1, work / "out", work / "state", "--init-state", "--serial", 7)


FLOWS: dict[str, Flow] = {
    "export": Flow(_export(1)),
    "export-since": Flow(_since, _state_of_first_export),
    "export-parity": Flow(_export(1, "--parity", 2)),
    "export-encrypted": Flow(_encrypted),
    "merge": Flow(_merge, _state_of_one_export),
    "oci-archive": Flow(_import("oci-archive:OUT/a.tar")),
    "docker-archive": Flow(_import("docker-archive:OUT/a.tar")),
    "k3s": Flow(_import("k3s:OUT")),
    "dir": Flow(lambda world, work: ["import", world.root / "single/prod-0001", *_import("dir:OUT/a")(world, work)[2:]]),
    "store": Flow(_import("oci:OUT")),
    "repair": Flow(lambda world, work: ["media", "repair", work / "bundle", "--out", work / "out", "--json"], _damaged),
    "repair-in-place": Flow(
        lambda world, work: ["media", "repair", work / "bundle", "--in-place", "--json"], _damaged, ("bundle",)
    ),
    "prune": Flow(
        lambda world, work: ["prune", f"oci:{work}/out", "--apply", work / "plan.json", "--state", work / "state", "--json"],
        _planned,
    ),
    "rollback": Flow(_rollback, _imported_twice),
    "init-state": Flow(_begin_anew, _lost),
    "receipt": Flow(
        lambda world, work: [
            "receipt",
            f"oci:{world.root}/v1",
            "-o",
            work / "out/site.receipt",
            "--site",
            "site",
            "--key",
            world.key,
        ],
        lambda world, work: (work / "out").mkdir(),
    ),
}


@contextlib.contextmanager
def make_world(work: Path) -> Iterator[World]:
    """Publish both versions and export them, undisturbed."""
    layers = [images.content(images.seeded(str(size), size), media.OCI_LAYER) for size in (30_000, 42_000, 21_000)]
    with crasher(work / "home") as driver:
        world = World(driver, work, Reader.make(work / "site"))
        for version, chosen in ((1, layers[:2]), (2, layers[1:])):
            with LayoutStore(work / f"v{version}") as layout:
                images.publish(layout, "origin.example/shop/web:1", images.image(chosen))
                images.publish(layout, f"origin.example/shop/only:{version}", images.image(layers[version - 1 : version]))
                layout.commit()
        with LayoutStore(work / "v3") as layout:
            images.publish(layout, "origin.example/shop/web:1", images.image(layers[:2]))
            layout.commit()
        world.run("keys", "generate", "--no-passphrase", "--out", work / "keys")
        world.run("policy", "init", "--key", work / "keys/airgap.pub", "-o", work / "policy.json")
        chain = work / "chain", work / "chain-state"
        world.run(*world.exporting(1, *chain))
        shutil.copytree(chain[1], work / "first-state")
        world.run(*world.exporting(2, *chain, "--since", world.bundle(1)))
        world.run(*world.exporting(1, work / "parity", work / "parity-state", "--parity", 2))
        world.run(*world.exporting(3, work / "single", work / "single-state"))
        yield world


def undisturbed(world: World, flow: Flow, work: Path) -> tuple[tuple[str, ...], Any]:
    """The points that a command reaches, and what it leaves."""
    work.mkdir()
    flow.prepare(world, work)
    learned = world.driver.crash("", *flow.arguments(world, work))
    assert learned.returncode == 0, learned.stderr
    return learned.points, left_by(flow, work)


def kill_and_repeat(world: World, flow: Flow, at: int, work: Path, expected: Any) -> None:
    """The rule: killed at a point and run again, the command leaves exactly what an undisturbed one leaves.

    After the point at which an export gives up its intent there is nothing left to do but to leave: then it has to be all there.
    """
    work.mkdir()
    flow.prepare(world, work)
    killed = world.driver.crash(at, *flow.arguments(world, work))
    assert killed.killed, f"{at} was not reached: {killed}"
    if not killed.points[-1].startswith("after settle"):
        again = world.driver.run(*flow.arguments(world, work))
        assert again.returncode == 0, again.stderr
    found = left_by(flow, work)
    assert found == expected, difference(found, expected)


def difference(found: Any, expected: Any) -> str:
    """What of one is not in the other, for people."""
    lines = []
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            lines.append(f"{name}: {found.get(name)!r} in place of {expected.get(name)!r}"[:2000])
    return "\n".join(lines)


def left_by(flow: Flow, work: Path) -> dict[str, Any]:
    """Everything that a command has left: results and memory."""
    paths = [path for name in flow.results for path in sorted((work / name).rglob("*"))]
    files = [path for path in paths if path.is_file() and not any(map(_TEMPORARY.fullmatch, path.parts))]
    found: dict[str, Any] = {str(path.relative_to(work)): _content(path) for path in files if not path.name.endswith(_OTHER)}
    encrypted = any(b'"recipients"' in path.read_bytes() for path in files if path.name == "catalog.json")
    found = {name: "encrypted" if encrypted and "/prod-" in name else content for name, content in found.items()}
    found["signatures"] = sorted(path.name for path in files if path.name.endswith(".sig"))
    if (work / "state/state.db").exists():
        found |= _remembered(work / "state", encrypted)
    return found


def _content(path: Path) -> Any:
    if path.suffix == ".tar" and not path.name.startswith("volume-"):  # members lie in the order in which threads came
        with tarfile.open(path) as archive:
            return sorted((one.name, _sum((archive.extractfile(one) or path.open("rb")).read())) for one in archive.getmembers())
    if path.suffix == ".receipt":
        return {name: value for name, value in json.loads(path.read_bytes()).items() if name != "created"}
    return _sum(path.read_bytes())


def _remembered(state: Path, encrypted: bool) -> dict[str, Any]:
    queries = {
        "exported": "SELECT stream, serial, catalog FROM exported",
        "imported": "SELECT stream, serial, catalog, target FROM imported",
        "names": "SELECT target, name, source, digest FROM names",
        "generations": "SELECT target, stream, serial, catalog, pruned FROM generations",
        "brought": "SELECT target, stream, serial, name, digest, image FROM brought",
        "stood": "SELECT target, stream, name, digest, until IS NULL, taken FROM stood",
        "owners": "SELECT repository, source FROM owners",
        "intents": "SELECT name FROM memory WHERE name NOT IN ('id', 'floor') AND name NOT LIKE 'pruned %'",
        "history": "SELECT event, stream, serial, target FROM history WHERE event NOT IN"
        " ('finishing', 'state', 'refused', 'failed', 'interrupted')"
        " AND outcome <> 'nothing to do'",
        "begun": "SELECT count(*) FROM history WHERE event = 'state'",
    }
    with contextlib.closing(sqlite3.connect(f"file:{state}/state.db?mode=ro", uri=True)) as connection:
        rows = {name: sorted(connection.execute(query).fetchall()) for name, query in queries.items()}
    if encrypted:
        rows["exported"] = [row[:2] for row in rows["exported"]]
    catalogs = sorted(str(path.relative_to(state)) for path in (state / "catalogs").rglob("*.json"))
    return {f"state: {name}": [_placeless(row) for row in found] for name, found in rows.items()} | {
        "state: catalogs": catalogs,
        "state: unfinished": sorted(path.name for path in (state / "unfinished").glob("*")),
    }


def _placeless(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Without the directory of the attempt."""
    return tuple(value.rpartition("/")[2] if isinstance(value, str) and value.startswith(_FILES) else value for value in row)


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
