"""The YAML of ``skopeo sync --src yaml`` (skopeo-sync(1)).

registry.example.com:
  images: {busybox: [], redis: ["1.0", "sha256:..."]}     # no tags: all of them
  images-by-tag-regex: {nginx: ^1\\.13\\.[12]-alpine-perl$}
  images-by-semver: {alpine: ">= 3.12.0"}
  credentials: {username: john, password: this is a secret}
  tls-verify: true
  cert-dir: /home/john/certs
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from airgap.errors import Damaged, UsageError
from airgap.lists.entry import Entry, RegistrySettings, Selection, Wish, Wishes
from airgap.lists.tags import TagRule
from airgap.lists.values import wished_registry, wished_repository
from airgap.lists.yamllist import read_pattern, read_range
from airgap.lists.yamltree import ListReader, peek, spot_of
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference, Repository
from airgap.yamlnodes.nodes import Fields, Items, Node, Scalar, is_null

_IMAGES, _REGEX, _SEMVER = "images", "images-by-tag-regex", "images-by-semver"
_KEYS = (_IMAGES, _REGEX, _SEMVER, "credentials", "tls-verify", "cert-dir")


def is_skopeo_sync(root: Node) -> bool:
    """Whether a document maps registries to what is wanted of them."""
    for name, value in peek(root).items():
        inside = peek(value)
        if any(key in inside for key in _KEYS) or (isinstance(value, Fields) and set(name) & set(".:")):
            return True
    return False


def parse_skopeo_sync(root: Node, reader: ListReader) -> Wishes:
    """Read one document; what is wrong with it goes into the reader's mistakes, but never a value that may be a secret."""
    reader = ListReader(reader.mistakes, shows_values=False)
    wanted: list[Wish] = []
    settings: list[RegistrySettings] = []
    notices: list[str] = []
    for name, key_node, node in reader.pairs(root, "the list"):
        registry = wished_registry(name, spot_of(key_node), reader.mistakes)
        fields = reader.fields(node, name if registry else "a registry", _KEYS)
        known = len(wanted)
        wanted += _images(fields, registry, reader)
        if known == len(wanted):
            notices.append(f"{reader.origin(key_node)}: no images are listed for this registry")
        if registry:
            settings += _settings(registry, key_node, fields, reader)
    return Wishes(tuple(wanted), tuple(settings), tuple(notices))


def _images(fields: dict[str, Node], registry: str, reader: ListReader) -> Iterator[Wish]:
    for repository, key_node, node in _repositories(fields, _IMAGES, registry, reader):
        tags = [] if is_null(node) else reader.items(node, "the tags of an image")
        if is_null(node) or (isinstance(node, Items) and not tags):
            yield Selection(repository, TagRule(), (), reader.origin(key_node))
        for tag in tags:
            yield from _entry(repository, tag, reader)
    for repository, key_node, node in _repositories(fields, _REGEX, registry, reader):
        pattern = read_pattern(node, reader)
        if pattern is not None:
            yield Selection(repository, TagRule((pattern,)), (), reader.origin(key_node))
    for repository, key_node, node in _repositories(fields, _SEMVER, registry, reader):
        versions = read_range(node, reader)
        if versions is not None:
            yield Selection(repository, TagRule(versions=versions), (), reader.origin(key_node))


def _repositories(
    fields: dict[str, Node], section: str, registry: str, reader: ListReader
) -> Iterator[tuple[Repository, Node, Node]]:
    if section not in fields or is_null(fields[section]):
        return
    for name, key_node, node in reader.pairs(fields[section], section):
        # a registry that is a mistake of its own must not hide the mistakes below it
        repository = wished_repository(f"{registry or 'docker.io'}/{name}", spot_of(key_node), reader.mistakes)
        if repository is not None:
            yield repository, key_node, node


def _entry(repository: Repository, node: Node, reader: ListReader) -> Iterator[Entry]:
    """Tags may look like numbers: skopeo reads ``1.10`` as it is written."""
    text = reader.text(node, "a tag or a digest", numbers=True)
    if text is None:
        return
    try:
        reference = Reference(repository, None, Digest.parse(text)) if ":" in text else repository.tagged(text)
        yield Entry(reference, (), reader.origin(node))
    except Damaged as error:
        reader.mistakes.add(spot_of(node), error.what, expected=error.expected, got=error.got)
    except UsageError as error:
        reader.mistakes.add_error(spot_of(node), error)


def _settings(registry: str, key_node: Node, fields: dict[str, Node], reader: ListReader) -> Iterator[RegistrySettings]:
    verify = reader.flag(fields["tls-verify"], "tls-verify") if "tls-verify" in fields else None
    directory = reader.text(fields["cert-dir"], "a directory") if "cert-dir" in fields else None
    username = password = None
    if "credentials" in fields:
        username, password = _credentials(fields["credentials"], reader)
    if verify is not None or directory or username is not None:
        where = reader.origin(key_node)
        yield RegistrySettings(registry, where, verify, Path(directory) if directory else None, username, password)


def _credentials(node: Node, reader: ListReader) -> tuple[str | None, str | None]:
    """User name and password; what is wrong with them is said without them."""
    found: dict[str, str | None] = {}
    known = ("username", "password")
    if not isinstance(node, Fields):
        reader.wrong(node, "credentials: has the wrong type", "a mapping with username: and password:")
        return None, None
    for key, (_, value) in zip(node.keys, node.entries, strict=True):
        if not isinstance(key, Scalar) or key.text not in known or key.text in found:
            reader.wrong(key, "credentials: has an unknown or repeated key", " and ".join(known), got="")
        else:
            found[key.text] = reader.text(value, f"a {key.text}", numbers=True)
    for missing in (name for name in known if name not in found):
        reader.wrong(node, f"credentials: has no {missing}", " and ".join(f"{name}:" for name in known), got="")
    return found.get("username"), found.get("password")
