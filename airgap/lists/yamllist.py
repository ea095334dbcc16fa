"""Our own YAML image list. Its schema is in docs/lists.md.

    defaults:                        # optional; for every image without its own
      registry: quay.io              # where names without a host are
      platforms: [linux/amd64]
      attachments: true              # or false, or a list of kinds
      attachments-from: [quay.io/team/signatures]
    images:
      - nginx:1.27
      - name: quay.io/prometheus/prometheus
        platforms: [linux/amd64, linux/arm64]
        tags: {semver: ^2.53, newest: 3, exclude: [v2.53.0], exclude-regex: ['-rc']}

JSON with the same content is YAML too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from airgap.errors import UsageError
from airgap.lists.artifacts import wished_artifacts
from airgap.lists.entry import Entry, Selection, Wish, Wishes
from airgap.lists.gits import wished_gits
from airgap.lists.semver import Range
from airgap.lists.tags import MAX_CHOSEN, Pattern, TagRule
from airgap.lists.values import read_images, read_platform, read_repository, wished_registry
from airgap.lists.yamltree import ListReader, spot_of
from airgap.oci.descriptor import Platform
from airgap.oci.image import LOOKASIDE, REFERRER, REFERRERS_TAG, TAG_KINDS
from airgap.oci.reference import Reference, Repository
from airgap.yamlnodes.nodes import Fields, Items, Node, Scalar

#: The kinds of attachments a list can ask for; the tag that lists referrers belongs to the referrers.
ATTACHMENTS = (*TAG_KINDS.values(), REFERRER, LOOKASIDE)
TOP_KEYS = ("images", "files", "charts", "gits", "defaults")
_CONTENT = ("images", "files", "charts", "gits")
_CHOICES = ("platforms", "attachments", "attachments-from")
_RULE = ("regex", "semver", "newest", "exclude", "exclude-regex")


@dataclass(frozen=True)
class _Choices:
    """What can be said for all images and for each."""

    registry: str = ""
    platforms: tuple[Platform, ...] = ()
    attachments: frozenset[str] | None = None
    attachment_repositories: tuple[Repository, ...] = ()

    def entry(self, reference: Reference, origin: str, source: str = "") -> Entry:
        """The entry for an image for which nothing else was said."""
        return Entry(reference, self.platforms, origin, self.attachments, self.attachment_repositories, source)


def parse_yaml_list(root: Node, reader: ListReader) -> Wishes:
    """Read one document; what is wrong with it goes into the reader's mistakes."""
    fields = reader.fields(root, "the image list", TOP_KEYS, "a mapping with images: and a list of references")
    defaults = _defaults(fields.get("defaults"), reader)
    if not fields.keys() & set(_CONTENT):
        if isinstance(root, Fields):
            reader.wrong(root, "the list has no images", "images: and a list of references", got=", ".join(fields))
        return Wishes()
    images = reader.items(fields["images"], "images") if "images" in fields else []
    wanted = [wish for node in images for wish in _wishes(node, defaults, reader)]
    for name in ("files", "charts"):
        wanted += wished_artifacts(fields[name], name.removesuffix("s"), reader, defaults.entry) if name in fields else ()
    wanted += wished_gits(fields["gits"], reader) if "gits" in fields else ()
    return Wishes(tuple(wanted))


def _defaults(node: Node | None, reader: ListReader) -> _Choices:
    if node is None:
        return _Choices()
    fields = reader.fields(node, "defaults", ("registry", *_CHOICES))
    registry = ""
    if "registry" in fields:
        text = reader.text(fields["registry"], "a registry")
        registry = "" if text is None else wished_registry(text, spot_of(fields["registry"]), reader.mistakes)
    return _chosen(fields, _Choices(registry), reader)


def _wishes(node: Node, defaults: _Choices, reader: ListReader) -> Iterator[Wish]:
    if not isinstance(node, Fields):
        yield from _entry(node, defaults, reader)
        return
    fields = reader.fields(node, "an image", ("name", "tags", *_CHOICES))
    choices = _chosen(fields, defaults, reader)
    name, tags = fields.get("name"), fields.get("tags")
    if name is None:
        reader.wrong(node, "an image has no name", "name: and a reference", got=", ".join(fields))
    elif tags is None:
        yield from _entry(name, choices, reader)
    elif isinstance(tags, Items):
        yield from _tagged(name, tags, choices, reader)
    else:
        yield from _selection(name, tags, choices, reader)


def _entry(name: Node, choices: _Choices, reader: ListReader) -> Iterator[Entry]:
    for reference, source in read_images(reader, name, choices.registry):
        yield choices.entry(reference, reader.origin(name), source)


