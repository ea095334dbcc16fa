"""``airgap policy add`` and ``remove``: change a policy that is there, and nothing else in its file."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.admission import site
from airgap.admission.policyedit import PolicyEdit, has_bundle_key
from airgap.cli.commands import policykeys
from airgap.cli.commands.policykeys import Otherwise
from airgap.cli.options.groups import grouped
from airgap.cli.options.outputs import Output
from airgap.cli.terminal.console import Said
from airgap.errors import UsageError
from airgap.format.names import check_stream
from airgap.limits import MAX_POLICY
from airgap.text import listing, printable
from airgap.trust.judge.advice import portability
from airgap.trust.keys.keyfiles import called
from airgap.trust.policy.changes import Change, changes
from airgap.trust.policy.unnamed import UnnamedSignatures

FileArgument = Annotated[Path, typer.Argument(help="The policy.json to change.", show_default=False)]


@grouped
def add_command(
    file: FileArgument,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--public-key",
            metavar="FILE",
            help="Public key (PEM or OpenPGP) that must sign bundles, too; with --any, one that is enough. May be repeated.",
        ),
    ] = None,
    stream: policykeys.StreamOption = "",
    any_key: policykeys.AnyOption = False,
    image: policykeys.ImagesOption = None,
    image_default: Annotated[
        Otherwise | None,
        typer.Option("--image-default", help="Images without a scope: accept on the bundle's signature, or reject."),
    ] = None,
    by_path: policykeys.ByPathOption = False,
    unnamed: policykeys.UnnamedOption = None,
    said: Said = Said(),
) -> None:
    """Add keys and image scopes to a policy; everything else in the file stays as it is, byte for byte.

    Example: airgap policy add policy.json --image quay.io/team=team.pub

    Example: airgap policy add policy.json --public-key next.pub --any

    Example: airgap policy add policy.json --image ghcr.io/acme=acme.pub --unnamed ghcr.io/acme
    """
    if stream:
        check_stream(stream)
    if not (key or image or image_default or unnamed):
        raise UsageError("nothing to add", expected="--public-key, --image, --image-default or --unnamed")
    permitted = UnnamedSignatures.parse(unnamed or ())
    keys = policykeys.bundle_keys(key, by_path=by_path)
    rules = policykeys.image_rules(image, by_path=by_path)
    with _edited(file, said, policykeys.remarks_of(keys, rules), permitted) as edit:
        if keys:
            edit.add_bundle_keys(stream, [one.key for one in keys], any_of=any_key)
        for scope, rule in rules.items():
            if rule.keys:
                edit.add_image_keys(scope, [one.key for one in rule.keys])
            else:
                edit.add_image_rule(scope, rule.fixed)
        if image_default is not None:
            edit.set_other_images(image_default.rule)


@grouped
def remove_command(
    file: FileArgument,
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image", metavar="SCOPE", help="Image scope, or SCOPE=KEY for one of its keys (file or id); may be repeated."
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--public-key", metavar="FILE-OR-ID", help="Bundle key: the file, its id or its fingerprint; may be repeated."
        ),
    ] = None,
    stream: Annotated[
        str, typer.Option("--stream", help="Remove the bundle keys from this stream's scope only.", show_default="every scope")
    ] = "",
    no_key: Annotated[bool, typer.Option("--allow-no-key", help="Also leave a policy that no bundle can satisfy.")] = False,
    said: Said = Said(),
) -> None:
    """Remove keys and image scopes from a policy; everything else in the file stays as it is, byte for byte.

    `airgap policy check FILE` shows the ids. A scope whose last key is removed rejects everything. For the images of a removed
    scope the next wider scope decides.

    Example: airgap policy remove policy.json --image quay.io/team

    Example: airgap policy remove policy.json --public-key 1a2b3c4d5e6f7081
    """
    if stream:
        check_stream(stream)
    if not (key or image):
        raise UsageError("nothing to remove", expected="--public-key or --image")
    remarks: list[str] = []
    with _edited(file, said, remarks) as edit:
        for text in image or []:
            _remove_image(edit, text)
        for text in key or []:
            names = policykeys.named_keys(text)
            edit.remove_bundle_key(names, stream or None)
            if scopes := edit.still_names(names):
                shown = listing([printable(one) or '""' for one in scopes], 8)
                remarks.append(f"the key still counts for images below {shown}: remove it there with --image SCOPE=KEY")
        if has_bundle_key(edit.before) and not has_bundle_key(edit.after()) and not no_key:
            raise UsageError(
                "the change would leave no bundle key",
                where=printable(str(file)),
                expected="a key that signs bundles",
                hint="add the new key first (airgap policy add FILE --public-key KEY --any), or say --allow-no-key",
            )


def _remove_image(edit: PolicyEdit, text: str) -> None:
    scope, equals, name = text.partition("=")
    if not scope or (equals and not name):
        hint = "airgap policy add FILE --image-default says what applies to images without a scope of their own"
        raise UsageError("not a scope of images", where="--image", expected="SCOPE or SCOPE=KEY", got=printable(text), hint=hint)
    if equals:
        edit.remove_image_key(scope, policykeys.named_keys(name))
    else:
        edit.remove_image(scope)


@contextlib.contextmanager
def _edited(file: Path, said: Said, remarks: list[str], permitted: UnnamedSignatures | None = None) -> Iterator[PolicyEdit]:
    """The policy to change; when the block ends, it is written and the changes are said, and what else airgap.toml must permit.

    The directory is locked meanwhile: of two commands at a time, neither loses what the other has changed.
    """
    output, place = Output(file, "FILE"), file.resolve()
    fsio.read_input(place, MAX_POLICY, "policy")  # says what is wrong with the path, before the directory is locked
    busy = UsageError("another command works in this directory", where=printable(str(place.parent)), hint="run it again")
    with fsio.exclusive_directory(place.parent, busy):
        raw = fsio.read_input(place, MAX_POLICY, "policy")
        edit = PolicyEdit(raw, str(file), site.read_key)
        yield edit
        after = edit.after()
        if edit.text.encode() != raw:
            output.write(edit.text.encode())
    found = list(changes(edit.before, after, called))
    warnings = [*remarks, *(one.what for one in portability(after, json.loads(edit.text)) if not one.note)]
    facts: dict[str, object] = {"policy": str(file), "policy_changes": [_facts(change) for change in found], "warnings": warnings}
    lines = [f"{change.kind:<12} {change.sentence}" for change in found] or ["unchanged    the policy says all of this already"]
    if permitted is not None:
        facts["unnamed_signatures"] = permitted.texts
        warnings += policykeys.idle_permissions(after, permitted)
        lines += policykeys.unnamed_lines(permitted)
    said.console().result(facts, [f"policy       {file}", *lines, *(f"warning      {one}" for one in warnings)])


def _facts(change: Change) -> dict[str, object]:
    return {
        "change": change.kind,
        "transport": change.transport,
        "scope": change.scope,
        "requirements_before": list(change.before),
        "requirements": list(change.now),
        "decided_by": change.decider,
    }
