"""Hauler's manifests of kind ``Images``, ``Charts`` and ``Files`` (content.hauler.cattle.io/v1 and v1alpha1).

    kind: Images
    metadata: {name: x, annotations: {hauler.dev/registry: quay.io, hauler.dev/platform: linux/amd64}}
    spec: {images: [{name: busybox:stable, platform: linux/amd64, key: cosign.pub}]}

Names, platforms and the default registry are taken as they are; what verifies or renames is answered with a notice. Charts in
registries and on web servers are carried, and files by path or URL; the images that Hauler would find inside charts are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from airgap.lists.artifacts import wished_file
from airgap.lists.entry import Entry, Wish, Wishes
from airgap.lists.kinds.charts import wished_chart
from airgap.lists.values import read_platform, read_reference, wished_registry
from airgap.lists.yamltree import ListReader, peek, spot_of
from airgap.oci.descriptor import Platform
from airgap.yamlnodes.nodes import Fields, Node, Scalar, text_of

GROUP = "content.hauler.cattle.io/"
VERSIONS = (f"{GROUP}v1", f"{GROUP}v1alpha1")
_ANNOTATION = "hauler.dev/"
_VERIFIES = (
    "key",
    "use-tlog-verify",
    "certificate-identity",
    "certificate-identity-regexp",
    "certificate-oidc-issuer",
    "certificate-oidc-issuer-regexp",
    "certificate-github-workflow-repository",
    "ca-file",
    "insecure-skip-tls-verify",
)
_UNDONE = {
    **dict.fromkeys(_VERIFIES, "signatures are carried and checked against the policy.json of the site"),
    "rewrite": "import --map sets the names at the destination",
}
_CHART_SETTINGS = (
    *(
        "rewrite",
        "valuesFiles",
        "platform",
        "add-dependencies",
        "exclude-extras",
        "usernameEnv",
        "passwordEnv",
    ),
    *("passwordEnv", "passCredentialsAll", "certFile", "keyFile", "caFile", "insecureSkipTLSVerify", "plainHTTP"),
)
_TOP = ("apiVersion", "kind", "metadata", "spec")


def parse_hauler(root: Node, reader: ListReader) -> Wishes:
    """Read one document of Hauler's; what is wrong with it goes into the reader's mistakes."""
    top = peek(root)
    kind = text_of(top["kind"])
    if kind == "Charts":
        return _charts(root, reader)
    if kind == "Files":
        return _files(root, reader)
    if kind != "Images":
        reader.leave_out(top["kind"], f"kind: {kind}")
        return Wishes()
    fields = reader.fields(root, "the manifest", _TOP)
    defaults, registry, notices = _annotations(fields.get("metadata"), reader)
    spec = reader.fields(fields["spec"], "spec", ("images",)) if "spec" in fields else {}
    if "images" not in spec:
        reader.wrong(root, "the manifest has no images", "spec: with images: and a list", got=", ".join(fields))
        return Wishes()
    wanted: list[Entry] = []
    for node in reader.items(spec["images"], "images"):
        image = reader.taken(node, "an image", ("name", "platform", "exclude-extras", "local", *_UNDONE))
        notices += _undone(image, reader)
        wanted += _entry(node, image, defaults, registry, reader)
    return Wishes(tuple(wanted), (), tuple(notices))


def _files(root: Node, reader: ListReader) -> Wishes:
    spec = peek(peek(root).get("spec"))
    if "files" not in spec:
        reader.wrong(root, "the manifest has no files", "spec: with files: and a list", got=", ".join(spec) or "nothing")
        return Wishes()
    wanted: list[Wish] = []
    for node in reader.items(spec["files"], "files"):
        file = reader.taken(node, "a file", ("path", "name"))
        path = text_of(file.get("path"))
        if path:
            wanted += wished_file(file["path"], path, "", text_of(file.get("name")), "", reader)
        elif isinstance(node, Fields):
            reader.wrong(node, "a file has no path", "path: and a file or URL", got=", ".join(file))
    return Wishes(tuple(wanted))


def _charts(root: Node, reader: ListReader) -> Wishes:
    spec = peek(peek(root).get("spec"))
    if "charts" not in spec:
        reader.wrong(root, "the manifest has no charts", "spec: with charts: and a list", got=", ".join(spec) or "nothing")
        return Wishes()
    wanted: list[Wish] = []
    for node in reader.items(spec["charts"], "charts"):
        chart = reader.taken(node, "a chart", ("name", "repoURL", "version", "add-images", "verify", "keyring"), _CHART_SETTINGS)
        name, url = text_of(chart.get("name")), text_of(chart.get("repoURL")).rstrip("/")
        if not name:
            if isinstance(node, Fields):
                reader.wrong(node, "a chart has no name", "name: and a name", got=", ".join(chart))
            continue
        if text_of(chart.get("add-images")).lower() == "true":
            reader.leave_out(chart["add-images"], f"the images of chart {name}", "list them: airgap discover finds them")
        keyring = text_of(chart.get("keyring")) if text_of(chart.get("verify")).lower() == "true" else ""
        wanted += wished_chart(chart["name"], f"{url}/{name}" if url else name, text_of(chart.get("version")), reader, keyring)
    return Wishes(tuple(wanted))


def _entry(
    node: Node, image: dict[str, Node], defaults: tuple[Platform, ...], registry: str, reader: ListReader
) -> Iterator[Entry]:
    platforms = _platforms(image["platform"], reader) if "platform" in image else defaults
    if "name" not in image:
        if isinstance(node, Fields):
            reader.wrong(node, "an image has no name", "name: and a reference", got=", ".join(image))
        return
    if text_of(image.get("local")).lower() == "true":
        reader.leave_out(image["local"], f"{text_of(image['name'])} of the local engine", "list it as docker-daemon:NAME")
        return
    attachments = frozenset[str]() if text_of(image.get("exclude-extras")).lower() == "true" else None
    reference = read_reference(reader, image["name"], registry)
    if reference is not None:
        yield Entry(reference, platforms, reader.origin(image["name"]), attachments)


def _annotations(metadata: Node | None, reader: ListReader) -> tuple[tuple[Platform, ...], str, list[str]]:
    """What the annotations say for all images: platforms, registry, and notices of what is not done."""
    annotations = peek(metadata).get("annotations") if metadata is not None else None
    if annotations is None:
        return (), "", []
    pairs = reader.pairs(annotations, "annotations")
    said = {name.removeprefix(_ANNOTATION): value for name, _, value in pairs if name.startswith(_ANNOTATION)}
    platforms = _platforms(said["platform"], reader) if "platform" in said else ()
    text = reader.text(said["registry"], "a registry") if "registry" in said else None
    registry = wished_registry(text, spot_of(said["registry"]), reader.mistakes) if text else ""
    return platforms, registry, _undone(said, reader)


def _platforms(node: Node, reader: ListReader) -> tuple[Platform, ...]:
    if text_of(node) == "" and isinstance(node, Scalar):  # Hauler takes it for all platforms
        return ()
    platform = read_platform(reader, node)
    return () if platform is None else (platform,)


def _undone(fields: dict[str, Node], reader: ListReader) -> list[str]:
    return [f"{reader.origin(fields[name])}: {name}: is not used here: {why}" for name, why in _UNDONE.items() if name in fields]
