"""Errors of several lines as one line: a command in them can still be told from the sentence around it."""

from __future__ import annotations

from airgap.errors import AirgapError, one_line


def test_a_command_on_a_line_of_its_own_ends_with_a_semicolon_unless_it_ends_the_text() -> None:
    assert one_line("rebuild it:\n  airgap media repair 'a  disk' --out x\nthen name x") == (
        "rebuild it: airgap media repair 'a  disk' --out x; then name x"
    )
    assert one_line("ask for it:\n  airgap media repair a") == "ask for it: airgap media repair a"
    assert str(AirgapError("bad", got="\n  one\n  two", hint="do")) == "bad; got: one two; next: do"
