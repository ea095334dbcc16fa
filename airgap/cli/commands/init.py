"""``airgap init``: write a commented ``airgap.toml``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from airgap import fsio
from airgap.cli.config.places import NAME
from airgap.cli.config.template import Answers, text_of
from airgap.cli.options.groups import grouped
from airgap.cli.terminal.console import Said
from airgap.errors import UsageError
from airgap.format.names import check_stream
from airgap.naming.mapping import parse_target
from airgap.text import printable


@grouped
def init_command(
    stream: Annotated[str, typer.Option("--stream", metavar="NAME", help="The stream that is exported here.")] = "",
    lists: Annotated[list[str] | None, typer.Option("--list", metavar="FILE", help="Its image list; may be repeated.")] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Private key file or gpg:FINGERPRINT that signs it; may be repeated.")
    ] = None,
    bundles: Annotated[str, typer.Option("--bundles", metavar="DIR", help="Directory or disk for its bundles.")] = "",
    to: Annotated[str, typer.Option("--to", metavar="TARGET", help="The target that this site imports to.")] = "",
    policy: Annotated[str, typer.Option("--policy", metavar="FILE", help="The site's policy.")] = "",
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write; an existing one is left alone.")] = Path(
        NAME
    ),
    said: Said = Said(),
) -> None:
    """Write a commented airgap.toml. With it `airgap export STREAM` and `airgap import PATH` need no options.

    Without options it asks, on a terminal.

    Example: airgap init --stream prod-site --list images.txt --key keys/airgap.key --bundles out

    Example: airgap init --to docker://registry.site:5000/mirror --policy policy.json
    """
    _refuse_existing(out)
    answers = Answers(stream, lists or (), key or (), bundles, to, policy)
    if answers == Answers():
        answers = _ask()
    _check(answers)
    with fsio.disk_errors("cannot write the configuration", out):
        try:
            with out.open("x", encoding="utf-8") as file:
                file.write(text_of(answers))
        except FileExistsError:
            _refuse_existing(out)
    steps = [f"airgap export {answers.stream}"] * bool(answers.stream) + ["airgap import PATH"] * bool(answers.to)
    lines = [
        f"written      {out}: read it, and correct what does not fit",
        f"next         {' or '.join(steps)}; airgap config show",
    ]
    said.console().result({"config": str(out), "stream": answers.stream, "target": answers.to}, lines)


def _check(answers: Answers) -> None:
    if answers.stream:
        check_stream(answers.stream)
    elif answers.exports:
        raise UsageError("a stream's name is missing", where="--stream", expected="a name such as prod-site")
    if answers.to:
        parse_target(answers.to)
    if not answers.stream and not answers.to and not answers.policy:
        raise UsageError("nothing to write", expected="--stream NAME for an exporter, --to TARGET for a site, or both")


def _refuse_existing(path: Path) -> None:
    if fsio.is_there(path):
        hint = "edit it, or choose another --out; a configuration is never overwritten"
        raise UsageError("a configuration already exists", where=printable(str(path)), hint=hint)


def _ask() -> Answers:
    """The answers of whoever sits at the terminal; an empty one leaves a thing out. Raises ``UsageError``: there is no terminal."""
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot ask without a terminal", expected="--stream NAME, --to TARGET, or both", hint="see airgap init --help"
        )
    answers = Answers(stream=_answer("stream that is exported here, such as prod-site (empty: none)"))
    if answers.stream:
        check_stream(answers.stream)
        lists = _answer("its image list", "images.txt")
        key = _answer("private key that signs it", "keys/airgap.key")
        answers = replace(answers, lists=[lists], key=[key], out=_answer("directory or disk for its bundles", "out"))
    to = _answer("target that this site imports to, such as docker://registry.site:5000/mirror (empty: none)")
    if to:
        parse_target(to)
    return replace(answers, to=to, policy=_answer("the site's policy", "policy.json") if to else "")


def _answer(question: str, default: str = "") -> str:
    return str(typer.prompt(question, default=default, show_default=bool(default), err=True)).strip()
