"""What pyproject.toml cannot say: C extensions, documents in directories of any depth, and archives that are the same each time."""

from __future__ import annotations

import gzip
import io
import os
import runpy
import tarfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
# No path of the machine and no debug information: the same compiler gives the same bytes wherever the source lies.
FLAGS = ["-O3", "-g0", f"-ffile-prefix-map={HERE}=."]


class SameEachTime(sdist):
    """A source archive in which only the content counts: members sorted, owners and times fixed by SOURCE_DATE_EPOCH."""

    def run(self) -> None:
        super().run()
        for archive in map(Path, self.archive_files):
            if archive.name.endswith(".tar.gz"):
                archive.write_bytes(again(archive.read_bytes(), int(os.environ.get("SOURCE_DATE_EPOCH", "315532800"))))


def again(packed: bytes, moment: int) -> bytes:
    """The same archive with every time at ``moment``, in seconds since 1970 (without a choice 1980, as in wheels)."""
    made, body = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(packed)) as old, tarfile.open(fileobj=body, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = moment, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    with gzip.GzipFile(fileobj=made, mode="wb", mtime=moment) as out:
        out.write(body.getvalue())
    return made.getvalue()


def data_files() -> list[tuple[str, list[str]]]:
    """What is installed below share/, by directory."""
    found: dict[str, list[str]] = {}
    for name, path in runpy.run_path("airgap/toolkit/shared.py")["of_checkout"](Path()).items():
        found.setdefault(str(Path(name).parent), []).append(str(path))
    return list(found.items())


setup(
    data_files=data_files(),
    cmdclass={"sdist": SameEachTime},
    ext_modules=[
        Extension(
            "airgap.native._deflate",
            ["airgap/native/_deflate.c"],
            depends=[f"airgap/native/_tokens{part}.h" for part in ("", "_tables", "_decode", "_codes", "_encode")],
            extra_compile_args=FLAGS,
            py_limited_api=True,
            optional=True,  # without a compiler the plain Python codec does the work, slowly
        ),
        Extension(
            "airgap.native._columns",
            ["airgap/native/_columns.c"],
            depends=["airgap/native/_columns.h"],
            extra_compile_args=FLAGS,
            py_limited_api=True,
            optional=True,
        ),
        Extension(
            "airgap.native._sha256",
            ["airgap/native/_sha256.c"],
            extra_compile_args=FLAGS,
            py_limited_api=True,
            optional=True,  # without it files and their blocks are hashed one after the other
        ),
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
