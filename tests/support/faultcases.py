"""Every command that touches disks, what it begins with, and what an undisturbed run of it leaves: for ``scripts/faults``."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from airgap.format import names
from airgap.layout import LayoutStore
from airgap.oci.reference import Repository
from tests.support import images
from tests.support.bundles import flip
from tests.support.crash import Crasher
from tests.support.site import CREATED

#: What differs from run to run although it means the same: times, and how much of a rollback was still left to do.
_TIME = re.compile(rb"moved \d+ names|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z| UTC)?")
_DIGEST = re.compile("sha256:[0-9a-f]{64}")
_MAX_TEXT = 4_000_000
#: Where ``watch`` writes what the medium does not take.
_ELSEWHERE = "site-state/results"
#: Columns with moments of the history of names.
_MOMENTS = frozenset({"moment", "force", "since", "until"})


#: The options of most commands of a kind.
_SEALS = f"--stream prod --key @/keys/airgap.key --created {CREATED} --state @/state"
_USUAL = {
    "+EXPORT": f"--out @/out {_SEALS} --threads 1 --volume-size 60kB",
    "+MERGE": f"--out @/merged {_SEALS} --policy @/policy.json",
    "+TO_SITE": "--encrypt-to @/site/airgap.pub",
    "+IMPORT": "--policy @/policy.json --state @/site-state --threads 1",
    "+SIGNED": "--key @/keys/airgap.key",
    "+SITE": "--policy @/policy.json --state @/site-state",
}


@dataclass(frozen=True)
class Desk:
    """A directory with everything an operator and a site have; all commands run in it, always at the same place."""

    root: Path
    crasher: Crasher

    def command(self, text: str) -> list[str]:
        """The words of a command; ``@`` stands for the directory, ``+KEY`` for the usual options."""
        for short, long in _USUAL.items():
            text = text.replace(short, long)
        return [word.replace("@", str(self.root)) for word in text.split()]

    def run(self, text: str, code: int = 0) -> None:
        """Run a command undisturbed; it has to end with this exit code."""
        done = self.crasher.run(*self.command(text))
        assert done.returncode == code, f"{text}: exit {done.returncode}\n{done.stderr}"

    def first_volume(self) -> Path:
        """The first volume of the first bundle."""
        return self.root / "out/prod-0001" / names.volume_name(1)


Step = Callable[[Desk], None]


def _publish(desk: Desk) -> None:
    """Two releases with a base layer in common, signed in name only, with an SBOM."""
    base, same = images.layer("base", 30_000), images.image([images.layer("arm")], platform="linux/arm64")
    repository = Repository("origin.example", "shop/app")
    for release in (1, 2):
        app = images.index([images.image([base, images.layer(f"app {release}", 60_000)]), same])
        with LayoutStore(desk.root / f"origin-{release}") as layout:
            images.publish(layout, f"{repository}:latest", app)
            images.publish(layout, "origin.example/shop/tool:1", images.image([base, images.layer(f"tool {release}")]))
            images.attach(layout, repository, app, [images.artifact(app, "application/spdx+json", b'{"sbom":%d}' % release)])
            layout.commit()
        (desk.root / f"images-{release}.txt").write_text(f"oci:{desk.root}/origin-{release}\n")
    (desk.root / "sbom.json").write_text('{"spdxVersion":"SPDX-2.3"}\n')


def _damage(desk: Desk) -> None:
    volume = desk.first_volume()
    flip(volume, volume.stat().st_size // 2)


def _lose(desk: Desk) -> None:
    desk.first_volume().unlink()


def _arrive(desk: Desk) -> None:
    shutil.copytree(desk.root / "out", desk.root / "drop")


def _put_in_disks(desk: Desk) -> None:
    for name in ("usb1", "usb2"):
        (desk.root / name).mkdir()


def _list_tool(desk: Desk) -> None:
    (desk.root / "tool.txt").write_text(f"oci:{desk.root}/origin-1:origin.example/shop/tool:1\n")


def _runs(*texts: str, code: int = 0) -> Step:
    def run(desk: Desk) -> None:
        for text in texts:
            desk.run(text, code)

    return run


#: What a command can begin with: what must be there before, and what is done then.
STAGES: dict[str, tuple[str, Sequence[Step]]] = {
    "keys": (
        "",
        [
            _publish,
            _runs(
                "keys generate --no-passphrase --out @/keys",
                "keys generate --no-passphrase --type x25519 --out @/site",
                "policy init --key @/keys/airgap.pub --by-path -o @/policy.json",
            ),
        ],
    ),
    "exported": ("keys", [_runs("export @/images-1.txt +EXPORT")]),
    "two": ("exported", [_runs("export @/images-2.txt +EXPORT --since @/out/prod-0001")]),
    "one imported": ("two", [_runs("import @/out/prod-0001 --to oci:@/store +IMPORT")]),
    "both imported": ("one imported", [_runs("import @/out/prod-0002 --to oci:@/store +IMPORT")]),
    "planned": ("both imported", [_runs("prune oci:@/store --keep 1 --plan @/prune.json --state @/site-state")]),
    "parity": ("keys", [_runs("export @/images-1.txt +EXPORT --parity 1"), _lose]),
    "asked": ("exported", [_damage, _runs("media repair @/out/prod-0001 --out @/request", code=4)]),
    "encrypted": ("keys", [_runs("export @/images-1.txt +EXPORT --encrypt-to @/site/airgap.pub")]),
    "arrived": ("two", [_arrive]),
    "two, two disks": ("two", [_put_in_disks]),
    "exported-damaged": ("exported", [_damage]),
    "tool": ("keys", [_list_tool, _runs("export @/tool.txt +EXPORT --stream tool")]),
}


@dataclass(frozen=True)
class Case:
    """A command with faults.

    Attributes:
        name: of the case.
        stage: what it begins with.
        command: see :meth:`Desk.command`.
        loose: what is not the same twice (a new key, for instance): a file whose path matches need only be there.
        code: of the undisturbed run.
        reports: whether it prints what is wrong as its result, and no error.
        rebuilds: whether what cannot be read is rebuilt, or asked for.
    """

    name: str
    stage: str
    command: str
    loose: str = "(?!)"
    code: int = 0
    reports: bool = False
    rebuilds: bool = False


CASES = [
    Case("keys", "keys", "keys generate --no-passphrase --out @/more", loose="more/"),
    Case("policy", "keys", "policy init --key @/keys/airgap.pub -o @/other.json"),
    Case("policy add", "keys", "policy add @/policy.json --image quay.io=reject"),
    Case("policy check", "keys", "policy check @/policy.json", reports=True),
    Case("resolve", "keys", "resolve @/images-1.txt --lock @/images.lock --state @/state"),
    Case("plan", "keys", "plan @/images-1.txt --state @/state"),
    Case("export", "keys", "export @/images-1.txt +EXPORT"),
    Case("export --since", "exported", "export @/images-2.txt +EXPORT --since @/out/prod-0001"),
    Case("export --parity", "keys", "export @/images-1.txt +EXPORT --parity 1"),
    Case(
        "export --encrypt-to",
        "keys",
        "export @/images-1.txt +EXPORT --encrypt-to @/site/airgap.pub",
        loose="out/|state/|exported|history",
    ),
    Case("export --attach", "keys", "export @/images-1.txt +EXPORT --attach origin.example/shop/tool:1::sbom-spdx=@/sbom.json"),
    Case("export --resend", "asked", "export --resend @/request/prod-0001.request.json --out @/supplement --state @/state"),
    Case("merge", "two", "merge @/out/prod-0001 @/out/prod-0002 +MERGE"),
    Case("merge --parity", "two", "merge @/out/prod-0001 @/out/prod-0002 +MERGE --parity 1"),
    Case("sign", "exported", "sign @/out/prod-0001 --key @/keys/airgap.key"),
    Case("media copy", "two, two disks", "media copy @/out/prod-0001 @/usb1 @/usb2"),
    Case("media check", "two", "media check @/out/prod-0001", reports=True),
    Case(
        "media check --result",
        "two",
        "media check @/out/prod-0001 --result @/check.json --by me +SIGNED",
        loose="check",
        reports=True,
    ),
    Case("media repair", "parity", "media repair @/out/prod-0001 --out @/repaired", rebuilds=True),
    Case("media repair --in-place", "parity", "media repair @/out/prod-0001 --in-place", rebuilds=True),
    Case("media repair request", "exported-damaged", "media repair @/out/prod-0001 --out @/repaired", code=4, rebuilds=True),
    Case("media log", "two", f"media log @/out/prod-0001 --who me --where here --at {CREATED} --key @/keys/airgap.key"),
    Case("toolkit", "keys", "toolkit --out @/toolkit --check-only"),
    Case("verify", "two", "verify @/out/prod-0001 +SITE"),
    Case("verify --deep", "one imported", "verify @/out/prod-0002 +SITE --held-at oci:@/store"),
    Case("verify encrypted", "encrypted", "verify @/out/prod-0001 +SITE --decrypt-key @/site/airgap.key"),
    Case("inspect", "two", "inspect @/out/prod-0001"),
    Case(
        "report",
        "two",
        f"report @/out/prod-0002 -o @/report.html --created {CREATED} --state @/state --policy @/policy.json",
    ),
    Case("diff", "two", "diff @/out/prod-0001 @/out/prod-0002"),
    Case("import oci:", "two", "import @/out/prod-0001 --to oci:@/store +IMPORT"),
    Case("import --dry-run", "two", "import @/out/prod-0001 --to oci:@/store +IMPORT --dry-run"),
    Case("import --init-state", "one imported", "import @/out/prod-0002 --to oci:@/store +IMPORT --init-state"),
    Case("import --since", "one imported", "import @/out/prod-0002 --to oci:@/store +IMPORT"),
    Case("import encrypted", "encrypted", "import @/out/prod-0001 --to oci:@/store +IMPORT --decrypt-key @/site/airgap.key"),
    Case("import oci-archive:", "two", "import @/out/prod-0001 --to oci-archive:@/images.tar +IMPORT"),
    Case("import docker-archive:", "two", "import @/out/prod-0001 --to docker-archive:@/images.tar +IMPORT --platform linux/amd64"),
    Case("import dir:", "tool", "import @/out/tool-0001 --to dir:@/image +IMPORT"),
    Case("import k3s:", "two", "import @/out/prod-0001 --to k3s:@/k3s +IMPORT --platform linux/amd64"),
    Case(
        "receipt",
        "one imported",
        "receipt oci:@/store -o @/plant.receipt --site plant +SIGNED --state @/site-state",
        loose="plant",
    ),
    Case("prune", "both imported", "prune oci:@/store --keep 1 --plan @/prune.json --state @/site-state", loose="prune"),
    Case("prune --apply", "planned", "prune oci:@/store --apply @/prune.json --state @/site-state"),
    Case("rollback", "both imported", "rollback oci:@/store --stream prod --to 1 --state @/site-state"),
    Case("watch", "arrived", "watch @/drop --to oci:@/store +SITE --once --settle 0", loose=".*result", reports=True),
    Case("history", "both imported", "history --state @/site-state"),
]


class Desks:
    """Desks at the stages that cases begin with, each made once and copied into place for every run.

    Args:
        work: a directory of its own.
        crasher: runs the commands.
        root: the directory that they run in, ``work/desk`` when left out.
    """

    def __init__(self, work: Path, crasher: Crasher, root: Path | None = None) -> None:
        self._kept = work / "stages"
        self._kept.mkdir(parents=True)
        self.desk = Desk(root or work / "desk", crasher)

    def set(self, stage: str) -> Desk:
        """Put everything in its place as it is at a stage."""
        kept = self._kept / stage.replace(" ", "-")
        if not kept.exists():
            before, steps = STAGES[stage]
            if before:
                self.set(before)
            else:
                self._empty()
                self.desk.root.mkdir()
            for step in steps:
                step(self.desk)
            self._copy(self.desk.root, kept)
        self._empty()
        self._copy(kept, self.desk.root)
        return self.desk

    def _empty(self) -> None:
        shutil.rmtree(self.desk.root, ignore_errors=True)

    def _copy(self, source: Path, target: Path) -> None:
        subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)


def contents(root: Path, loose: str = "(?!)") -> dict[str, bytes]:
    """Every file below a directory, and every row of a state, but for what differs from run to run."""
    found: dict[str, bytes] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path == root / _ELSEWHERE:
            continue
        if path.is_dir() and not path.is_symlink():
            found[f"{name}/"] = b""
        elif path.name == "state.db":
            found |= {f"{name}: {row}": b"" for row in _rows(path, loose)}
        elif path.parent == root / _ELSEWHERE:
            found[f"drop/{path.name}"] = b"" if re.match(loose, name) else _without_time(path.read_bytes())
        elif path.name != ".airgap-state" and path.parent.name != "turns":  # a lock says who had it last
            found[name] = b"" if re.match(loose, name) else _without_time(path.read_bytes())
    return found


def _without_time(data: bytes) -> bytes:
    return _TIME.sub(b"TIME", data) if len(data) < _MAX_TEXT else data


def _ranks(database: sqlite3.Connection) -> dict[int, int]:
    """Moments of a history of names: every try counts on, so they mean no more than how many generations came before."""
    generations = [moment for (moment,) in database.execute("SELECT moment FROM generations")]
    others = "SELECT force FROM generations UNION SELECT since FROM stood UNION SELECT until FROM stood WHERE until IS NOT NULL"
    moments = {*generations, *(moment for (moment,) in database.execute(others))}
    return {moment: sum(before < moment for before in generations) for moment in moments}


def _rows(path: Path, loose: str) -> Iterator[str]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")]
        ranks = _ranks(database) if "stood" in tables else {}
        for table in tables:
            seen: Counter[str] = Counter()
            columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
            for found in database.execute(f"SELECT * FROM {table}"):
                row = [ranks.get(value, value) if name in _MOMENTS else value for name, value in zip(columns, found, strict=True)]
                text = _TIME.sub(b"TIME", str(row[1:] if table == "history" else row).encode()).decode()
                if re.search(loose, table):
                    text = _DIGEST.sub("DIGEST", text)
                # of the run that failed, and of the one after it
                if table == "history" and re.search("'(refused|failed|interrupted|nothing to do)'", text):
                    continue
                seen[text] += 1
                if "'finishing'" in text and seen[text] > 1:  # every run that begins to finish says so
                    continue
                if "'id'" not in text:
                    yield f"{table} {text} #{seen[text]}"
