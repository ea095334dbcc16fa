"""The corpus: eight images for two platforms in two versions, sharing bases, as OCI layouts and in a registry's storage."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmark import layers, packages
from benchmark.layers import Layer

VERSIONS = ("v1", "v2")

_OCI = "application/vnd.oci.image"

#: Debian package sets; each one holds what it needs beyond the set before it in an image. v2 is built from updated packages.
_DEBS = {
    "base": ["?essential", "ca-certificates", "apt", "curl", "openssl", "gnupg"],
    "python": ["python3", "python3-venv", "perl", "git", "openssh-client"],
    "build": ["gcc", "g++", "make", "cmake", "gdb", "clang-14"],
    "postgres": ["postgresql-15", "postgresql-contrib"],
}

#: Wheels per layer, in both versions.
_WHEELS = {
    "science": {
        "v1": ["numpy==1.26.4", "scipy==1.13.1", "pandas==2.1.4", "matplotlib==3.8.4", "scikit-learn==1.5.1"],
        "v2": ["numpy==1.26.4", "scipy==1.13.1", "pandas==2.2.2", "matplotlib==3.9.2", "scikit-learn==1.5.1"],
    },
    "analytics": {version: ["pyarrow==16.1.0", "polars==1.5.0", "duckdb==1.0.0"] for version in VERSIONS},
    "vision": {
        "v1": ["opencv-python-headless==4.10.0.84", "pillow==10.3.0", "onnxruntime==1.18.0", "numpy==1.26.4"],
        "v2": ["opencv-python-headless==4.10.0.84", "pillow==10.4.0", "onnxruntime==1.18.1", "numpy==1.26.4"],
    },
    "web": {
        "v1": [
            "fastapi==0.111.0",
            "uvicorn==0.30.1",
            "sqlalchemy==2.0.30",
            "grpcio==1.64.1",
            "lxml==5.2.2",
            "cryptography==42.0.8",
        ],
        "v2": [
            "fastapi==0.112.0",
            "uvicorn==0.30.5",
            "sqlalchemy==2.0.31",
            "grpcio==1.65.4",
            "lxml==5.2.2",
            "cryptography==43.0.0",
        ],
    },
}

_IMAGES = {
    "base/debian": ["base"],
    "base/python": ["base", "python"],
    "science/notebook": ["base", "python", "science"],
    "science/analytics": ["base", "python", "analytics"],
    "vision/worker": ["base", "python", "vision"],
    "web/api": ["base", "python", "web"],
    "tools/build": ["base", "python", "build"],
    "data/postgres": ["base", "postgres"],
}


@dataclass(frozen=True)
class Corpus:
    """One version of the corpus: its layout directory, the names in it, and the bytes of its blobs, each once."""

    layout: Path
    names: tuple[str, ...]
    unique_bytes: int
    copied_bytes: int


def build(cache: Path, version: str) -> Corpus:
    """Make one version of the corpus below ``cache``, or take the one that is there."""
    layout = cache / f"corpus-{version}"
    note = layout / "corpus.json"
    if not note.exists():
        _write_layout(cache, version, layout)
    known = json.loads(note.read_text())
    return Corpus(layout, tuple(known["names"]), known["unique_bytes"], known["copied_bytes"])


def _write_layout(cache: Path, version: str, layout: Path) -> None:
    temporary = layout.with_suffix(".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    blobs = temporary / "blobs/sha256"
    blobs.mkdir(parents=True)
    built = _build_layers(cache, version)
    copied = 0
    descriptors = []
    for name, parts in _IMAGES.items():
        children = []
        for architecture in packages.ARCHITECTURES:
            stack = [built[architecture, part] for part in [*parts, name]]
            copied += sum(layer.size for layer in stack)
            for layer in stack:
                blob = blobs / layer.digest.removeprefix("sha256:")
                if not blob.exists():
                    os.link(layer.path, blob)
            children.append(_image(blobs, architecture, stack))
        index = _put(
            blobs, f"{_OCI}.index.v1+json", {"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": children}
        )
        descriptors.append({**index, "annotations": {"org.opencontainers.image.ref.name": f"{name}:{version}"}})
    (temporary / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (temporary / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": descriptors}))
    unique = sum(blob.stat().st_size for blob in blobs.iterdir())
    facts = {"names": [f"{name}:{version}" for name in _IMAGES], "unique_bytes": unique, "copied_bytes": copied}
    (temporary / "corpus.json").write_text(json.dumps(facts, indent=2))
    temporary.rename(layout)


def _build_layers(cache: Path, version: str) -> dict[tuple[str, str], Layer]:
    jobs: dict[tuple[str, str], tuple[list[Path], str]] = {}
    for architecture in packages.ARCHITECTURES:
        for part, sources in _sources(cache, version, architecture).items():
            jobs[architecture, part] = (sources, "")
        for name in _IMAGES:
            jobs[architecture, name] = ([], f"name = {name}\nversion = {version}\nplatform = linux/{architecture}\n")
    # the longest first, so that no core is left with one at the end
    order = sorted(jobs, key=lambda key: -sum(path.stat().st_size for path in jobs[key][0]))
    with ProcessPoolExecutor() as pool:
        futures = {key: pool.submit(layers.build, cache / "layers", *jobs[key]) for key in order}
        return {key: future.result() for key, future in futures.items()}


def _sources(cache: Path, version: str, architecture: str) -> dict[str, list[Path]]:
    debs = packages.Debs(cache / "debs", architecture)
    result = {}
    for part, names in _DEBS.items():
        below = [name for other in _below(part) for name in _DEBS[other]]
        have = set(debs.download(below, updated=version == "v2")) if below else set()
        result[part] = [path for path in debs.download([*below, *names], updated=version == "v2") if path not in have]
    for part, wanted in _WHEELS.items():
        result[part] = packages.wheels(cache / "wheels" / f"{part}-{version}-{architecture}", architecture, wanted[version])
    return result


def _below(part: str) -> list[str]:
    stack = next(stack for stack in _IMAGES.values() if part in stack)
    return stack[: stack.index(part)]


def _image(blobs: Path, architecture: str, stack: list[Layer]) -> dict[str, object]:
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in stack]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _put(blobs, f"{_OCI}.config.v1+json", config),
        "layers": [{"mediaType": f"{_OCI}.layer.v1.tar+gzip", "digest": layer.digest, "size": layer.size} for layer in stack],
    }
    descriptor = _put(blobs, f"{_OCI}.manifest.v1+json", manifest)
    return {**descriptor, "platform": {"os": "linux", "architecture": architecture}}


def _put(blobs: Path, media_type: str, value: Mapping[str, object]) -> dict[str, object]:
    data = json.dumps(value, sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}
