"""What we write into a lookaside tree is what the real skopeo accepts, and both of us find it through the same registries.d."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.lookaside import LookasideConfig, LookasideReader, merge_signatures, write_signatures
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference, Repository
from tests.support import images, signing
from tests.support.dockerregistry import DockerRegistry
from tests.support.hostile import Hostile, Reply, Request, client
from tests.support.images import Built
from tests.support.tools import require
from tests.support.trustkit import GpgHome, gpg_home

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")

PATH = "team/app"


@dataclass(frozen=True)
class Site:
    """A registry with one index of two platforms, and a key that signs for it."""

    address: str
    index: Built
    home: GpgHome
    key: str
    root: Path

    @property
    def repository(self) -> Repository:
        return Repository(self.address, PATH)

    @property
    def instance(self) -> Built:
        return self.index.children[0]

    def signature(self, built: Built, tag: str = "1") -> bytes:
        return self.home.message(self.key, signing.payload(built.manifest.raw, f"{self.repository}:{tag}"))

    def write(self, base: Path, *builts: Built) -> None:
        for built in builts:
            write_signatures(base, PATH, built.digest, [self.signature(built)])

    def skopeo(self, directory: Path, config: str, *, everything: bool = False) -> bool:
        """Whether skopeo copies the image under ``default: reject``, with this registries.d."""
        (directory / "registries.d").mkdir(exist_ok=True)
        (directory / "registries.d" / "site.yaml").write_text(config, encoding="utf-8")
        out = directory / f"out-{len(list(directory.iterdir()))}"
        command = [
            require("skopeo"), "--policy", str(self.root / "policy.json"), "--registries.d", str(directory / "registries.d"),
            "--override-os", "linux", "--override-arch", "amd64", "copy", "--src-tls-verify=false",
        ]  # fmt: skip
        command += ["--all"] if everything else []
        environment = {**os.environ, "HOME": str(directory), "XDG_RUNTIME_DIR": str(directory)}
        done = subprocess.run(
            [*command, f"docker://{self.repository}:1", f"dir:{out}"], capture_output=True, env=environment, check=False
        )
        if done.returncode:
            assert b"Source image rejected" in done.stderr or b"signature" in done.stderr, done.stderr
        return done.returncode == 0

    def reader(self, directory: Path, fetch: Callable[[str, int], bytes | None]) -> LookasideReader:
        return LookasideReader(LookasideConfig.load([directory / "registries.d"]), fetch)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require("docker-registry")
    require("skopeo")
    root = tmp_path_factory.mktemp("lookaside")
    with DockerRegistry(root / "registry") as registry, gpg_home() as home:
        index = images.multi_arch("lookaside", platforms=("linux/amd64", "linux/arm64"))
        with LayoutStore(root / "layout") as layout:
            images.publish(layout, f"example.com/{PATH}:1", index)
            layout.commit()
        with LayoutStore(root / "layout") as layout:
            images.push_layout_to_registry(layout, registry.address)
        key = home.new_key("site", algorithm="rsa2048")
        (root / "site.gpg").write_bytes(home.export(key))
        requirement = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(root / "site.gpg")}
        scopes = {registry.address: [requirement]}
        (root / "policy.json").write_text(json.dumps({"default": [{"type": "reject"}], "transports": {"docker": scopes}}))
        yield Site(registry.address, index, home, key, root)


@pytest.fixture(params=["file", "http"])
def lookaside(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A directory, and the URL under which it is read."""
    base = tmp_path / "signatures"
    if request.param == "file":
        yield base, base.as_uri()
        return
    with Hostile(lambda asked: served(base, asked)) as server:
        yield base, f"{server.url}/sigs"


def served(base: Path, request: Request) -> Reply:
    """A static web server for one directory below ``/sigs``."""
    path = base / request.path.removeprefix("/sigs/")
    return Reply(200, path.read_bytes()) if path.is_file() else Reply(404, b"no such file")


def nothing(url: str, limit: int) -> bytes | None:
    raise AssertionError(f"not a file: {url}")


