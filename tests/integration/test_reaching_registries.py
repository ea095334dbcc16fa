"""Whole exports and imports through registries that are guarded, mirrored, blocked or busy; and no secret is left anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cli import NETWORK, REFUSED, USAGE, failed
from tests.support.dockerregistry import PASSWORD, USER, DockerRegistry, htpasswd
from tests.support.gateway import Gateway
from tests.support.hostile import Reply, Request
from tests.support.platform import publish_platform
from tests.support.privateca import PrivateCa
from tests.support.site import Site
from tests.support.tokenserver import TokenServer
from tests.support.tools import require
from tests.support.walk import Contents, walk

pytestmark = pytest.mark.slow("waits for retries, timeouts or a service")

NAMES = ("shop/web:1.0", "shop/nested:2", "single:3", "legacy/docker:4")
SECRET = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
BIG = 300_000


@dataclass(frozen=True)
class Stock:
    """What every source registry of these tests has."""

    data: Path
    contents: Contents

    @contextmanager
    def registry(self, root: Path, auth: str = "", tls: str = "") -> Iterator[DockerRegistry]:
        """A registry with all of it."""
        shutil.copytree(self.data, root / "data")
        with DockerRegistry(root, auth, tls) as registry:
            yield registry


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    require("docker-registry")
    work = tmp_path_factory.mktemp("stock")
    with DockerRegistry(work / "registry") as registry:
        publish_platform(registry.address, work / "build", layer_size=BIG // 2)
        return Stock(work / "registry/data", walk(registry.address))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path / "machine")


def image_list(site: Site, host: str) -> Path:
    path = site.root / "images.txt"
    path.write_text("".join(f"{host}/{name}\n" for name in NAMES))
    return path


def auth_file(path: Path, *hosts: str, **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"auths": {host: {"auth": SECRET} for host in hosts}, **more}))
    return path


def rules(site: Site, text: str) -> Path:
    path = site.root / "registries.conf"
    path.write_text(text)
    return path


def check_arrived(stock: Stock, address: str, prefix: str) -> None:
    arrived = walk(address).below(prefix)
    assert (arrived.tags, arrived.manifests, arrived.blobs) == (stock.contents.tags, stock.contents.manifests, stock.contents.blobs)


def check_no_secret(root: Path, *output: str, secrets: tuple[str, ...] = (PASSWORD, SECRET)) -> None:
    """Nothing below a directory, and nothing that was printed, has the password in any form."""
    wanted = {form for secret in secrets for form in (secret, urllib.parse.quote(secret, safe=""))}
    wanted |= {base64.b64encode(secret.encode()).decode().rstrip("=") for secret in secrets}
    for text in output:
        assert not [form for form in wanted if form in text], text
    for path in root.rglob("*"):
        assert not any(form in path.name for form in wanted), path
        if path.is_file():
            content = path.read_bytes()
            assert not [form for form in wanted if form.encode() in content], path


def helper(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential helper ``canary`` on PATH that knows the password."""
    directory.mkdir()
    script = directory / "docker-credential-canary"
    script.write_text(f'#!/bin/sh\ncat >/dev/null\necho \'{{"Username":"{USER}","Secret":"{PASSWORD}"}}\'\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")


def test_registries_at_ipv6_addresses_are_read_written_and_named_in_receipts(stock: Stock, site: Site, tmp_path: Path) -> None:
    shutil.copytree(stock.data, tmp_path / "source/data")
    with DockerRegistry(tmp_path / "source", at="[::1]") as source, DockerRegistry(tmp_path / "target", at="[::1]") as target:
        port = source.address.rpartition(":")[2]
        lists = image_list(site, f"[0:0::1]:{port}")  # another spelling of the same host
        bundle = site.export(lists, tmp_path / "usb")
        site.import_(f"docker://{target.address}/pre", bundle)
        check_arrived(stock, target.address, f"pre/ip6.0__1-{port}/")
        site.import_(f"oci:{tmp_path / 'store'}", bundle)
        site.run("receipt", f"docker://{target.address}/pre", "-o", site.root / "receipt.json")
        assert json.loads((site.root / "receipt.json").read_text())["target"] == f"docker://{target.address}/pre"
    index = json.loads((tmp_path / "store/index.json").read_text())
    names = {one.get("annotations", {}).get("org.opencontainers.image.ref.name") for one in index["manifests"]}
    assert {f"{source.address}/{name}" for name in NAMES} <= names


def test_basic_auth_on_both_sides_leaves_the_password_nowhere(
    stock: Stock, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path / "bin", monkeypatch)
    auth = htpasswd(tmp_path / "auth")
    with stock.registry(tmp_path / "source", auth) as source, DockerRegistry(tmp_path / "target", auth) as target:
        docker = auth_file(site.root / "home/.docker/config.json", source.address, credHelpers={target.address: "canary"})
        lists = image_list(site, source.address)
        resolved = site.run("resolve", lists, "--lock", site.root / "images.lock", "-v")
        limits = ("--limit-rate", "100MB", "--per-host", "2")
        exported = site.run("export", lists, "--out", site.root / "usb", "--stream", "prod", "--key", site.key, "-v", *limits)
        to = ("--to", f"docker://{target.address}/mirror", "--policy", site.policy)
        imported = site.run("import", site.root / "usb/prod-0001", *to, "-v", *limits, state="site-state")
        docker.unlink()
        locked_out = site.run("resolve", lists, "-v", check=False)
        failed(locked_out, NETWORK, "401", "airgap login")
        outputs = [text for done in (resolved, exported, imported, locked_out) for text in (done.stdout, done.stderr)]
        check_no_secret(site.root, *outputs)
    with DockerRegistry(tmp_path / "target") as opened:
        check_arrived(stock, opened.address, f"mirror/{source.address.replace(':', '-')}/")


def test_token_that_expires_in_the_middle_of_large_blobs_is_renewed_on_both_sides(stock: Stock, site: Site, tmp_path: Path) -> None:
    with (
        TokenServer(tmp_path / "tokens", f"Basic {SECRET}") as tokens,
        stock.registry(tmp_path / "source", tokens.config) as source,
        DockerRegistry(tmp_path / "target", tokens.config) as target,
        Gateway(source.address) as way_in,
        Gateway(target.address) as way_out,
    ):
        expired: set[str] = set()
        cuts: list[str] = []

        def token(request: Request) -> str:
            return request.headers.get("Authorization", "").removeprefix("Bearer ")

        def refuse(request: Request) -> Reply | None:
            if token(request) in expired:
                challenge = f'Bearer realm="{tokens.server.url}/token",service="site"'
                return Reply(401, headers={"WWW-Authenticate": challenge})
            digest = request.query.get("digest", [""])[0]
            if request.method == "PUT" and len(request.body) >= BIG and digest not in cuts and len(cuts) < 2:
                expired.add(token(request))
                cuts.append(digest)
                return refuse(request)
            return None

        def cut(request: Request, reply: Reply) -> Reply:
            if request.method == "GET" and "/blobs/" in request.path and reply.status == 200 and len(reply.body) >= BIG:
                expired.add(token(request))
                cuts.append(request.path)
                return Reply(200, reply.body, reply.headers, length=len(reply.body), cut=len(reply.body) // 2)
            return reply

        for gateway in (way_in, way_out):
            gateway.before = refuse
        way_in.tamper = cut
        auth_file(site.root / "home/.docker/config.json", way_in.address, way_out.address)
        bundle = site.export(image_list(site, way_in.address), site.root / "usb", "-v")
        ranges = [one.headers["Range"] for one in way_in.requests if "Range" in one.headers and token(one) not in expired]
        assert cuts
        assert ranges
        assert len(tokens.issued) > len(expired) > 0
        cuts.clear()
        site.import_(f"docker://{way_out.address}/mirror", bundle)
        assert cuts
        check_no_secret(site.root / "usb", secrets=(PASSWORD, SECRET, *tokens.issued))
        check_no_secret(site.root / "state", secrets=(PASSWORD, SECRET, *tokens.issued))
        check_no_secret(site.root / "site-state", secrets=(PASSWORD, SECRET, *tokens.issued))
    with DockerRegistry(tmp_path / "target") as opened:
        check_arrived(stock, opened.address, f"mirror/{way_in.address.replace(':', '-')}/")


def test_wrong_password_at_a_token_server_is_an_error_that_does_not_show_it(stock: Stock, site: Site, tmp_path: Path) -> None:
    with TokenServer(tmp_path / "t", "Basic other") as tokens, stock.registry(tmp_path / "source", tokens.config) as source:
        auth = auth_file(tmp_path / "auth.json", source.address)
        for more in ((), ("--json",)):
            done = site.run("resolve", image_list(site, source.address), "--authfile", auth, "-v", *more, check=False)
            failed(done, NETWORK, "token server", "who are you?")
            check_no_secret(site.root, done.stdout, done.stderr)


def test_private_ca_and_client_certificates_on_both_sides(stock: Stock, site: Site, tmp_path: Path) -> None:
    ca = PrivateCa(tmp_path / "ca")
    certificate, key = ca.issue("server")
    tls = f"certificate: {certificate}, key: {key}, clientcas: [{ca.file}]"
    with stock.registry(tmp_path / "source", tls=tls) as source, DockerRegistry(tmp_path / "target", tls=tls) as target:
        certs = site.root / "home/.config/containers/certs.d" / source.address
        certs.mkdir(parents=True)
        for path in (ca.file, *ca.issue("client")):
            shutil.copy(path, certs)
        bundle = site.export(image_list(site, source.address), site.root / "usb")
        done = site.run("import", bundle, "--to", f"docker://{target.address}/m", "--policy", site.policy, check=False)
        failed(done, NETWORK, f"if the registry speaks TLS, put its CA into certs.d/{target.address}/ca.crt")
        option = ("--cert-dir", f"{target.address}={certs}")
        site.import_(f"docker://{target.address}/mirror", bundle, options=option)
    with DockerRegistry(tmp_path / "target") as opened:
        check_arrived(stock, opened.address, f"mirror/{source.address.replace(':', '-')}/")


def test_mirror_that_lacks_half_of_the_blobs_is_enough_where_it_has_them(stock: Stock, site: Site, tmp_path: Path) -> None:
    with (
        stock.registry(tmp_path / "origin") as origin,
        stock.registry(tmp_path / "mirror") as mirror,
        Gateway(origin.address) as at_origin,
        DockerRegistry(tmp_path / "target") as target,
    ):
        lacking = sorted({name.partition("@")[2] for name in stock.contents.blobs})[::2]
        for digest in lacking:
            mirror.blob_path(digest).unlink()
        conf = f'[[registry]]\nprefix = "origin.example"\nlocation = "{at_origin.address}"\n'
        conf += f'[[registry.mirror]]\nlocation = "{mirror.address}"\n'
        option = ("--registries-conf", rules(site, conf))
        bundle = site.export(image_list(site, "origin.example"), site.root / "usb", *option)
        fetched = {one.path.rpartition("/")[2] for one in at_origin.requests if "/blobs/" in one.path and one.method == "GET"}
        assert fetched == set(lacking)
        site.import_(f"docker://{target.address}/mirror", bundle)
        check_arrived(stock, target.address, "mirror/origin.example/")


def test_one_registries_conf_leads_skopeo_and_us_to_the_same_image(stock: Stock, site: Site, tmp_path: Path) -> None:
    require("skopeo")
    with stock.registry(tmp_path / "origin") as origin, DockerRegistry(tmp_path / "empty") as empty:
        conf = '[[registry]]\nprefix = "*.example"\nblocked = true\n'
        for location in (empty.address, f"{origin.address}/shop"):
            conf += f'[[registry.mirror]]\nlocation = "{location}"\ninsecure = true\n'
        file = rules(site, conf)
        line: list[str | Path] = ["skopeo", "--registries-conf", file, "inspect", "--raw", "docker://team.example/web:1.0"]
        digest = hashlib.sha256(subprocess.run(line, capture_output=True, check=True).stdout).hexdigest()
        (site.root / "images.txt").write_text("team.example/web:1.0\n")
        assert (
            f"team.example/web:1.0  sha256:{digest}"
            in site.run("resolve", site.root / "images.txt", "--registries-conf", file).stdout
        )


def test_blocked_registry_is_refused_before_any_request_to_read_or_to_write(stock: Stock, site: Site, tmp_path: Path) -> None:
    with stock.registry(tmp_path / "source") as source, Gateway(source.address) as gateway:
        lists = image_list(site, gateway.address)
        lists.write_text(f"{gateway.address}/{NAMES[0]}\n")
        conf = rules(site, f'[[registry]]\nlocation = "{gateway.address}"\nblocked = true\n')
        done = site.run("resolve", lists, "--registries-conf", conf, check=False)
        failed(done, REFUSED, "is blocked by registries.conf", str(conf))
        assert gateway.requests == []
        bundle = site.export(lists, site.root / "usb")
        gateway.requests.clear()
        to = ("--to", f"docker://{gateway.address}/mirror", "--policy", site.policy, "--registries-conf", conf)
        failed(site.run("import", bundle, *to, check=False), REFUSED, "is blocked")
        assert gateway.requests == []


def test_import_never_goes_to_a_mirror_of_the_target(stock: Stock, site: Site, tmp_path: Path) -> None:
    with stock.registry(tmp_path / "source") as source, DockerRegistry(tmp_path / "target") as target, Gateway("none") as mirror:
        conf = f'[[registry]]\nlocation = "{target.address}"\n[[registry.mirror]]\nlocation = "{mirror.address}"\n'
        bundle = site.export(image_list(site, source.address), site.root / "usb")
        site.import_(f"docker://{target.address}/mirror", bundle, options=("--registries-conf", rules(site, conf)))
        assert mirror.requests == []


def test_registry_that_asks_to_wait_is_waited_for_and_it_is_said(stock: Stock, site: Site, tmp_path: Path) -> None:
    with stock.registry(tmp_path / "source") as source, Gateway(source.address) as gateway:
        waits = [Reply(429, headers={"Retry-After": "1"}), Reply(429, headers={"Retry-After": "1"})]
        gateway.before = lambda request: waits.pop() if waits and "/manifests/" in request.path else None
        low = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "7;w=21600"}
        gateway.tamper = lambda _, reply: Reply(reply.status, reply.body, {**reply.headers, **low}, reply.length)
        done = site.run("resolve", image_list(site, gateway.address))
    assert waits == []
    assert "answered 429 (too many requests), waiting 1 s" in done.stderr
    assert done.stderr.count("7 more manifests of 100 in 6 h") == 1


@pytest.mark.parametrize(
    "text", ["[[registry]\n", '[[registry]]\nlocation = "https://x"\n', "[registries.block]\nregistries = []\n"]
)
def test_mistake_in_registries_conf_is_an_error_with_its_file(site: Site, text: str) -> None:
    done = site.run("resolve", image_list(site, "127.0.0.1:9"), "--registries-conf", rules(site, text), check=False)
    failed(done, USAGE, str(site.root / "registries.conf"))


@pytest.mark.parametrize(
    "option", [("--cert-dir", "none"), ("--authfile", "none"), ("--limit-rate", "fast"), ("--registries-conf", "none")]
)
def test_option_that_names_nothing_is_a_usage_error(site: Site, option: tuple[str, str]) -> None:
    failed(site.run("resolve", image_list(site, "127.0.0.1:9"), *option, check=False), USAGE)
