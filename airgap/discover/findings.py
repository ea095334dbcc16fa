"""What is found, and how sure it is: an image, something that could not be resolved, or a note. Nothing is dropped in silence."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from airgap.discover.variables import expand
from airgap.discover.written import LOCAL, full_references, looks_like_image
from airgap.errors import UsageError
from airgap.oci.reference import Reference
from airgap.text import printable

#: No search may find more, counted with every place something is found in.
MAX_FINDINGS = 200_000
TEMPLATE_HINT = "render it first: helm template RELEASE CHART | airgap discover -"

# Words that stand where an image belongs, but that something fills in later.
_FILLED_IN = {"auto": "Istio inserts its proxy image here: add the one of the Istio release"}
_LOCALLY_BUILT = "an image built on the machine itself and not in a registry"
_LOCAL_SOURCE = re.compile(r"(?:oci-archive|docker-archive|containers-storage|docker-daemon|ostree|sif):|(?:oci|dir):[/.]")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where something was found: the file as the user knows it, the line from 1, and the file that was rendered into it."""

    file: str
    line: int
    inside: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.inside})" if self.inside else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Find:
    """An image at one place.

    Attributes:
        sure: an image for certain; else something that looks like one.
        written: as the file has it, before anything was expanded.
        remark: what a person should know about it.
    """

    reference: Reference
    place: Position
    sure: bool
    written: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to tell about one place. ``got`` is what the file says there, made printable."""

    place: Position
    what: str
    got: str = ""
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.what}" + (f": {self.got}" if self.got else "")


@dataclass(frozen=True, slots=True)
class Override:
    """What a kustomization puts in place of images of the name ``old``; with an empty ``version`` they keep their tag."""

    old: str
    new: str
    version: str
    place: Position


@dataclass
class Findings:
    """Everything one search found.

    Attributes:
        images: in the order of their discovery.
        unresolved: what may hide an image that is in no list now; also files that could not be read.
        notes: what is good to know.
        overrides: of all kustomizations.
        passed_over: the files that were not looked into, or not whole, by the reason.
        spotted: full references wherever they stand, and
        open: what is written like one but for a variable or a mistake in it; both only count where no reader says more:
        explained: which of these a reader resolved, told or put aside, by file, line and text.
    """

    images: list[Find] = field(default_factory=list)
    unresolved: list[Remark] = field(default_factory=list)
    notes: list[Remark] = field(default_factory=list)
    overrides: list[Override] = field(default_factory=list)
    passed_over: dict[str, list[str]] = field(default_factory=dict)
    spotted: list[Find] = field(default_factory=list)
    open: list[Remark] = field(default_factory=list)
    explained: set[tuple[str, int, str]] = field(default_factory=set)

    def pass_over(self, file: str, why: str) -> None:
        """Remember a file that nobody looks into, so that the result can say so."""
        self.passed_over.setdefault(why, []).append(file)

    def check_size(self, more: int = 0) -> None:
        """Raise ``UsageError`` when more was found than anybody can mean."""
        found = (
            more
            + len(self.images)
            + len(self.overrides)
            + len(self.unresolved)
            + len(self.notes)
            + len(self.spotted)
            + len(self.open)
        )
        if found > MAX_FINDINGS:
            raise UsageError("too many findings", expected=f"at most {MAX_FINDINGS} places", hint="name fewer directories")


class Sheet:
    """What one file is found to hold.

    Args:
        file: its name as the user knows it.
        findings: where everything goes.
        sure: whether an image in it counts as one; else as a possible one only.
        inside: the file that was rendered into this part of it, such as a chart's template.
    """

    def __init__(self, file: str, findings: Findings, *, sure: bool = True, inside: str = "") -> None:
        self.file = file
        self.sure = sure
        self.inside = inside
        self.findings = findings
        self.followed: list[tuple[str, int]] = []

    def part(self, *, sure: bool = True, inside: str = "") -> Sheet:
        """The same file, for a part of it."""
        other = Sheet(self.file, self.findings, sure=self.sure and sure, inside=inside or self.inside)
        other.followed = self.followed
        return other

    def image(self, text: str, line: int, *, sure: bool = True, remark: str = "", written: str = "") -> None:
        """Note what stands where an image belongs; what is not one is unresolved, or dropped when it was only possible.

        Args:
            text: what the file says, or what became of it.
            sure: the place holds images and nothing else, so what stands there is one as far as this part of the file counts.
            written: what the file says, where ``text`` is not that.
        """
        written = written or text
        if "$" in written or "{{" in written:
            self.explain(written, line)
        text = text.strip().removeprefix("docker://")
        if not sure:
            self._possible(text, line, remark, written)
            return
        expanded = expand(text, {})
        if not self._explained(text, line, written, expanded.missing):
            reference = self._reference(expanded.text, line, written)
            if reference is not None:
                default = f"{expanded.defaults[0]} has its default value" if expanded.defaults else ""
                self._found(reference, line, self.sure, written, remark or default)

    def unresolved(self, line: int, what: str, got: str = "", hint: str = "") -> None:
        """Note something that may hide an image; ``got`` may be hostile."""
        self.findings.unresolved.append(Remark(self.place(line), what, printable(got, 200), hint))
        self.findings.check_size()

    def spot(self, reference: str, line: int) -> None:
        """Note a full reference that stands anywhere; it is possible, unless a reader says what it is."""
        if reference.startswith(LOCAL):
            self.note(line, _LOCALLY_BUILT, reference)
        else:
            self.findings.spotted.append(Find(Reference.parse(reference), self.place(line), False, reference))
            self.findings.check_size()

    def open(self, line: int, what: str, got: str) -> None:
        """Note what is written like a reference but for something in it; unresolved, unless a reader says what it becomes."""
        hint = "if it is an image, add its final name to the list"
        self.findings.open.append(Remark(self.place(line), what, printable(got, 200), hint))
        self.findings.check_size()

    def explain(self, written: str, line: int) -> None:
        """Say that what a text is written like is resolved or told, or that it is not used."""
        texts = (written, *(part.text for part in full_references(written)))
        self.findings.explained.update((self.file, line, printable(text, 200)) for text in texts)

    def note(self, line: int, what: str, got: str = "") -> None:
        """Note something that is good to know; ``got`` may be hostile."""
        self.findings.notes.append(Remark(self.place(line), what, printable(got, 200)))
        self.findings.check_size()

    def override(self, old: str, new: str, version: str, line: int) -> None:
        """Note what a kustomization puts in place of an image."""
        self.findings.overrides.append(Override(old, new, version, self.place(line)))
        self.findings.check_size()

    def follow(self, path: str, line: int) -> None:
        """Ask for another file, named relative to this one, to be looked through too."""
        self.followed.append((path, line))

    def place(self, line: int) -> Position:
        """That line of the file."""
        return Position(self.file, line, self.inside)

    def _explained(self, text: str, line: int, written: str, missing: tuple[str, ...]) -> bool:
        """Whether the text is something else than a reference, and that has been noted."""
        if not text:
            self.unresolved(line, "an empty image reference", hint="it is filled in later: add the final image to the list")
        elif text in _FILLED_IN:
            self.unresolved(line, "an image that is filled in later", written, _FILLED_IN[text])
        elif "{{" in text:
            self.unresolved(line, "an image generated by a template", written, TEMPLATE_HINT)
        elif missing:
            names = ", ".join(printable(name, 60) for name in missing[:3])
            self.unresolved(line, f"no value for {names}", written, "give it a value or a default, or add the image to the list")
        elif _LOCAL_SOURCE.match(text):
            self.unresolved(
                line, "an image of this machine, not in a registry", written, "give it to airgap resolve as a separate source"
            )
        elif text.startswith(LOCAL):
            self.note(line, _LOCALLY_BUILT, written)
        else:
            return False
        return True

    def _reference(self, text: str, line: int, written: str) -> Reference | None:
        try:
            return Reference.parse(text)
        except UsageError as error:
            self.unresolved(line, error.what, written, "correct it, or add the image to the list")
            return None

    def _possible(self, text: str, line: int, remark: str, written: str) -> None:
        if text.startswith(LOCAL) and looks_like_image(text.removeprefix(LOCAL)):
            self.note(line, _LOCALLY_BUILT, written)
        elif looks_like_image(text):
            self._found(Reference.parse(text), line, False, written, remark)

    def _found(self, reference: Reference, line: int, sure: bool, written: str, remark: str) -> None:
        self.findings.images.append(Find(reference, self.place(line), sure, written, remark))
        self.findings.check_size()