def _tagged(name: Node, tags: Node, choices: _Choices, reader: ListReader) -> Iterator[Entry]:
    """``tags:`` as a list: one image for each."""
    template = _template(name, TagRule(), choices, reader)
    for node in reader.items(tags, "tags", few=True):
        text = reader.text(node, "a tag")
        if text is not None and template is not None:
            try:
                yield replace(template.entry(text), origin=reader.origin(node))
            except UsageError as error:
                reader.mistakes.add_error(spot_of(node), error)


def _selection(name: Node, tags: Node, choices: _Choices, reader: ListReader) -> Iterator[Selection]:
    expected = f"a list of tags, or a mapping with {', '.join(_RULE)}"
    fields = reader.fields(tags, "tags", _RULE, expected)
    newest = reader.count(fields["newest"], "newest", MAX_CHOSEN) if "newest" in fields else None
    leaves_out = reader.items(fields["exclude"], "exclude", few=True) if "exclude" in fields else []
    excluded = [reader.text(node, "a tag") for node in leaves_out]
    rule = TagRule(
        patterns=_patterns(fields, "regex", reader),
        versions=read_range(fields["semver"], reader) if "semver" in fields else None,
        newest=newest,
        excluded=frozenset(tag for tag in excluded if tag is not None),
        excluded_patterns=_patterns(fields, "exclude-regex", reader),
    )
    if isinstance(tags, Fields) and "regex" not in fields and "semver" not in fields:
        # `newest` of all tags would be `stable` or `latest`, which nobody means
        hint = "semver: '*' for every release, or regex: '' for every tag"
        reader.wrong(tags, "tags: has no rule", "regex: or semver:", got=", ".join(fields) or "nothing", hint=hint)
    selection = _template(name, rule, choices, reader)
    if selection is not None:
        yield selection


def _template(name: Node, rule: TagRule, choices: _Choices, reader: ListReader) -> Selection | None:
    repository = read_repository(reader, name, choices.registry)
    if repository is None:
        return None
    where = reader.origin(name)
    return Selection(repository, rule, choices.platforms, where, choices.attachments, choices.attachment_repositories)


def _patterns(fields: dict[str, Node], key: str, reader: ListReader) -> tuple[Pattern, ...]:
    nodes = reader.items(fields[key], key, few=True) if key in fields else []
    found = [read_pattern(node, reader) for node in nodes]
    return tuple(pattern for pattern in found if pattern is not None)


def read_pattern(node: Node, reader: ListReader) -> Pattern | None:
    """The regular expression that a node holds; None when it is a mistake."""
    text = reader.text(node, "a regular expression")
    try:
        return None if text is None else Pattern.parse(text)
    except UsageError as error:
        reader.mistakes.add_error(spot_of(node), error)
        return None


def read_range(node: Node, reader: ListReader) -> Range | None:
    """The range of versions that a node holds; None when it is a mistake."""
    text = reader.text(node, "a version range")
    try:
        return None if text is None else Range.parse(text)
    except UsageError as error:
        reader.mistakes.add_error(spot_of(node), error)
        return None


def _chosen(fields: dict[str, Node], before: _Choices, reader: ListReader) -> _Choices:
    """The choices that some fields make, over those made before."""
    choices = before
    if "platforms" in fields:
        found = [read_platform(reader, node) for node in reader.items(fields["platforms"], "platforms", few=False)]
        if isinstance(fields["platforms"], Items) and not found:
            reader.wrong(
                fields["platforms"], "platforms: is empty", "at least one platform, or omit platforms: for every platform", got="[]"
            )
        choices = replace(choices, platforms=tuple(dict.fromkeys(platform for platform in found if platform is not None)))
    if "attachments" in fields:
        choices = replace(choices, attachments=_attachments(fields["attachments"], reader))
    if "attachments-from" in fields:
        nodes = reader.items(fields["attachments-from"], "attachments-from", few=True)
        others = [read_repository(reader, node, before.registry) for node in nodes]
        choices = replace(choices, attachment_repositories=tuple(dict.fromkeys(other for other in others if other is not None)))
    return choices


def _attachments(node: Node, reader: ListReader) -> frozenset[str] | None:
    if isinstance(node, Scalar):
        return None if reader.flag(node, "attachments") in (True, None) else frozenset()
    kinds = set()
    for item in reader.items(node, "attachments", few=True):
        text = reader.text(item, "an attachment kind")
        if text in ATTACHMENTS:
            kinds.add(text)
        elif text is not None:
            reader.wrong(item, "not a valid attachment kind", " or ".join(ATTACHMENTS), got=text)
    return frozenset(kinds | ({REFERRERS_TAG} if REFERRER in kinds else set()))
