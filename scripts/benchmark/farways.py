"""The ways that scripts/bench far compares: airgap, an older airgap, and what else PATH has, in both directions."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmark.distance import Distance
from benchmark.measure import Measured, measure
from benchmark.registry import Registry

_STREAM = "far"
_SKOPEO = ["skopeo", "--insecure-policy", "copy", "--quiet", "--all"]
_AT_ONCE = 8


@dataclass(frozen=True)
class Done:
    """What one run took, and what it asked of the registry that is far away: request lines, and how often each came."""

    measured: Measured
    asked: Counter[str]


Way = Callable[[], Done]


class Ways:
    """Makes the ways.

    Args:
        work: a directory for what they write.
        commands: airgap commands by what they are called in the table.
        source: the registry that has the images.
        far: the same registry, far away.
        names: the images, ``REPOSITORY:TAG``.
        seconds: of a round trip.
    """

    def __init__(
        self, work: Path, commands: dict[str, str], source: Registry, far: Distance, names: list[str], seconds: float
    ) -> None:
        self._work = work
        self._commands = commands
        self._source = source
        self._far = far
        self._names = names
        self._seconds = seconds
        self._key = work / "keys/airgap.key"
        first = next(iter(commands.values()))
        measure([[first, "keys", "generate", "--no-passphrase", "--out", str(self._key.parent)]])
        accepted = [{"type": "insecureAcceptAnything"}]
        signed = [{"type": "sigstoreSigned", "keyPath": str(self._key.with_suffix(".pub"))}]
        policy = {"default": [{"type": "reject"}], "transports": {"docker": {"": accepted}, "airgap": {_STREAM: signed}}}
        (work / "policy.json").write_text(json.dumps(policy))

    def exports(self, *, peers: bool) -> dict[str, Way]:
        """Out of the registry that is far away."""
        images = self._listed(self._far.address)
        ways: dict[str, Way] = {name: partial(self._export, command) for name, command in self._commands.items()}
        if not peers:
            return ways
        ways["skopeo"] = self._into("skopeo", lambda image: [*_SKOPEO, "--src-tls-verify=false", *self._to_layout(image)])
        if regctl := self._regctl(self._far.address):
            copy = [regctl, "image", "copy", "--digest-tags", "--referrers"]
            ways["regctl"] = self._into("regctl", lambda image: [*copy, image, f"ocidir://{self._work}/regctl/{_base(image)}"])
            each = f"{' '.join(copy)} IMAGE ocidir://{self._work}/regctl/$(basename IMAGE)"
            ways[f"regctl, {_AT_ONCE} at once"] = lambda: self._watched(self._far, lambda: measure([_at_once(each, images)]))
        return ways

    def imports(self, *, peers: bool) -> dict[str, Way]:
        """Into an empty registry that is far away, out of a bundle or a layout that is here."""
        images = self._listed(self._source.address)
        self._make_bundle(next(iter(self._commands.values())), images)
        ways: dict[str, Way] = {name: partial(self._import, command) for name, command in self._commands.items()}
        if peers:
            shutil.rmtree(self._work / "skopeo", ignore_errors=True)
            measure([[*_SKOPEO, "--src-tls-verify=false", *self._to_layout(f"{self._source.address}/{n}")] for n in self._names])
            ways["skopeo"] = self._skopeo_import
        return ways

    def _export(self, command: str) -> Done:
        for name in ("out", "state"):
            shutil.rmtree(self._work / name, ignore_errors=True)
        arguments = ["export", str(self._work / "images.txt"), "--out", str(self._work / "out"), "--stream", _STREAM]
        return self._watched(self._far, lambda: self._run(command, [*arguments, "--key", str(self._key)], "state"))

    def _make_bundle(self, command: str, images: Path) -> None:
        arguments = ["export", str(images), "--out", str(self._work / "bundles"), "--stream", _STREAM, "--key", str(self._key)]
        self._run(command, arguments, "bundles-state")

    def _import(self, command: str) -> Done:
        shutil.rmtree(self._work / "site", ignore_errors=True)
        with self._empty() as target:
            arguments = ["import", str(self._work / f"bundles/{_STREAM}-0001"), "--to", f"docker://{target.address}/site"]
            arguments += ["--policy", str(self._work / "policy.json")]
            return self._watched(target, lambda: self._run(command, arguments, "site"))

    def _skopeo_import(self) -> Done:
        with self._empty() as target:
            pairs = [(f"oci:{self._work}/skopeo:{_base(name)}", f"docker://{target.address}/{name}") for name in self._names]
            return self._watched(target, lambda: measure([[*_SKOPEO, "--dest-tls-verify=false", *pair] for pair in pairs]))

    def _into(self, layout: str, make: Callable[[str], list[str]]) -> Way:
        def run() -> Done:
            shutil.rmtree(self._work / layout, ignore_errors=True)
            images = [f"{self._far.address}/{name}" for name in self._names]
            return self._watched(self._far, lambda: measure([make(image) for image in images]))

        return run

    def _to_layout(self, image: str) -> list[str]:
        return [f"docker://{image}", f"oci:{self._work}/skopeo:{_base(image)}"]

    def _listed(self, address: str) -> Path:
        path = self._work / "images.txt"
        path.write_text("".join(f"{address}/{name}\n" for name in self._names))
        return path

    def _run(self, command: str, arguments: list[str], state: str) -> Measured:
        settings = {"AIRGAP_STATE": str(self._work / state), "XDG_CONFIG_HOME": str(self._work / "none")}
        return measure([[command, *arguments]], settings)

    @contextlib.contextmanager
    def _empty(self) -> Iterator[Distance]:
        storage = self._work / "target"
        shutil.rmtree(storage, ignore_errors=True)
        with Registry(self._work, storage) as registry, Distance(registry.address, self._seconds) as far:
            yield far

    @staticmethod
    def _watched(far: Distance, work: Callable[[], Measured]) -> Done:
        far.asked.clear()
        measured = work()
        return Done(measured, Counter(far.asked))

    def _regctl(self, address: str) -> str | None:
        regctl = shutil.which("regctl")
        if regctl:
            os.environ["REGCTL_CONFIG"] = str(self._work / "regctl.json")
            measure([[regctl, "registry", "set", "--tls", "disabled", address]])
        return regctl


def _base(image: str) -> str:
    return image.rpartition("/")[2]


def _at_once(each: str, images: Path) -> list[str]:
    return ["sh", "-c", f"xargs -P {_AT_ONCE} -I IMAGE sh -c '{each}' < {images}"]
