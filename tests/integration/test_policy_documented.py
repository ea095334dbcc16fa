"""The policies of docs/policy.md: the commands write them, ``policy check`` finds nothing, and real imports go as the text says."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airgap.exporter.seal import write_signatures as sign_bundle
from airgap.format import names
from airgap.lookaside import LookasideConfig, LookasideReader, write_signatures
from airgap.oci.image import digest_tag
from airgap.oci.reference import Reference
from airgap.trust.keys.gpg import GpgSigner
from airgap.trust.keys.signers import Signer
from tests.support import images
from tests.support.bundles import Sender
from tests.support.cli import REFUSED, failed, here
from tests.support.origin import Origin
from tests.support.signing import Key, cosign_payload, payload
from tests.support.trustkit import GpgHome, gpg_home

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs/policy.md").read_text(encoding="utf-8")
SECTION = DOCUMENT.partition("## Three policies\n")[2].partition("\n## ")[0]
POLICIES = re.findall(r"```\n(.*?)```\n```json\n(.*?)```\n", SECTION, re.DOTALL)
WHERE = "/etc/airgap"
NGINX, APP, OTHER = "docker.io/library/nginx:1", "quay.io/team/app:1", "docker.io/library/unsigned:1"


@dataclass
class World:
    """Keys of everybody in the text, images that the vendors have signed, and one that nobody has."""

    root: Path
    home: GpgHome
    origin: Origin = field(default_factory=Origin)
    signers: dict[str, Signer] = field(default_factory=dict)
    serial: int = 0

    @property
    def keys(self) -> Path:
        """What stands for the directory in the text."""
        return self.root / "etc"

    def written(self, commands: str, *options: str) -> Path:
        """The policy that the commands of the text write, or with more options."""
        path = self.root / f"policy-{len(list(self.root.iterdir()))}.json"
        for line in commands.splitlines():
            words = line.replace(WHERE, str(self.keys)).replace("policy.json", str(path)).split()
            done = here(*words[1:], *options)
            assert done.returncode == 0, done.stderr
        return path

    def bundle(self, stream: str, references: tuple[str, ...], *signers: str) -> Path:
        """A bundle of a stream, signed by these."""
        self.serial += 1
        config = self.root / "registries.d"
        config.mkdir(exist_ok=True)
        (config / "quay.yaml").write_text(f"docker:\n  quay.io:\n    lookaside: {(self.root / 'signatures').as_uri()}\n")
        options: dict[str, Any] = {"stream": stream, "serial": self.serial, "signed": False}
        wanted = [Reference.parse(reference) for reference in references]
        lookaside = LookasideReader(LookasideConfig.load([config]), _nothing)
        sender = Sender.make(self.root / "operator")
        bundle = sender.bundle(self.origin, wanted, self.root / "usb", lookaside=lookaside, **options)
        self.sign(bundle, *signers)
        return bundle

    def sign(self, bundle: Path, *signers: str) -> None:
        raw = (bundle / names.CATALOG).read_bytes()
        sign_bundle(bundle, raw, [self.signers[name] for name in signers])

    def load(self, bundle: Path, policy: Path, *options: str) -> Any:
        """Import into a store and a state of its own."""
        place = self.root / f"store-{len(list(self.root.iterdir()))}"
        return here("import", bundle, "--to", f"oci:{place}", "--state", f"{place}-state", "--policy", policy, *options)


def _nothing(url: str, limit: int) -> bytes | None:
    raise AssertionError(f"not a file: {url}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with gpg_home() as home, pytest.MonkeyPatch.context() as environment:
        environment.setenv("GNUPGHOME", str(home.path))
        made = World(tmp_path_factory.mktemp("documented"), home)
        made.keys.mkdir()
        hub = Key()
        (made.keys / "hub.pub").write_bytes(hub.pem)
        for name in ("airgap", "alice", "bob"):
            key = Key()
            made.signers[name] = key.signer
            (made.keys / f"{name}.pub").write_bytes(key.pem)
        for name in ("team", "build-1", "build-2"):
            fingerprint = home.new_key(name)
            made.signers[name] = GpgSigner.find(fingerprint)
            (made.keys / f"{name}.asc").write_bytes(home.export(fingerprint))
        for name in (NGINX, APP, OTHER):
            built = images.image([images.layer(name)])
            made.origin.push(name, built)
            if name == NGINX:
                data = cosign_payload(built.manifest.raw, "index.docker.io/library/nginx")  # as cosign writes it, without a tag
                signature = images.cosign_signature(data, base64.b64encode(hub.sign(data)).decode())
                made.origin.push(f"docker.io/library/nginx:{digest_tag(built.digest, '.sig')}", signature)
            if name == APP:
                message = home.message(made.signers["team"].fingerprint, payload(built.manifest.raw, APP))  # type: ignore[attr-defined]
                write_signatures(made.root / "signatures", "team/app", built.digest, [message])
        yield made


@pytest.mark.parametrize("number", range(3))
def test_the_commands_write_what_the_text_shows_and_check_finds_nothing(world: World, number: int) -> None:
    assert len(POLICIES) == 3
    commands, shown = POLICIES[number]
    path = world.written(commands, "--by-path")
    assert path.read_text() == shown.replace(WHERE, str(world.keys))
    for one in (path, world.written(commands)):
        done = here("policy", "check", one)
        assert done.returncode == 0
        assert done.stdout.endswith("The policy is valid.\n"), done.stdout


def test_who_signs_bundles_is_trusted_with_their_images_and_that_is_one_line(world: World) -> None:
    policy = world.written(POLICIES[0][0])
    bundle = world.bundle("prod", (NGINX, APP, OTHER), "airgap")
    done = world.load(bundle, policy)
    assert done.returncode == 0, done.stderr
    accepted = [line for line in done.stdout.splitlines() if line.startswith("accepted")]
    assert accepted == ["accepted     on the bundle's signature; no image signatures required"]
    verified = here("verify", bundle, "--policy", policy, "-v").stdout.splitlines()
    assert len([line for line in verified if line.startswith("accepted") and "the policy accepts anything here" in line]) == 3
    failed(
        world.load(world.bundle("prod", (NGINX,), "alice"), policy),
        REFUSED,
        "no accepted key made it: the file is named after another key",
    )


def test_vendors_must_have_signed_and_nobody_else_gets_in(world: World) -> None:
    policy = world.written(POLICIES[1][0])
    done = world.load(world.bundle("prod", (NGINX, APP), "airgap"), policy)
    assert done.returncode == 0, done.stderr
    assert "no image signatures required" not in done.stdout
    assert re.search(rf"accepted     {NGINX} \(.+\): cosign signature 1", done.stdout)
    assert re.search(rf"accepted     {APP} \(.+\): GPG signature", done.stdout)
    failed(world.load(world.bundle("prod", (NGINX, OTHER), "airgap"), policy), REFUSED, OTHER, "no sigstore signature exists")
    failed(world.load(world.bundle("prod", (NGINX,), "alice"), policy), REFUSED)
    mixed = here("policy", "add", policy, "--image", f"{OTHER.rpartition(':')[0]}=accept")
    assert mixed.returncode == 0, mixed.stderr
    done = world.load(world.bundle("prod", (NGINX, OTHER), "airgap"), policy)
    assert "accepted     1 image on the bundle's signature; no image signatures required\n" in done.stdout


def test_two_people_answer_for_a_release_and_one_machine_for_the_rest(world: World) -> None:
    policy = world.written(POLICIES[2][0])
    release = world.bundle("release", (NGINX,), "alice")
    failed(world.load(release, policy), REFUSED, "the bundle is not signed as the policy requires")
    world.sign(release, "bob")
    assert world.load(release, policy).returncode == 0
    failed(world.load(world.bundle("release", (NGINX,), "build-1", "build-2"), policy), REFUSED)
    for machine in ("build-1", "build-2"):
        done = world.load(world.bundle("nightly", (NGINX,), machine), policy)
        assert done.returncode == 0, done.stderr
    failed(world.load(world.bundle("nightly", (NGINX,), "alice", "bob"), policy), REFUSED)


def test_a_policy_with_its_keys_can_be_moved_alone(world: World) -> None:
    written = world.written(POLICIES[1][0])
    moved = world.root / "elsewhere" / "policy.json"
    moved.parent.mkdir()
    shutil.move(written, moved)
    away = world.keys.rename(world.root / "away")
    try:
        done = world.load(world.bundle("prod", (NGINX, APP), "airgap"), moved)
        assert done.returncode == 0, done.stderr
    finally:
        away.rename(world.keys)


def test_a_bundle_that_the_policy_takes_unsigned_is_not_said_to_be_signed(world: World) -> None:
    policy = world.root / "anything.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    done = world.load(world.bundle("prod", (NGINX,)), policy)
    assert "accepted     unsigned: the policy requires no signature of the bundle; no image signatures required\n" in done.stdout
