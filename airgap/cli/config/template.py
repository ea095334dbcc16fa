"""The text of a new ``airgap.toml``: what was answered, and comments that say what else there is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_HEAD = """\
# What airgap would otherwise be told on every command line. Each key is the long name of an option.
# Precedence: command line, environment (AIRGAP_VOLUME_SIZE), this file, default. `airgap config show` says which one counts.
# Paths begin at this file. Passphrases and passwords never stand here, only the names of files.
"""

#: Key, what is written if nothing was answered, and what it is for.
_STREAM = (
    ("lists", '"images.txt"', 'image lists; several: ["a.txt", "b.txt"]'),
    ("key", '"keys/airgap.key"', "private key file or gpg:FINGERPRINT that signs the bundles"),
    ("out", '"out"', "directory or disk that the bundles are written to"),
    ("volume-size", '"fat32"', "4GiB, 25GB, or fat32, dvd, dvd-dl, bd25, bd50"),
    ("parity", "1", "as many lost volumes can be rebuilt"),
    ("expires", '"90d"', "the site refuses the bundle after that"),
    ("since", '["site.receipt"]', "what the site has: its receipt, earlier bundles"),
    ("since-key", '"site.pub"', "the site's public key; receipts must be signed with it"),
    ("platforms", '["linux/amd64"]', "carry only these platforms"),
    ("gates", '["trivy image --exit-code 1 {registry}"]', "commands that every image must pass"),
    ("encrypt-to", '"site-x25519.pub"', "only this site can read the bundle"),
    ("state", '"state"', "serials and history; default: ~/.local/state/airgap"),
)
_SITE = (
    ("to", '"docker://registry.site:5000/mirror"', "where images are imported to"),
    ("policy", '"policy.json"', "what is trusted (airgap policy init)"),
    ("map", '["prefix=docker.io/library=base"]', "rules for names at the target, or a file of them"),
    ("sign-by", '"site.key"', "site key that signs accepted images"),
    ("lookaside", '"sigs"', "tree for GPG signatures of images"),
    ("decrypt-key", '"site-keys/airgap.key"', "private key for encrypted bundles"),
    ("repair", "true", "rebuild damaged volumes from parity files and other copies"),
    ("require-custody", "true", "refuse media without an intact custody log"),
    ("state", '"state"', "serials and history; default: ~/.local/state/airgap"),
)


_RECEIPT = (
    ("key", '"site.key"', "site key that signs the receipt"),
    ("out", '"site.receipt"', "file that goes back to the exporter, for its since"),
)


@dataclass(frozen=True)
class Answers:
    """What the new file says. Nothing of a section: the section is left as a comment."""

    stream: str = ""
    lists: Sequence[str] = ()
    key: Sequence[str] = ()
    out: str = ""
    to: str = ""
    policy: str = ""

    @property
    def exports(self) -> dict[str, str]:
        """Values of ``[stream.NAME]``, as TOML."""
        many = {"lists": self.lists, "key": self.key}
        found = {name: _text(given[0]) if len(given) == 1 else _list(given) for name, given in many.items() if given}
        return found | ({"out": _text(self.out)} if self.out else {})

    @property
    def imports(self) -> dict[str, str]:
        """Values of ``[site]``, as TOML."""
        return {name: _text(given) for name, given in (("to", self.to), ("policy", self.policy)) if given}


def text_of(answers: Answers) -> str:
    """The file."""
    stream = _section(f"stream.{answers.stream or 'prod-site'}", _STREAM, answers.exports, wanted=bool(answers.stream))
    site = _section("site", _SITE, answers.imports, wanted=bool(answers.imports))
    return "\n".join(
        [
            _HEAD,
            "# The exporter: airgap export NAME. One section for each stream.",
            *stream,
            "",
            "# The site: airgap import PATH; also for verify, watch, receipt, prune, rollback, mirror-config and serve.",
            *site,
            "",
            "# Images whose Sigstore bundles (cosign 3) count by key and digest although they name no image.",
            "# [site.unnamed-signatures]",
            '# "ghcr.io/acme" = true',
            "",
            "# Attestations without which an image is refused.",
            '# [site.attestations."ghcr.io/acme"]',
            '# predicate = "slsa"',
            '# source = "https://github.com/acme/app"',
            "",
            "# Only for airgap receipt. Every command of the site can have such a section; its keys come before those of [site].",
            *_section("site.receipt", _RECEIPT, {}, wanted=False),
            "",
        ]
    )


def _section(name: str, keys: Sequence[tuple[str, str, str]], given: dict[str, str], *, wanted: bool) -> Iterator[str]:
    yield f"{'' if wanted else '# '}[{name}]"
    for key, example, meaning in keys:
        line = f"{key} = {given[key]}" if key in given else f"# {key} = {example}"
        yield f"{line:<50}  # {meaning}"


def _list(given: Sequence[str]) -> str:
    return f"[{', '.join(map(_text, given))}]"


def _text(given: str) -> str:
    """A TOML string."""
    escaped = given.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped) + '"'
