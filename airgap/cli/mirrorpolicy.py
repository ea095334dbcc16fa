"""``airgap mirror-config --format policy``: the files with which hosts pull only what is signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.cli import inputs
from airgap.errors import Refused, UsageError
from airgap.importer.mapping import RegistryTarget
from airgap.importer.mirrorconfig import Mirror, Mode, SiteKey, SitePolicy, mirror_config
from airgap.importer.mirrors import Written
from airgap.importer.routes import Routes
from airgap.oci import strictjson
from airgap.text import printable
from airgap.trust.gpg import MAX_KEYRING, open_keyring
from airgap.trust.policy import MAX_POLICY
from airgap.trust.signatures import load_public_key

_GPG_ARMOR = b"-----BEGIN PGP PUBLIC KEY"
_PLACES = {
    "policy.json": "/etc/containers/policy.json",
    "registries.d/airgap.yaml": "/etc/containers/registries.d/airgap.yaml",
    "registries.conf": "/etc/containers/registries.conf.d/10-airgap.conf",
}


@dataclass(frozen=True)
class PolicyChoices:
    """What the operator said about signatures."""

    mode: Mode | None
    lookaside: str
    site_keys: tuple[Path, ...]
    sources: tuple[str, ...]
    policy: Path | None
    insecure: bool


def make_policy(target: RegistryTarget, choices: PolicyChoices, routes: Callable[[], Routes]) -> tuple[Written, dict[str, object]]:
    """The files, and facts about them.

    Args:
        routes: asks the target where images are; only needed when their names do not follow from the sources' alone.
    """
    keys = [_site_key(path) for path in choices.site_keys]
    mode = choices.mode or (Mode.SITE if keys else Mode.ORIGINAL)
    locations = None
    unreachable: tuple[str, ...] = ()
    if mode is Mode.ORIGINAL and not target.rules.is_plain:
        found = routes()
        locations = {route.source: route.location for route in found.routes}
        unreachable = tuple(f"{one.source} is not found by its own name" for one in found.unreachable)
    mirror = Mirror(target, _lookaside(choices.lookaside), choices.insecure)
    made = mirror_config(mode, mirror, _site_policy(choices.policy), choices.sources, keys, locations)
    files = {
        "policy.json": made.policy,
        "registries.d/airgap.yaml": made.registries_d,
        "registries.conf": made.registries_conf,
    }
    facts: dict[str, object] = {"mode": mode.value, "key_files": list(made.key_files)}
    return Written(files, _PLACES, (*made.warnings, *unreachable)), facts


def _lookaside(text: str) -> str:
    """A URL as it is; a directory as its ``file`` URL."""
    return text if not text or "://" in text else Path(text).absolute().as_uri()


def _site_key(path: Path) -> SiteKey:
    """A key file, read to be sure that it is a public key. Raises ``UsageError``."""
    content = fsio.read_input(path, MAX_KEYRING, "site's key")
    openpgp = content.lstrip().startswith(_GPG_ARMOR) or b"-----BEGIN" not in content
    try:
        if openpgp:
            with open_keyring([content]):
                pass
        else:
            load_public_key(content)
    except (Refused, UsageError) as error:
        raise UsageError(error.what, where=printable(str(path)), expected=error.expected, got=error.got, hint=error.hint) from error
    return SiteKey(str(path.absolute()), openpgp)


def _site_policy(path: Path | None) -> SitePolicy:
    parsed, name = inputs.read_policy(path)
    return SitePolicy(parsed, strictjson.parse_object(fsio.read_input(Path(name), MAX_POLICY, "policy"), name))
