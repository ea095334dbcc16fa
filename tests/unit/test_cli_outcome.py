"""The lines about accepted images: every instance's platform is in them."""

from __future__ import annotations

from airgap.cli.terminal.outcome import judgement_lines
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference
from airgap.trust.judge.decisions import Decision
from airgap.trust.judge.images import ImageVerdict
from airgap.trust.judge.judging import Judgement

WEB = Reference.parse("quay.io/shop/web:1")


def judged(platform: str, reason: str) -> Judgement:
    verdict = ImageVerdict(WEB, "quay.io/shop", (Decision("signedBy", accepted=True, reason=reason),))
    return Judgement(WEB, Digest.of(platform.encode()), platform, verdict)


ALL = [judged("linux/amd64", "good"), judged("linux/arm64/v8", "good"), judged("linux/s390x", "by another"), judged("", "good")]


def test_one_line_for_an_image_and_reason_names_every_platform_or_the_digest_of_an_instance_without_one() -> None:
    assert judgement_lines(ALL, verbose=False) == [
        f"accepted     quay.io/shop/web:1 (linux/amd64, linux/arm64/v8, {Digest.of(b'').short}): good (quay.io/shop)",
        "accepted     quay.io/shop/web:1 (linux/s390x): by another (quay.io/shop)",
        "accepted     1 image by their signatures",
    ]


def test_verbose_has_a_line_for_each_instance_with_its_digest_and_platform() -> None:
    lines = judgement_lines(ALL, verbose=True)
    assert len(lines) == len(ALL)
    assert lines[0] == f"accepted     quay.io/shop/web:1 {Digest.of(b'linux/amd64').short} (linux/amd64): good (quay.io/shop)"
    assert "(no platform stated)" in lines[3]
