"""``airgap mirror-config``: write the configuration with which the site's hosts and clusters pull imported images."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.admission import site
from airgap.cli.commands.site.mirrorpolicy import Imports, Maker, PolicyChoices, make_namespaced, make_objects, make_policy
from airgap.cli.options import inputs
from airgap.cli.options.groups import grouped
from airgap.cli.options.maps import MapOption, read_map
from airgap.cli.options.rooted import Rooted
from airgap.cli.options.scoped import ToldOption
from airgap.cli.options.stores import Reach, registry
from airgap.cli.terminal.console import Console, Said
from airgap.errors import UsageError
from airgap.limits import MAX_NAMES_FILE, MAX_POLICY
from airgap.mirror.enforcers import Enforcer
from airgap.mirror.engines import (
    EngineAccess,
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
from airgap.state import Accepted, State
from airgap.text import plural, printable
from airgap.trust.policy.demands import Demands
from airgap.trust.sigstore.trustedroot import TrustedRoot

_MAX_FILE = max(4 * MAX_POLICY, MAX_NAMES_FILE)


class Format(enum.StrEnum):
    """The values of ``--format``."""

    POLICY = "policy"
    CONTAINERS = "registries.conf"
    CONTAINERD = "containerd"
    K3S = "k3s"
    IDMS = "idms"
    ITMS = "itms"
    LIST = "list"
    CRIO = "crio"
    KYVERNO = Enforcer.KYVERNO.value
    CONTROLLER = Enforcer.CONTROLLER.value
    OPENSHIFT = Enforcer.OPENSHIFT.value


@grouped
def mirror_command(
    to: Annotated[str, typer.Option("--to", metavar="TARGET", help="docker://HOST[:PORT][/PREFIX], as given to import.")],
    kind: Annotated[
        Format,
        typer.Option(
            "--format",
            help="registries.conf: podman, skopeo, CRI-O. containerd: hosts.toml tree. k3s: registries.yaml, RKE2 too. idms, itms: "
            "OpenShift. list: source and new name of every image. policy: policy.json, registries.d and registries.conf. crio: the "
            "same for namespaces. kyverno, policy-controller, openshift: objects by which a cluster judges images itself.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory for the files.")],
    rules: MapOption = None,
    names: Annotated[
        Path | None,
        typer.Option("--names", metavar="FILE", help="Take the names from images.json or import --json, not from the state."),
    ] = None,
    scan: Annotated[bool, typer.Option("--scan", help="Take the names from the registry's catalog (keep-host only).")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="List every repository instead of whole hosts.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of an earlier run.")] = False,
    ca: Annotated[str, typer.Option("--ca", metavar="PATH", help="Path of the registry's CA on the hosts (containerd, k3s).")] = "",
    policy: inputs.PolicyOption = None,
    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode",
            help="(policy, cluster) original: pull by the vendors' names. internal: by the target's names, vendors' signatures. "
            "site: by the target's names, the site's signatures.",
            show_default="site with --site-key, else original; internal for kyverno and policy-controller",
        ),
    ] = None,
    lookaside: Annotated[
        str,
        typer.Option(
            "--lookaside", metavar="URL|DIR", help="(policy) The tree that import --lookaside wrote, as the hosts reach it."
        ),
    ] = "",
    site_key: Annotated[
        list[Path] | None,
        typer.Option(
            "--site-key",
            metavar="FILE",
            help="(policy, cluster) Public key of import's --sign-by; for policy and crio, the hosts need it at the same path.",
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="REPO-OR-SCOPE",
            help="(policy, cluster) A source that the policy does not name, such as docker.io/library.",
        ),
    ] = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", metavar="NAME", help="(crio) A namespace that the policy is for; may be repeated."),
    ] = None,
    ignore_signed_name: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore-signed-name",
            metavar="SCOPE",
            help="(kyverno, policy-controller) In this scope of the policy, a vendor's key and the digest are enough, "
            "whatever name was signed; may be repeated.",
        ),
    ] = None,
    attestations: ToldOption = None,
    rooted: Rooted = Rooted(),
    state: inputs.StateOption = None,
    reach: Reach = Reach(),
    said: Said = Said(),
) -> None:
    """Write the configuration with which hosts pull imported images: by their original names or, for policy, only if signed.

    Only images that the registry really holds are listed. Their names there are known from the imports of this machine.

    Example: airgap mirror-config --to docker://registry.site:5000/mirror --format registries.conf --out hosts

    Example: airgap mirror-config --to docker://registry.site:5000/mirror --format policy --policy policy.json
    --site-key site.asc --lookaside https://registry.site/sigs --out hosts

    Example: airgap mirror-config --to docker://registry.site:5000/mirror --format kyverno --policy policy.json
    --site-key site.pub --out cluster
    """
    console = said.console()
    target = parse_target(to, read_map(rules))
    if not isinstance(target, RegistryTarget):
        raise UsageError("the target is not a registry", got=printable(to), expected="docker://HOST[:PORT][/PREFIX]")
    plain = reach.options(1, console).endpoint(target.host).plain
    facts: dict[str, object] = {"target": str(target), "format": kind.value}

    def placed() -> list[Placed]:
        return _placed(target, names, scan, inputs.state_directory(state), reach, console)

    imports = Imports(
        routes=lambda: find_routes(placed(), exact=exact), accepted=lambda: _accepted(target, inputs.state_directory(state))
    )

    def root() -> TrustedRoot | None:
        return rooted.read(inputs.state_directory(state), site.read_policy(policy)[0], console.say)

    choices = PolicyChoices(
        mode,
        lookaside,
        tuple(site_key or ()),
        tuple(source or ()),
        policy,
        plain,
        tuple(namespace or ()),
        tuple(ignore_signed_name or ()),
        cache(root),
    )
    _check_choices(kind, choices)
    demands = Demands.parse(attestations or ())
    make = _BY_POLICY.get(kind)
    if make is not None:
        made, more = make(target, choices, imports)
        if demands.any:
            made = replace(made, warnings=(*made.warnings, _NOT_CARRIED))
        facts |= more
    else:
        found = placed()
        facts |= {"image_count": len(found)}
        made = for_people(found) if kind is Format.LIST else _made(kind, find_routes(found, exact=exact), EngineAccess(plain, ca))
    paths = _write(out, made.files, force)
    facts |= {"paths": [str(path) for path in paths], "warnings": list(made.warnings)}
    lines = [f"written      {path}  (install as {place})" for path, place in zip(paths, made.places.values(), strict=True)]
    keys = facts.get("key_files", [])
    lines += [f"key          {path}  (needed on every host at this path)" for path in (keys if isinstance(keys, list) else [])]
    lines += [f"warning      {warning}" for warning in made.warnings]
    end = f"{plural(len(made.warnings), 'warning')}, explained in docs/pulling.md" if made.warnings else "no warnings"
    console.result(facts, [*lines, end])


_NOT_CARRIED = "what attestations are demanded is not written: they are checked at the import, and not by those who pull"
_BY_POLICY: dict[Format, Maker] = {
    Format.POLICY: make_policy,
    Format.CRIO: make_namespaced,
    **{Format(one.value): partial(make_objects, one) for one in Enforcer},
}


def _check_choices(kind: Format, choices: PolicyChoices) -> None:
    """Refuse an option for another format: it would not do what it says."""
    if choices.namespaces and kind is not Format.CRIO:
        raise UsageError("namespaces are for another format", where="--namespace", expected="--format crio", got=kind.value)
    if choices.unnamed and kind not in (Format.KYVERNO, Format.CONTROLLER):
        expected = "--format kyverno or policy-controller"
        raise UsageError("this format checks the signed name", where="--ignore-signed-name", expected=expected, got=kind.value)


def _made(kind: Format, found: Routes, access: EngineAccess) -> Written:
    if not found.routes:
        raise UsageError("no image can be found by its original name", hint="use --format list: every tag differs at the target")
    if kind is Format.CONTAINERD:
        return for_containerd(found, access)
    if kind is Format.K3S:
        return for_k3s(found, access)
    return for_containers(found, access) if kind is Format.CONTAINERS else for_openshift(found, tags=kind is Format.ITMS)


def _placed(target: RegistryTarget, names: Path | None, scan: bool, state: Path, reach: Reach, console: Console) -> list[Placed]:
    """The imported images that the target really holds."""
    wanted: list[tuple[Reference, Reference]] = []
    if names is not None:
        wanted = below(read_names(fsio.read_input(names, MAX_NAMES_FILE, "file of names"), str(names)), target)
    elif not scan and State.exists(state):
        with State(state) as memory:
            wanted = [(Reference.parse(one.source), Reference.parse(one.name)) for one in memory.names(str(target))]
    with registry(reach, 4, console) as store:
        if not wanted and names is None:
            console.say(f"no import into {target} is recorded on this machine: reading the registry's catalog")
            wanted = list(listed_there(store, target))
        found = held_there(wanted, store, console)
    if not found:
        raise UsageError(
            "the target holds no image to pull", where=str(target), hint="import first, or name the target as for import"
        )
    return found


def _accepted(target: RegistryTarget, state: Path) -> list[Accepted]:
    """By which signatures the imports of this machine accepted what is at the target, as far as it is recorded."""
    if not State.exists(state):
        return []
    with State(state) as memory:
        return memory.generations.accepted(str(target))


def _write(out: Path, files: Mapping[str, str], force: bool) -> list[Path]:
    """Write the files. An existing file with different content stops everything, unless it may be replaced."""
    wanted = {out / name: text for name, text in files.items()}
    for path, text in wanted.items():
        if path.exists() and not path.is_file():  # also through a link
            raise UsageError("not a regular file", where=printable(str(path)), hint="choose another --out")
        if not force and path.exists() and fsio.read_input(path, _MAX_FILE, "file that is there") != text.encode():
            hint = "choose another --out, or replace the file with --force"
            raise UsageError("a file with different content already exists", where=printable(str(path)), hint=hint)
    for path, text in wanted.items():
        fsio.make_directory(path.parent, fsio.UNCHANGEABLE)
        fsio.write_durable(path.resolve(), text.encode())  # a link stays one
    return list(wanted)