def flip(path: Path, position: int) -> None:
    """Change one bit. Not every byte of a signed message is signed: the hints which key it was are not."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def signature_file(base: Path, built: Built, number: int = 1) -> Path:
    return base / f"{PATH}@sha256={built.digest.hex}" / f"signature-{number}"


def test_skopeo_accepts_a_written_tree_and_refuses_it_damaged(site: Site, tmp_path: Path, lookaside: tuple[Path, str]) -> None:
    base, url = lookaside
    config = f"docker:\n  {site.address}:\n    lookaside: {url}\n"
    assert not site.skopeo(tmp_path, config)
    site.write(base, *site.index.everything())
    assert site.skopeo(tmp_path, config, everything=True)
    with client() as store:
        reader = site.reader(tmp_path, store.fetch_file)
        for built in site.index.everything():
            assert reader.signatures(site.repository, built.digest) == (signature_file(base, built).read_bytes(),)

    for position in (100, -20):  # in the payload, in the signature proper
        flip(signature_file(base, site.instance), position)
        assert not site.skopeo(tmp_path, config)
        flip(signature_file(base, site.instance), position)
    assert site.skopeo(tmp_path, config)


def test_signature_behind_a_gap_counts_for_nobody(site: Site, tmp_path: Path, lookaside: tuple[Path, str]) -> None:
    base, url = lookaside
    config = f"docker:\n  {site.address}:\n    lookaside: {url}\n"
    site.write(base, site.instance)
    signature_file(base, site.instance).rename(signature_file(base, site.instance, 2))
    assert not site.skopeo(tmp_path, config)
    with client() as store:
        assert site.reader(tmp_path, store.fetch_file).signatures(site.repository, site.instance.digest) == ()


def test_index_signature_alone_is_not_enough_for_skopeo_and_instances_alone_are(site: Site, tmp_path: Path) -> None:
    base = tmp_path / "signatures"
    config = f"default-docker:\n  lookaside: {base.as_uri()}\n"
    site.write(base, site.index)
    assert not site.skopeo(tmp_path, config)
    write_signatures(base, PATH, site.index.digest, [])
    site.write(base, *site.index.children)
    assert site.skopeo(tmp_path, config, everything=True)


def test_merging_keeps_a_signature_that_skopeo_needs(site: Site, tmp_path: Path) -> None:
    base = tmp_path / "signatures"
    config = f"default-docker:\n  lookaside: {base.as_uri()}\n"
    site.write(base, site.instance)
    merge_signatures(base, PATH, site.instance.digest, [site.signature(site.instance, "another-tag")])
    assert signature_file(base, site.instance, 2).exists()
    assert site.skopeo(tmp_path, config)


def test_garbage_beside_a_good_signature_poisons_skopeo_and_merging_heals_it(site: Site, tmp_path: Path) -> None:
    base = tmp_path / "signatures"
    config = f"default-docker:\n  lookaside: {base.as_uri()}\n"
    site.write(base, site.instance)
    signature_file(base, site.instance, 2).write_bytes(b"<html>not a signature</html>")
    assert not site.skopeo(tmp_path, config)
    merge_signatures(base, PATH, site.instance.digest, [])
    assert site.skopeo(tmp_path, config)


SEARCHES = {
    "host": "docker: {{'{host}': {{lookaside: {good}}}}}",
    "namespace-before-host": "docker: {{'{host}/team': {{lookaside: {good}}}, '{host}': {{lookaside: {bad}}}}}",
    "repository-before-namespace": "docker: {{'{host}/team/app': {{lookaside: {good}}}, '{host}/team': {{lookaside: {bad}}}}}",
    "scope-before-default": "docker: {{'{host}': {{lookaside: {good}}}}}\ndefault-docker: {{lookaside: {bad}}}",
    "default": "docker: {{'elsewhere.example': {{lookaside: {bad}}}}}\ndefault-docker: {{lookaside: {good}}}",
    "no-prefix-of-a-name": "docker: {{'{host}/te': {{lookaside: {bad}}}}}\ndefault-docker: {{lookaside: {good}}}",
    "host-without-port-is-no-parent": "docker: {{'127.0.0.1': {{lookaside: {bad}}}}}\ndefault-docker: {{lookaside: {good}}}",
    "wildcard": "docker: {{'*.0.0.1': {{lookaside: {good}}}}}\ndefault-docker: {{lookaside: {bad}}}",
    "wider-wildcard": "docker: {{'*.1': {{lookaside: {good}}}}}\ndefault-docker: {{lookaside: {bad}}}",
    "host-before-wildcard": "docker: {{'*.0.0.1': {{lookaside: {bad}}}, '{host}': {{lookaside: {good}}}}}",
    "falls-through-per-key": "docker: {{'{host}/team': {{lookaside-staging: {bad}}}, '{host}': {{lookaside: {good}}}}}",
    "falls-through-to-default": "docker: {{'{host}': {{use-sigstore-attachments: true}}}}\ndefault-docker: {{lookaside: {good}}}",
    "old-name": "docker: {{'{host}': {{sigstore: {good}}}}}",
    "new-name-before-old": "docker: {{'{host}': {{sigstore: {bad}, lookaside: {good}}}}}",
    "staging-is-not-read": "docker: {{'{host}': {{lookaside-staging: {bad}, lookaside: {good}}}}}",
    "empty-sections": "docker:\n  '{host}':\n  '{host}/team':\ndefault-docker: {{lookaside: {good}}}",
    "slash-at-the-end": "default-docker: {{lookaside: '{good}/'}}",
    "escaped": "default-docker: {{lookaside: '{escaped}'}}",
}


@pytest.mark.parametrize("name", SEARCHES)
def test_registries_d_is_searched_as_skopeo_searches_it(site: Site, tmp_path: Path, name: str) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    site.write(good, site.instance)
    escaped = good.as_uri().replace("good", "%67ood")
    text = SEARCHES[name].format(host=site.address, good=good.as_uri(), bad=bad.as_uri(), escaped=escaped)
    assert site.skopeo(tmp_path, text)
    found = site.reader(tmp_path, nothing).signatures(site.repository, site.instance.digest)
    assert found == (signature_file(good, site.instance).read_bytes(),)


def test_scope_in_two_files_is_an_error_for_skopeo_too(site: Site, tmp_path: Path) -> None:
    base = tmp_path / "signatures"
    site.write(base, site.instance)
    config = f"docker: {{'{site.address}': {{lookaside: {base.as_uri()}}}}}"
    assert site.skopeo(tmp_path, config)
    (tmp_path / "registries.d" / "again.yaml").write_text(config, encoding="utf-8")
    assert not site.skopeo(tmp_path, config)


def test_host_is_not_part_of_the_tree(site: Site, tmp_path: Path) -> None:
    base = tmp_path / "signatures"
    write_signatures(base, Reference.parse("busybox").repository.path, Digest.of(b"x"), [site.signature(site.instance)])
    assert [path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file()] == [
        f"library/busybox@sha256={Digest.of(b'x').hex}/signature-1"
    ]
