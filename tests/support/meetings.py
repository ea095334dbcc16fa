"""Every two commands that may meet at one target, one bundle, one directory or one state; see ``tests/support/races.py``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.life import Life, publish
from tests.support.races import Arguments, Meeting, Stage
from tests.support.site import CREATED


def _import(stage: Stage, serial: int, target: str = "", *options: object) -> Arguments:
    return ("import", stage.bundles[serial - 1], "--to", target or stage.target, "--policy", stage.site.policy, "--quiet", *options)


def _filled(*serials: int) -> Callable[[Stage], object]:
    def fill(stage: Stage) -> None:
        for serial in serials:
            stage.site.run(*_import(stage, serial), state="site-state")

    return fill


def _planned(*serials: int) -> Callable[[Stage], object]:
    def plan(stage: Stage) -> None:
        _filled(*serials)(stage)
        stage.site.run("prune", stage.target, "--keep", 1, "--unlisted", "--plan", stage.world / "plan.json", state="site-state")
        name = f"{stage.releases.origin}/shop/app:1"
        stage.site.run(
            *("export", f"bundle:{stage.bundles[0]}:{name}", "--accept-unverified-bundles", "--stream", "other", "--serial", 1),
            *("--key", stage.site.key, "--out", stage.world / "in", "--created", CREATED),
        )

    return plan


def _nothing(stage: Stage) -> None:
    pass


def _export(stage: Stage, serial: int, out: str = "out", *options: object) -> Arguments:
    fixed = ("--stream", "lab", "--created", CREATED, "--key", stage.site.key, "--quiet", "@state")
    return ("export", stage.layout(serial), "--out", stage.world / out, *fixed, *options)


def _exported(stage: Stage) -> None:
    stage.site.run(*(one for one in _export(stage, 1) if one != "@state"))


def _other(stage: Stage) -> Arguments:
    target = ("--to", stage.target, "--policy", stage.site.policy, "--quiet")
    return ("import", stage.world / "in/other-0001", *target)


def _prune(stage: Stage) -> Arguments:
    return ("prune", stage.target, "--apply", stage.world / "plan.json", "--quiet")


def _rollback(stage: Stage, serial: int, *options: object) -> Arguments:
    return ("rollback", stage.target, "--stream", "prod", "--to", serial, "--quiet", *options)


def _receipt(stage: Stage, target: str = "") -> Arguments:
    return ("receipt", target or stage.target, "-o", stage.world / "receipt", "--site", "plant", "--quiet")


def _watch(stage: Stage) -> Arguments:
    fixed = ("--policy", stage.site.policy, "--once", "--settle", 0, "--quiet")
    return ("watch", stage.world / "drop", "--to", stage.target, *fixed)


def _dropped(serial: int, *before: int) -> Callable[[Stage], object]:
    def drop(stage: Stage) -> None:
        _filled(*before)(stage)
        shutil.copytree(stage.bundles[serial - 1], stage.world / "drop" / stage.bundles[serial - 1].name)

    return drop


def _parity(stage: Stage) -> None:
    """A bundle with parity, of which one volume is damaged."""
    options = ("--parity", 1, "--volume-size", "64KiB")
    stage.site.run(*(one for one in _export(stage, 1, "p", *options) if one != "@state"))
    bundle = stage.world / "p/lab-0001"
    raw = bytearray((bundle / "volume-0001.tar").read_bytes())
    raw[1000] ^= 1
    shutil.copytree(bundle, stage.world / "bad/lab-0001")
    (stage.world / "bad/lab-0001/volume-0001.tar").write_bytes(raw)


def _lost_state(stage: Stage) -> None:
    _filled(1)(stage)
    (stage.site.root / "site-state/state.db").unlink()


def _bad(stage: Stage) -> Path:
    return stage.world / "bad/lab-0001"


def _good(stage: Stage) -> Path:
    return stage.world / "p/lab-0001"


def _oci(stage: Stage) -> str:
    return f"oci:{stage.world / 'store'}"


def _keys(stage: Stage) -> Arguments:
    return ("keys", "generate", "--no-passphrase", "--out", stage.world / "new-keys", "--type", "ed25519", "--quiet")


MEETINGS = (
    Meeting("import 1 / import 2", _nothing, lambda s: _import(s, 1), lambda s: _import(s, 2)),
    Meeting("import 1 / import 1", _nothing, lambda s: _import(s, 1), lambda s: _import(s, 1)),
    Meeting("import 2 / import 3 over 1", _filled(1), lambda s: _import(s, 2), lambda s: _import(s, 3)),
    Meeting("import 1 / import 2, layout", _nothing, lambda s: _import(s, 1, _oci(s)), lambda s: _import(s, 2, _oci(s))),
    Meeting(
        "import 1 / import 2, one archive",
        _nothing,
        lambda s: _import(s, 1, f"oci-archive:{s.world / 'a.tar'}", "--threads", 1),  # blobs lie in the order of arrival
        lambda s: _import(s, 2, f"oci-archive:{s.world / 'a.tar'}", "--threads", 1),
    ),
    Meeting("import / prune, one stream", _planned(1, 2), lambda s: _import(s, 3), _prune),
    Meeting("import of another stream / prune", _planned(1, 2, 3), _other, _prune),
    Meeting("import / rollback", _filled(1, 2), lambda s: _import(s, 3), lambda s: _rollback(s, 1)),
    Meeting("prune / rollback", _planned(1, 2, 3), _prune, lambda s: _rollback(s, 2, "--remove-new")),
    Meeting("prune / prune, one plan", _planned(1, 2, 3), _prune, _prune),
    Meeting("rollback / rollback", _filled(1, 2, 3), lambda s: _rollback(s, 1), lambda s: _rollback(s, 2)),
    Meeting("import / watch", _dropped(2), lambda s: _import(s, 1), _watch),
    Meeting("rollback / watch", _dropped(3, 1, 2), lambda s: _rollback(s, 1), _watch),
    Meeting("watch / watch", _dropped(2), _watch, _watch),
    Meeting("import / verify", _nothing, lambda s: _import(s, 1), lambda s: ("verify", s.bundles[0], "--policy", s.site.policy)),
    Meeting("receipt / import", _filled(1), _receipt, lambda s: _import(s, 2)),
    Meeting("receipt / prune", _planned(1, 2, 3), _receipt, _prune),
    Meeting("receipt / import, layout", lambda s: s.site.run(*_import(s, 1, _oci(s)), state="site-state"),
            lambda s: _receipt(s, _oci(s)), lambda s: _import(s, 2, _oci(s))),
    Meeting("history / import", _filled(1), lambda s: ("history", "--generations"), lambda s: _import(s, 2)),
    Meeting("mirror-config / import", _filled(1),
            lambda s: ("mirror-config", "--to", s.target, "--format", "list", "--out", s.world / "list"), lambda s: _import(s, 2)),
    Meeting("import / import, new state lost", _lost_state, lambda s: _import(s, 2, "", "--init-state"),
            lambda s: _import(s, 3, "", "--init-state")),
    Meeting("export / export, one place", _nothing, lambda s: _export(s, 1), lambda s: _export(s, 2)),
    Meeting("export / export, the same", _nothing, lambda s: _export(s, 1), lambda s: _export(s, 1)),
    Meeting("export / export, two places", _nothing, lambda s: _export(s, 1), lambda s: _export(s, 2, "elsewhere")),
    Meeting("export / export, two states", _nothing, lambda s: _export(s, 1),
            lambda s: (*(one for one in _export(s, 1) if one != "@state"), "@other-state")),
    Meeting("export / merge", _exported, lambda s: _export(s, 2),
            lambda s: ("merge", s.world / "out/lab-0001", "--accept-unverified-bundles", "--out", s.world / "out",
                       "--stream", "lab", "--created", CREATED, "--key", s.site.key, "--quiet", "@state")),
    Meeting("media copy / media copy", _nothing, lambda s: ("media", "copy", s.bundles[0], s.world / "disk"),
            lambda s: ("media", "copy", s.bundles[0], s.world / "disk")),
    Meeting("media copy / media check", _nothing, lambda s: ("media", "copy", s.bundles[0], s.world / "disk"),
            lambda s: ("media", "check", s.bundles[0])),
    Meeting("media repair / media repair, in place", _parity, lambda s: ("media", "repair", _bad(s), "--in-place"),
            lambda s: ("media", "repair", _bad(s), "--in-place")),
    Meeting("media repair / media repair, --out", _parity, lambda s: ("media", "repair", _bad(s), "--out", s.world / "new"),
            lambda s: ("media", "repair", _bad(s), "--out", s.world / "new")),
    Meeting("media repair / media check", _parity, lambda s: ("media", "repair", _bad(s), "--in-place"),
            lambda s: ("media", "check", _bad(s))),
    Meeting("media repair / media copy", _parity, lambda s: ("media", "repair", _bad(s), "--in-place"),
            lambda s: ("media", "copy", _bad(s), s.world / "disk")),
    Meeting("media repair / import", _parity, lambda s: ("media", "repair", _bad(s), "--in-place"),
            lambda s: ("import", _bad(s), "--to", s.target, "--policy", s.site.policy)),
    Meeting("media log / media log", _nothing, lambda s: ("media", "log", s.bundles[0], "--who", "Ada", "--at", CREATED),
            lambda s: ("media", "log", s.bundles[0], "--who", "Bob", "--at", CREATED)),
    Meeting("keys / keys", _nothing, _keys, _keys),
)  # fmt: skip


def make_releases(root: Path) -> Life:
    """The releases that all meetings begin with; signatures are the same in every run."""
    return publish(root, "ed25519")


def chosen(names: Sequence[str]) -> list[Meeting]:
    """The meetings whose name has one of these in it; all when there are none."""
    return [one for one in MEETINGS if not names or any(name in one.name for name in names)]
