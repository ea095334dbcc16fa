"""Git repositories, each carried as the one file that ``git bundle create`` writes of the refs that were asked for.

git is another program that reads what a server sends, so it is started with no configuration but ours, no hooks, no way to ask a
person, one protocol, and limits of size and time. What it fetched is packed again by one thread from the objects alone: the same
refs and the same git give the same bytes, whatever the server had packed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from airgap import fsio, programs
from airgap.archives import MadeArtifact, file_artifact
from airgap.errors import AirgapError, RegistryError, UsageError
from airgap.limits import MAX_GIT, MAX_GIT_ANSWER
from airgap.registry import WebFiles
from airgap.sources.gitaddress import HEAD, GitAddress, is_object, is_ref
from airgap.text import printable

#: Seconds for one question, and for fetching or packing a repository.
_SECONDS, _LONG = 120.0, 4 * 3600.0
#: In a directory of ours, so that no repository around us says how git works.
_LIMITED, _BLOCK = 'cd "$1" && ulimit -f "$2" && shift 2 && exec "$@" >said 2>complained', 512
#: Where an object is kept in our copy that no ref names.
_KEPT = "refs/airgap/commit"
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "credential.helper": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",
    "fetch.writeCommitGraph": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    "pack.threads": "1",
    "pack.useBitmaps": "false",
    "repack.writeBitmaps": "false",
    "protocol.allow": "never",
}


class GitBundle:
    """A git repository's refs as one file, made when this is.

    Args:
        address: the repository and refs.
        scratch: an empty directory, absolute, that stays as long as the file is needed.
        web: opens what reads web servers; asked only where the repository is on one.
        say: tells the operator something.

    Attributes:
        address: with the object of each ref.
        artifact: the file.

    Raises:
        UsageError: git is not installed, there is no such repository or ref, or it is not read in this way.
        RegistryError: the server does not deliver it, or it is larger or slower than a repository may be.
        MediaError: a disk fails.
    """

    def __init__(self, address: GitAddress, scratch: Path, web: Callable[[], WebFiles], say: Callable[[str], None]) -> None:
        self._where = printable(address.url, 300)
        self._remote = address.is_remote
        self._url = address.url if address.is_remote else str(Path(address.url).absolute())
        self._program = _program(self._where)
        self._scratch = scratch
        self._copy = scratch / "copy"
        self._settings, protocols = self._access(web)
        self._environment = _environment(scratch, protocols)
        self.address = address if address.is_pinned else address.pinned(*self._refs())
        made = self._made()
        self._tell_what_stays(say)
        with fsio.disk_errors("cannot remove", self._copy):
            shutil.rmtree(self._copy)
        self.artifact: MadeArtifact = file_artifact(made)

    def _access(self, web: Callable[[], WebFiles]) -> tuple[dict[str, str], str]:
        """How the server is spoken to, and the protocols that may be used, also after a redirect."""
        if not self._remote:
            if not Path(self._url).is_dir():
                raise UsageError("no such git repository", where=self._where, expected="a directory, or an https:// URL")
            return {}, "file"
        access = web().access(self._url)
        settings = {"http.sslVerify": "true" if access.verified else "false", "http.proxy": access.proxy}
        authorities = self._scratch / "authorities.pem"
        fsio.write_durable(authorities, access.authorities)
        settings["http.sslCAInfo"] = str(authorities)
        if access.authorization:  # for this server alone, so that nobody may send us on to another
            settings["http.extraHeader"] = f"Authorization: {access.authorization}"
            settings["http.followRedirects"] = "false"
        return settings, "http:https" if self._url.startswith("http:") else "https"

    def _refs(self) -> tuple[Mapping[str, str], str]:
        """All branches and tags with their objects, and the default branch."""
        refs, default = {}, ""
        for line in self._git("ls-remote", "--symref", "--", self._url).decode("utf-8", "replace").splitlines():
            found, _, name = line.partition("\t")
            if name == HEAD and found.startswith("ref: "):
                default = found.removeprefix("ref: ")
            elif is_object(found) and (name == HEAD or is_ref(name)):
                refs[name] = found
        return refs, default

    def _made(self) -> Path:
        refs = self.address.refs
        first, commit = refs[0]
        form = "sha256" if len(commit) == 64 else "sha1"
        self._git("init", "--quiet", "--bare", "--template=", f"--object-format={form}", "--", str(self._copy), inside=False)
        wanted = [f"+{found}:{_KEPT if name == HEAD else name}" for name, found in refs]
        quiet = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance")
        self._git("fetch", *quiet, "--", self._url, *wanted, most=MAX_GIT, seconds=_LONG)
        if first.startswith("refs/heads/"):
            self._git("symbolic-ref", HEAD, first)
        else:  # a clone checks out the commit
            self._git("update-ref", "--no-deref", HEAD, f"{commit}^{{commit}}")
        self._git("repack", "-a", "-d", "-F", "-q", most=MAX_GIT, seconds=_LONG)
        made = self._scratch / f"{self.address.name}.bundle"
        names = [name for name, _ in refs if name != HEAD]
        self._git("bundle", "create", "--quiet", str(made), HEAD, *names, most=MAX_GIT, seconds=_LONG)
        return made

    def _tell_what_stays(self, say: Callable[[str], None]) -> None:
        """What a repository only points to is not in it."""
        held = self._git("ls-tree", "-z", "--name-only", HEAD).split(b"\0")
        if b".gitmodules" in held:
            say(f"{self._where}: submodules are other repositories; list those that are needed, too")
        if b".gitattributes" in held and b"filter=lfs" in self._git("cat-file", "blob", f"{HEAD}:.gitattributes"):
            say(f"{self._where}: files in git LFS are not in the repository and are not carried")

    def _git(self, *arguments: str, inside: bool = True, most: int = MAX_GIT_ANSWER, seconds: float = 0.0) -> bytes:
        """Run git; what it writes to standard output. No file may become larger than ``most`` bytes."""
        seconds = seconds or _SECONDS
        settings = {**_SETTINGS, **self._settings}
        names = [
            entry
            for number, (name, value) in enumerate(settings.items())
            for entry in ((f"GIT_CONFIG_KEY_{number}", name), (f"GIT_CONFIG_VALUE_{number}", value))
        ]
        environment = {**self._environment, "GIT_CONFIG_COUNT": str(len(settings)), **dict(names)}
        if inside and self._copy.exists():
            environment["GIT_DIR"] = str(self._copy)
        command = ["sh", "-c", _LIMITED, "sh", str(self._scratch), str(most // _BLOCK), self._program, *arguments]
        try:
            done = programs.run(command, environment=environment, seconds=seconds, output=False, complaints=False)
        except subprocess.TimeoutExpired:
            raise self._failed("git takes too long", expected=f"at most {seconds:.0f} s for git {arguments[0]}") from None
        except OSError as error:
            raise self._failed("git cannot be started", got=error.strerror or "") from error
        if done.returncode != 0:
            complained = self._scratch / "complained"
            words = complained.read_bytes()[-2000:].decode("utf-8", "replace") if complained.exists() else ""
            raise self._failed(f"git {arguments[0]} failed", got=_last(words) or f"exit code {done.returncode}")
        return (self._scratch / "said").read_bytes()

    def _failed(self, what: str, expected: str = "", got: str = "") -> AirgapError:
        hint = "see whether git itself can: git ls-remote " + self._where
        if "safe.directory" in got or "dubious ownership" in got:
            hint = "another user owns the repository: clone it (git clone --mirror) as yourself, and list the copy"
        kind = RegistryError if self._remote else UsageError
        return kind(what, where=self._where, expected=expected, got=got, hint=hint)


def _program(where: str) -> str:
    program = shutil.which("git")
    if program is None:
        raise UsageError("git is not installed", where=where, expected="git 2.31 or newer on the PATH")
    return program


def _environment(scratch: Path, protocols: str) -> dict[str, str]:
    """All that git may know of this machine."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(scratch),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_CEILING_DIRECTORIES": str(scratch.parent),
    }


def _last(words: str) -> str:
    """What git says in the end, without a login that a URL in it might have."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return printable(re.sub(r"//[^/@\s]*@", "//", " ".join(lines[-3:])), 600)
