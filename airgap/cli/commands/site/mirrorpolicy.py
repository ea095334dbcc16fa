"""``airgap mirror-config --format policy``: the files with which hosts pull only signed images."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from airgap import fsio
from airgap.admission import site
from airgap.errors import AirgapError, Refused, UsageError
from airgap.limits import MAX_KEYRING, MAX_POLICY
from airgap.mirror.engines import Written
from airgap.mirror.policy import HostKey, Mode, SiteMirror, SitePolicy, mirror_config
from airgap.mirror.routes import Routes
from airgap.naming.mapping import RegistryTarget
from airgap.oci import strictjson
from airgap.text import printable
from airgap.trust.keys.keyfiles import check_key_file
from airgap.trust.keys.signatures import load_pem_key
from airgap.trust.policy.document import Policy, parse_policy
from airgap.trust.policy.requirements import KeySource, SigstoreSigned

_PLACES = {
    "policy.json": "/etc/containers/policy.json",
    "registries.d/airgap.yaml": "/etc/containers/registries.d/airgap.yaml",
    "registries.conf": "/etc/containers/registries.conf.d/10-airgap.conf",
}


@dataclass(frozen=True)
class PolicyChoices:
    """What the options say about signatures."""

    mode: Mode | None
    lookaside: str
    site_keys: tuple[Path, ...]
    sources: tuple[str, ...]
    policy: Path | None
    insecure: bool


def make_policy(target: RegistryTarget, choices: PolicyChoices, routes: Callable[[], Routes]) -> tuple[Written, dict[str, object]]:
    """The files, and facts about them.

    Args:
        routes: asks the target where images are; only needed when their names do not follow from the sources' alone, or nothing
            names the sources: then they are those of the images that are there.
    """
    keys = [_site_key(path) for path in choices.site_keys]
    mode = choices.mode or (Mode.SITE if keys else Mode.ORIGINAL)
    policy, sources = _site_policy(choices.policy), choices.sources
    locations = None
    unreachable: tuple[str, ...] = ()
    if mode is not Mode.SITE and not sources and not policy.names_sources:
        sources = tuple(route.source for route in routes().routes)
    if mode is Mode.ORIGINAL and not target.rules.is_plain:
        found = routes()
        locations = {route.source: route.location for route in found.routes}
        unreachable = tuple(f"{one.source} cannot be pulled by its own name" for one in found.unreachable)
    mirror = SiteMirror(target, _lookaside(choices.lookaside), choices.insecure)
    made = mirror_config(mode, mirror, policy, sources, keys, locations)
    _check_keys(parse_policy(made.policy.encode(), "policy.json"))
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


def _site_key(path: Path) -> HostKey:
    """A key file, checked to be a public key. Raises ``UsageError``."""
    content = fsio.read_input(path, MAX_KEYRING, "site's key")
    try:
        return HostKey(str(path.absolute()), check_key_file(content, as_it_is=True).openpgp)
    except UsageError as error:
        error.where = printable(str(path))
        raise


def _check_keys(policy: Policy) -> None:
    """Refuse to write a policy with a key that the hosts cannot read: they would reject every image.

    Raises:
        UsageError: there is such a key. Files that are missing on this machine may be on the hosts.
    """
    for requirement in policy.requirements():
        for source in (requirement.keys, requirement.rekor) if isinstance(requirement, SigstoreSigned) else ():
            for where, content in _contents(source or KeySource()):
                try:
                    load_pem_key(content)
                except (Refused, UsageError) as error:
                    what = f"podman and skopeo cannot read a key: {error.what}"
                    raise UsageError(what, where=where, expected=error.expected, got=error.got, hint=error.hint) from error


def _contents(source: KeySource) -> Iterator[tuple[str, bytes]]:
    for path in source.paths:
        with contextlib.suppress(AirgapError):
            yield printable(path), site.read_key(path)
    yield from (("keyData in the policy", data) for data in source.datas)


def _site_policy(path: Path | None) -> SitePolicy:
    parsed, name = site.read_policy(path)
    return SitePolicy(parsed, strictjson.parse_object(fsio.read_input(Path(name), MAX_POLICY, "policy"), name))
