"""Bundles with entries of Rekor 2, which knows no time: the facts that sigstore-conformance checks, each as a bundle of our own."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from tests.support.sigstoreinstance.case import STATEMENT, Case, Fixture, World
from tests.support.sigstoreinstance.firstcases import LATER, message, statement
from tests.support.sigstoreinstance.instance import WHEN
from tests.support.sigstoreinstance.parts import Pair, Signed, Signer, stamp
from tests.support.sigstoreinstance.tsa import Tsa

_WITNESS = ("witness.example/w1", b"\x01\x02\x03\x04" + b"a timestamped cosignature".ljust(72, b"."))
_SECOND = ("witness.example/w2", b"\x05\x06\x07\x08" + b"another cosignature".ljust(72, b"."))
_NO_TIME = "no time is proved"


def second(world: World, **how: Any) -> Fixture:
    """A good bundle over the artifact."""
    return message(world, log=2, **how)


def checkpoints() -> Iterator[Case]:
    """What a checkpoint may look like."""

    def signed(world: World, *others: tuple[str, bytes], **changes: Any) -> Fixture:
        fixture = second(world)
        root = base64.b64decode(fixture.proof["rootHash"])
        return fixture.put(world.instance.rekor2.checkpoint(6, root, *others, **changes))

    def own(_world: World) -> tuple[str, bytes]:
        """A signature under the log's name by a key that nobody has told us."""
        return "log2026.rekor.test", b"\x09\x09\x09\x09" + Pair.make().sign(b"x")

    yield Case("Rekor 2", second)
    yield Case("Rekor 2: a checkpoint with a witness", lambda world: signed(world, _WITNESS))
    yield Case("Rekor 2: a checkpoint with two witnesses", lambda world: signed(world, _WITNESS, _SECOND))
    yield Case("Rekor 2: a checkpoint with the witness first", lambda world: signed(world, _WITNESS, before=True))
    yield Case("Rekor 2: a checkpoint with a second key of the log", lambda world: signed(world, own(world)))
    yield Case("Rekor 2: a checkpoint with both", lambda world: signed(world, own(world), _WITNESS))
    yield Case(
        "Rekor 2: a checkpoint under another name",
        lambda world: signed(world, name="log2026.rekor.example"),
        "under the name of another log",
    )

    def without(world: World, line: int) -> Fixture:
        """One line of the text is left out, and the rest signed as it is then."""
        fixture = second(world)
        lines = fixture.proof["checkpoint"]["envelope"].partition("\n\n")[0].split("\n")
        del lines[line]
        return fixture.put(world.instance.rekor2.checkpoint(6, b"", text="\n".join(lines) + "\n"))

    for line, what in enumerate(("name", "size", "root")):
        yield Case(
            f"Rekor 2: a checkpoint without its {what}",
            lambda world, line=line: without(world, line),  # type: ignore[misc]
            "does not begin with the log's name, size and root",
        )

    def unsigned(world: World) -> Fixture:
        fixture = second(world)
        return fixture.put(fixture.proof["checkpoint"]["envelope"].partition("\n\n")[0] + "\n\n")

    yield Case("Rekor 2: a checkpoint that nobody has signed", unsigned, "not a signed note")


def entries() -> Iterator[Case]:
    """Whether content and entry belong together."""

    def no_proof(world: World) -> Fixture:
        fixture = second(world)
        del fixture.entry["inclusionProof"]
        return fixture

    yield Case("Rekor 2: no inclusion proof", no_proof, "no inclusion proof")
    yield Case("Rekor 2: a statement", lambda world: statement(world, log=2))

    def other(world: World, signed: Signed) -> Fixture:
        fixture = statement(world, log=2)
        assert isinstance(fixture.bundle, dict)
        fixture.bundle |= signed.content
        return fixture.stamp(world.instance.tsa.reply(signed.signature, WHEN))

    yield Case(
        "Rekor 2: an envelope signed by another key",
        lambda world: other(world, Signed.statement(Signer(Pair.make(), world.signer.chain), STATEMENT)),
        "not made by the key of this certificate",
    )
    yield Case(
        "Rekor 2: another envelope than the logged one",
        lambda world: other(world, Signed.statement(world.signer, STATEMENT + b" ")),
        "for another payload",
    )
    yield Case(
        "Rekor 2: another signature of the logged envelope",
        lambda world: other(world, Signed.statement(world.signer, STATEMENT)),
        "for another signature",
    )


def times() -> Iterator[Case]:
    """Whether a time is proved."""

    def stamped(world: World, tsa: Tsa, signature: bytes = b"", *, embed: bool = True, late: timedelta = timedelta()) -> Fixture:
        reply = tsa.reply(signature or world.message.signature, WHEN + late, embed=embed)
        return second(world).stamp(reply)

    def with_brief(world: World, late: timedelta = timedelta()) -> Fixture:
        fixture = stamped(world, world.brief, late=late)
        fixture.root["timestampAuthorities"].append(world.brief.entry())
        return fixture

    def until(world: World, end: timedelta) -> Fixture:
        fixture = second(world)
        fixture.root["timestampAuthorities"][0]["validFor"]["end"] = stamp(WHEN + end)
        return fixture

    yield Case("Rekor 2: no timestamp", lambda world: second(world, stamped=False), _NO_TIME)
    yield Case("Rekor 2: a timestamp with its certificate", second)
    yield Case("Rekor 2: a timestamp without its certificate", lambda world: second(world, embed=False))
    yield Case("Rekor 2: a timestamp of other bytes", lambda world: stamped(world, world.instance.tsa, b"other bytes"), _NO_TIME)
    yield Case("Rekor 2: a timestamp by another authority", lambda world: stamped(world, world.other.tsa), _NO_TIME)
    yield Case(
        "Rekor 2: the same without its certificate",
        lambda world: stamped(world, world.other.tsa, embed=False),
        _NO_TIME,
    )
    yield Case("Rekor 2: a timestamp whose certificate has ended since", with_brief)
    yield Case(
        "Rekor 2: a timestamp from after the end of its certificate",
        lambda world: with_brief(world, timedelta(minutes=11)),
        _NO_TIME,
    )
    yield Case(
        "Rekor 2: a timestamp from after the certificate's end",
        lambda world: stamped(world, world.instance.tsa, late=LATER - WHEN),
        "not valid at that time",
    )
    yield Case("Rekor 2: a timestamp by an authority not in use any more", lambda world: until(world, timedelta(days=-1)), _NO_TIME)
    yield Case("Rekor 2: a timestamp by an authority in use for the last time", lambda world: until(world, timedelta()))
