"""``airgap policy``: write the trust policy, check it, and explain its decisions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from airgap import fsio
from airgap.admission import site
from airgap.admission.door import Whole, open_bundle
from airgap.admission.judge import verdicts
from airgap.admission.terms import Terms
from airgap.bundle.diagnosis import diagnosing
from airgap.cli.commands import policykeys
from airgap.cli.commands.policyedits import add_command, remove_command
from airgap.cli.commands.policykeys import Otherwise
from airgap.cli.options import inputs
from airgap.cli.options.decrypting import DecryptOption, site_secrets
from airgap.cli.options.groups import grouped
from airgap.cli.options.outputs import HELP, Output, taken
from airgap.cli.options.rooted import Rooted
from airgap.cli.options.scoped import AttestationsOption, Unnamed, demands_of
from airgap.cli.terminal.console import Said
from airgap.errors import Damaged, UsageError
from airgap.format.names import check_stream
from airgap.limits import MAX_POLICY
from airgap.oci import strictjson
from airgap.oci.reference import Reference
from airgap.text import listing, plural, printable
from airgap.trust.judge.advice import Advice, advise, portability
from airgap.trust.judge.explain import explain
from airgap.trust.judge.hosts import TAGS_ALONE, Host, unread_forms
from airgap.trust.judge.judging import Judgement
from airgap.trust.keys.keyfiles import called
from airgap.trust.policy.document import Policy, parse_policy
from airgap.trust.policy.requirements import Requirement
from airgap.trust.policy.templates import site_policy
from airgap.trust.policy.unnamed import UnnamedSignatures
from airgap.trust.policy.words import in_words

policy = typer.Typer(no_args_is_help=True, help="Write, change, check and explain the trust policy.")

_Judged: TypeAlias = dict[Reference, list[Judgement]]


@policy.command("init")
@grouped
def init(
    key: Annotated[
        list[str] | None,
        typer.Option("--public-key", metavar="FILE", help="Public key (PEM or OpenPGP) that signs bundles; may be repeated."),
    ] = None,
    stream: policykeys.StreamOption = "",
    any_key: policykeys.AnyOption = False,
    image: policykeys.ImagesOption = None,
    image_default: Annotated[
        Otherwise,
        typer.Option("--image-default", help="Images without a scope: accept on the bundle's signature, or reject."),
    ] = Otherwise.ACCEPT,
    by_path: policykeys.ByPathOption = False,
    unnamed: policykeys.UnnamedOption = None,
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help=f"File to write; {HELP}")] = "-",
    said: Said = Said(),
) -> None:
    """Write a policy.json that rejects everything except bundles signed with the given keys.

    Images in a trusted bundle are accepted because the bundle is signed, unless --image and --image-default ask for more.

    Example: airgap policy init --public-key airgap.pub -o policy.json

    Example: airgap policy init --public-key airgap.pub --image docker.io/library=vendor.pub --image-default reject -o policy.json
    """
    if stream:
        check_stream(stream)
    permitted = UnnamedSignatures.parse(unnamed or ())
    keys = policykeys.bundle_keys(key, by_path=by_path)
    rules = policykeys.image_rules(image, by_path=by_path)
    images = {scope: rule.requirements for scope, rule in rules.items()}
    document = site_policy([one.key for one in keys], stream, any_of=any_key, images=images, other_images=image_default.rule)
    text = json.dumps(document, indent=2) + "\n"
    parsed = parse_policy(text.encode(), out)
    output = Output(out, "--out")
    if output.exists and not _is_there(Path(out), text):
        hint = "choose another -o, or change the policy: airgap policy add, airgap policy remove"
        raise UsageError("a policy already exists", where=printable(out), hint=hint)
    output.write(text.encode())
    facts = {
        "policy": out,
        "key_files": [one.path for one in keys],
        "stream": stream or None,
        "image_scopes": [
            {"scope": scope, "requirements": [in_words(one, "docker", called) for one in parsed.transports["docker"][scope]]}
            for scope in images
        ],
        "image_default": image_default.value,
        "embedded": not by_path,
        "unnamed_signatures": permitted.texts,
    }
    warnings = [*policykeys.remarks_of(keys, rules), *(one.what for one in portability(parsed, document) if not one.note)]
    warnings += policykeys.idle_permissions(parsed, permitted)
    lines = [f"policy       {out}"] if not taken(output) else []
    lines += [*_init_lines(bool(keys), image_default, images), *policykeys.unnamed_lines(permitted)]
    said.console(taken(output)).result(facts | {"warnings": warnings}, [*lines, *(f"warning      {one}" for one in warnings)])


def _init_lines(has_key: bool, otherwise: Otherwise, images: Collection[str]) -> Iterator[str]:
    if not has_key:
        yield "This policy rejects every bundle: add keys with --public-key."
        return
    label = "other images" if images else "images"
    if otherwise is Otherwise.ACCEPT:
        text = "accepted on the bundle's signature; no image signatures required"
        hint = " (--image SCOPE=KEY, --image-default reject)" if not images else ""
    else:
        text, hint = "rejected", "" if images else ": name those to accept with --image"
    yield f"{label:<12} {text}{hint}"


def _is_there(path: Path, text: str) -> bool:
    """Whether a run that failed at the very end has written the same policy."""
    try:
        return fsio.read_if_there(path, MAX_POLICY) == text.encode()
    except Damaged:
        return False


policy.command("add")(add_command)
policy.command("remove")(remove_command)


@policy.command("check")
@grouped
def check(
    file: Annotated[Path, typer.Argument(help="A containers-policy.json(5).", show_default=False)],
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--for", metavar="PROGRAM-VERSION", help="Also say whether this host reads it: podman-5, skopeo-1.9; may be repeated."
        ),
    ] = None,
    said: Said = Said(),
) -> None:
    """Read a policy as strictly as import does, say in words what it requires, and warn about likely mistakes.

    Key files are read too. Warnings do not change the exit code.

    Example: airgap policy check policy.json --for podman-4 --for skopeo-1.9
    """
    readers = [Host.parse(text) for text in hosts or ()]
    raw = fsio.read_input(file, MAX_POLICY, "policy")
    parsed = parse_policy(raw, str(file))
    document = strictjson.parse_object(raw, str(file))
    remarks = advise(parsed, document, site.read_key)
    unknown, unread = {host: host.unknown(document) for host in readers}, unread_forms(document)
    facts = {
        "policy": str(file),
        "scopes": list(_scope_facts(parsed)),
        "advice": [_remark_facts(remark) for remark in remarks],
        "hosts": [
            {"host": str(host), "reads": not names, "unread_fields": names, "unread_signatures": unread}
            for host, names in unknown.items()
        ],
    }
    said.console().result(facts, [*_scope_lines(parsed), "", *_host_lines(unknown, unread), *_remark_lines(remarks)])


def _host_lines(unknown: Mapping[Host, Sequence[str]], unread: Sequence[str]) -> Iterator[str]:
    for host, names in unknown.items():
        yield f"{host}: refuses the whole file: {'; '.join(map(host.reason, names))}" if names else f"{host}: reads the file"
    if unknown and unread:
        yield f"{TAGS_ALONE}: they do not find {' or '.join(unread)}"


@policy.command("explain")
@grouped
def explain_command(
    images: Annotated[list[str], typer.Argument(help="Image references, as in the image list.", show_default=False)],
    file: inputs.PolicyOption = None,
    bundle: Annotated[
        list[Path] | None,
        typer.Option("--bundle", help="Also judge the signatures in this bundle (directory or media); may be repeated."),
    ] = None,
    unnamed: Unnamed = Unnamed(),
    attestations: AttestationsOption = None,
    rooted: Rooted = Rooted(),
    revoked: inputs.RevokedOption = None,
    state: inputs.StateOption = None,
    decrypt_key: DecryptOption = None,
    passphrase_file: inputs.PassphraseOption = None,
    said: Said = Said(),
) -> None:
    """Show which scope of the policy applies to an image, why, what it requires, and whether signatures without a name count; and
    which attestations are demanded.

    With --bundle, also show which requirement, signature and key decided on each instance of the image in the bundle.

    Example: airgap policy explain docker.io/library/nginx:1.27 --policy policy.json --bundle /mnt/usb
    """
    permitted, console = unnamed.unnamed, said.console()
    parsed, name = site.read_policy(file)
    demands = demands_of(attestations, parsed)
    directory = inputs.state_directory(state)
    root = rooted.in_use(directory, parsed, console.say)
    references = [Reference.parse(image) for image in images]
    judged: _Judged = {}
    remarks: tuple[str, ...] = ()
    if bundle:
        secrets = site_secrets(decrypt_key, passphrase_file)
        asked = Terms.of_site(directory, file, revoked=revoked, secrets=secrets)
        terms = replace(asked, unnamed=permitted, demands=demands, trusted_root=None if root is None else root.root)
        with diagnosing(console):
            judged, remarks = _judged(terms, bundle, references)
    found = [explain(parsed, reference, judged.get(reference), permitted, demands) for reference in references]
    lines = [line for explanation in found for line in ("", *explanation.lines)]
    facts = {
        "policy": name,
        "trusted_root": None if root is None else root.name,
        "remarks": list(remarks),
        "images": [explanation.facts for explanation in found],
    }
    head = [f"policy {name}", f"root   {'none: no keyless signature is believed' if root is None else root.name}"]
    console.result(facts, [*head, *(f"note   {remark}" for remark in remarks), *lines])


def _judged(terms: Terms, bundle: list[Path], references: list[Reference]) -> tuple[_Judged, tuple[str, ...]]:
    """The verdicts on the images' instances in a trusted bundle, and a remark if an import would refuse the bundle as expired."""
    opened = open_bundle(bundle, terms.told(), Whole)
    catalog = opened.catalog
    remarks = [f"{catalog.name} expired at {catalog.expires}: import will refuse it"] if opened.expired else []
    closures = [closure for closure in opened.closures if closure.image.reference in references]
    there = {closure.image.reference for closure in closures}
    if absent := [str(reference) for reference in references if reference not in there]:
        raise UsageError("not in the bundle", where=catalog.name, got=listing(absent))
    judged: _Judged = {}
    for found in verdicts(opened.store, closures, terms):
        judged.setdefault(found.reference, []).append(found)
    return judged, tuple(remarks)


