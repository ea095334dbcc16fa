r"""regsync's configuration (regclient): what its ``sync`` entries copy.

    version: 1
    creds: [{registry: quay.io, user: robot, pass: secret, tls: enabled}]
    sync:
      - {source: "alpine:3", target: "registry.example/alpine:3", type: image}
      - {source: quay.io/team/app, target: ..., type: repository, tags: {allow: ["v1\\..*"], deny: [".*-rc.*"]}}

Expressions match a whole tag there. ``{{env "NAME"}}`` stands for a value that is given (``--values``). Targets, schedules
and hooks are not used here; a whole registry is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from airgap.errors import UsageError
from airgap.lists.entry import Entry, RegistrySettings, Selection, Wish, Wishes
from airgap.lists.semver import Range
from airgap.lists.tags import Pattern, TagRule
from airgap.lists.values import read_platform, wished_reference, wished_registry, wished_repository
from airgap.lists.yamltree import ListReader, is_empty, peek, spot_of
from airgap.oci.descriptor import Platform
from airgap.yamlnodes.nodes import Fields, Items, Node, text_of

_TEMPLATE = "{{"
_ENVIRONMENT = re.compile(r"""\{\{-?\s*env\s+["`]([A-Za-z_][A-Za-z0-9_]{0,99})["`]\s*-?\}\}""", re.ASCII)
_ENTRY = ("source", "type", "tags", "tagSets", "platform", "platforms")
_SETTINGS = (
    *("target", "digestTags", "referrers", "referrerFilters", "referrerSource", "referrerTarget", "referrerSlow", "fastCheck"),
    *("forceRecursive", "includeExternal", "backup", "interval", "schedule", "ratelimit", "mediaTypes", "hooks", "repos"),
)
_LOGIN = ("registry", "user", "pass", "tls")
_LOGIN_SETTINGS = (
    *("credExpire", "repoAuth", "api", "apiOpts", "blobChunk", "blobMax", "reqPerSec", "reqConcurrent", "priority", "scheme"),
)
_UNUSED = {
    **dict.fromkeys(("regcert", "clientCert", "clientKey"), "use --cert-dir"),
    **dict.fromkeys(("hostname", "pathPrefix", "mirrors"), "use registries.conf"),
    **dict.fromkeys(("token", "credHelper", "credHost"), "use airgap login"),
}


def is_regsync(root: Node) -> bool:
    """Whether a document is one: entries under ``sync``, each with a source."""
    entries = peek(root).get("sync")
    return isinstance(entries, Items) and any("source" in peek(item) for item in entries.items)


def parse_regsync(root: Node, reader: ListReader) -> Wishes:
    """Read one document; what is wrong with it goes into the reader's mistakes, but never a value that may be a secret."""
    extensions = tuple(name for name in peek(root) if name.startswith("x-"))
    top = reader.taken(root, "the configuration", ("version", "creds", "sync"), ("defaults", *extensions))
    wanted = [wish for node in reader.items(top["sync"], "sync") for wish in _entry(node, reader)]
    hidden = ListReader(reader.mistakes, shows_values=False)
    logins = [] if "creds" not in top or is_empty(top["creds"]) else hidden.items(top["creds"], "creds")
    settings = [found for node in logins for found in _settings(node, hidden)]
    reader.notices += hidden.notices
    return Wishes(tuple(wanted), tuple(settings))


def _entry(node: Node, reader: ListReader) -> Iterator[Wish]:
    fields = reader.taken(node, "an entry of sync", _ENTRY, _SETTINGS)
    if "source" not in fields:
        if isinstance(node, Fields):
            reader.wrong(node, "an entry has no source", "source: and a reference", got=", ".join(fields))
        return
    source, kind = reader.filled(fields["source"], _ENVIRONMENT), text_of(fields.get("type"))
    if not source:
        return
    origin = reader.origin(fields["source"])
    platforms = _platforms(fields, reader)
    if _TEMPLATE in source or source.startswith("ocidir://") or kind == "registry":
        hint = "list what it holds: oci:DIR[:REF] for a layout, the repositories of a registry by their names"
        reader.leave_out(fields["source"], f"{kind} {source}".strip(), hint)
    elif kind == "image":
        reference = wished_reference(source, spot_of(fields["source"]), reader.mistakes, "", reader.expand)
        if reference is not None:
            yield Entry(reference, platforms, origin)
    elif kind == "repository":
        repository = wished_repository(source, spot_of(fields["source"]), reader.mistakes, "", reader.expand)
        rules = list(_rules(fields, reader))
        if repository is not None:
            yield from (Selection(repository, rule, platforms, origin) for rule in rules)
    else:
        reader.wrong(fields.get("type", node), "not a type of regsync", "image, repository or registry", got=kind or "no type:")


def _rules(fields: dict[str, Node], reader: ListReader) -> Iterator[TagRule]:
    """A rule for ``tags`` and each of ``tagSets``: what one of them takes is taken."""
    sets = [fields["tags"]] if "tags" in fields and not is_empty(fields["tags"]) else []
    if "tagSets" in fields and not is_empty(fields["tagSets"]):
        sets += reader.items(fields["tagSets"], "tagSets")
    if not sets:
        yield TagRule()
    for node in sets:
        said = reader.fields(node, "tags", ("allow", "deny", "semverRange"))
        ranges = _texts(said, "semverRange", reader)
        try:
            versions = Range.parse(" || ".join(ranges)) if ranges else None
            yield TagRule(_patterns(said, "allow", reader), versions, excluded_patterns=_patterns(said, "deny", reader))
        except UsageError as error:
            reader.mistakes.add_error(spot_of(node), error)


def _patterns(fields: dict[str, Node], name: str, reader: ListReader) -> tuple[Pattern, ...]:
    """Expressions for a whole tag. Raises ``UsageError``."""
    return tuple(Pattern.parse(f"^(?:{text})$") for text in _texts(fields, name, reader))


def _texts(fields: dict[str, Node], name: str, reader: ListReader) -> Sequence[str]:
    if name not in fields or is_empty(fields[name]):
        return ()
    texts = (reader.text(node, "an expression", numbers=True) for node in reader.items(fields[name], name))
    return tuple(text for text in texts if text is not None)


def _platforms(fields: dict[str, Node], reader: ListReader) -> tuple[Platform, ...]:
    found = [fields["platform"]] if "platform" in fields and not is_empty(fields["platform"]) else []
    if "platforms" in fields and not is_empty(fields["platforms"]):
        found += reader.items(fields["platforms"], "platforms")
    platforms = (read_platform(reader, node) for node in found if text_of(node))
    return tuple(platform for platform in platforms if platform is not None)


def _settings(node: Node, reader: ListReader) -> Iterator[RegistrySettings]:
    fields = reader.fields(node, "a registry", (*_LOGIN, *_LOGIN_SETTINGS, *_UNUSED))
    reader.notices += [
        f"{reader.origin(fields[name])}: {name}: is not used here: {why}" for name, why in _UNUSED.items() if name in fields
    ]
    if "registry" not in fields:
        return
    text = text_of(fields["registry"])
    said = {name: text_of(fields.get(name)) for name in ("user", "pass")}
    if any(_TEMPLATE in value for value in (text, *said.values())):
        reader.notices.append(f"{reader.origin(node)}: a template is not used here: use airgap login")
        return
    registry = wished_registry(text, spot_of(fields["registry"]), reader.mistakes)
    tls = text_of(fields.get("tls"))
    if tls not in ("", "enabled", "insecure", "disabled"):
        reader.wrong(fields["tls"], "not a TLS setting", "enabled, insecure or disabled")
    login = (said["user"], said["pass"]) if said["user"] and said["pass"] else (None, None)
    verify = False if tls in ("insecure", "disabled") else None
    if registry and (login[0] or verify is not None):
        yield RegistrySettings(registry, reader.origin(node), verify, None, *login)
