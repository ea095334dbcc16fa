"""What is asked of an export, in parts that belong together and are whole before it begins."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from airgap.cipher.sites import SiteKey
from airgap.delta.bases import Base, held_by
from airgap.exporter.fill import Filled
from airgap.exporter.gates import Gates
from airgap.exporter.roots import CarriedRoot
from airgap.format.times import format_time
from airgap.lists import Wish
from airgap.oci import strictjson
from airgap.oci.digest import Digest
from airgap.oci.stores import Source
from airgap.planning.attach import Attached, attach
from airgap.planning.lock import Lock
from airgap.planning.near import near_tags
from airgap.planning.plan import Made, Plan, check_sealable, lay_out
from airgap.planning.resolve import Lookaside, resolve
from airgap.planning.selecting import Tags, expand
from airgap.progress import Progress
from airgap.state import Remembered
from airgap.trust.judge.terms import ImageTerms
from airgap.trust.keys.signers import Signer


@dataclass(frozen=True)
class Label:
    """What the bundle is called, and its times.

    Without ``serial`` it is the stream's next, and without ``created`` (RFC 3339) it is made now, which is kept when an export is
    resumed. ``expires`` is RFC 3339, a period after ``created``, or None for never.
    """

    stream: str
    serial: int | None = None
    created: str | None = None
    expires: str | dt.timedelta | None = None

    def expiry(self, created: str) -> str | None:
        """When a bundle made at ``created`` expires."""
        if isinstance(self.expires, dt.timedelta):
            return format_time(dt.datetime.fromisoformat(created) + self.expires)
        return self.expires


@dataclass(frozen=True)
class Cargo:
    """What is carried: a lock, or what the list's entries and rules over tags stand for; with files that become referrers.

    It is read at ``source``; ``tags`` lists what the rules choose from, ``lookaside`` has GPG signatures beside the registries.
    ``left_out`` is what the list asks for besides, a sentence each; the lock remembers it.
    """

    wanted: Sequence[Wish] | Lock
    source: Source
    tags: Tags | None = None
    lookaside: Lookaside | None = None
    attached: Sequence[Attached] = ()
    left_out: tuple[str, ...] = ()

    def lock(self, progress: Progress, threads: int, created: str | None = None) -> Lock:
        """Pin every reference; ``created`` is for what is attached. Raises as ``expand``, ``resolve`` and ``attach``."""
        found = self.wanted
        if not isinstance(found, Lock):
            entries = expand(found, self.tags, progress)
            found = resolve(entries, self.source, progress, threads, self.lookaside, near_tags(self.tags))
            found = replace(found, remarks=(*self.left_out, *found.remarks))
        return attach(found, self.attached, created)


@dataclass(frozen=True)
class Packing:
    """How it is written.

    Attributes:
        volume_size: the most bytes a volume may have, or None for one volume.
        parity: how many parity files to make.
        patch: ``never``, ``auto`` (where a base has an earlier version) or ``always``.
        effort: how hard to try to make patches small: a key of ``patch.zstd.EFFORTS``.
        recipients: the sites that can read it; none: it is not encrypted.
    """

    volume_size: int | None = None
    parity: int = 0
    patch: str = "auto"
    effort: str = "default"
    recipients: Sequence[SiteKey] = ()


@dataclass(frozen=True)
class FarSide:
    """What the site has: ``bases`` tell.

    A merge has patches besides (``given``), of layers that its source does not have, and comes after the last of its bundles
    (``follows``), whether that was exported from here or not.
    """

    bases: Sequence[Base] = ()
    given: Mapping[Digest, Made] = field(default_factory=dict)
    follows: Remembered | None = None


@dataclass(frozen=True)
class Demands:
    """What images must pass: ``terms`` before anything of them is fetched, ``gates`` before the bundle is sealed."""

    terms: ImageTerms | None = None
    gates: Gates | None = None


class Crew(Protocol):
    """Other machines that fill volumes."""

    @property
    def is_away(self) -> bool:
        """Whether volumes do not come into the bundle's directory here, but go where the bundle will be."""

    def fill(self, plan: Plan, partial: Path, serial: int, progress: Progress) -> Filled:
        """Have every volume of the plan filled; ``partial`` is the unfinished bundle. Raises as ``exporter.fill.fill``."""


@dataclass(frozen=True)
class ExportRequest:
    """What the operator asked for.

    Attributes:
        out: the directory in which the bundle's directory is made.
        threads: how many blobs are fetched at a time.
        restart: discard an unfinished bundle instead of going on with it.
        wait: seconds to wait for another command that makes a bundle of the stream.
        again: make the bundle even if the stream's latest one lies in ``out`` and has just that content.
        crew: fills the volumes on other machines; None: this one does.
        taken: serials that bundles of the stream have in a place that is not on this machine.
        root: what is carried of a TUF repository. Its bytes change every day, so only whether there is one makes another request.
    """

    label: Label
    cargo: Cargo
    out: Path
    signers: Sequence[Signer]
    packing: Packing = Packing()
    far_side: FarSide = FarSide()
    demands: Demands = Demands()
    threads: int = 4
    restart: bool = False
    wait: float = 0.0
    again: bool = True
    root: CarriedRoot | None = None
    taken: frozenset[int] = frozenset()
    crew: Crew | None = None

    def lock(self, progress: Progress) -> Lock:
        """As ``Cargo.lock``."""
        return self.cargo.lock(progress, self.threads, self.label.created)

    def lay_out(self, lock: Lock, patches: Mapping[Digest, Made]) -> Plan:
        """The plan of the bundle. Raises as :func:`airgap.planning.plan.lay_out`."""
        known = self.far_side
        plan = lay_out(lock, self.packing.volume_size, held_by(known.bases), {**known.given, **patches}, self.packing.parity)
        if self.packing.recipients:
            check_sealable(plan)
        return plan

    @cached_property
    def inputs(self) -> str:
        """One digest over everything that decides the bytes of the bundle."""
        wanted, packing, known = self.cargo.wanted, self.packing, self.far_side
        # rules, not what they chose: newer tags must not stop a resume
        named = str(Digest.of(wanted.to_bytes())) if isinstance(wanted, Lock) else [wish.facts() for wish in wanted]
        facts: list[Any] = [named, self.label.created, str(self.label.expires), packing.volume_size]
        if known.bases or packing.patch == "always":
            facts += [[base.digest for base in known.bases], packing.patch, packing.effort]
        if self.cargo.attached:
            facts.append([one.facts() for one in self.cargo.attached])
        if known.given:
            facts.append([made.patch.blob for _, made in sorted(known.given.items())])
        if packing.recipients:
            facts.append({"recipients": sorted(site.key_id for site in packing.recipients)})
        if packing.parity:
            facts.append({"parity": packing.parity})
        if self.root:
            facts.append({"root": self.root.source})
        return hashlib.sha256(strictjson.canonical(facts)).hexdigest()

    @cached_property
    def asked(self) -> str:
        """One digest over the whole request: what decides the bytes, and what the images had to pass."""
        hooks = [str(hook) for hook in self.demands.gates.hooks] if self.demands.gates else []
        return hashlib.sha256(strictjson.canonical([self.inputs, hooks])).hexdigest()
