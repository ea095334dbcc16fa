"""What to answer to a request (distribution-spec "Endpoints"); pure look-up, no sockets.

Requests are untrusted: every part is matched against a grammar first, and everything that is not a look-up is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from urllib.parse import parse_qs, quote, unquote

from airgap.errors import Damaged, NotFound
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.server.catalogue import Catalogue, Facts, Served
from airgap.text import printable

JSON = "application/json"
#: So many entries in one answer at most; the rest is behind a ``Link``.
PAGE = 1000

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_CONTENT = re.compile(r"/v2/(.+)/(manifests|blobs|referrers)/([^/]+)")
_TAGS = re.compile(r"/v2/(.+)/tags/list")
_NAME_LIMIT = 255
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)

Query = Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """A response. The body is ``body``, or the stretch ``start`` to ``end`` (exclusive) of the blob ``blob``."""

    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    blob: Digest | None = None
    start: int = 0
    end: int = 0

    @property
    def length(self) -> int:
        """The Content-Length, in bytes."""
        return len(self.body) if self.blob is None else self.end - self.start


def answer(catalogue: Catalogue, target: str, headers: Mapping[str, str]) -> Answer:
    """Answer a GET or HEAD request.

    Args:
        catalogue: what there is.
        target: the request target: path and query.
        headers: the request's headers by lower-case name; only ``range`` and ``if-range`` matter.

    Raises:
        AirgapError: the store itself failed.
    """
    path, _, text = target.partition("?")
    try:
        query = {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True, max_num_fields=16).items()}
    except ValueError:
        return problem(HTTPStatus.BAD_REQUEST, "UNSUPPORTED", "too many query parameters")
    path = unquote(path)
    if path in ("/v2", "/v2/"):
        return _json({})
    if path == "/v2/_catalog":
        return _listing(path, query, "repositories", catalogue.names, {})
    tags, content = _TAGS.fullmatch(path), _CONTENT.fullmatch(path)
    found = tags or content
    if found is None:
        return problem(HTTPStatus.NOT_FOUND, "UNSUPPORTED", "no such endpoint")
    name = found[1]
    if len(name) > _NAME_LIMIT or not _NAME.fullmatch(name):
        return problem(HTTPStatus.BAD_REQUEST, "NAME_INVALID", "not a repository name")
    served = catalogue.repository(name, query.get("ns", ""))
    if served is None:
        return _unknown_name(catalogue, name)
    if content is None:
        return _listing(path, query, "tags", sorted(served.tags, key=_lexical), {"name": name})
    return _ENDPOINTS[content[2]](catalogue, served, Request(path, content[3], query, headers))


@dataclass(frozen=True)
class Request:
    """A request inside one repository: ``what`` is a tag or digest."""

    path: str
    what: str
    query: Query
    headers: Mapping[str, str]


def problem(status: HTTPStatus, code: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An error as distribution-spec "Error Codes" wants it."""
    body = strictjson.canonical({"errors": [{"code": code, "message": message}]})
    return Answer(status, {"Content-Type": JSON, **(headers or {})}, body)


def _manifest(catalogue: Catalogue, served: Served, request: Request) -> Answer:
    digest = _digest(request.what) if ":" in request.what else served.tags.get(request.what)
    if digest is None and ":" in request.what:
        return _bad_digest()
    missing = problem(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "no such manifest here")
    if digest is None or digest not in served.manifests:
        return missing
    try:
        manifest = catalogue.manifest(digest)
    except NotFound:
        return missing
    headers = {"Content-Type": manifest.media_type, "Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
    return Answer(headers=headers, body=manifest.raw)


def _blob(catalogue: Catalogue, served: Served, request: Request) -> Answer:
    digest = _digest(request.what)
    if digest is None:
        return _bad_digest()
    size = catalogue.blob_size(digest) if digest in served.blobs else None
    if size is None:
        return problem(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", "no such blob here")
    etag = f'"{digest}"'
    headers = {"Content-Type": media.OCTETS, "Docker-Content-Digest": digest, "ETag": etag, "Accept-Ranges": "bytes"}
    whole = Answer(headers=headers, blob=digest, end=size)
    wanted = request.headers.get("range")
    if wanted is None or request.headers.get("if-range", etag) != etag:
        return whole
    stretch = byte_range(wanted, size)
    if stretch is None:
        return whole
    start, end = stretch
    if start >= end:
        unsatisfiable = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}
        return problem(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "RANGE_INVALID", "the range is outside the blob", unsatisfiable)
    partial = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"}
    return replace(whole, status=HTTPStatus.PARTIAL_CONTENT, headers=partial, start=start, end=end)


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


def _referrers(catalogue: Catalogue, served: Served, request: Request) -> Answer:
    subject = _digest(request.what)
    if subject is None:
        return _bad_digest()
    wanted = request.query.get("artifactType", "")
    found = {f.descriptor.digest: f for f in served.referrers.get(subject, ()) if wanted in ("", f.descriptor.artifact_type)}
    digests, headers = _page(request.path, request.query, sorted(found))
    entries = [_described(catalogue, found[Digest.parse(digest)]).to_json() for digest in digests]
    body = strictjson.canonical({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": entries})
    applied = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
    return Answer(headers={"Content-Type": media.OCI_INDEX, **applied, **headers}, body=body)


def _described(catalogue: Catalogue, facts: Facts) -> Descriptor:
    """With the manifest's annotations, as "Listing Referrers" wants them; they are read when asked for, being of any size."""
    return replace(facts.descriptor, annotations=catalogue.manifest(facts.descriptor.digest).annotations)


_ENDPOINTS: dict[str, Callable[[Catalogue, Served, Request], Answer]] = {
    "manifests": _manifest,
    "blobs": _blob,
    "referrers": _referrers,
}


def _listing(path: str, query: Query, label: str, items: Sequence[str], fixed: Mapping[str, str]) -> Answer:
    count = query.get("n")
    if count is not None and not re.fullmatch(r"\d{1,9}", count, re.ASCII):
        return problem(HTTPStatus.BAD_REQUEST, "PAGINATION_NUMBER_INVALID", "n must be a whole number")
    page, headers = _page(path, query, items)
    return _json({**fixed, label: page}, headers)


def _page(path: str, query: Query, items: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The part of sorted ``items`` after ``last``, ``n`` at most, and the ``Link`` to the rest ("Listing Tags")."""
    last = query.get("last")
    rest = [item for item in items if last is None or _lexical(item) > _lexical(last)]
    count = min(PAGE, int(query["n"])) if re.fullmatch(r"\d{1,9}", query.get("n", ""), re.ASCII) else PAGE
    page = rest[:count]
    if not page or len(page) == len(rest):
        return page, {}
    kept = "".join(f"&{name}={quote(query[name], safe='')}" for name in ("artifactType", "ns") if name in query)
    return page, {"Link": f'<{quote(path, safe="/:")}?n={count}&last={quote(page[-1], safe="")}{kept}>; rel="next"'}


def _lexical(text: str) -> tuple[str, str]:
    """The order of tags: case-insensitive, as the specification wants, and total."""
    return text.lower(), text


def _digest(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except Damaged:
        return None


def _bad_digest() -> Answer:
    return problem(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", "not a sha256 or sha512 digest")


def _unknown_name(catalogue: Catalogue, name: str) -> Answer:
    others = catalogue.ambiguous.get(name)
    if others:
        message = f"several registries have this repository with different images; ask for one of: {', '.join(others)}"
        return problem(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", printable(message))
    return problem(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", "no such repository here")


def _json(value: object, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(headers={"Content-Type": JSON, **(headers or {})}, body=strictjson.canonical(value))
