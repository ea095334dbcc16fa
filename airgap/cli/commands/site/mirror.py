"""``airgap mirror-config``: configuration with which the hosts of the site pull what was imported."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.cli.commands.site.mirrorpolicy import PolicyChoices, make_policy
from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.options.maps import MapOption, read_map
from airgap.cli.options.stores import Reach, registry
from airgap.cli.terminal.console import Console, Json, Quiet, Verbose
from airgap.errors import UsageError
from airgap.limits import MAX_NAMES_FILE, MAX_POLICY
from airgap.mirror.engines import (
    Access,
    Written,
    for_containerd,
    for_containers,
    for_k3s,
    for_openshift,
    for_people,
)
from airgap.mirror.placed import below, held_there, listed_there, read_names
from airgap.mirror.policy import Mode
from airgap.mirror.routes import Placed, Routes, find_routes
from airgap.naming.mapping import RegistryTarget, parse_target
from airgap.oci.reference import Reference
from airgap.state import State
from airgap.text import plural, printable

_MAX_FILE = max(4 * MAX_POLICY, MAX_NAMES_FILE)


class Format(enum.StrEnum):
    """What to write."""

    POLICY = "policy"
    CONTAINERS = "registries.conf"
    CONTAINERD = "containerd"
    K3S = "k3s"
    IDMS = "idms"
    ITMS = "itms"
    LIST = "list"


@grouped
def mirror_command(
    to: Annotated[str, typer.Option("--to", metavar="TARGET", help="docker://HOST[:PORT][/PREFIX], as given to import.")],
    kind: Annotated[
        Format,
        typer.Option(
            "--format",
            help="registries.conf: podman, skopeo, CRI-O. containerd: hosts.toml tree. k3s: registries.yaml, RKE2 too. idms, itms: "
            "OpenShift. list: source and new name of every image. policy: policy.json, registries.d and registries.conf.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Directory for the files.")],
    rules: MapOption = None,
    names: Annotated[
        Path | None,
        typer.Option("--names", metavar="FILE", help="The names instead of this machine's memory: images.json, or import --json."),
    ] = None,
    scan: Annotated[bool, typer.Option("--scan", help="Take the names from the registry's catalog (keep-host only).")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Name every repository instead of whole hosts.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of an earlier run.")] = False,
    ca: Annotated[str, typer.Option("--ca", metavar="PATH", help="The registry's CA on the hosts (containerd, k3s).")] = "",
    policy: inputs.PolicyOption = None,
    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode",
            help="(policy) original: pull by the vendors' names. internal: by the target's names, vendors' signatures. "
            "site: by the target's names, the site's signatures.",
            show_default="site with --site-key, else original",
        ),
    ] = None,
    lookaside: Annotated[
        str,
        typer.Option(
            "--lookaside", metavar="URL|DIR", help="(policy) The tree that import --lookaside writes, as the hosts reach it."
        ),
    ] = "",
    site_key: Annotated[
        list[Path] | None,
        typer.Option(
            "--site-key", metavar="FILE", help="(policy) Public key of import's --sign-by; the hosts need it at the same path."
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source", metavar="REPO-OR-SCOPE", help="(policy) A source beside those the policy names, such as docker.io/library."
        ),
    ] = None,
    state: inputs.StateOption = None,
    reach: Reach = Reach(),
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write the files with which hosts pull what was imported, by its original names, or with policy: only what is signed.

    Only what the registry really holds is written down. Which image has which name there is known from the imports of this machine.

    Example: airgap mirror-config --to docker://registry.site:5000/mirror --format registries.conf --out hosts

    Example: airgap mirror-config --to docker://registry.site:5000/mirror --format policy --policy policy.json
    --site-key site.asc --lookaside https://registry.site/sigs --out hosts
    """
    console = Console(as_json, quiet, verbose)
    target = parse_target(to, read_map(rules))
    if not isinstance(target, RegistryTarget):
        raise UsageError("containers are pulled from a registry", got=printable(to), expected="docker://HOST[:PORT][/PREFIX]")
    plain = reach.options(1, console).endpoint(target.host).plain
    facts: dict[str, object] = {"target": str(target), "format": kind.value}

    def placed() -> list[Placed]:
        return _placed(target, names, scan, inputs.state_directory(state), reach, console)

    if kind is Format.POLICY:
        choices = PolicyChoices(mode, lookaside, tuple(site_key or ()), tuple(source or ()), policy, plain)
        made, more = make_policy(target, choices, lambda: find_routes(placed(), exact=exact))
        facts |= more
    else:
        found = placed()
        facts |= {"images": len(found)}
        made = for_people(found) if kind is Format.LIST else _made(kind, find_routes(found, exact=exact), Access(plain, ca))
    paths = _write(out, made.files, force)
    facts |= {"files": [str(path) for path in paths], "warnings": list(made.warnings)}
    lines = [f"written      {path}  (install as {place})" for path, place in zip(paths, made.places.values(), strict=True)]
    keys = facts.get("key_files", [])
    lines += [f"key          {path}  (every host needs it there)" for path in (keys if isinstance(keys, list) else [])]
    lines += [f"warning      {warning}" for warning in made.warnings]
    end = f"{plural(len(made.warnings), 'warning')}. What is what: docs/pulling.md" if made.warnings else "no warnings"
    console.result(facts, [*lines, end])


def _made(kind: Format, found: Routes, access: Access) -> Written:
    if not found.routes:
        raise UsageError("no image can be found by its original name", hint="every tag is another one at the target: --format list")
    if kind is Format.CONTAINERD:
        return for_containerd(found, access)
    if kind is Format.K3S:
        return for_k3s(found, access)
    return for_containers(found, access) if kind is Format.CONTAINERS else for_openshift(found, tags=kind is Format.ITMS)


def _placed(target: RegistryTarget, names: Path | None, scan: bool, state: Path, reach: Reach, console: Console) -> list[Placed]:
    """What the target really holds of what was imported."""
    wanted: list[tuple[Reference, Reference]] = []
    if names is not None:
        wanted = below(read_names(fsio.read_input(names, MAX_NAMES_FILE, "file of names"), str(names)), target)
    elif not scan and State.exists(state):
        with State(state) as memory:
            wanted = [(Reference.parse(one.source), Reference.parse(one.name)) for one in memory.names(str(target))]
    with registry(reach, 4, console) as store:
        if not wanted and names is None:
            console.say(f"this machine remembers no import into {target}: asking the registry for its catalog")
            wanted = list(listed_there(store, target))
        found = held_there(wanted, store, console)
    if not found:
        raise UsageError(
            "the target holds nothing that could be pulled", where=str(target), hint="import first, or name the target as then"
        )
    return found


def _write(out: Path, files: Mapping[str, str], force: bool) -> list[Path]:
    """Write the files; one with other content that is there already stops everything, unless it may be replaced."""
    wanted = {out / name: text for name, text in files.items()}
    for path, text in wanted.items():
        if path.exists() and not path.is_file():  # also through a link
            raise UsageError("something that is no file is in the way", where=printable(str(path)), hint="choose another --out")
        if not force and path.exists() and fsio.read_input(path, _MAX_FILE, "file that is there") != text.encode():
            hint = "choose another --out, or replace it deliberately: --force"
            raise UsageError("a file with other content is there already", where=printable(str(path)), hint=hint)
    for path, text in wanted.items():
        fsio.make_directory(path.parent, fsio.UNCHANGEABLE)
        fsio.write_durable(path.resolve(), text.encode())  # a link stays one
    return list(wanted)
