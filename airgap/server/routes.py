"""What the registry answers to a request (distribution-spec "Endpoints"); pure look-up, no sockets.

Requests are untrusted: every part is matched against a grammar first, and everything that is not a look-up is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from airgap.errors import Damaged, NotFound
from airgap.limits import MAX_REPOSITORY
from airgap.oci import media, strictjson
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.server.catalogue import Catalogue, ContentFacts, Served
from airgap.server.files import BARE, PREFIX, content, offer
from airgap.server.wire import JSON, Response, problem
from airgap.text import printable

#: So many entries in one answer at most; the rest is behind a ``Link``.
PAGE = 1000
#: A list of referrers is an index, and so many bytes are as large as clients let one be with a good margin.
MAX_LIST = 2 * 1024 * 1024

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_CONTENT = re.compile(r"/v2/(.+)/(manifests|blobs|referrers)/([^/]+)")
_TAGS = re.compile(r"/v2/(.+)/tags/list")

Query = Mapping[str, str]


def answer(catalogue: Catalogue, target: str, headers: Mapping[str, str]) -> Response:
    """Response a GET or HEAD request.

    Args:
        catalogue: what there is.
        target: the request target: path and query.
        headers: the request's headers by lower-case name; only ``range`` and ``if-range`` matter.

    Raises:
        AirgapError: the store itself failed.
    """
    path, _, text = target.partition("?")
    query: Query = {}
    try:
        if text:
            query = {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True, max_num_fields=16).items()}
    except ValueError:
        return problem(HTTPStatus.BAD_REQUEST, "UNSUPPORTED", "too many query parameters")
    path = unquote(path)
    if path in ("/v2", "/v2/"):
        return Response.of(b"{}", JSON).at("base")
    if path == "/v2/_catalog":
        return _listing(path, query, "repositories", catalogue.names, {}).at("catalog")
    if content := _CONTENT.fullmatch(path):
        request = RoutedRequest(path, content[1], content[3], query, headers)
        return _in_repository(catalogue, request, _ENDPOINTS[content[2]]).at(content[2])
    if path == BARE or path.startswith(PREFIX):
        return offer(catalogue, path, headers).at("files")
    if tags := _TAGS.fullmatch(path):
        return _in_repository(catalogue, RoutedRequest(path, tags[1], "", query, headers), _tags).at("tags")
    return problem(HTTPStatus.NOT_FOUND, "UNSUPPORTED", "no such endpoint")


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """A request inside the repository ``name``: ``what`` is a tag or digest."""

    path: str
    name: str
    what: str
    query: Query
    headers: Mapping[str, str]


def _in_repository(catalogue: Catalogue, request: RoutedRequest, endpoint: Endpoint) -> Response:
    served = catalogue.repository(request.name, request.query.get("ns", ""))
    if served is None and (len(request.name) > MAX_REPOSITORY or not _NAME.fullmatch(request.name)):
        return problem(HTTPStatus.BAD_REQUEST, "NAME_INVALID", "not a repository name")
    if served is None and endpoint is _referrers and not request.query.get("ns"):
        served = Served()  # a registry with this endpoint must never answer 404 there ("Listing Referrers"); a mirror may
    if served is None:
        return _unknown_name(catalogue, request.name)
    return endpoint(catalogue, served, request)


def _tags(catalogue: Catalogue, served: Served, request: RoutedRequest) -> Response:  # noqa: ARG001 - one signature for all endpoints
    return _listing(request.path, request.query, "tags", sorted(served.tags, key=_lexical), {"name": request.name})


def _manifest(catalogue: Catalogue, served: Served, request: RoutedRequest) -> Response:
    digest = _digest(request.what) if ":" in request.what else served.tags.get(request.what)
    if digest is None and ":" in request.what:
        return _bad_digest()
    missing = problem(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "no such manifest here")
    if digest is None or digest not in served.manifests:
        return missing
    facts = served.manifests[digest]
    try:
        raw = catalogue.manifest_bytes(facts)
    except NotFound:
        return missing
    return Response.of(raw, facts.descriptor.media_type, {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'})


def _blob(catalogue: Catalogue, served: Served, request: RoutedRequest) -> Response:
    digest = _digest(request.what)
    if digest is None:
        return _bad_digest()
    size = catalogue.blob_size(digest) if digest in served.blobs else None
    if size is None:
        return problem(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", "no such blob here")
    headers = {"Content-Type": media.OCTETS, "Docker-Content-Digest": digest}
    return content(catalogue, digest, size, headers, request.headers)


def _referrers(catalogue: Catalogue, served: Served, request: RoutedRequest) -> Response:
    subject = _digest(request.what)
    if subject is None:
        return _bad_digest()
    wanted = request.query.get("artifactType", "")
    found = {f.descriptor.digest: f for f in served.referrers.get(subject, ()) if wanted in ("", f.descriptor.artifact_type)}
    rest, count = _rest(request.query, sorted(found))
    entries: list[dict[str, Any]] = []
    size = 0
    for digest in rest[:count]:
        entry = _described(catalogue, found[Digest.parse(digest)]).to_json()
        size += len(strictjson.canonical(entry))
        if entries and size > MAX_LIST:
            break
        entries.append(entry)
    body = strictjson.canonical({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": entries})
    applied = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
    more = _more(request.path, request.query, count, rest[: len(entries)], rest)
    return Response.of(body, media.OCI_INDEX, {**applied, **more})


def _described(catalogue: Catalogue, facts: ContentFacts) -> Descriptor:
    """With the manifest's annotations, as "Listing Referrers" requires; read on request, because they may be large."""
    return replace(facts.descriptor, annotations=catalogue.manifest(facts.descriptor.digest).annotations)


