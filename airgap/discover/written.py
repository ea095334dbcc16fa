"""Complete references anywhere in a text: ``HOST/PATH:TAG`` or ``HOST/PATH@sha256:...``, whatever stands around them.

The net below all readers: they know where an image must be, this one only knows what one looks like. So what it finds is
possible. Each pattern takes every character a bounded number of times, whatever the text is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from airgap.errors import UsageError
from airgap.oci.reference import Reference

_REFERENCE = re.compile(
    r"""(?<![\w.%@/])(?<![\w.-]-)                      # not in the middle of a word, a path or an address
    (?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*+)://)?+
    (?P<host>(?:[A-Za-z0-9][A-Za-z0-9.-]*+|\[[0-9A-Fa-f:]++\])(?::[0-9]{1,5}+)?+)
    (?:(?P<path>(?:/[a-z0-9][a-z0-9._-]*+)++)|(?=[/:]["']?(?:\$|\{\{)))
    (?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}+))?+
    (?:@(?P<digest>[A-Za-z0-9+._-]++:[A-Za-z0-9=]++))?+
    (?=(?P<after>[/:@]?["']?(?:\$[{(A-Za-z]|\{\{)[^\s"'`,;]{0,60}+)?+)
    (?(tag)|(?(digest)|(?(after)|(?!))))               # one of the three at least
    (?!\w|/(?!\$|\{\{))(?P<plus>\+)?+""",
    re.ASCII | re.VERBOSE,
)
_REGISTRY_SCHEME = re.compile(r"docker|oci|image|container|registry|podman|artifact", re.IGNORECASE)
_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", re.ASCII)
# The prefix of labels that Kubernetes defines, whose values may follow a colon.
_LABELS = re.compile(r"(?:.+\.)?kubernetes\.io", re.ASCII)
# A taint of a node and a line of a program, written like a path with a tag.
_TAINT = re.compile(r"(?:NoSchedule|PreferNoSchedule|NoExecute)-?")
_SOURCE_LINE = re.compile(r"\.(?:go|py|java|rs|cc|cpp)$")
_ESCAPE = re.compile(r"(?<!\\)\\++(?:(?:u00|x)([2-7][0-9A-Fa-f])|([bfnrt])|([/\"']))", re.ASCII)
_DEFAULT = re.compile(r"\$\{[A-Za-z_]\w*+:?[-=]([^${}\n]*+)\}", re.ASCII)
_OPENED = re.compile(r"\$\{[A-Za-z_]\w*+:?[-=+?]", re.ASCII)
_INDENTED = 200  # how far a comment may be indented
_NESTED = 3  # defaults within defaults
_NOT_CONTAINERS = re.compile(r"\.(png|jpe?g|gif|svg|ico|webp|img|iso|qcow2|raw|vmdk|ya?ml|json|js|css|html?)$", re.IGNORECASE)
#: What an image is called that is built on the machine and is in no registry.
LOCAL = "localhost/"


@dataclass(frozen=True, slots=True)
class WrittenName:
    """What is written like a full reference.

    Attributes:
        line: counted from 0.
        comment: its line begins with a sign of comments.
        broken: why it is not one after all; empty when it is.
    """

    text: str
    line: int
    broken: str = ""
    comment: bool = False


def full_references(text: str) -> Iterator[WrittenName]:
    """Everything in a text that is written like a full reference; defaults of variables and escapes are resolved first."""
    if "/" not in text or ":" not in text:
        return
    text = _plain(text)
    line, at, begin = 0, 0, 0
    for found in _REFERENCE.finditer(text):
        written = _written(found)
        if written is None:
            continue
        line += text.count("\n", at, found.start())
        begin = max(begin, text.rfind("\n", at, found.start()) + 1)
        at = found.start()
        yield WrittenName(written[0], line, written[1], text[begin : begin + _INDENTED].lstrip()[:1] in ("#", ";"))


def is_full(text: str) -> bool:
    """Whether a text is one full reference and nothing else."""
    found = next(full_references(text), None)
    return found is not None and not found.broken and text.removeprefix("docker://") == found.text


def _written(found: re.Match[str]) -> tuple[str, str] | None:
    """The image of a match, and what is wrong with it; None when it is not an image."""
    host, path, tag, digest, after = (found[name] or "" for name in ("host", "path", "tag", "digest", "after"))
    if not _is_host(host) or (found["scheme"] and not digest and not _REGISTRY_SCHEME.search(found["scheme"])):
        return None
    tag = tag.rstrip(".")  # the end of a sentence
    if _TAINT.fullmatch(tag) or (tag.isdecimal() and _SOURCE_LINE.search(path)):
        return None
    name = f"{host}{path}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    if after:
        whole = name + after
        return (whole, "a variable in something written like an image") if ":" in whole[len(host) :] or "@" in whole else None
    if not path or not (tag or digest):
        return None
    if found["plus"]:
        return name + "+", "a tag with a +, which no registry accepts"
    try:
        Reference.parse(name)
    except UsageError as error:
        return (name, error.what) if digest else None
    return name, ""


def _is_host(host: str) -> bool:
    """Whether it is the name of a registry that is written out: with a dot, with a port, or localhost."""
    if host.startswith("["):
        return True
    name, colon, _ = host.partition(":")
    if name.rpartition(".")[2].isdecimal():  # 1.2/x:3 is a number
        return _ADDRESS.fullmatch(name) is not None
    return ("." in name and not _LABELS.fullmatch(name)) or bool(colon) or name == "localhost"


def _plain(text: str) -> str:
    """The text without the escapes of JSON and of texts in texts, and with the defaults of variables in their place."""
    if "\\" in text:
        text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else " " if found[2] else found[3], text)
    if "${" in text:
        for _ in range(_NESTED):
            text = _DEFAULT.sub(r"\1", text)
        text = _OPENED.sub(" ", text)
    return text


def looks_like_image(text: str) -> bool:
    """Whether a text is written like an image that a person means: with a path or a tag, and not a file's name."""
    if not set(text) & {"/", ":", "@"} or text.startswith(LOCAL) or len(text) > 512:
        return False
    last = text.rpartition("/")[2]
    if ":" not in last and "@" not in last and _NOT_CONTAINERS.search(last):
        return False
    try:
        Reference.parse(text)
    except UsageError:
        return False
    return True
