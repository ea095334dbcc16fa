"""Encrypted bundles: a lost stick says nothing, everybody can check and repair it, and only its site reads it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airgap.format import outer
from airgap.format.catalog import Catalog
from airgap.layout import LayoutStore
from tests.support import images, versions
from tests.support.bundles import Sender, catalog_of, flip
from tests.support.cli import DAMAGED, NETWORK, REFUSED, USAGE, failed, here
from tests.support.confidential import Reader, decrypt
from tests.support.desks import VOLUME_SIZE, WEB, Made, OperatorDesk, make_bundles
from tests.support.hostile import Reply
from tests.support.serving import Serving
from tests.support.tools import require

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

SECRETS = (b"shop/web", b"tools/tool", b"docker.io", b"quay.io", b"linux/amd64", b"application/vnd.oci", b"rootfs", b"spdx")


@dataclass(frozen=True)
class Closed:
    """A bundle encrypted to two sites, and the same content in the open."""

    made: Made
    one: Reader
    other: Reader
    bundle: Path


@dataclass(frozen=True)
class Desk:
    """A copy of the encrypted bundle, and a site."""

    closed: Closed
    bundle: Path
    work: Path

    def command(self, name: str, *options: object, key: Path | None = None) -> subprocess.CompletedProcess[str]:
        """verify or import, with the site's key unless another is given."""
        sender, state = self.closed.made.sender, self.work / "state"
        fixed = ["--policy", sender.policy, "--decrypt-key", key or self.closed.one.private, "--state", state, "--json"]
        target = ["--to", f"oci:{self.store}"] if name == "import" else []
        return here(name, self.bundle, *target, *fixed, *options)

    @property
    def store(self) -> Path:
        return self.work / "store"

    def taken(self, *options: object, key: Path | None = None) -> None:
        for name in ("verify", "import"):
            done = self.command(name, *options, key=key)
            assert done.returncode == 0, done.stderr
        arrived = {path.name for path in (self.store / "blobs/sha256").iterdir()}
        assert arrived >= {digest.hex for digest in catalog_of(self.closed.made.bundle).blobs}

    def not_taken(self, code: int, *says: str, key: Path | None = None) -> None:
        for name in ("verify", "import"):
            failed(self.command(name, key=key), code, *says)
        index = self.store / "index.json"
        assert not index.exists() or json.loads(index.read_bytes())["manifests"] == []

    def volume(self, number: int) -> Path:
        return self.bundle / f"volume-000{number}.tar"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Closed:
    work = tmp_path_factory.mktemp("closed")
    made = make_bundles(work / "made")
    one, other = Reader.make(work / "one"), Reader.make(work / "other")
    options: dict[str, Any] = {"serial": 3, "volume_size": VOLUME_SIZE, "parity": 1, "recipients": [one.site, other.site]}
    return Closed(made, one, other, made.sender.bundle(made.origin, made.references, work / "usb", **options))


@pytest.fixture
def desk(closed: Closed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Desk(closed, Path(shutil.copytree(closed.bundle, tmp_path / "usb" / closed.bundle.name)), tmp_path)


def says_nothing(directory: Path, catalog: Catalog) -> None:
    """No file has a name, a digest, or a piece of a blob of what is inside."""
    known = [*SECRETS, *(digest.hex.encode() for digest in catalog.blobs), *(bytes.fromhex(digest.hex) for digest in catalog.blobs)]
    known += [images.seeded("base", 60_000)[at : at + 24] for at in range(0, 60_000, 5_000)]
    for path in directory.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert [secret for secret in known if secret in content] == [], path


def test_nothing_on_the_medium_says_what_is_inside(desk: Desk) -> None:
    says_nothing(desk.bundle, catalog_of(desk.closed.made.bundle))
    assert "encrypted" in (desk.bundle / "CHECK.txt").read_text()
    plain = catalog_of(desk.closed.made.bundle)
    assert [volume.size for volume in outer.Unverified.read((desk.bundle / "catalog.json").read_bytes()).claims.volumes] == [
        v.size for v in plain.volumes
    ]


@pytest.mark.parametrize("site", ["one", "other"])
def test_each_of_the_sites_reads_it(desk: Desk, site: str) -> None:
    desk.taken(key=getattr(desk.closed, site).private)


def test_a_reader_written_from_the_documentation_opens_it_and_stock_tools_read_what_is_inside(desk: Desk) -> None:
    require("tar")
    plain = desk.work / "plain"
    plain.mkdir()
    catalog = decrypt(desk.bundle, desk.closed.other.private, plain)
    assert catalog["schema"] == "airgap.catalog/1"
    assert catalog["images"][0]["reference"] == WEB
    volumes = sorted(plain.glob("*.tar"))
    arguments = [text for volume in volumes for text in ("-f", str(volume))]
    subprocess.run(["tar", "-xM", "-C", plain, *arguments], check=True, capture_output=True)
    layout = {path.name for path in (plain / "blobs/sha256").iterdir()}
    assert layout == {digest.hex for digest in catalog_of(desk.closed.made.bundle).blobs}


def test_without_a_key_or_with_a_wrong_one_it_is_refused(desk: Desk, tmp_path: Path) -> None:
    stranger = Reader.make(tmp_path / "stranger")
    desk.not_taken(REFUSED, "encrypted to other keys", key=stranger.private)
    desk.not_taken(USAGE, "not a decryption key", key=desk.closed.made.sender.key)
    policy = desk.closed.made.sender.policy
    failed(here("verify", desk.bundle, "--policy", policy, "--json"), REFUSED, "the bundle is encrypted", "--decrypt-key")
    failed(here("diff", desk.bundle, desk.closed.made.bundle), REFUSED, "the bundle is encrypted")


def test_the_signature_is_checked_before_anything_is_decrypted(desk: Desk) -> None:
    path = desk.bundle / "catalog.json"
    top = json.loads(path.read_bytes())
    top["recipients"] = top["recipients"][::-1]
    path.write_text(json.dumps(top))
    desk.not_taken(REFUSED)


def test_anybody_checks_and_repairs_it_and_needs_no_key(desk: Desk) -> None:
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=desk.bundle, check=True)
    assert here("media", "check", desk.bundle).returncode == 0
    desk.volume(2).unlink()
    flip(desk.bundle / "volume-0003.tar", 5)
    assert here("media", "check", desk.bundle).returncode == DAMAGED
    shutil.copy(desk.closed.bundle / "volume-0003.tar", desk.bundle)
    assert here("media", "repair", desk.bundle, "--out", desk.work / "mended").returncode == 0
    assert (desk.work / "mended/volume-0002.tar").read_bytes() == (desk.closed.bundle / "volume-0002.tar").read_bytes()
    says_nothing(desk.work / "mended", catalog_of(desk.closed.made.bundle))
    shutil.copy(desk.work / "mended/volume-0002.tar", desk.bundle)
    desk.taken()


