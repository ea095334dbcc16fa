"""``.gitlab-ci.yml``: the images and services of its jobs (docs.gitlab.com, "CI/CD YAML syntax reference").

    default: {image: "python:3.12"}
    test: {image: {name: "node:22"}, services: ["postgres:16", {name: "redis:7", alias: cache}], script: [...]}

Variables are taken from the file, then from the values that are given (``--values``), which win; one without a value is left out,
and so is what other files (``include``) would add.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from airgap.lists.entry import Entry, Wishes
from airgap.lists.mistakes import Mistakes
from airgap.lists.values import wished_platform, wished_reference
from airgap.lists.yamltree import ListReader, is_empty, peek, spot_of
from airgap.oci.descriptor import Platform
from airgap.text import printable
from airgap.yamlnodes.nodes import Items, Node, Scalar, is_null, text_of

_JOB_KEYS = frozenset({"script", "extends", "trigger"})
_RESERVED = ("variables", "include", "stages", "workflow", "cache", "spec", "pages")
_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]{0,99})\}|\$([A-Za-z_][A-Za-z0-9_]{0,99})", re.ASCII)
_DEEPEST = 8


def is_gitlab_ci(root: Node) -> bool:
    """Whether a document has jobs."""
    return any(_JOB_KEYS & peek(value).keys() for value in peek(root).values())


def parse_gitlab_ci(root: Node, reader: ListReader) -> Wishes:
    """Read one document; what is wrong with it goes into the reader's mistakes."""
    top = peek(root)
    if "include" in top and not is_empty(top["include"]):
        reader.leave_out(top["include"], "include: (other files)", "list those files, too")
    shared = _variables(top.get("variables"))
    found = list(_images(top, shared, reader))
    for name, node in top.items():
        job = peek(node)
        if name not in _RESERVED and job:
            hidden = name.startswith(".")
            found += _images(job, shared | _variables(job.get("variables")), reader, hidden=hidden)
    return Wishes(tuple(found))


def _variables(node: Node | None) -> dict[str, str]:
    """The variables of a file or a job; a value may be a mapping that also describes it."""
    pairs = ((name, peek(value).get("value", value)) for name, value in peek(node).items())
    return {name: text_of(value) for name, value in pairs if isinstance(value, Scalar)}


def _images(
    fields: Mapping[str, Node], variables: Mapping[str, str], reader: ListReader, *, hidden: bool = False
) -> Iterator[Entry]:
    """The images of a job. A hidden one never runs by itself, so what stands there in an image's place may be none."""
    services = fields.get("services")
    nodes = [fields["image"]] if "image" in fields else []
    nodes += services.items if isinstance(services, Items) else []
    for node in nodes:
        inside = peek(node)
        image = inside.get("name", node)
        if is_null(image):
            continue
        if not isinstance(image, Scalar) or (image.tag or "").startswith("!"):
            reader.leave_out(node, "an image that the file takes from elsewhere", "name the image")
            continue
        text = _expanded(image, variables, reader)
        if text:
            mistakes = Mistakes("") if hidden else reader.mistakes
            reference = wished_reference(text, spot_of(image), mistakes, "", reader.expand)
            if reference is None and hidden:
                reader.notices.append(f"{reader.origin(image)}: {printable(text, 200)} is no image; the job is hidden")
            elif reference is not None:
                yield Entry(reference, tuple(_platforms(inside, reader)), reader.origin(image))


def _platforms(image: Mapping[str, Node], reader: ListReader) -> Iterator[Platform]:
    node = peek(image.get("docker")).get("platform")
    platform = wished_platform(text_of(node), spot_of(node), reader.mistakes) if node is not None else None
    if platform is not None:
        yield platform


def _expanded(node: Scalar, variables: Mapping[str, str], reader: ListReader) -> str:
    """A text with the values of its variables; empty, and said, when one has none."""
    values, text = {**variables, **reader.values}, node.text
    for _ in range(_DEEPEST):
        names = [found[1] or found[2] for found in _VARIABLE.finditer(text) if found[0] != "$$"]
        missing = next((name for name in names if name not in values), None)
        if missing is not None:
            hint = f"give it: --values FILE, with {missing}: VALUE"
            reader.leave_out(node, f"{node.text}: {missing} has no value", hint)
            return ""
        if not names or len(text) > 10_000:
            break
        text = _VARIABLE.sub(lambda found: values[found[1] or found[2]] if found[0] != "$$" else "$$", text)
    return text
