"""``airgap login`` and ``logout`` as people run them, and the same auth file in the hands of skopeo."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from tests.support import images
from tests.support.cli import NETWORK, USAGE, failed
from tests.support.dockerregistry import PASSWORD, USER, DockerRegistry, htpasswd
from tests.support.site import Site
from tests.support.tools import require

pytestmark = pytest.mark.slow("waits for retries, timeouts or a service")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """Wants a name and password, and has ``team/app:1``."""
    require("docker-registry")
    root = tmp_path_factory.mktemp("guarded")
    with DockerRegistry(root / "registry") as registry, LayoutStore(root / "layout") as layout:
        images.publish(layout, "origin.example/team/app:1", images.image([images.layer("app")]))
        layout.commit()
        images.push_layout_to_registry(layout, registry.address)
    with DockerRegistry(root / "registry", htpasswd(root)) as registry:
        yield registry


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def command(site: Site, *arguments: object, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    home = site.root / "home"
    home.mkdir(exist_ok=True)
    line = [sys.executable, "-m", "airgap", *map(str, arguments)]
    full = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(site.root / "run"), **environment}
    return subprocess.run(line, env=full, input=given, capture_output=True, text=True, check=False)


def login(site: Site, host: str, *options: object, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    return command(site, "login", host, "-u", USER, "--password-stdin", *options, given=f"{password}\n")


def resolve(site: Site, registry: DockerRegistry, *options: object) -> subprocess.CompletedProcess[str]:
    (site.root / "images.txt").write_text(f"{registry.address}/team/app:1\n")
    return command(site, "resolve", site.root / "images.txt", *options)


@pytest.mark.smoke("login", "logout")
def test_login_is_kept_where_the_next_command_looks_and_logout_forgets_it(site: Site, guarded: DockerRegistry) -> None:
    file = site.root / "run/containers/auth.json"
    failed(resolve(site, guarded), NETWORK, "401")
    done = login(site, guarded.address, "-v")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"logged in    {guarded.address} as {USER}" in done.stdout
    assert str(file) in done.stdout
    assert PASSWORD not in done.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    assert resolve(site, guarded).returncode == 0
    assert command(site, "logout", guarded.address).returncode == 0
    failed(resolve(site, guarded), NETWORK, "401")
    failed(command(site, "logout", guarded.address), USAGE, "not logged in")


def test_login_for_a_namespace_counts_for_what_is_below_it(site: Site, guarded: DockerRegistry) -> None:
    assert login(site, f"{guarded.address}/team").returncode == 0
    assert resolve(site, guarded).returncode == 0
    assert login(site, f"{guarded.address}/other").returncode == 0
    assert command(site, "logout", f"{guarded.address}/team").returncode == 0
    failed(resolve(site, guarded), NETWORK, "401")
    assert command(site, "logout", "--all", "--json").stdout.startswith('{\n  "schema": "airgap.logout/1",\n  "forgotten": 1')


def test_wrong_password_is_refused_and_not_kept(site: Site, guarded: DockerRegistry) -> None:
    for more in ((), ("--json",)):
        done = login(site, guarded.address, *more, password="wrong-canary")
        failed(done, NETWORK, "does not accept this user name and password", "check the user name")
        assert "wrong-canary" not in done.stdout + done.stderr
    assert not (site.root / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "given", "says"),
    [
        (("h.example", "-u", USER), "", "--password-stdin"),
        (("h.example", "--password-stdin"), "x", "-u USER"),
        (("h.example", "-u", USER, "--password-stdin"), "", "one line"),
        (("h.example", "-u", USER, "--password-stdin"), "two\nlines\n", "one line"),
        (("h.example", "-u", "a:b", "--password-stdin"), "x", "without a colon"),
        (("https://h", "-u", USER, "--password-stdin"), "x", "not a valid registry name"),
        (("h.example", "-u", USER, "-p", "x"), "", "-p"),
    ],
)
def test_login_that_cannot_be_one_is_a_usage_error(site: Site, arguments: tuple[str, ...], given: str, says: str) -> None:
    failed(command(site, "login", *arguments, given=given), USAGE, says)


def test_logout_wants_one_registry_or_all(site: Site) -> None:
    for arguments in ((), ("h", "--all")):
        failed(command(site, "logout", *arguments), USAGE, "--all")


def test_password_is_asked_for_on_a_terminal_and_not_shown(site: Site, guarded: DockerRegistry) -> None:
    leader, follower = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "HOME": str(site.root), "XDG_RUNTIME_DIR": str(site.root / "run"), "TERM": "dumb"}
    line = [sys.executable, "-m", "airgap", "login", guarded.address]
    with subprocess.Popen(
        line, env=environment, stdin=follower, stdout=follower, stderr=follower, start_new_session=True
    ) as process:
        os.close(follower)
        shown = b""
        for prompt, answer in ((b"name: ", USER), (b"password: ", PASSWORD)):  # the blank comes when the terminal is set up
            while prompt not in shown:
                shown += os.read(leader, 1000)
            os.write(leader, f"{answer}\n".encode())
        with contextlib.suppress(OSError):  # a terminal whose other side is closed
            while more := os.read(leader, 1000):
                shown += more
    os.close(leader)
    assert process.returncode == 0, shown
    assert b"logged in" in shown
    assert PASSWORD.encode() not in shown


def test_what_skopeo_wrote_is_read_and_what_we_write_skopeo_reads(site: Site, guarded: DockerRegistry) -> None:
    require("skopeo")
    theirs, ours = site.root / "theirs.json", site.root / "ours.json"
    line: list[str | Path] = [
        "skopeo",
        "login",
        "--tls-verify=false",
        "--authfile",
        theirs,
        "-u",
        USER,
        "--password-stdin",
        guarded.address,
    ]
    subprocess.run(line, input=PASSWORD.encode(), check=True, capture_output=True)
    assert resolve(site, guarded, "--authfile", theirs).returncode == 0
    for scope in (guarded.address, f"{guarded.address}/team"):
        assert login(site, scope, "--authfile", ours).returncode == 0
        inspect: list[str | Path] = [
            "skopeo",
            "inspect",
            "--tls-verify=false",
            "--authfile",
            ours,
            f"docker://{guarded.address}/team/app:1",
        ]
        assert json.loads(subprocess.run(inspect, check=True, capture_output=True).stdout)["Name"] == f"{guarded.address}/team/app"
        assert command(site, "logout", scope, "--authfile", ours).returncode == 0
        assert subprocess.run(inspect, check=False, capture_output=True).returncode != 0
    assert login(site, guarded.address, "--authfile", theirs).returncode == 0
    logout: list[str | Path] = ["skopeo", "logout", "--authfile", theirs, guarded.address]
    subprocess.run(logout, check=True, capture_output=True)
    failed(resolve(site, guarded, "--authfile", theirs), NETWORK, "401")


def without_session(site: Site) -> dict[str, str]:
    """The environment of a login shell without a session, of a service, of ``sudo``."""
    return {"PATH": os.environ["PATH"], "HOME": str(site.root / "home")}


def test_login_without_a_session_is_still_there_after_a_restart_and_skopeo_and_podman_read_it(
    site: Site, guarded: DockerRegistry
) -> None:
    require("skopeo")
    home = site.root / "home/.config/containers/auth.json"
    done = command(site, "login", guarded.address, "-u", USER, "--password-stdin", given=PASSWORD, XDG_RUNTIME_DIR="")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"stored in    {home}" in done.stdout
    assert home.stat().st_mode & 0o777 == 0o600
    readers = [["skopeo", "login", "--get-login", guarded.address]]
    if shutil.which("podman"):
        readers.append(["podman", "login", "--get-login", guarded.address])
    if os.geteuid() != 0:  # skopeo stops at a /run/containers that it may not read
        readers = readers[1:]
    for line in readers:
        shown = subprocess.run(line, env=without_session(site), capture_output=True, text=True, check=False)
        assert shown.stdout.strip() == USER, shown.stderr
    assert resolve(site, guarded).returncode == 0  # in a session, too
    assert command(site, "logout", guarded.address).stdout == f"removed      1 login from {home}\n"
    failed(command(site, "logout", guarded.address, XDG_RUNTIME_DIR=""), USAGE, "not logged in", str(home))


def test_refused_registry_says_whether_there_is_no_login_or_a_wrong_one_and_where_it_is_from(
    site: Site, guarded: DockerRegistry
) -> None:
    host = guarded.address
    anonymous = resolve(site, guarded)
    failed(anonymous, NETWORK, "401", f"{host} requires a login", "none was found", f"`airgap login {host}`")
    assert "refuses" not in anonymous.stderr
    assert login(site, f"{host}/team").returncode == 0
    file = site.root / "run/containers/auth.json"
    wrong = base64.b64encode(f"{USER}:canary-wrong".encode()).decode()
    file.write_text(json.dumps({"auths": {f"{host}/team": {"auth": wrong}}}))
    again = f"`airgap login {host}/team`"
    refused = resolve(site, guarded)
    failed(refused, NETWORK, "401", f"{host} refuses this login", f"(not {USER}, from {file})", again)
    assert "canary-wrong" not in refused.stderr
    named = f"`airgap login {host}/team --authfile {file}`"
    failed(resolve(site, guarded, "--authfile", file), NETWORK, f"{host} refuses this login", named)


def test_auth_file_named_by_the_environment_is_the_one_that_is_written(site: Site, guarded: DockerRegistry) -> None:
    file = site.root / "chosen.json"
    done = command(site, "login", guarded.address, "-u", USER, "--password-stdin", given=PASSWORD, REGISTRY_AUTH_FILE=str(file))
    assert done.returncode == 0
    assert guarded.address in json.loads(file.read_text())["auths"]
    assert not (site.root / "run").exists()
