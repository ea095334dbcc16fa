"""``airgap serve`` as a service: TLS, passwords, the desk beside it, changes while it runs, and its end."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci.reference import Repository
from tests.support import images
from tests.support.archives import own_storage
from tests.support.cli import REFUSED, USAGE, failed, here
from tests.support.privateca import PrivateCa
from tests.support.serving import Serving, htpasswd
from tests.support.tools import require

pytestmark = pytest.mark.slow("waits for retries, timeouts or a service")

USER = "site:geheim"
REPOSITORY = Repository("registry.example.org", "team/app")


def publish(path: Path, tag: str, size: int = 2000) -> images.Built:
    built = images.multi_arch(tag, platforms=("linux/amd64", "linux/arm64"), base=[images.layer(f"base {tag}", size)])
    with LayoutStore(path) as store:
        images.publish(store, f"{REPOSITORY}:{tag}", built)
        store.commit()
    return built


@dataclass(frozen=True)
class Locked:
    """A server with TLS, passwords and a desk of its own."""

    serving: Serving
    ca: PrivateCa
    built: images.Built


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    work = tmp_path_factory.mktemp("locked")
    built = publish(work / "store", "1", 3_000_000)
    ca = PrivateCa(work / "ca")
    certificate, key = ca.issue("server")
    users = htpasswd(work / "users", site="geheim")
    options = ("--tls-cert", certificate, "--tls-key", key, "--htpasswd", users, "--admin", "127.0.0.1:0", "-v")
    with Serving(work, work / "store", *options, ca=ca.file) as serving:
        yield Locked(serving, ca, built)


# TLS and passwords


def test_nobody_gets_in_without_a_password_but_a_probe(locked):
    for path in ("/v2/", f"/v2/{REPOSITORY.path}/manifests/1", "/v2/_catalog"):
        for user in ("", "site:wrong", "nobody:geheim"):
            reply = locked.serving.ask(path, user)
            assert (reply.status, reply.code) == (401, "UNAUTHORIZED")
            assert reply.headers["WWW-Authenticate"].startswith("Basic ")
        assert locked.serving.ask(path, USER).status == 200
    desk = locked.serving.desk
    assert locked.serving.ask("/healthz", at=desk).json == {"status": "ok"}
    for path in ("/", "/status", "/metrics"):
        assert locked.serving.ask(path, at=desk).status == 401
        assert locked.serving.ask(path, USER, at=desk).status == 200


def test_what_is_at_the_desk_is_not_at_the_registry_and_the_other_way_round(locked):
    for path in ("/", "/status", "/metrics", "/healthz"):
        assert locked.serving.ask(path, USER).status == 404
    assert locked.serving.ask("/v2/", USER, at=locked.serving.desk).status == 404


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_of_today_is_spoken(locked, version):
    context = ssl.create_default_context(cafile=str(locked.ca.file))
    context.minimum_version = context.maximum_version = version
    host, _, port = locked.serving.address.partition(":")
    with (
        socket.create_connection((host, int(port))) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        assert connection.version() == version.name.replace("_", ".")


@pytest.mark.parametrize("flag", ["-tls1", "-tls1_1"])
def test_tls_of_yesterday_is_not(locked, flag):
    command = [require("openssl"), "s_client", "-connect", locked.serving.address, flag, "-cipher", "ALL:@SECLEVEL=0"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode
    assert "Cipher is (NONE)" in done.stdout


def test_a_client_that_speaks_no_tls_disturbs_nobody(locked):
    host, _, port = locked.serving.address.partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert not connection.recv(4096).startswith(b"HTTP/")
    assert locked.serving.ask("/v2/", USER).status == 200
    metrics = locked.serving.ask("/metrics", USER, at=locked.serving.desk).body.decode()
    assert re.search(r'airgap_errors_total\{kind="tls"\} [1-9]', metrics)


def test_blobs_arrive_whole_through_tls(locked):
    blob = locked.built.children[0].blobs[1]
    assert len(blob.raw) > 2_000_000
    assert locked.serving.ask(f"/v2/{REPOSITORY.path}/blobs/{blob.descriptor.digest}", USER).body == blob.raw


def test_passwords_are_in_no_log_line_and_users_are(locked):
    locked.serving.ask("/v2/", USER)
    locked.serving.ask("/v2/", "site:verkehrt")
    locked.serving.said(r'127\.0\.0\.1 site "GET /v2/" 200 2 bytes [\d.]+ s')
    locked.serving.said(r'127\.0\.0\.1 - "GET /v2/" 401 ')
    assert not [line for line in locked.serving.log if "geheim" in line or "verkehrt" in line or "Basic" in line]


def test_skopeo_logs_in_and_copies_with_everything_under_it(locked, tmp_path):
    (tmp_path / "certs").mkdir()
    shutil.copy(locked.ca.file, tmp_path / "certs/ca.crt")
    source = f"docker://{locked.serving.address}/{REPOSITORY}:1"
    command = [require("skopeo"), "--insecure-policy", "copy", "--all", "--src-cert-dir", str(tmp_path / "certs")]
    target = f"oci:{tmp_path}/copy:1"
    denied = subprocess.run([*command, "--src-creds", "site:wrong", source, target], capture_output=True, text=True, check=False)
    assert denied.returncode
    assert "authentication required" in denied.stderr or "unauthorized" in denied.stderr.lower()
    subprocess.run([*command, "--src-creds", USER, source, target], capture_output=True, check=True)
    store = LayoutStore(tmp_path / "copy")
    for part in locked.built.everything():
        assert store.find_manifest(part.digest).raw == part.manifest.raw


def test_podman_pulls_with_a_password_through_tls(locked, tmp_path):
    (tmp_path / "certs").mkdir()
    shutil.copy(locked.ca.file, tmp_path / "certs/ca.crt")
    (tmp_path / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    name = f"{locked.serving.address}/{REPOSITORY}:1"
    with own_storage() as storage:
        options = ("--cert-dir", tmp_path / "certs", "--signature-policy", tmp_path / "policy.json", "--platform", "linux/amd64")
        storage.podman("pull", "-q", *options, "--creds", USER, name)
        shown = json.loads(storage.podman("image", "inspect", name))[0]
    assert shown["Digest"] in (locked.built.digest, locked.built.children[0].digest)


# what changes while it runs


def test_what_is_added_to_a_store_is_served_without_a_restart(tmp_path):
    publish(tmp_path / "store", "1")
    with Serving(tmp_path, tmp_path / "store") as serving:
        assert serving.ask("/v2/team/app/tags/list").json["tags"] == ["1"]
        publish(tmp_path / "store", "2")
        serving.said("the store: reloaded")
        assert serving.ask("/v2/team/app/tags/list").json["tags"] == ["1", "2"]
        (tmp_path / "store/index.json").write_text("{}")
        serving.said("reload: the store: ")
        assert serving.ask("/v2/team/app/tags/list").json["tags"] == ["1", "2"]
        assert "the store: " in serving.ask("/status").body.decode()


def test_users_and_certificates_are_changed_without_a_restart(tmp_path):
    publish(tmp_path / "store", "1")
    ca = PrivateCa(tmp_path / "ca")
    certificate, key = ca.issue("server")
    users = htpasswd(tmp_path / "users", site="geheim")
    options = ("--tls-cert", certificate, "--tls-key", key, "--htpasswd", users)
    with Serving(tmp_path, tmp_path / "store", *options, ca=ca.file) as serving:
        assert serving.ask("/v2/", USER).status == 200
        htpasswd(users, other="anders")
        serving.said("the htpasswd file: reloaded")
        assert serving.ask("/v2/", USER).status == 401
        assert serving.ask("/v2/", "other:anders").status == 200
        users.write_text("garbage\n")
        serving.said("the htpasswd file: a line of the htpasswd file is not a bcrypt entry")
        assert serving.ask("/v2/", "other:anders").status == 200

        def serial() -> object:
            connection = serving.connect()
            connection.connect()
            with connection.sock as sock:
                assert isinstance(sock, ssl.SSLSocket)
                certificate = sock.getpeercert()
                assert certificate
                return certificate["serialNumber"]

        before = serial()
        ca.issue("server")
        serving.said("the TLS certificate: reloaded")
        assert serial() != before


# its end


@pytest.mark.smoke("serve")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(tmp_path, number):
    publish(tmp_path / "store", "1")
    with Serving(tmp_path, tmp_path / "store") as serving:
        idle = serving.connect()
        idle.request("GET", "/v2/")
        idle.getresponse().read()
        assert serving.stop(number) == 0
        idle.close()
        serving.said("airgap: stopped")
        with pytest.raises(ConnectionRefusedError):
            serving.ask("/v2/")


def slow_download(serving: Serving, blob: images.Content) -> socket.socket:
    """A client in the middle of a blob that is larger than what the kernels on the way hold."""
    host, _, port = serving.address.partition(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    connection.sendall(f"GET /v2/team/app/blobs/{blob.descriptor.digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def test_transfers_under_way_are_finished_first(tmp_path):
    blob = publish(tmp_path / "store", "1", 30_000_000).children[0].blobs[1]
    with Serving(tmp_path, tmp_path / "store", "--grace", "60") as serving, slow_download(serving, blob) as connection:
        ended: list[int] = []
        stopper = threading.Thread(target=lambda: ended.append(serving.stop()))
        stopper.start()
        serving.said("stopping: active transfers have 60 seconds")
        received = bytearray()
        while part := connection.recv(1 << 20):
            received += part
        stopper.join()
    assert ended == [0]
    assert received.endswith(blob.raw[-100:])
    assert len(received.partition(b"\r\n\r\n")[2]) == len(blob.raw)


def test_transfers_that_take_longer_than_the_grace_are_cut_off(tmp_path):
    blob = publish(tmp_path / "store", "1", 30_000_000).children[0].blobs[1]
    with Serving(tmp_path, tmp_path / "store", "--grace", "0") as serving, slow_download(serving, blob):
        assert serving.stop() == 0


# straight from media, and what is refused


def test_a_bundle_is_served_from_media_when_the_policy_trusts_it(made, tmp_path):
    with Serving(tmp_path, made.bundle, "--policy", made.sender.policy, "--admin", "127.0.0.1:0") as serving:
        names = serving.ask("/v2/_catalog").json["repositories"]
        tags = {name: serving.ask(f"/v2/{name}/tags/list").json["tags"] for name in names}
        assert tags
        for name, found in tags.items():
            for tag in found:
                assert serving.ask(f"/v2/{name}/manifests/{tag}").status == 200
        metrics = serving.ask("/metrics", at=serving.desk).body.decode()
        stream = made.bundle.name.rpartition("-")[0]
        assert f'airgap_bundle_verified{{stream="{stream}"}} 1.0' in metrics
        assert f'airgap_bundle_serial{{stream="{stream}"}} {int(made.bundle.name[-4:])}.0' in metrics
        assert re.search(rf'airgap_bundle_age_seconds{{stream="{stream}"}} \d', metrics)


def test_a_bundle_without_a_policy_is_said_to_be_unchecked(made, tmp_path):
    with Serving(tmp_path, made.bundle) as serving:
        serving.said("the signature of this bundle is not verified")
        assert "signature not verified" in serving.ask("/status").body.decode()


def test_a_bundle_that_the_policy_does_not_trust_is_not_served(made, tmp_path):
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"default": [{"type": "reject"}], "transports": {"airgap": {"": [{"type": "reject"}]}}}))
    failed(here("serve", made.bundle, "--policy", policy, "--listen", "127.0.0.1:0"), REFUSED)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--tls-cert", "x"), "a certificate and its key"),
        (("--tls-cert", "missing", "--tls-key", "missing"), "cannot read a file"),
        (("--tls-cert", "text", "--tls-key", "text"), "cannot use the TLS certificate and key"),
        (("--htpasswd", "missing"), "cannot read a file"),
        (("--htpasswd", "text"), "not a bcrypt entry"),
        (("--listen", "nonsense"), "not an address"),
        (("--admin", "127.0.0.1:99999"), "not an address"),
        (("--listen", "192.0.2.1:5000"), "cannot listen"),
        (("other",), "a store must be served alone"),
    ],
)
def test_what_it_cannot_do_is_said_before_it_begins(tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    publish(tmp_path / "store", "1")
    (tmp_path / "text").write_text("nobody:plain\n")
    failed(here("serve", "store", "--listen", "127.0.0.1:0", *options), USAGE, says)
