"""airgap and skopeo doing the same work: export out of a registry, import into an empty one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.corpus import Corpus
from benchmark.measure import Measured, measure, read_once, size_on_disk
from benchmark.registry import Registry

_STREAM = "bench"
_PREFIX = "site"

Work = Callable[[], Measured]


@dataclass
class Round:
    """One turn of both programs in one direction."""

    airgap: Measured
    skopeo: Measured
    facts: dict[str, int] = field(default_factory=dict)


class Contest:
    """Runs the rounds in a work directory; every round starts with fresh output directories and an empty target.

    Args:
        work: an empty directory, on the disk that is to be measured.
        airgap: the command.
        corpus: the images.
        source: the registry that holds them.
    """

    def __init__(self, work: Path, airgap: str, corpus: Corpus, source: Registry) -> None:
        self._work = work
        self._airgap = airgap
        self._corpus = corpus
        self._source = source
        self._key = work / "keys" / "airgap.key"
        self._temporary = work / "tmp"
        self._prepare()

    def export(self, number: int) -> Round:
        """Export by both; the order changes from round to round."""
        ours, theirs = self._fresh("bundles"), self._fresh("layout")
        first, second = self._in_order(number, lambda: self._airgap_export(ours), lambda: self._skopeo_export(theirs))
        bundle = self.bundle
        facts = {
            "bundle_on_disk": size_on_disk(bundle),
            "layout_on_disk": size_on_disk(theirs),
            "unique_blob_bytes": self._corpus.unique_bytes,
            "left_beside_bundle": size_on_disk(ours) - size_on_disk(bundle) + size_on_disk(self._temporary),
        }
        return Round(first, second, facts)

    def load(self, number: int) -> Round:
        """Import by both, from what the last export made."""
        state = self._fresh("state")
        first, second = self._in_order(number, lambda: self._airgap_import(state), self._skopeo_import)
        facts = {
            "state_on_disk": size_on_disk(state),
            "left_elsewhere": size_on_disk(self._temporary),
        }
        return Round(first, second, facts)

    @property
    def bundle(self) -> Path:
        """The bundle that the last export made."""
        return self._work / "bundles" / f"{_STREAM}-0001"

    def _prepare(self) -> None:
        self._temporary.mkdir()
        measure([[self._airgap, "keys", "generate", "--no-passphrase", "--out", str(self._key.parent)]])
        anything = [{"type": "insecureAcceptAnything"}]
        signed = [{"type": "sigstoreSigned", "keyPath": str(self._key.with_suffix(".pub"))}]
        policy = {"default": [{"type": "reject"}], "transports": {"docker": {"": anything}, "airgap": {_STREAM: signed}}}
        (self._work / "policy.json").write_text(json.dumps(policy, indent=2))
        names = [f"{self._source.address}/{name}\n" for name in self._corpus.names]
        (self._work / "images.txt").write_text("".join(names))

    def _in_order(self, number: int, ours: Work, theirs: Work) -> tuple[Measured, Measured]:
        if number % 2:
            second = theirs()
            return ours(), second
        return ours(), theirs()

    def _airgap_export(self, out: Path) -> Measured:
        arguments = ["export", str(self._work / "images.txt"), "--out", str(out), "--stream", _STREAM, "--serial", "1"]
        state = self._fresh("export-state") / "new"
        arguments += ["--key", str(self._key), "--created", "2024-01-01T00:00:00Z", "--state", str(state)]
        return self._run_airgap(arguments)

    def _skopeo_export(self, layout: Path) -> Measured:
        copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--src-tls-verify=false"]
        source = self._source.address
        return measure([[*copy, f"docker://{source}/{name}", f"oci:{layout}:{name}"] for name in self._corpus.names])

    def _airgap_import(self, state: Path) -> Measured:
        read_once(self.bundle)
        with Registry(self._work, self._fresh("target")) as target:
            arguments = ["import", str(self.bundle), "--to", f"docker://{target.address}/{_PREFIX}"]
            arguments += ["--policy", str(self._work / "policy.json"), "--state", str(state / "new")]
            result = self._run_airgap(arguments)
            origin = self._source.address.replace(":", "-")
            self._compare(target, f"{_PREFIX}/{origin}/")
        self._fresh("target")
        return result

    def _skopeo_import(self) -> Measured:
        read_once(self._work / "layout")
        copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--dest-tls-verify=false"]
        with Registry(self._work, self._fresh("target")) as target:
            pairs = [(f"oci:{self._work / 'layout'}:{name}", f"docker://{target.address}/{name}") for name in self._corpus.names]
            result = measure([[*copy, *pair] for pair in pairs])
            self._compare(target, "")
        self._fresh("target")
        return result

    def _run_airgap(self, arguments: list[str]) -> Measured:
        return measure([[self._airgap, *arguments]], {"TMPDIR": str(self._temporary), "AIRGAP_KEY_PASSPHRASE": ""})

    def _compare(self, target: Registry, prefix: str) -> None:
        for name in self._corpus.names:
            wanted, got = self._source.digest(name), target.digest(prefix + name)
            if wanted != got:
                raise SystemExit(f"bench: {name} is {got} in the target, expected {wanted}")

    def _fresh(self, name: str) -> Path:
        path = self._work / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        os.sync()
        return path
