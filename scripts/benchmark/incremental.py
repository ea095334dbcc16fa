"""scripts/bench incremental: what a second bundle carries to a site that has the first one, and that it arrives unchanged."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark import stage, vendor
from benchmark.corpus import Corpus
from benchmark.measure import Measured, measure, read_once, size_of_files
from benchmark.registry import Registry
from benchmark.witness import Seen, Witness

_DESCRIPTION = """\
Exports v1 of the corpus (scripts/bench --help) in full and v2 --since that bundle, as a site would get them, and says how many
bytes they carry. A bundle counts with its whole directory: catalog, signatures, volumes, check files.
  v1 whole      --patch never: what every other one builds on
  v1 patched    --patch always: layers made from others of the same bundle
  v2 blobs      --since, --patch never: what deduplication of blobs carries
  v2 default    --since
  v2 best       --since --patch-level best
Every image and every instance of it is signed in the source as cosign does, and the sites' policy demands that. Then the bundles
are imported into empty registries: v1 whole with v2 default, v1 whole with v2 best, v1 patched alone. Each registry is compared
with the source, and skopeo is the witness: every tag, every manifest of every instance and signature byte for byte, every blob
in every repository, and nothing else in the storage, every file of which is hashed.

Time is information: the page cache is warm, and patches are made and applied by all cores. Memory is the peak of each command.
"""
_EPILOG = """\
needs: what scripts/bench needs, openssl; 14 GB of disk. Ends with exit code 1 when something wanted is missed, with an error when
anything differs. Example:
  scripts/bench incremental --json result.json
