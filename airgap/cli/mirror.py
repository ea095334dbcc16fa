"""``airgap mirror-config``: configuration with which the hosts of the site pull what was imported."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.cli import inputs
from airgap.cli.console import Console, Json, Quiet, Verbose
from airgap.cli.stores import InsecureOption
from airgap.errors import Refused, UsageError
from airgap.importer.mapping import RegistryTarget, parse_target
from airgap.importer.mirrorconfig import Mirror, MirrorConfig, Mode, SiteKey, SitePolicy, mirror_config
from airgap.oci import strictjson
from airgap.registry import RegistryOptions
from airgap.text import plural, printable
from airgap.trust.gpg import MAX_KEYRING, open_keyring
from airgap.trust.policy import MAX_POLICY
from airgap.trust.signatures import load_public_key

_GPG_ARMOR = b"-----BEGIN PGP PUBLIC KEY"
_MAX_FILE = 4 * MAX_POLICY


class Format(enum.StrEnum):
    """What to write."""

    POLICY = "policy"


def mirror_command(
    to: Annotated[str, typer.Option("--to", metavar="TARGET", help="docker://HOST[:PORT][/PREFIX], as given to import.")],
    kind: Annotated[Format, typer.Option("--format", help="policy: policy.json, registries.d and registries.conf.")],
    out: Annotated[Path, typer.Option("--out", help="Directory for the files.")],
    policy: inputs.PolicyOption = None,
    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode",
            help="original: pull by the vendors' names. internal: by the target's names, vendors' signatures. "
            "site: by the target's names, the site's signatures.",
            show_default="site with --site-key, else original",
        ),
    ] = None,
    rule: Annotated[str, typer.Option("--map", help="keep-host (default) or strip-host, as given to import.")] = "",
    lookaside: Annotated[
        str,
        typer.Option("--lookaside", metavar="URL|DIR", help="The tree that import --lookaside writes, as the hosts reach it."),
    ] = "",
    site_key: Annotated[
        list[Path] | None,
        typer.Option("--site-key", metavar="FILE", help="Public key of import's --sign-by; the hosts need it at the same path."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source", metavar="REPO-OR-SCOPE", help="A source beside those the policy names, such as docker.io/library."
        ),
    ] = None,
    insecure: InsecureOption = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write the files with which podman and skopeo pull what was imported, by policy, rejecting everything else.

    Example: airgap mirror-config --to docker://registry.site:5000/mirror --format policy --policy policy.json
    --site-key site.asc --lookaside https://registry.site/sigs --out hosts
    """
    del kind  # there is one so far
    console = Console(as_json, quiet, verbose)
    target = parse_target(to, rule)
    if not isinstance(target, RegistryTarget):
        raise UsageError("containers are pulled from a registry", got=printable(to), expected="docker://HOST[:PORT][/PREFIX]")
    plain = RegistryOptions(insecure=frozenset(insecure or ())).endpoint(target.host).plain
    keys = [_site_key(path) for path in site_key or ()]
    chosen = mode or (Mode.SITE if keys else Mode.ORIGINAL)
    made = mirror_config(chosen, Mirror(target, _lookaside(lookaside), plain), _site_policy(policy), source or (), keys)
    written = _write(out, made)
    facts = {
        "target": str(target),
        "mode": chosen.value,
        "files": [str(path) for path in written],
        "key_files": list(made.key_files),
        "warnings": list(made.warnings),
    }
    console.result(facts, _lines(written, made))


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


def _write(out: Path, made: MirrorConfig) -> list[Path]:
    """Write the files; those that are there already stay when they say the same, and stop everything when they do not."""
    wanted = {
        out / "policy.json": made.policy,
        out / "registries.d/airgap.yaml": made.registries_d,
        out / "registries.conf": made.registries_conf,
    }
    for path, text in wanted.items():
        if path.exists() and fsio.read_input(path, _MAX_FILE, "file that is there") != text.encode():
            hint = "choose another --out, or remove it; a policy is never overwritten"
            raise UsageError("a file with other content is there already", where=printable(str(path)), hint=hint)
    for path, text in wanted.items():
        fsio.make_directory(path.parent)
        fsio.write_durable(path, text.encode())
    return list(wanted)


def _lines(written: Sequence[Path], made: MirrorConfig) -> list[str]:
    places = ("/etc/containers/policy.json", "/etc/containers/registries.d/airgap.yaml",
              "/etc/containers/registries.conf.d/10-airgap.conf")  # fmt: skip
    lines = [f"written      {path}  (install as {place})" for path, place in zip(written, places, strict=True)]
    lines += [f"key          {path}  (every host needs it there)" for path in made.key_files]
    lines += [f"warning      {warning}" for warning in made.warnings]
    return [*lines, f"{plural(len(made.warnings), 'warning')}. What is what: docs/pulling.md" if made.warnings else "no warnings"]
