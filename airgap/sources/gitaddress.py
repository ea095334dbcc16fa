"""How a git repository and the refs of it that are carried are named. Pure.

https://git.example.com/shop/deploy.git                              its default branch
/srv/git/deploy#ref=main&ref=v1.*                                    a branch or tag, or all that match
https://git.example.com/shop/deploy.git#ref=refs/heads/main@COMMIT   the object, as a lock has it
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote, unquote

from airgap.errors import UsageError
from airgap.oci.places import WEB
from airgap.registry.web import web_url
from airgap.text import like, printable

#: What is checked out by a clone of the bundle, as ``git`` calls it. Alone, it stands for a commit that no ref names.
HEAD = "HEAD"
#: The most refs that are carried of one repository.
MAX_REFS = 1000
_PLACES = ("refs/heads/", "refs/tags/")
_EXPECTED = "git:https://HOST[:PORT]/PATH or git:DIRECTORY, with [#ref=NAME[&ref=NAME]...]"
_OBJECT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})", re.ASCII)
_NO_REF = re.compile(r"[\x00-\x20\x7f~^:?\[\\]|\.\.|@\{|//|\.lock(?:/|$)|(?:^|/)[.-]|^/|/$|\.$")


@dataclass(frozen=True)
class GitAddress:
    """A git repository and refs.

    Attributes:
        url: ``http(s)://...`` or a directory.
        refs: as they are asked for, each with its object; ``""`` as long as it may be any. None for the default branch.
    """

    url: str
    refs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> GitAddress:
        """Read one.

        Raises:
            UsageError: it does not have this form, or its name cannot be that of a file.
        """
        url, mark, fragment = text.partition("#")
        refs = tuple(_asked(part, text) for part in fragment.split("&")) if mark else ()
        if url.startswith(WEB):
            web_url(url)
        elif "://" in url or ":" in url.partition("/")[0].partition("@")[2]:
            hint = "mirror it to this machine (git clone --mirror URL DIRECTORY), and list the directory"
            raise UsageError("git is not spoken to in this way", expected=_EXPECTED, got=printable(url, 300), hint=hint)
        found = cls(url, refs)
        if not found.name or found.name in (".", "..") or printable(found.name) != found.name or len(found.name) > 200:
            raise UsageError("the repository has no name that can be carried", expected=_EXPECTED, got=printable(text, 300))
        if len({name for name, _ in refs}) != len(refs) or len(refs) > MAX_REFS:
            raise UsageError("refs are asked for twice, or too many", expected=f"at most {MAX_REFS}", got=printable(text, 300))
        if len(refs) > 1 and any(name == HEAD or _OBJECT.fullmatch(name) for name, _ in refs):
            raise UsageError(
                "a commit is carried alone", expected="one commit, or names of branches and tags", got=printable(text, 300)
            )
        return found

    @property
    def name(self) -> str:
        """What it is called: the end of its address."""
        last = unquote(web_url(self.url).path) if self.is_remote else str(Path(self.url).absolute())
        return last.rstrip("/").removesuffix("/.git").rpartition("/")[2].removesuffix(".git")

    @property
    def is_remote(self) -> bool:
        """Whether it is on a web server."""
        return self.url.startswith(WEB)

    @property
    def is_pinned(self) -> bool:
        """Whether all objects are known."""
        return bool(self.refs) and all(found for _, found in self.refs)

    def pinned(self, refs: Mapping[str, str], default: str) -> GitAddress:
        """The same with full names of refs and their objects; a clone checks out the first.

        Args:
            refs: those of the repository, ``HEAD`` among them if it has one.
            default: the full name of its default branch; ``""`` where it has none.

        Raises:
            UsageError: it has no such ref, a name is that of a branch and a tag, or too many match.
        """
        found: dict[str, str] = {}
        for name, _ in self.refs or ((HEAD, ""),):
            found |= self._matching(name, refs, default)
        if len(found) > MAX_REFS:
            raise UsageError(
                "too many refs match", where=printable(self.url, 300), expected=f"at most {MAX_REFS}", got=str(len(found))
            )
        return GitAddress(self.url, tuple(found.items()))

    def _matching(self, name: str, refs: Mapping[str, str], default: str) -> dict[str, str]:
        where = printable(self.url, 300)
        if _OBJECT.fullmatch(name):
            return {HEAD: name}
        if name == HEAD:
            if HEAD not in refs:
                raise UsageError(
                    "the repository has no default branch", where=where, expected="refs: and names of branches or tags"
                )
            return {default if default in refs else HEAD: refs[HEAD]}
        full = [name] if name.startswith("refs/") else [place + name for place in _PLACES]
        known = [ref for ref in (default, *sorted(refs)) if ref.startswith(_PLACES)]
        found = [ref for ref in dict.fromkeys(known) if ref in refs and any(fnmatchcase(ref, one) for one in full)]
        if not found:
            short = [ref.split("/", 2)[2] for ref in known]
            raise UsageError("the repository has no such branch or tag", where=where, got=f"{name}; it has {like(name, short)}")
        if len(found) > 1 and "*" not in name:
            raise UsageError("a branch and a tag have this name", where=where, expected=" or ".join(found), got=name)
        return {ref: refs[ref] for ref in found}

    def __str__(self) -> str:
        asked = "&".join(f"ref={quote(name, safe='/*')}{f'@{found}' if found else ''}" for name, found in self.refs)
        return f"{self.url}#{asked}" if asked else self.url


def is_ref(name: str) -> bool:
    """Whether git could take this as the full name of a branch or tag, and a person could read it."""
    return (
        name.startswith(_PLACES) and "*" not in name and not _NO_REF.search(name) and len(name) <= 1000 and printable(name) == name
    )


def is_object(text: str) -> bool:
    """Whether it is the name of an object: 40 or 64 hexadecimal digits."""
    return _OBJECT.fullmatch(text) is not None


def _asked(part: str, text: str) -> tuple[str, str]:
    key, _, value = part.partition("=")
    name, mark, found = value.partition("@")
    name = unquote(name)
    elsewhere = name.startswith("refs/") and not name.startswith(_PLACES)
    wrong = key != "ref" or (mark and not _OBJECT.fullmatch(found)) or not name or _NO_REF.search(name) or elsewhere
    if wrong or printable(name) != name or len(name) > 1000 or (found and not (name == HEAD or is_ref(name))):
        raise UsageError("not a valid address of a git repository", expected=_EXPECTED, got=printable(text, 300))
    return name, found
