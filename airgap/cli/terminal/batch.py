"""Do the same with each of several bundles: one that fails does not stop all others, and one document lists them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import typer

from airgap.bundle import presence
from airgap.bundle.several import OnMedia
from airgap.cli.terminal.console import Console, command_name, report_error
from airgap.errors import AirgapError, disk_error, exit_code
from airgap.text import plural

#: The result of one bundle: facts for ``--json``, lines for people.
Told = tuple[dict[str, Any], list[str]]


@dataclass(frozen=True)
class PassedOver:
    """A bundle that needs nothing to be done, and why."""

    why: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Batch:
    """The outcomes of one command.

    Args:
        console: where they are printed.
        done: what was done with a bundle, in one word: ``imported``.
        in_order: whether a failure stops the bundles of its stream that follow.
        name: of the result of one bundle, if it is not the command's.
    """

    console: Console
    done: str
    in_order: bool = False
    name: str = ""
    _told: list[Told] = field(default_factory=list)
    _codes: list[int] = field(default_factory=list)
    _counts: dict[str, int] = field(default_factory=dict)

    def run(self, bundles: Sequence[OnMedia], work: Callable[[OnMedia], Told | PassedOver]) -> None:
        """Go through the bundles, print the result, and end with the exit code of the first failure.

        Raises:
            typer.Exit: one failed.
            Interrupted: the user stopped it; what was done stays.
        """
        stopped: dict[str, str] = {}
        for bundle in bundles:
            if self.in_order and bundle.stream in stopped:
                self._not_tried(bundle, stopped[bundle.stream])
                continue
            try:
                with presence.attending():
                    found = work(bundle)
            except AirgapError as error:
                self._failed(bundle, error)
            except OSError as error:
                self._failed(bundle, disk_error(error, "system error", str(error.filename or "")))
            else:
                self._ended(bundle, found)
                continue
            if bundle.stream:
                stopped[bundle.stream] = bundle.name
        self._print(len(bundles))

    def _ended(self, bundle: OnMedia, found: Told | PassedOver) -> None:
        if isinstance(found, PassedOver):
            self._tell(bundle, "passed over", {**found.facts, "reason": found.why}, [f"passed over  {bundle.name}: {found.why}"])
        else:
            self._codes += [code for code in [found[0].get("exit_code", 0)] if code]
            self._tell(bundle, "already there" if found[0].get("already_there") else self.done, *found)

    def _failed(self, bundle: OnMedia, error: AirgapError) -> None:
        error.what = _of(bundle, error.what)
        self._codes.append(report_error(error, as_json=False))
        self._tell(bundle, "failed", {**error.facts(), "exit_code": exit_code(error)}, [f"FAILED       {_of(bundle, error.what)}"])

    def _not_tried(self, bundle: OnMedia, first: str) -> None:
        facts = {"waits_for": first}
        self._tell(bundle, "not tried", facts, [f"not tried    {bundle.name}: {first} comes first and has failed"])

    def _tell(self, bundle: OnMedia, outcome: str, facts: dict[str, Any], lines: list[str]) -> None:
        self._counts[outcome] = self._counts.get(outcome, 0) + 1
        name = bundle.outline.name if bundle.outline else ""
        head = {"bundle": name, "catalog": str(bundle.digest), "directories": [str(path) for path in bundle.directories]}
        self._told.append(({**head, **facts, "outcome": outcome}, lines))

    def _print(self, count: int) -> None:
        code = next(iter(self._codes), 0)
        counts = ", ".join(f"{number} {outcome}" for outcome, number in self._counts.items())
        lines = [line for _, own in self._told for line in [*own, ""]]
        self.console.result(
            {"bundles": [facts for facts, _ in self._told], "exit_code": code},
            [*lines, f"result       {plural(count, 'bundle')}: {counts}"],
            f"{self.name or command_name()}-bundles",
        )
        if code:
            raise typer.Exit(code)


def _of(bundle: OnMedia, what: str) -> str:
    return what if bundle.name in what else f"{bundle.name}: {what}"
