"""One image list: from bytes to text to entries. The kind of list is recognised by its content, never by its name."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from airgap.errors import UsageError
from airgap.lists.entry import Entry, Wishes, merge_wishes
from airgap.lists.kinds import charts, gitlabci, hauler, imgpkg, ocmirror, regsync, zarf
from airgap.lists.kinds.skopeosync import is_skopeo_sync, parse_skopeo_sync
from airgap.lists.mistakes import Mistakes, Spot
from airgap.lists.placed import ChartImages, Places, by_name, images_unknown, placed_images
from airgap.lists.values import MAX_ENTRIES, too_many, wished_platform, wished_reference
from airgap.lists.yamllist import parse_yaml_list
from airgap.lists.yamltree import ListReader, compose, peek
from airgap.oci.places import is_place
from airgap.yamlnodes.nodes import Node, text_of

#: No image list may be larger, in bytes.
MAX_INPUT = 16 * 1024 * 1024

# Everything that a person cannot see or that some reader takes for a line end: it would hide what a list really asks for.
_INVISIBLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_YAML_START = re.compile(r"---(\s|$)|%YAML|[\[{&*!|>]|-(\s|$)|(\"[^\"]*\"|'[^']*'|[^\s#\"']+?)\s*:(\s|$)|\?\s")
_ADDRESS_START = re.compile(r"\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?/")  # an image of a host without a name: no YAML goes on like this
_COMMENT = re.compile(r"(^|\s)#.*")
_FOR_PLATFORM = re.compile(r"--platform[=\s]\s*(\S+)\s+")  # as `docker pull` takes it, in lists that scripts read line by line

_Parser = Callable[[Node, ListReader], Wishes]
#: Manifests that say what they are: the group of their ``apiVersion``, the kinds (any, where empty), the versions, the parser.
_MANIFESTS: tuple[tuple[str, str, tuple[str, ...], _Parser], ...] = (
    (hauler.GROUP, "", hauler.VERSIONS, hauler.parse_hauler),
    (ocmirror.GROUP, ocmirror.KIND, ocmirror.VERSIONS, ocmirror.parse_oc_mirror),
    (imgpkg.GROUP, imgpkg.KIND, imgpkg.VERSIONS, imgpkg.parse_images_lock),
)
_KINDS = "kind: Images (hauler), ImageSetConfiguration (oc-mirror), ImagesLock (imgpkg) or ZarfPackageConfig (zarf)"
#: Files that say by their shape what they are; the first that fits reads it. skopeo's is asked last: it has no key of its own.
_SHAPES: tuple[tuple[Callable[[Node], bool], _Parser], ...] = (
    (regsync.is_regsync, regsync.parse_regsync),
    (charts.is_helmfile, charts.parse_helmfile),
    (charts.is_chart, charts.parse_chart),
    (gitlabci.is_gitlab_ci, gitlabci.parse_gitlab_ci),
)


def parse_list(
    data: bytes,
    name: str,
    places: Places = by_name,
    expand: Callable[[str], str] = str,
    *,
    values: Mapping[str, str] | None = None,
    allows_left_out: bool = False,
    chart_images: ChartImages = images_unknown,
) -> Wishes:
    """Read an image list of any kind that docs/lists.md names.

    Args:
        data: the file's bytes, UTF-8, at most ``MAX_INPUT``.
        name: the file's name, for messages and origins.
        places: tells which images a place means that is not a registry.
        expand: what a short name is an alias of (containers-registries.conf(5), "aliases").
        values: what templates in the lists of other tools stand for.
        chart_images: tells which images a chart names.
        allows_left_out: leave out what such a list asks for and airgap does not carry, and say so (``Wishes.left_out``).

    Raises:
        UsageError: the list has a mistake (with file:line:column) or several (all of them in one error), or is empty. One of
            which everything was left out is not: other lists may stand beside it.
    """
    mistakes = Mistakes(name)
    if len(data) > MAX_INPUT:
        raise UsageError("the image list is too large", where=mistakes.name, expected=f"at most {MAX_INPUT} bytes")
    text = _decode(data, mistakes)
    if _looks_like_yaml(text):
        reader = ListReader(
            mistakes,
            places=places,
            expand=expand,
            values=values or {},
            allows_left_out=allows_left_out,
            chart_images=chart_images,
        )
        wishes = _parse_yaml(text, reader)
        wishes = replace(wishes, notices=(*wishes.notices, *reader.notices), left_out=tuple(reader.left_out))
    else:
        wishes = Wishes(tuple(_parse_text(text, mistakes, places, expand)))
    mistakes.raise_any()
    if not (wishes.wanted or wishes.left_out):
        raise UsageError(
            "the image list is empty",
            where=f"{mistakes.name}:1:1",
            expected="one reference per line, or YAML with images: and a list of references",
            got="no reference",
        )
    return wishes


def _decode(data: bytes, mistakes: Mistakes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or data[:4].count(0) >= 2:
        hint = "convert it: iconv -f UTF-16 -t UTF-8; PowerShell writes UTF-8 with `Set-Content -Encoding utf8`"
        mistakes.add(Spot(1, 1), "the list is UTF-16 text", expected="UTF-8", got=data[:4].hex(" "), hint=hint)
        mistakes.raise_any()
    data = data.removeprefix(codecs.BOM_UTF8)  # editors of Windows write it
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        spot, got = _spot(before, len(before)), data[error.start : error.end].hex(" ")
        mistakes.add(spot, "not UTF-8 text", expected="UTF-8", got=got, hint="save the list as UTF-8")
        mistakes.raise_any()
        raise  # not reached: there is a mistake
    text = text.replace("\r\n", "\n")
    for number, line in enumerate(_lines(text), 1):
        for found in _INVISIBLE.finditer(line):
            spot = Spot(number, found.start() + 1)
            if found[0] == "\t":
                mistakes.add(spot, "a tab", expected="spaces", got="\t")
            else:
                mistakes.add(spot, "a control or invisible character", expected="visible text", got=found[0])
    mistakes.raise_any()
    return text


def _lines(text: str) -> Iterator[str]:
    """The lines of a text, one at a time: all of them at once take many times the text where they are short."""
    at = 0
    while (end := text.find("\n", at)) >= 0:
        yield text[at:end]
        at = end + 1
    yield text[at:]


def _spot(text: str, index: int) -> Spot:
    return Spot(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _looks_like_yaml(text: str) -> bool:
    for line in _lines(text):
        content = _COMMENT.sub("", line).strip()
        if content:
            return _YAML_START.match(content) is not None and _ADDRESS_START.match(content) is None
    return False


def _parse_yaml(text: str, reader: ListReader) -> Wishes:
    mistakes = reader.mistakes
    documents = compose(text, mistakes, lenient=_may_have_aliases)
    found = [_document(root, reader) for root in documents]
    mistakes.raise_any()
    for count, wish in enumerate(wish for one in found for wish in one.wanted):
        if count == MAX_ENTRIES:
            line = int(wish.origin.rpartition(":")[2])
            too_many(Spot(line, 1), mistakes)
            return Wishes()
    return found[0] if len(found) == 1 else merge_wishes(found)


def _may_have_aliases(root: Node) -> bool:
    """Whether a document is of a tool whose users write anchors and aliases; in what is written for airgap they are mistakes."""
    return text_of(peek(root).get("kind")) in zarf.KINDS or any(fits(root) for fits, _ in _SHAPES)


def _document(root: Node, reader: ListReader) -> Wishes:
    top = peek(root)
    group, kind = text_of(top.get("apiVersion")), text_of(top.get("kind"))
    for prefix, only, versions, parser in _MANIFESTS:
        if group.startswith(prefix) and "kind" in top and only in ("", kind):
            if group not in versions:
                reader.wrong(top["apiVersion"], f"an unknown version of {kind}", " or ".join(versions), got=group)
                return Wishes()
            return parser(root, reader)
    if kind in zarf.KINDS:
        return zarf.parse_zarf(root, reader)
    if "kind" in top:
        hint = "airgap discover finds the images in Kubernetes manifests"
        reader.wrong(top["kind"], "not an image list", _KINDS, got=f"{group} {kind}".strip(), hint=hint)
        return Wishes()
    shapes = () if "images" in top else (*_SHAPES, (is_skopeo_sync, parse_skopeo_sync))
    parse = next((parse for fits, parse in shapes if fits(root)), parse_yaml_list)
    return parse(root, reader)


def _parse_text(text: str, mistakes: Mistakes, places: Places, expand: Callable[[str], str]) -> list[Entry]:
    entries: list[Entry] = []
    for number, line in enumerate(_lines(text), 1):
        content = _COMMENT.sub("", line).strip()
        if not content:
            continue
        spot = Spot(number, line.index(content) + 1)
        if len(entries) == MAX_ENTRIES:
            too_many(spot, mistakes)
            break
        if is_place(content):
            placed = placed_images(content, places, spot, mistakes)
            entries += [Entry(reference, (), mistakes.origin(spot), source=source) for reference, source in placed]
            continue
        platform = _FOR_PLATFORM.match(content)
        chosen = wished_platform(platform[1], spot, mistakes) if platform else None
        reference = wished_reference(content[platform.end() :] if platform else content, spot, mistakes, expand=expand)
        if reference is not None:
            entries.append(Entry(reference, (chosen,) if chosen else (), mistakes.origin(spot)))
    return entries