def test_what_is_damaged_is_found_and_completed_by_a_supplement(desk: Desk) -> None:
    (desk.bundle / "parity-0001.bin").unlink()
    flip(desk.volume(1), 700)
    desk.volume(3).unlink()
    desk.not_taken(DAMAGED)
    need = desk.work / "need.json"
    assert here("media", "repair", desk.bundle, "--out", desk.work / "mended", "--request", need).returncode == DAMAGED
    state = ["--state", desk.work / "state"]
    done = here("export", "--resend", need, desk.closed.bundle, "--out", desk.work / "answer", *state, "--json")
    supplement = Path(json.loads(done.stdout)["supplement"])
    says_nothing(supplement, catalog_of(desk.closed.made.bundle))
    desk.taken(supplement)
    asked = here("export", "--resend", need, desk.bundle / "catalog.json", "--out", desk.work / "again", *state)
    failed(asked, USAGE, "can be resent only from itself")


@pytest.mark.parametrize("volume", [1, 2, 3])
def test_one_flipped_byte_anywhere_is_named_and_nothing_arrives(desk: Desk, volume: int) -> None:
    size = desk.volume(volume).stat().st_size
    for position in (0, 600, size // 2, size - 1):
        flip(desk.volume(volume), position)
        desk.not_taken(DAMAGED, f"volume-000{volume}.tar")
        flip(desk.volume(volume), position)


def test_an_inner_catalog_that_says_otherwise_is_damage(desk: Desk) -> None:
    sender = desk.closed.made.sender
    sender.resign(desk.bundle, lambda top: top.update(created="2026-02-01T12:00:00Z"))
    desk.not_taken(DAMAGED, "contradicts its outer catalog")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("catalog", "", "own key"),
        ("catalog", "!", "not base64"),
        ("tags", "QUJD", "own key"),
        ("piece_size", 512, "the wrong fields"),
        ("more", 1, "the wrong fields"),
        ("recipients", [], "must have 1 to 256 recipients"),
        ("recipients", [{"key": "x"}], "a recipient has the wrong fields"),
        ("recipients", "x", "not a list"),
        ("volumes", [], ""),
        ("schema", "airgap.sealed/2", "unknown schema"),
    ],
)
def test_signed_but_wrong_outer_catalogs_are_damage(desk: Desk, field: str, value: object, says: str) -> None:
    desk.closed.made.sender.resign(desk.bundle, lambda top: top.update({field: value}))
    failed(desk.command("verify"), DAMAGED, says, hint=False)


