"""What airgap has beside its code, as a wheel installs it below ``share``: man pages, completion, documents, samples, the site.

setup.py reads this file, too, so it uses nothing but the standard library.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

DISTRIBUTION = "airgap-bundles"
#: Where documents and samples are installed.
DOCUMENTS = "share/doc/airgap"
#: A directory of the checkout, and what it is called where it is installed. ``share/site`` is there when scripts/docs has made it.
_PLACES = {
    "share/man": "share/man",
    "share/bash-completion": "share/bash-completion",
    "share/zsh": "share/zsh",
    "share/fish": "share/fish",
    "share/site": f"{DOCUMENTS}/site",
    **{name: f"{DOCUMENTS}/{name}" for name in ("docs", "samples", "manifests")},
}


def of_checkout(root: Path) -> dict[str, Path]:
    """The files of a checkout, by the names that they are installed under."""
    found = {f"{DOCUMENTS}/{name}": root / name for name in ("README.md", "CHANGELOG.md", "LICENSE")}
    for source, place in _PLACES.items():
        for path in sorted(path for path in (root / source).rglob("*") if path.is_file()):
            found[f"{place}/{path.relative_to(root / source).as_posix()}"] = path
    return found


def shared_files(package: Path) -> dict[str, Path]:
    """The files of the airgap that runs, by the names that they are installed under; empty if it came without them.

    Args:
        package: the directory of the package.
    """
    root = package.parent
    if (root / "pyproject.toml").is_file() and (root / "docs").is_dir():
        return of_checkout(root)
    if (root / DOCUMENTS).is_dir():  # a build with the interpreter inside
        return {path.relative_to(root).as_posix(): path for path in sorted((root / "share").rglob("*")) if path.is_file()}
    try:
        files = importlib.metadata.files(DISTRIBUTION) or ()
    except importlib.metadata.PackageNotFoundError:
        return {}
    named = {f"share/{file.as_posix().partition('/share/')[2]}": file for file in files if "/share/" in file.as_posix()}
    return {name: path for name, file in named.items() if (path := Path(str(file.locate())).resolve()).is_file()}
