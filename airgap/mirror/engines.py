"""Configuration files with which container engines find images at the target by their original names. Pure.

Every function takes routes to images that the target really holds and returns files by relative name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airgap.errors import UsageError
from airgap.mirror.routes import Placed, Route, Routes
from airgap.text import listing

_HEAD = "# Written by airgap mirror-config"


@dataclass(frozen=True)
class EngineAccess:
    """How the hosts reach the target.

    Attributes:
        insecure: over plain HTTP.
        ca: the path of its CA certificate on the hosts; ``""`` if they trust it already.
    """

    insecure: bool = False
    ca: str = ""

    @property
    def scheme(self) -> str:
        """The scheme of URLs."""
        return "http" if self.insecure else "https"


@dataclass(frozen=True)
class Written:
    """Files by name, where each is installed on the hosts, and warnings for the operator."""

    files: Mapping[str, str]
    places: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def registries_conf(locations: Mapping[str, str], *, insecure: bool) -> str:
    """A drop-in for podman, skopeo, buildah and CRI-O (containers-registries.conf(5)).

    It uses ``location``, never a ``mirror``: a mirror falls back to a registry that the site cannot reach.
    """
    lines = [f"{_HEAD}: a file for /etc/containers/registries.conf.d."]
    for source, location in locations.items():
        lines += ["", "[[registry]]", f"prefix = {quoted(source)}", f"location = {quoted(location)}"]
        lines += ["insecure = true"] if insecure else []
    return "\n".join(lines) + "\n"


def for_containers(found: Routes, access: EngineAccess) -> Written:
    """``registries.conf``."""
    text = registries_conf({route.source: route.location for route in found.routes}, insecure=access.insecure)
    place = "/etc/containers/registries.conf.d/10-airgap.conf"
    return Written({"registries.conf": text}, {"registries.conf": place}, _unreachable(found))


def for_containerd(found: Routes, access: EngineAccess) -> Written:
    """A tree of ``certs.d/HOST/hosts.toml`` (containerd, docs/hosts.md).

    The mirror is also named as ``server``, or containerd would fall back to a registry that the site cannot reach. It can only
    put a path before names.

    Raises:
        UsageError: no source host can be redirected to the target that way.
    """
    files: dict[str, str] = {}
    left: list[str] = []
    for host, routes in found.hosts.items():
        if len(routes) == 1 and not routes[0].path:
            files[f"certs.d/{host}/hosts.toml"] = _hosts_toml(routes[0], access)
        else:
            left.append(host)
    if left and not files:
        raise UsageError(
            "containerd can only put a path before names, and these names were mapped otherwise",
            got=listing(left, 8),
            hint="import with --map keep-host, or rewrite the names in your charts with --format list",
        )
    warnings = [f"{host}: containerd cannot follow the mapping of its names: see --format list" for host in left]
    return Written(files, {name: f"/etc/containerd/{name}" for name in files}, (*warnings, *_unreachable(found)))


def _hosts_toml(route: Route, access: EngineAccess) -> str:
    server, slash, path = route.location.partition("/")
    url = f"{access.scheme}://{server}" + (f"/v2/{path}" if slash else "")
    options = ['capabilities = ["pull", "resolve"]']
    options += ["override_path = true"] if slash else []
    options += [f"ca = {quoted(access.ca)}"] if access.ca else []
    return "\n".join([
        f"{_HEAD}: {route.source} is at {route.location}.",
        f"server = {quoted(url)}",
        *options,
        "",
        f"[host.{quoted(url)}]",
        *(f"  {option}" for option in options),
    ]) + "\n"  # fmt: skip


def for_k3s(found: Routes, access: EngineAccess) -> Written:
    """``registries.yaml`` of k3s and RKE2, with rewrites."""
    lines = [f"{_HEAD}: /etc/rancher/k3s/registries.yaml, /etc/rancher/rke2/registries.yaml.", "mirrors:"]
    servers: dict[str, None] = {}
    for host, routes in found.hosts.items():
        server = routes[0].location.partition("/")[0]
        servers[server] = None
        lines += [f"  {quoted(host)}:", "    endpoint:", f"      - {quoted(f'{access.scheme}://{server}')}"]
        rewrites = dict(_rewrite(route) for route in routes)
        if rewrites != {"^(.+)$": "$1"}:
            lines += ["    rewrite:", *(f"      {quoted(pattern)}: {quoted(to)}" for pattern, to in rewrites.items())]
    if access.ca:
        lines.append("configs:")
        for server in servers:
            lines += [f"  {quoted(server)}:", "    tls:", f"      ca_file: {quoted(access.ca)}"]
    place = "/etc/rancher/k3s/registries.yaml or /etc/rancher/rke2/registries.yaml"
    return Written({"registries.yaml": "\n".join(lines) + "\n"}, {"registries.yaml": place}, _unreachable(found))


def _rewrite(route: Route) -> tuple[str, str]:
    """A regular expression over the path of a source name, and what it becomes at the target; no two match the same name."""
    path = route.location.partition("/")[2]
    if not route.path:
        return "^(.+)$", f"{path}/$1" if path else "$1"
    if route.exact:
        return f"^{re.escape(route.path)}$", path
    return f"^{re.escape(route.path)}(/.+)?$", f"{path}$1"


def for_openshift(found: Routes, *, tags: bool) -> Written:
    """An ImageDigestMirrorSet, or with ``tags`` an ImageTagMirrorSet (OpenShift 4.13 and later)."""
    kind, field, name = (
        ("ImageTagMirrorSet", "imageTagMirrors", "itms.yaml")
        if tags
        else ("ImageDigestMirrorSet", "imageDigestMirrors", "idms.yaml")
    )
    lines = [f"{_HEAD}: oc apply -f {name}", "apiVersion: config.openshift.io/v1", f"kind: {kind}", "metadata:", "  name: airgap",
             "spec:", f"  {field}:"]  # fmt: skip
    for route in found.routes:
        lines += [f"    - source: {quoted(route.source)}", "      mirrors:", f"        - {quoted(route.location)}"]
        lines.append("      mirrorSourcePolicy: NeverContactSource")
    return Written({name: "\n".join(lines) + "\n"}, {name: "the cluster: oc apply -f"}, _unreachable(found))


def for_people(placed: Sequence[Placed]) -> Written:
    """Every source reference with its name at the target: text, YAML and JSON, for Helm values and for ``--names``."""
    entries = [_entry(one) for one in placed]
    text = "".join(f"{one.source} {one.destination}\n" for one in placed)
    lines = [f"{_HEAD}: what is where.", "images:" if entries else "images: []"]
    for entry in entries:
        body = [f"{key}: {quoted(value)}" for key, value in entry.items()]
        lines += [f"  - {body[0]}", *(f"    {line}" for line in body[1:])]
    document = json.dumps({"images": entries}, indent=2) + "\n"
    files = {"images.txt": text, "images.yaml": "\n".join(lines) + "\n", "images.json": document}
    return Written(files, dict.fromkeys(files, "your charts' values"))


def _entry(one: Placed) -> dict[str, Any]:
    place = one.destination.repository
    tag = {"tag": one.destination.tag} if one.destination.tag else {}
    return {
        "source": str(one.source),
        "destination": str(one.destination),
        "registry": place.host,
        "repository": place.path,
        **tag,
        "digest": str(one.digest),
        "pinned": f"{place}@{one.digest}",
    }


def _unreachable(found: Routes) -> tuple[str, ...]:
    return tuple(
        f"{one.source} cannot be pulled by its own name: it is {one.destination} at the target (see --format list)"
        for one in found.unreachable
    )


def quoted(text: str) -> str:
    """A string that YAML, TOML and JSON read in the same way."""
    return json.dumps(text)
