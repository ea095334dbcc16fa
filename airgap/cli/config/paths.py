"""Paths in ``airgap.toml`` begin at the file that names them. Which part of a value is a path depends on the key. Pure."""

from __future__ import annotations

import shlex
from pathlib import Path

_TRANSPORTS = frozenset({"oci", "oci-archive", "docker-archive", "dir", "k3s", "bundle"})
_ELSEWHERE = frozenset({"docker", "containers-storage", "docker-daemon"})
_RULES = frozenset({"keep-host", "strip-host", "flatten"})
#: Keys whose values are not of the type ``Path`` and yet may name files.
LISTS = frozenset({"lists", "since"})
TARGETS = frozenset({"to", "held-at"})
KEYS = frozenset({"key", "public-key", "sign-by"})
FILES = frozenset({"lock", "out", "output"})
OTHERS = frozenset({"map", "cert-dir", "attach", "gate", "lookaside", "carry-root"})


def rebased(key: str, is_path: bool, text: str, base: Path) -> str:
    """The value, its path below ``base``, unless it is absolute, in a bucket, ``-`` or no path; ``~/`` is the home directory."""
    if is_path or key in FILES:
        return _below(base, text)
    if key in KEYS:
        return text if text.startswith("gpg:") else _below(base, text)
    if key in LISTS | TARGETS:
        return _place(text, base, plain_is_path=key in LISTS)
    return _other(key, text, base) if key in OTHERS else text


def _other(key: str, text: str, base: Path) -> str:
    if key == "map":
        return text if "=" in text or text in _RULES else _below(base, text)
    if key in ("lookaside", "carry-root"):
        return text if "://" in text else _below(base, text)
    if key == "gate":
        program, space, rest = text.partition(" ")
        relative = "/" in program and not program.startswith("/") and "'" not in program and '"' not in program
        return shlex.quote(str(base.absolute() / _home(program))) + space + rest if relative else text
    before, equals, path = text.rpartition("=") if key == "cert-dir" else text.partition("=")
    return before + equals + _below(base, path) if equals or key == "cert-dir" else text


def _place(text: str, base: Path, *, plain_is_path: bool) -> str:
    transport, colon, path = text.partition(":")
    if colon and transport in _ELSEWHERE:
        return text
    if colon and transport in _TRANSPORTS:
        return f"{transport}:{_below(base, path)}" if path else text
    return _below(base, text) if plain_is_path else text


def _below(base: Path, text: str) -> str:
    return text if text in ("", "-") or text.startswith("s3://") else str(base / _home(text))


def _home(text: str) -> Path:
    return Path(text).expanduser() if text == "~" or text.startswith("~/") else Path(text)