def _scopes(parsed: Policy) -> Iterator[tuple[str, str, tuple[Requirement, ...]]]:
    """Transport, scope and requirements, in the order of the file; the default first, without a transport."""
    yield "", "", parsed.default
    for transport, scopes in parsed.transports.items():
        yield from ((transport, scope, requirements) for scope, requirements in scopes.items())


def _scope_facts(parsed: Policy) -> Iterator[dict[str, Any]]:
    for transport, scope, requirements in _scopes(parsed):
        words = [in_words(requirement, transport, called) for requirement in requirements]
        yield {"transport": transport or None, "scope": scope if transport else None, "requirements": words}


def _scope_lines(parsed: Policy) -> Iterator[str]:
    for transport, scope, requirements in _scopes(parsed):
        place = f"transport {printable(transport, 80)}" if transport else "default: everything without a scope"
        yield f"{place}, {printable(scope) or 'everything else'}" if transport else place
        yield from (
            f"  {'and ' if number else ''}{in_words(found, transport, called)}" for number, found in enumerate(requirements)
        )


def _remark_facts(remark: Advice) -> dict[str, str]:
    return {"level": remark.level, "where": remark.where, "what": remark.what, "next": remark.hint}


def _remark_lines(remarks: list[Advice]) -> Iterator[str]:
    for remark in remarks:
        place = f"{remark.where}: " if remark.where else ""
        yield f"{remark.level}: {place}{remark.what}" + (f" ({remark.hint})" if remark.hint else "")
    warnings = sum(not remark.note for remark in remarks)
    yield f"The policy is valid, with {plural(warnings, 'warning')}." if warnings else "The policy is valid."
