"""The files of artifacts by their names, under ``/files/``: for curl, wget and browsers, which know nothing of registries.

A file is ``/files/NAME:TAG/FILE``, as the layer's title calls it, or ``/files/NAME:TAG`` where the artifact holds one file.
``NAME`` is the repository with its host; of what lists made of files and charts also the short one, ``tools`` for
``airgap.local/files/tools``. What is requested is looked up among these names and never becomes a path.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from airgap import __version__
from airgap.archives.titles import titled
from airgap.errors import Refused, UsageError
from airgap.html.elements import code, page, section, table, text
from airgap.html.style import POLICY
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.server.catalogue import Catalogue, Served
from airgap.server.wire import JSON, Response, problem
from airgap.text import human_size, plural, printable

PREFIX = "/files/"
BARE = PREFIX.rstrip("/")
#: Files in one index; the rest is found by name all the same.
MOST = 10_000
_INDEX = f"{PREFIX}index.json"
_HOSTS = ("airgap.local/files/", "airgap.local/")
#: Layer types are of images; what a file is for a browser is its format.
_PLAIN = {
    media.OCI_LAYER: "application/x-tar",
    media.OCI_LAYER_GZIP: "application/gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd": "application/zstd",
}
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}", re.ASCII | re.IGNORECASE)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
#: No file is a page of this server, whatever its media type says.
_HARMLESS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
_PAGE = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'; sandbox allow-downloads",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass
class Offered:
    """The files of a catalogue.

    Attributes:
        files: every path after ``/files/`` -> the file's name and layer.
        listed: the paths that the index shows, one for each file.
        unnamed: artifacts whose names for files cannot be ones.
    """

    files: dict[str, tuple[str, Descriptor]] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    unnamed: int = 0


_offered: weakref.WeakKeyDictionary[Catalogue, Offered] = weakref.WeakKeyDictionary()


def offer(catalogue: Catalogue, path: str, headers: Mapping[str, str]) -> Response:
    """Answer a request for a file, or for their index.

    Args:
        catalogue: what there is.
        path: the path of the request, decoded.
        headers: the request's headers by lower-case name.
    """
    offered = _offered.get(catalogue) or _offered.setdefault(catalogue, _collect(catalogue))
    if path == _INDEX:
        return Response.of(strictjson.canonical(_facts(offered)), JSON, {"Cache-Control": "no-store"})
    if path in (PREFIX, BARE):
        return Response.of(_page(offered), "text/html; charset=utf-8", _PAGE)
    name, layer = offered.files.get(path.removeprefix(PREFIX), ("", None))
    size = catalogue.blob_size(layer.digest) if layer is not None else None
    if layer is None or size is None:
        return problem(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", f"no such file here; {PREFIX} lists them")
    kind = layer.media_type if _TYPE.fullmatch(layer.media_type) else media.OCTETS
    fields = {"Content-Type": _PLAIN.get(kind, kind), "Content-Disposition": disposition(name), **_HARMLESS}
    return content(catalogue, layer.digest, size, fields, headers, hashing=True)  # curl checks no digest


def content(
    catalogue: Catalogue, digest: Digest, size: int, fields: Mapping[str, str], asked: Mapping[str, str], *, hashing: bool = False
) -> Response:
    """A blob, or the range of it that a request asks for (RFC 9110, section 14).

    Args:
        catalogue: where it is.
        digest, size: the blob.
        fields: headers of the answer.
        asked: headers of the request; only ``range`` and ``if-range`` matter.
        hashing: whether a damaged blob, asked for as a whole, is broken off before its last bytes wherever it is.
    """
    etag = f'"{digest}"'
    fields = {**fields, "ETag": etag, "Accept-Ranges": "bytes"}
    whole = Response(headers=fields, content=lambda: catalogue.open_whole(digest, size, hashing=hashing), length=size)
    wanted = asked.get("range")
    if wanted is None or asked.get("if-range", etag) != etag:
        return whole
    stretch = byte_range(wanted, size)
    if stretch is None:
        return whole
    start, end = stretch
    if start >= end:
        unsatisfiable = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}
        return problem(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "SIZE_INVALID", "the range is outside the blob", unsatisfiable)
    partial = {**fields, "Content-Range": f"bytes {start}-{end - 1}/{size}"}
    return Response(HTTPStatus.PARTIAL_CONTENT, partial, content=lambda: catalogue.open_blob(digest, start), length=end - start)


def byte_range(text: str, size: int) -> tuple[int, int] | None:
    """Read one closed (``bytes=0-99``), open (``bytes=100-``) or suffix (``bytes=-100``) range.

    Returns:
        Start and exclusive end; not ascending when it cannot be satisfied; None when it is to be ignored, as several ranges
        at once are (RFC 9110, section 14.2).
    """
    match = _RANGE.fullmatch(text.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    start = int(match[1])
    if match[2] and int(match[2]) < start:
        return None
    return start, min(size, int(match[2]) + 1) if match[2] else size


def disposition(name: str) -> str:
    """``Content-Disposition`` of a file to be saved, in ASCII and with its whole name (RFC 6266, RFC 8187)."""
    plain = re.sub(r"[^ !#-\[\]-~]|%", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _collect(catalogue: Catalogue) -> Offered:
    found = Offered()
    taken = set(catalogue.full_names)
    for name in catalogue.full_names:
        label = next((name.removeprefix(host) for host in _HOSTS if name.startswith(host)), name)
        label = name if label in taken else label
        taken.add(label)
        served = catalogue.repository(name) or Served()
        for tag, digest in sorted(served.tags.items()):
            try:
                files = titled(served.manifests[digest].titled, Reference.parse(f"registry.invalid/{name}:{tag}"))
            except (Refused, UsageError):
                found.unnamed += 1
                continue
            for spelled in dict.fromkeys((label, name)):
                found.files |= {f"{spelled}:{tag}/{file}": (file, layer) for file, layer in files.items()}
                if len(files) == 1:
                    found.files[f"{spelled}:{tag}"] = next(iter(files.items()))
            found.listed += [f"{label}:{tag}/{file}" for file in files]
    return found


def _facts(offered: Offered) -> dict[str, Any]:
    rows = [(path, *offered.files[path]) for path in offered.listed[:MOST]]
    files = [
        {"path": PREFIX + quote(path, safe="/:"), "name": name, "mediaType": layer.media_type, "bytes": layer.size,
         "digest": str(layer.digest)}
        for path, name, layer in rows
    ]  # fmt: skip
    return {"files": files, "total": len(offered.listed), "not_offered": offered.unnamed}


def _page(offered: Offered) -> bytes:
    rows = [
        (
            f'<a href="{text(PREFIX + quote(path, safe="/:"), 20_000)}">{text(path)}</a>',
            human_size(layer.size),
            text(printable(layer.media_type, 200)),
            code(layer.digest),
        )
        for path in offered.listed[:MOST]
        for _, layer in (offered.files[path],)
    ]
    nothing = '<p class="quiet">There are no files: images are pulled, not downloaded.</p>'
    more = len(offered.listed) - len(rows)
    notes = [f"and {more} more"] if more else []
    if offered.unnamed:
        notes.append(f"{plural(offered.unnamed, 'artifact')} not offered: names that cannot be those of files")
    shown = table(("File", "Size", "Type", "Digest"), rows, "Files", shown=len(rows)) or nothing
    quiet = "".join(f'<p class="quiet">{note}</p>' for note in notes)
    return page("airgap: files", "<h1>Files</h1>", section("files", "Files", shown, quiet), f"airgap {text(__version__)}")