"""

_STREAM = "bench"
_PREFIX = "site"
#: Figures that are wanted: the bundle, what it is compared with, and the most it may carry of that.
_WANTED = (("v2 default", "v2 blobs", 0.16), ("v2 best", "v2 blobs", 0.135), ("v1 patched", "v1 whole", 0.8))
#: The most memory that a command may take at the default level, in bytes.
_MEMORY = 400e6
_NO_PASSPHRASE = {"AIRGAP_KEY_PASSPHRASE": ""}


@dataclass(frozen=True)
class Bundle:
    """One exported bundle: where it is, what it carries, what exporting it took."""

    path: Path
    bytes: int
    took: Measured


def main(arguments: list[str]) -> int:
    """Run this part; the exit code."""
    parser = stage.parser("scripts/bench incremental", _DESCRIPTION, _EPILOG)
    stage.add_airgap(parser)
    options = parser.parse_args(arguments)
    cache = options.cache.absolute()
    versions = stage.prepare(cache)
    with stage.work_directory(options) as work:
        storage = work / "source"
        _share(cache / "registry", storage)
        with Registry(work, storage) as source:
            result, met = _run(_Delivery(work, options, versions, source))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if met else 1


def _run(delivery: _Delivery) -> tuple[dict[str, object], bool]:
    bundles = {
        "v1 whole": delivery.export("v1 whole", "v1", ["--patch", "never"]),
        "v1 patched": delivery.export("v1 patched", "v1", ["--patch", "always"]),
    }
    first = bundles["v1 whole"]
    for name, choice in (("blobs", ["--patch", "never"]), ("default", []), ("best", ["--patch-level", "best"])):
        bundles[f"v2 {name}"] = delivery.export(f"v2 {name}", "v2", choice, since=first)
    imports: dict[str, dict[str, Measured]] = {}
    sites = {}
    for chain in (("v1 whole", "v2 default"), ("v1 whole", "v2 best"), ("v1 patched",)):
        site = " + ".join(chain)
        imports[site], sites[site] = delivery.load([(name, bundles[name]) for name in chain])
    ratios, met = _summary(bundles, imports)
    return {
        "bundles": {name: {"bytes": one.bytes, **asdict(one.took)} for name, one in bundles.items()},
        "imports": {site: {name: asdict(took) for name, took in one.items()} for site, one in imports.items()},
        "compared": {site: {**vars(seen), "blobs": len(seen.blobs)} for site, seen in sites.items()},
        "ratios": ratios,
    }, met


class _Delivery:
    """Exports and imports in a work directory; everything is made once and kept until the end."""

    def __init__(self, work: Path, options: argparse.Namespace, versions: dict[str, Corpus], source: Registry) -> None:
        self._work = work
        self._airgap = options.airgap
        self._versions = versions
        self._source = source
        (work / "tmp").mkdir()
        self._prepare()

    def export(self, name: str, version: str, choice: list[str], since: Bundle | None = None) -> Bundle:
        """One bundle of a version of the corpus, with a state of its own that knows the base."""
        out = self._work / name.replace(" ", "-")
        out.mkdir()
        if since:
            shutil.copytree(since.path.parent / "state", out / "state")
            choice = [*choice, "--since", str(since.path)]
        arguments = ["export", str(self._work / f"{version}.txt"), "--out", str(out), "--stream", _STREAM]
        arguments += ["--key", str(self._work / "keys/airgap.key"), "--created", "2024-01-01T00:00:00Z"]
        took = self._run([*arguments, "--state", str(out / "state"), *choice])
        path = next(out.glob(f"{_STREAM}-*"))
        bundle = Bundle(path, size_of_files(path), took)
        _print(f"export {name}", took, f"{bundle.bytes:>15,} bytes")
        return bundle

    def load(self, chain: list[tuple[str, Bundle]]) -> tuple[dict[str, Measured], Seen]:
        """Import bundles one after the other into an empty registry, and compare what it then has with the source."""
        storage, state = self._work / "target", self._work / "state"
        took = {}
        with Registry(self._work, storage) as target:
            for name, bundle in chain:
                read_once(bundle.path)
                arguments = ["import", str(bundle.path), "--to", f"docker://{target.address}/{_PREFIX}"]
                arguments += ["--policy", str(self._work / "policy.json"), "--state", str(state)]
                took[name] = self._run(arguments)
                _print(f"import {name}", took[name], "")
            prefix = f"{_PREFIX}/{self._source.address.replace(':', '-')}/"
            names = [image for name, _ in chain for image in self._versions[name.partition(" ")[0]].names]
            seen = Witness(self._source, target, prefix, storage).compare(names)
        print(
            f"identical: {seen.tags} tags, {seen.manifests} manifests, {seen.signatures} signatures, {len(seen.blobs)} blobs",
            flush=True,
        )
        shutil.rmtree(storage)
        shutil.rmtree(state)
        return took, seen

    def _prepare(self) -> None:
        """Keys and the policy; the images signed in the source, and a list of each version."""
        for who in ("keys", "vendor"):
            measure([[self._airgap, "keys", "generate", "--no-passphrase", "--out", str(self._work / who)]], _NO_PASSPHRASE)
        ours = {"type": "sigstoreSigned", "keyPath": str(self._work / "keys/airgap.pub")}
        identity = {"type": "matchRepository"}
        theirs = {"type": "sigstoreSigned", "keyPath": str(self._work / "vendor/airgap.pub"), "signedIdentity": identity}
        transports = {"docker": {"": [theirs]}, "airgap": {_STREAM: [ours]}}
        (self._work / "policy.json").write_text(json.dumps({"default": [{"type": "reject"}], "transports": transports}, indent=2))
        for version, one in self._versions.items():
            (self._work / f"{version}.txt").write_text("".join(f"{self._source.address}/{name}\n" for name in one.names))
            count = vendor.sign_images(self._source, one.layout, one.names, self._work / "vendor/airgap.key")
            stage.say(f"signed {version} in the source: {count} signatures")

    def _run(self, arguments: list[str]) -> Measured:
        return measure([[self._airgap, *arguments]], {"TMPDIR": str(self._work / "tmp"), **_NO_PASSPHRASE})


def _summary(bundles: dict[str, Bundle], imports: dict[str, dict[str, Measured]]) -> tuple[dict[str, float], bool]:
    print("\nincremental: bytes of the whole bundle directory")
    for name, bundle in bundles.items():
        print(f"  {name:20} {bundle.bytes:>15,} bytes")
    ratios = {}
    met = True
    for name, against, most in _WANTED:
        ratio = bundles[name].bytes / bundles[against].bytes
        ratios[f"{name} / {against}"] = ratio
        met &= ratio <= most
        print(f"  {name} / {against}".ljust(40) + f" {ratio:.4f}   wanted: {most} at most: {_verdict(ratio <= most)}")
    exports = [bundle.took for name, bundle in bundles.items() if "best" not in name]
    peak = _peak([*exports, *(took for one in imports.values() for name, took in one.items() if "best" not in name)])
    met &= peak <= _MEMORY
    print(f"  peak memory, default level {peak / 1e6:8.0f} MB   wanted: {_MEMORY / 1e6:.0f} at most: {_verdict(peak <= _MEMORY)}")
    best = _peak([bundles["v2 best"].took, *(one["v2 best"] for one in imports.values() if "v2 best" in one)])
    print(f"  peak memory, best level    {best / 1e6:8.0f} MB")
    return ratios, met


def _peak(took: Iterable[Measured]) -> int:
    return max(one.peak_rss for one in took)


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def _print(name: str, took: Measured, more: str) -> None:
    line = f"{name:18} {took.wall:7.2f} s + settle {took.settle:5.2f} s, {took.peak_rss / 1e6:4.0f} MB   {more}"
    print(line.rstrip(), flush=True)


def _share(storage: Path, copy: Path) -> None:
    """The source's storage once more, to be signed in; blobs are hard links where that is possible (files only get added)."""

    def put(old: str, new: str) -> None:
        try:
            os.link(old, new)
        except OSError:  # another file system
            shutil.copy2(old, new)

    shutil.copytree(storage, copy, copy_function=put)