Endpoint = Callable[[Catalogue, Served, RoutedRequest], Response]

_ENDPOINTS: dict[str, Endpoint] = {
    "manifests": _manifest,
    "blobs": _blob,
    "referrers": _referrers,
}


def _listing(path: str, query: Query, label: str, items: Sequence[str], fixed: Mapping[str, str]) -> Response:
    count = query.get("n")
    if count is not None and not re.fullmatch(r"\d{1,9}", count, re.ASCII):
        return problem(HTTPStatus.BAD_REQUEST, "UNSUPPORTED", "n must be a whole number")
    rest, most = _rest(query, items)
    more = _more(path, query, most, rest[:most], rest)
    return Response.of(strictjson.canonical({**fixed, label: rest[:most]}), JSON, more)


def _rest(query: Query, items: Sequence[str]) -> tuple[list[str], int]:
    """The part of sorted ``items`` after ``last``, and how many of it are wanted at most ("Listing Tags")."""
    last = query.get("last")
    rest = [item for item in items if last is None or _lexical(item) > _lexical(last)]
    return rest, min(PAGE, int(query["n"])) if re.fullmatch(r"\d{1,9}", query.get("n", ""), re.ASCII) else PAGE


def _more(path: str, query: Query, count: int, page: Sequence[str], rest: Sequence[str]) -> dict[str, str]:
    """The ``Link`` to what comes after a page, when something does."""
    if not page or len(page) == len(rest):
        return {}
    kept = "".join(f"&{name}={quote(query[name], safe='')}" for name in ("artifactType", "ns") if name in query)
    return {"Link": f'<{quote(path, safe="/:")}?n={count}&last={quote(page[-1], safe="")}{kept}>; rel="next"'}


def _lexical(text: str) -> tuple[str, str]:
    """The order of tags: case-insensitive, as the specification wants, and total."""
    return text.lower(), text


def _digest(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except Damaged:
        return None


def _bad_digest() -> Response:
    return problem(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", "not a sha256 or sha512 digest")


def _unknown_name(catalogue: Catalogue, name: str) -> Response:
    others = catalogue.ambiguous.get(name)
    if others:
        message = f"several registries have this repository with different images; ask for one of: {', '.join(others)}"
        return problem(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", printable(message))
    return problem(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", "no such repository here")
