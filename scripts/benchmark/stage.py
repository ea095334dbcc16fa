"""What every part of the benchmark begins with: its options, the corpus, the source registry's storage, a work directory."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmark import corpus
from benchmark.corpus import Corpus
from benchmark.measure import measure
from benchmark.registry import Registry

ROOT = Path(__file__).resolve().parents[2]


def parser(name: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """A parser with the options that all parts have."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airgap-bench"
    result = argparse.ArgumentParser(
        prog=name, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--cache", type=Path, default=cache, help="where the corpus is kept (default: %(default)s)")
    result.add_argument("--work", type=Path, help="where the runs write, on the disk to be measured (default: in the cache)")
    result.add_argument("--json", type=Path, metavar="FILE", help="write every number to a file")
    result.add_argument("--keep", action="store_true", help="do not remove the work directory")
    return result


def add_airgap(options: argparse.ArgumentParser) -> None:
    """The option that names the command."""
    options.add_argument("--airgap", default=str(ROOT / ".venv/bin/airgap"), help="the airgap command (default: %(default)s)")


def prepare(cache: Path) -> dict[str, Corpus]:
    """Both versions of the corpus, and a registry's storage with both; what is there already is taken."""
    cache.mkdir(parents=True, exist_ok=True)
    built = {}
    for name in corpus.VERSIONS:
        if not (cache / f"corpus-{name}").exists():
            say(f"building corpus {name} in {cache}: downloads packages, compresses layers")
            # in a process of its own: this one must stay small (see measure.py)
            code = "import sys, pathlib; from benchmark import corpus; corpus.build(pathlib.Path(sys.argv[1]), sys.argv[2])"
            environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
            subprocess.run([sys.executable, "-c", code, str(cache), name], check=True, env=environment)
        built[name] = corpus.build(cache, name)
        facts = f"{len(built[name].names)} images x 2 platforms, {built[name].unique_bytes / 1e6:.0f} MB of blobs"
        say(f"corpus {name}: {facts} ({built[name].copied_bytes / 1e6:.0f} MB without sharing)")
    _push(cache, built)
    return built


@contextlib.contextmanager
def work_directory(options: argparse.Namespace) -> Iterator[Path]:
    """A new directory for what the runs write; gone afterwards unless --keep was given."""
    work = Path(tempfile.mkdtemp(prefix="work-", dir=options.work or options.cache.absolute()))
    say(f"work directory {work} ({_file_system(work)})")
    try:
        yield work
    finally:
        if options.keep:
            say(f"kept: {work}")
        else:
            shutil.rmtree(work)


def say(text: str) -> None:
    """One line about what goes on, beside the figures."""
    print(f"== {text}", file=sys.stderr, flush=True)


def _push(cache: Path, built: dict[str, Corpus]) -> None:
    if (cache / "registry").exists():
        return
    storage = cache / "registry.partial"
    shutil.rmtree(storage, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="push-", dir=cache))
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--dest-tls-verify=false"]
    with Registry(work, storage) as registry:
        for one in built.values():
            say(f"pushing {one.layout.name} into the source registry's storage")
            measure([[*copy, f"oci:{one.layout}:{name}", f"docker://{registry.address}/{name}"] for name in one.names])
    shutil.rmtree(work)
    storage.rename(cache / "registry")


def _file_system(path: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", str(path)], check=True, stdout=subprocess.PIPE, text=True)
    kind = done.stdout.strip()
    return f"{kind}: in memory, not on a disk" if kind in ("tmpfs", "ramfs") else kind
