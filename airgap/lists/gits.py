"""``gits:`` of our own list, and the git repositories in those of others: each carried as one file, a git bundle.

gits:
  - https://git.example.com/shop/deploy.git                 # airgap.local/gits/deploy:latest, its default branch
  - {url: https://git.example.com/shop/web.git, refs: [main, "v1.*"], name: shop/web, version: "1"}
  - {path: ./docs}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from urllib.parse import quote, unquote, urlsplit

from airgap.lists.artifacts import placed
from airgap.lists.entry import Entry
from airgap.lists.yamltree import ListReader
from airgap.oci.places import WEB
from airgap.yamlnodes.nodes import Fields, Node

_LATEST = "latest"


def wished_gits(node: Node, reader: ListReader) -> Iterator[Entry]:
    """The entries of ``gits:``; what is wrong goes into the mistakes."""
    for item in reader.items(node, "gits"):
        fields = {"url": item}
        if isinstance(item, Fields):
            fields = reader.fields(item, "a git repository", ("url", "path", "refs", "name", "version"))
            if ("url" in fields) == ("path" in fields):
                reader.wrong(item, "a git repository has no place, or two", "url: or path:", got=", ".join(fields) or "nothing")
                continue
        said = {name: reader.text(value, name, numbers=name == "version") or "" for name, value in fields.items() if name != "refs"}
        refs = reader.items(fields["refs"], "refs", few=True) if "refs" in fields else []
        names = [text for text in (reader.text(ref, "a ref", numbers=True) for ref in refs) if text]
        where = said.get("url") or said.get("path", "")
        if "#" in where:
            reader.wrong(item, "refs stand in the address", "refs: and a list of branches, tags or patterns", got=where)
        elif where and len(names) == len(refs) and all(said.values()):
            yield from wished_git(item, where, names, said.get("name", ""), said.get("version", ""), reader)


def wished_git(item: Node, where: str, refs: Sequence[str], name: str, version: str, reader: ListReader) -> Iterator[Entry]:
    """The entry of one repository.

    Args:
        item: names it, for messages.
        where: an ``https://`` URL or a directory.
        refs: branches, tags, patterns, or one commit; none for the default branch.
        name: what the site calls it; ``""`` for its own name.
        version: ``""`` for ``latest``.
    """
    path = unquote(urlsplit(where).path) if where.startswith(WEB) else where
    own = PurePath(path.rstrip("/").removesuffix("/.git")).name.removesuffix(".git")
    asked = "&".join(f"ref={quote(ref, safe='/*')}" for ref in refs)
    place = f"{where}#{asked}" if asked else where
    yield from placed(item, "git", place, name or own, version or _LATEST, reader)