def test_it_is_inspected_and_served_with_the_key(desk: Desk) -> None:
    shown = json.loads(here("inspect", desk.bundle, "--json").stdout)
    assert (shown["images"], len(shown["encrypted_to"]), shown["serial"]) == ([], 2, 3)
    shown = json.loads(here("inspect", desk.bundle, "--decrypt-key", desk.closed.one.private, "--json").stdout)
    assert shown["images"][0]["reference"] == WEB
    options = ["--policy", desk.closed.made.sender.policy, "--decrypt-key", desk.closed.one.private]
    digest = catalog_of(desk.closed.made.bundle).images[0].root.digest
    with Serving(desk.work / "serving", desk.bundle, *options) as serving:
        index = serving.ask(f"/v2/docker.io/shop/web/manifests/{digest}")
        child = json.loads(index.body)["manifests"][0]["digest"]
        layer = json.loads(serving.ask(f"/v2/docker.io/shop/web/manifests/{child}").body)["layers"][0]
        assert len(serving.ask(f"/v2/docker.io/shop/web/blobs/{layer['digest']}").body) == layer["size"]


def test_watch_takes_it_with_the_key_and_tries_again_when_it_gets_one(desk: Desk) -> None:
    command = ["watch", desk.bundle.parent, "--to", f"oci:{desk.store}", "--policy", desk.closed.made.sender.policy, "--once"]
    command += ["--settle", 0, "--state", desk.work / "state", "--json"]
    assert here(*command).returncode == REFUSED
    assert here(*command, "--decrypt-key", desk.closed.other.private).returncode == 0


@pytest.fixture
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader.make(tmp_path / "site")


def test_an_unfinished_export_says_nothing_and_goes_on(operator: OperatorDesk, reader: Reader) -> None:
    state, options = operator.work / "state", ("--encrypt-to", reader.public)
    operator.spoil_layer(Reply(status=500))
    operator.refused(NETWORK, options=options)
    partial, work = operator.out / "prod-0001.partial", state / "unfinished/prod-1"
    assert [path.name for path in partial.iterdir()] == ["volume-0001.tar"]
    content = (partial / "volume-0001.tar").read_bytes()
    assert b"shop/web" not in content
    assert b"oci-layout" not in content
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in (work, work / "content.key")} == {
        "prod-1": "0o0",
        "content.key": "0o0",
    }
    failed(here(*operator.command()), USAGE, "unfinished bundle that is encrypted already exists")
    operator.server.app = operator.origin.answer
    done = json.loads(here(*operator.command(*options)).stdout)
    assert done["encrypted_to"] == [reader.site.key_id]
    assert not work.exists()
    again = json.loads(here(*operator.command(*options, "--serial", 1)).stdout)
    assert again["already_there"]
    failed(here(*operator.command("--serial", 1)), USAGE, "different content already exists")
    fixed = ["--policy", operator.sender.policy, "--decrypt-key", reader.private]
    assert here("verify", operator.out / "prod-0001", *fixed).returncode == 0


def test_gates_look_into_what_is_encrypted_before_it_is_sealed(operator: OperatorDesk, reader: Reader) -> None:
    done = here(*operator.command("--encrypt-to", reader.public, "--gate", "test -f {layout}/oci-layout"))
    assert done.returncode == 0, done.stderr


def test_only_keys_that_can_be_encrypted_to_are_taken(operator: OperatorDesk) -> None:
    signing = operator.sender.root / "sender.pub"
    failed(here(*operator.command("--encrypt-to", signing)), USAGE, "not an encryption key", "x25519", hint=False)
    made = here("keys", "generate", "--no-passphrase", "--out", operator.work / "site", "--type", "x25519", "--json")
    assert json.loads(made.stdout)["type"] == "x25519"
    assert here(*operator.command("--encrypt-to", operator.work / "site/airgap.pub")).returncode == 0


@pytest.mark.usefixtures("_home")
def test_a_bundle_with_patches_is_read_and_rebuilt(tmp_path: Path, sender: Sender, reader: Reader) -> None:
    with LayoutStore(tmp_path / "origin") as layout:
        for number in (1, 2):
            images.publish(layout, f"{versions.HOST}/tool:{number}", images.image([versions.layer("tool", number)]))
        layout.commit()
    state = ["--state", tmp_path / "state", "--json"]
    since: list[str | Path]
    for number in (1, 2):
        source = f"oci:{tmp_path / 'origin'}:{versions.HOST}/tool:{number}"
        fixed = ["--out", tmp_path / "usb", "--stream", "prod", "--key", sender.key, "--encrypt-to", reader.public]
        since = ["--since", f"oci:{tmp_path / 'store'}"] if number == 2 else []
        made = here("export", source, *fixed, *since, "--state", tmp_path / "exporter", "--json")
        assert made.returncode == 0, made.stderr
        assert json.loads(made.stdout)["patched_blobs"] == number - 1
        keys = ["--policy", sender.policy, "--decrypt-key", reader.private]
        done = here("import", tmp_path / f"usb/prod-000{number}", "--to", f"oci:{tmp_path / 'store'}", *keys, *state)
        assert done.returncode == 0, done.stderr
    since = ["--since", tmp_path / "usb/prod-0002"]
    failed(here("export", source, *fixed, *since, "--state", tmp_path / "exporter"), REFUSED, "the bundle is encrypted", "receipt")
