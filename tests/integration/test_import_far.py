"""An import into a registry that is far away: what is asked, how much of it at the same time, and names still last."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from airgap.format import frame
from airgap.layout import LayoutStore
from airgap.oci.manifest import Manifest
from tests.support import images
from tests.support.cli import here
from tests.support.dockerregistry import DockerRegistry
from tests.support.gateway import Gateway
from tests.support.hostile import Reply, Request
from tests.support.site import Site
from tests.support.tools import require
from tests.support.walk import walk

pytestmark = pytest.mark.slow("runs whole imports into a real registry")

COUNT = 12
BASE = images.layer("base", 100_000)
NAME = re.compile(r".*/manifests/v1")
TAG_OF_A_DIGEST = re.compile(r".*/manifests/sha256-[0-9a-f]{64}.*")


@dataclass(frozen=True)
class Stage:
    """A site, a bundle of images in repositories of their own that share a large layer, and a registry behind a gateway."""

    site: Site
    bundle: Path
    gateway: Gateway
    registry: DockerRegistry

    def take(self, *options: object) -> dict[str, object]:
        self.gateway.requests.clear()
        facts: dict[str, object] = self.site.import_(f"docker://{self.gateway.address}/far", self.bundle, options=options)
        return facts

    def asked(self, method: str, what: str = "") -> list[str]:
        return [
            one.target for one in self.gateway.requests if one.method == method and what in one.target and "lease" not in one.target
        ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Path]:
    require("docker-registry")
    work = tmp_path_factory.mktemp("far")
    site = Site.make(work / "site")
    with LayoutStore(work / "layout") as layout:
        for number in range(COUNT):
            built = images.multi_arch(number, [BASE])
            name = images.publish(layout, f"origin.example/app{number}:v1", built)
            signature = images.cosign_signature(images.simple_signing(name.repository, built.manifest.digest), "c2ln")
            images.publish_attachment(layout, name.repository, built.manifest.digest, ".sig", signature)
        layout.commit()
    return site, site.export(Path(f"oci:{work}/layout"), work / "usb")


@pytest.fixture
def stage(made: tuple[Site, Path], tmp_path: Path) -> Iterator[Stage]:
    site = Site(tmp_path / "site")
    for name in ("keys", "policy.json"):
        (site.root / name).parent.mkdir(parents=True, exist_ok=True)
        (site.root / name).symlink_to(made[0].root / name)
    with DockerRegistry(tmp_path / "registry") as registry, Gateway(registry.address) as gateway:
        yield Stage(site, made[1], gateway, registry)


@dataclass
class Crowd:
    """Counts the requests of a kind that are under way at the same time, and lets each wait until so many are."""

    kind: Callable[[Request], bool]
    wanted: int
    most: int = 0
    _now: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, request: Request) -> Reply | None:
        if not self.kind(request):
            return None
        with self._changed:
            self._now += 1
            self.most = max(self.most, self._now)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self.wanted, timeout=60)
        return None

    def leave(self, request: Request, reply: Reply) -> Reply:
        if self.kind(request):
            with self._changed:
                self._now -= 1
        return reply


def test_what_is_small_is_sent_unasked_into_a_repository_that_is_new_and_what_another_one_has_is_mounted(stage: Stage) -> None:
    facts = stage.take()
    assert facts["mounted_blobs"] == COUNT - 1, "the base, which was sent once"
    assert stage.asked("HEAD", "/blobs/") == stage.asked("HEAD", BASE.descriptor.digest)
    assert len(stage.asked("HEAD", "/blobs/")) == 1
    assert len(stage.asked("POST")) == len(stage.asked("PUT", "/uploads/")) + COUNT - 1
    assert stage.asked("DELETE", "/uploads/") == []
    heads = [target for target in stage.asked("HEAD") if TAG_OF_A_DIGEST.fullmatch(target)]
    assert len(heads) == len(set(heads)) == COUNT, "what is under a tag of signatures is asked before it is written, and not again"
    assert len(walk(stage.registry.address).tags) == 2 * COUNT


def test_no_name_is_set_before_everything_else_is_there(stage: Stage) -> None:
    stage.take()
    writes = [one.target for one in stage.gateway.requests if one.method in ("PUT", "POST") and "lease" not in one.target]
    names = [NAME.fullmatch(target) is not None for target in writes]
    assert names == [False] * (len(writes) - COUNT) + [True] * COUNT
    signatures = [number for number, target in enumerate(writes) if TAG_OF_A_DIGEST.fullmatch(target)]
    assert len(signatures) == COUNT
    assert min(signatures) > max(
        number for number, target in enumerate(writes) if "/manifests/sha256:" in target or "/blobs/" in target
    )


@pytest.mark.parametrize(
    "kind",
    [
        lambda request: request.method == "PUT" and "/uploads/" in request.target,
        lambda request: request.method == "PUT" and "/manifests/sha256:" in request.target,
        lambda request: request.method == "PUT" and TAG_OF_A_DIGEST.fullmatch(request.target),
        lambda request: request.method == "PUT" and NAME.fullmatch(request.target),
    ],
    ids=["blobs", "manifests", "signatures", "names"],
)
def test_many_are_under_way_at_the_same_time(stage: Stage, kind: Callable[[Request], bool]) -> None:
    crowd = Crowd(kind, 10)
    stage.gateway.before, stage.gateway.tamper = crowd, crowd.leave
    stage.take("--threads", 1)
    assert crowd.most >= 10


def test_no_more_are_under_way_than_the_operator_allows(stage: Stage) -> None:
    crowd = Crowd(lambda request: "lease" not in request.target, 2)
    stage.gateway.before, stage.gateway.tamper = crowd, crowd.leave
    stage.take("--per-host", 2)
    assert crowd.most == 2


def test_what_an_interrupted_import_has_sent_is_asked_for_and_not_sent_again(stage: Stage) -> None:
    refused = Reply(400, b'{"errors":[{"code":"MANIFEST_INVALID"}]}')
    stage.gateway.before = lambda request: (
        refused if request.method == "PUT" and "/app3/manifests/sha256:" in request.target else None
    )
    failed = stage.site.run(
        "import", stage.bundle, "--to", f"docker://{stage.gateway.address}/far", "--policy", stage.site.policy,
        state="site-state", check=False,
    )  # fmt: skip
    assert failed.returncode == 5
    assert not [target for target in stage.asked("PUT", "/manifests/") if "/manifests/sha256:" not in target], "no name at all"
    stage.gateway.before = lambda _: None
    facts = stage.take()
    assert (facts["sent_blobs"], facts["mounted_blobs"]) == (0, COUNT - 1)
    assert stage.asked("PUT", "/uploads/") == []
    again = stage.take()
    assert again["already_there"]


@pytest.mark.parametrize("command", ["verify", "import"])
def test_a_manifest_is_parsed_once_and_the_frame_is_walked_once(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    parsed, headers = Counter[str](), Counter[str]()
    parse, header = Manifest.parse.__func__, frame._header  # type: ignore[attr-defined]

    def parsing(cls: type[Manifest], raw: bytes, media_type: str, where: str, algorithm: str = "sha256") -> Manifest:
        parsed[where] += 1
        found: Manifest = parse(cls, raw, media_type, where, algorithm)
        return found

    def heading(member: frame.Member) -> bytes:
        headers[member.name] += 1
        return header(member)

    monkeypatch.setattr(Manifest, "parse", classmethod(parsing))
    monkeypatch.setattr(frame, "_header", heading)
    target = ("--to", f"docker://{stage.registry.address}/far") if command == "import" else ()
    done = here(command, stage.bundle, *target, "--policy", stage.site.policy, "--state", tmp_path / "state")
    assert done.returncode == 0, done.stderr
    read = {where: count for where, count in parsed.items() if where.startswith(f"{stage.bundle.name}: manifest")}
    assert len(read) == 5 * COUNT, "an index, three images, a signature"
    assert set(read.values()) == {1}
    assert len(headers) == 2 + len(json.loads((stage.bundle / "catalog.json").read_bytes())["blobs"])
    assert set(headers.values()) == {1}
