"""Rules that rename images, read from a file: text with one rule per line, or YAML. The importer applies them.

# text                                   # YAML
image=docker.io/library/nginx:1=web:1    - image: docker.io/library/nginx:1
                                           to: web:1
strip-host                               - strip-host
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from airgap.errors import UsageError
from airgap.lists.expressions import compiled, engine
from airgap.lists.mistakes import Mistakes, Spot
from airgap.lists.tags import MAX_PATTERN, Pattern
from airgap.lists.yamltree import ListReader, compose, spot_of
from airgap.text import printable
from airgap.yamlnodes.nodes import Fields, Node

# The library would take the rest for escapes of Python's, also those that Python knows no more.
_OTHER_ESCAPE = re.compile(r"\\(?![1-9]|g<)")
_KINDS = ("image", "prefix", "regex")
_YAML = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Substitution:
    """An RE2 expression that must match a whole name, and what the name becomes: ``\\1`` and ``\\g<name>`` stand for groups."""

    pattern: str
    template: str

    @classmethod
    def parse(cls, pattern: str, template: str) -> Substitution:
        """Check both.

        Raises:
            UsageError: not a regular expression, or a replacement that names a group which it does not have.
        """
        Pattern.parse(pattern)
        if not template.isprintable() or _OTHER_ESCAPE.search(template):
            expected = "\\1 to \\9 or \\g<name>, and name characters"
            raise UsageError("not a valid replacement", expected=expected, got=printable(template, 100))
        if len(template) > MAX_PATTERN:
            raise UsageError("the replacement is too long", expected=f"at most {MAX_PATTERN} characters")
        made = cls(pattern, template)
        try:
            compiled(rf"(?:{pattern})?(?s:.*)").fullmatch("").expand(template)
        except (IndexError, KeyError, ValueError, engine().error) as error:
            reason = printable(str(error), 100)
            raise UsageError("the replacement does not fit its expression", expected="\\1 to \\9 or \\g<name> of a group in it",
                             got=f"{printable(template, 100)}: {reason}") from None  # fmt: skip
        return made

    def apply(self, name: str) -> str | None:
        """What a name becomes; None when it does not match."""
        match = compiled(self.pattern).fullmatch(name)
        return None if match is None else str(match.expand(self.template))


def read_rules(raw: bytes, name: str) -> list[tuple[str, str]]:
    """The rules of a file, each as it would stand on the command line and with its ``file:line``.

    Args:
        name: the file's; ``.yaml``, ``.yml`` and ``.json`` tell that it is YAML.

    Raises:
        UsageError: not UTF-8, or not YAML of the kind above.
    """
    mistakes = Mistakes(name)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("not a file of mapping rules: it is not UTF-8 text", where=printable(name)) from error
    if not name.lower().endswith(_YAML):
        lines = ((number, line.partition(" #")[0].strip()) for number, line in enumerate(text.splitlines(), 1))
        return [(line, mistakes.origin(Spot(number, 1))) for number, line in lines if line and not line.startswith("#")]
    reader = ListReader(mistakes)
    rules = [rule for document in compose(text, mistakes) for rule in _document(document, reader)]
    mistakes.raise_any()
    return rules


def _document(node: Node, reader: ListReader) -> list[tuple[str, str]]:
    """A list of rules, or ``rules:`` and such a list."""
    if isinstance(node, Fields):
        fields = reader.fields(node, "the file", ("rules",))
        if "rules" not in fields:
            reader.wrong(node, "the file has no rules", "rules: and a list")
            return []
        node = fields["rules"]
    found = ((_rule(item, reader), item) for item in reader.items(node, "rules"))
    return [(rule, reader.mistakes.origin(spot_of(item))) for rule, item in found if rule is not None]


def _rule(node: Node, reader: ListReader) -> str | None:
    if not isinstance(node, Fields):
        return reader.text(node, "a rule, such as strip-host or prefix=docker.io/library=base")
    fields = reader.fields(node, "a rule", (*_KINDS, "to"))
    kinds = [kind for kind in _KINDS if kind in fields]
    if len(kinds) != 1 or "to" not in fields:
        reader.wrong(node, "not a valid rule", f"one of {', '.join(_KINDS)}, and to:", got=", ".join(fields))
        return None
    source, to = reader.text(fields[kinds[0]], "a name"), reader.text(fields["to"], "a name")
    return None if source is None or to is None else f"{kinds[0]}={source}={to}"
