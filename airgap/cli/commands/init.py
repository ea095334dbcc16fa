"""``airgap init``: write a commented ``airgap.toml``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import typer

from airgap.cli.config.places import NAME
from airgap.cli.config.template import Answers, text_of
from airgap.cli.options.groups import grouped
from airgap.cli.options.outputs import HELP, Output, taken
from airgap.cli.terminal.console import Said, tell
from airgap.errors import Interrupted, UsageError
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
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FILE", help=f"File to write, which must not exist yet; {HELP}")
    ] = NAME,
    said: Said = Said(),
) -> None:
    """Write a commented airgap.toml. With it `airgap export STREAM` and `airgap import PATH` need no options.

    Without options it asks, on a terminal.

    Example: airgap init --stream prod-site --list images.txt --key keys/airgap.key --bundles out

    Example: airgap init --to docker://registry.site:5000/mirror --policy policy.json
    """
    output = Output(out, "--out")
    _refuse_existing(output)
    answers = Answers(stream, lists or (), key or (), bundles, to, policy)
    if answers == Answers():
        answers = _ask()
    _check(answers)
    _refuse_existing(output)  # the answers took their time
    output.write(text_of(answers).encode())
    steps = [f"airgap export {answers.stream}"] * bool(answers.stream) + ["airgap import PATH"] * bool(answers.to)
    steps = [" or ".join(steps)] * bool(steps) + ["airgap config show"]
    lines = [] if taken(output) else [f"written      {out}: read it, and correct what does not fit"]
    lines.append(f"next         {'; '.join(steps)}")
    said.console(taken(output)).result({"config": out, "stream": answers.stream, "target": answers.to}, lines)


def _check(answers: Answers) -> None:
    if answers.stream:
        check_stream(answers.stream)
    elif answers.exports:
        raise UsageError("a stream's name is missing", where="--stream", expected="a name such as prod-site")
    if answers.to:
        parse_target(answers.to)
    if not answers.stream and not answers.to and not answers.policy:
        raise UsageError("nothing to write", expected="--stream NAME for an exporter, --to TARGET for a site, or both")


def _refuse_existing(output: Output) -> None:
    if output.exists:
        hint = "edit it, or choose another --out; a configuration is never overwritten"
        raise UsageError("a configuration already exists", where=printable(output.name), hint=hint)


def _ask() -> Answers:
    """The answers of whoever sits at the terminal; an empty one leaves a thing out. Raises ``UsageError``: there is no terminal."""
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot ask without a terminal", expected="--stream NAME, --to TARGET, or both", hint="see airgap init --help"
        )
    answers = Answers(stream=_answer("stream that is exported here, such as prod-site (empty: none)", check=check_stream))
    if answers.stream:
        lists = _answer("its image list", "images.txt")
        key = _answer("private key that signs it", "keys/airgap.key")
        answers = replace(answers, lists=[lists], key=[key], out=_answer("directory or disk for its bundles", "out"))
    to = _answer("target that this site imports to, such as docker://registry.site:5000/mirror (empty: none)", check=parse_target)
    return replace(answers, to=to, policy=_answer("the site's policy", "policy.json") if to else "")


def _answer(question: str, default: str = "", check: Callable[[str], object] | None = None) -> str:
    """Ask until the answer is empty or good."""
    while True:
        try:
            answer = str(typer.prompt(question, default=default, show_default=bool(default), err=True)).strip()
        except typer.Abort:
            raise Interrupted("a question was not answered", hint="start again, or give the answers as options") from None
        try:
            if answer and check is not None:
                check(answer)
        except UsageError as error:
            tell(str(error))
            continue
        return answer
