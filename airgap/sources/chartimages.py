"""The images that a chart names: those in what ``helm template`` renders where helm is installed, else those in annotations."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from airgap import programs
from airgap.discover import discover
from airgap.errors import UsageError
from airgap.lists import Entry, parse_list
from airgap.oci import strictjson
from airgap.oci.reference import Reference
from airgap.text import listing, plural, printable

#: Seconds that rendering a chart may take, and 512-byte blocks that it may write.
_SECONDS, _BLOCKS = 120.0, 131_072
#: Nobody listens there: a schema of values may name others on the web, and a chart decides nothing by what is there today.
_NOWHERE = "http://127.0.0.1:1"


def chart_images(
    archive: bytes, metadata: bytes, values: Sequence[Path], where: str, scratch: Path, say: Callable[[str], None]
) -> list[Reference]:
    """The images of a chart; says by which way they were found.

    Args:
        archive: the packaged chart.
        metadata: its ``Chart.yaml`` as JSON.
        values: files of values that it is rendered with, the later before the earlier.
        where: the chart, for messages.
        scratch: an empty directory.
        say: tells the operator something.

    Raises:
        UsageError: it cannot be rendered, an image in it cannot be told, or there is no helm and it has no annotations.
    """
    program = shutil.which("helm")
    if program is None:
        found, annotations = _annotated(metadata, values, where)
        say(f"{where}: {plural(len(found), 'image')} by its annotation {annotations}; helm is not installed")
        return found
    (scratch / "chart.tgz").write_bytes(archive)
    rendered = scratch / "rendered.yaml"
    _render(program, [str(path.absolute()) for path in values], scratch, rendered, where)
    result = discover([str(rendered)], lambda _: b"")
    if result.unresolved:
        raise UsageError(
            "an image that the chart names cannot be told",
            where=where,
            got=listing([printable(str(remark), 300).replace(str(rendered), "rendered") for remark in result.unresolved]),
            hint="give values for it (values: FILE), or list the chart's images yourself and leave out images: discover",
        )
    maybe = f"; {plural(len(result.possible), 'possible image')} left out (airgap discover tells them)" if result.possible else ""
    say(f"{where}: {plural(len(result.images), 'image')} by helm template{maybe}")
    return [image.reference for image in result.images]


def _render(program: str, values: Sequence[str], scratch: Path, rendered: Path, where: str) -> None:
    given = [argument for path in values for argument in ("--values", path)]
    command = [program, "template", "release", str(scratch / "chart.tgz"), "--include-crds", *given]
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(scratch),
        "KUBECONFIG": os.devnull,
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), _NOWHERE),
    }
    limited = ("sh", "-c", f'ulimit -f {_BLOCKS} && exec "$@" >"$0"', str(rendered), *command)
    try:
        done = programs.run(limited, environment=environment, seconds=_SECONDS, output=False)
    except subprocess.TimeoutExpired:
        raise UsageError("helm template takes too long", where=where, expected=f"at most {_SECONDS:.0f} s") from None
    except OSError as error:
        raise UsageError("helm cannot be started", where=where, got=printable(str(error), 200)) from error
    if done.returncode != 0:
        said = printable(done.stderr.decode("utf-8", "replace").strip(), 1000)
        raise UsageError(
            "helm template cannot render the chart",
            where=where,
            got=said or f"exit code {done.returncode}",
            hint="give the values that it needs: values: FILE",
        )


def _annotated(metadata: bytes, values: Sequence[Path], where: str) -> tuple[list[Reference], str]:
    own = strictjson.parse_object(metadata, where)
    annotations = own.get("annotations") or {}
    known = [name for name in ("artifacthub.io/images", "helm.sh/images", "images") if name in annotations]
    if not known or values:
        raise UsageError(
            "the images of a chart cannot be found",
            where=where,
            expected="helm on the PATH" + ("" if values else ", or an annotation artifacthub.io/images, helm.sh/images or images"),
            hint="install helm, or list the chart's images yourself and leave out images: discover",
        )
    chart = {"apiVersion": "v2", "name": "x", "version": "1.0.0", "annotations": {name: annotations[name] for name in known}}
    wishes = parse_list(json.dumps(chart).encode(), where)
    return [wish.reference for wish in wishes.wanted if isinstance(wish, Entry)], ", ".join(known)
