"""Logging in and out: what is written where, and what of it is kept."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airgap.errors import MediaError, RegistryError, UsageError
from airgap.registry import Credential, CredentialStore, Login, RegistryOptions
from airgap.registry.http.authfile import check_scope, forget_all, forget_login, keep_login, try_login
from tests.support.hostile import Hostile, Reply, Request

CANARY = "canary-4711"
LOGIN = Login("me", CANARY)
BASIC = "Basic " + base64.b64encode(f"me:{CANARY}".encode()).decode()


def document(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def options(**more: Any) -> RegistryOptions:
    return RegistryOptions(credentials=CredentialStore(), sleep=lambda _: None, **more)


def helper(tmp_path: Path, script: str) -> Mapping[str, str]:
    """A credential helper ``mine`` that keeps what it was told in a file."""
    file = tmp_path / "docker-credential-mine"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return {"PATH": f"{tmp_path}:/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("quay.io", ("quay.io", "")),
        ("h:5000/team/app", ("h:5000", "team/app")),
        ("docker.io", ("docker.io", "")),
        ("index.docker.io/team", ("docker.io", "team")),
    ],
)
def test_registry_or_namespace_is_read(text: str, scope: tuple[str, str]) -> None:
    assert check_scope(text) == scope


@pytest.mark.parametrize("text", ["", "https://quay.io", "quay.io/", "quay.io/Team", "a b", "quay.io/x:1", "h/../x"])
def test_what_is_no_registry_is_a_mistake_of_the_user(text: str) -> None:
    with pytest.raises(UsageError):
        check_scope(text)


def test_login_is_written_for_its_owner_only_and_everything_else_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "deep/containers/auth.json"
    keep_login(file, "h:5000", "", LOGIN, {})
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    written = document(file) | {"HttpHeaders": {"a": "b"}, "credHelpers": {"other": "x"}}
    file.write_text(json.dumps(written))
    file.chmod(0o644)
    keep_login(file, "h:5000", "team/a", Login("two", "p:w"), {})
    assert file.stat().st_mode & 0o777 == 0o600
    assert document(file)["HttpHeaders"] == {"a": "b"}
    assert document(file)["credHelpers"] == {"other": "x"}
    store = CredentialStore((file,))
    assert store.lookup("h:5000", "x") == Credential("me", CANARY)
    assert store.lookup("h:5000", "team/a/b") == Credential("two", "p:w")
    assert [one.name for one in file.parent.iterdir()] == ["auth.json"]


def test_login_takes_the_place_of_an_older_one_in_any_spelling(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"auths": {"https://index.docker.io/v1/": {"auth": "eDp5"}, "h": {"auth": "eDp5"}}}))
    keep_login(file, "docker.io", "", LOGIN, {})
    assert set(document(file)["auths"]) == {"docker.io", "h"}


def test_link_in_the_place_of_the_file_stays_and_leads_to_the_new_content(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / "auth.json").symlink_to("real.json")
    keep_login(tmp_path / "auth.json", "h", "", LOGIN, {})
    assert (tmp_path / "auth.json").is_symlink()
    assert "h" in document(tmp_path / "real.json")["auths"]


@pytest.mark.parametrize("content", ["{", "[]", '{"auths": 7}'])
def test_file_that_is_no_auth_file_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    file = tmp_path / "auth.json"
    file.write_text(content)
    with pytest.raises(UsageError) as caught:
        keep_login(file, "h", "", LOGIN, {})
    assert file.read_text() == content
    assert CANARY not in str(caught.value)


def test_directory_that_cannot_be_made_is_an_error_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((MediaError, UsageError)):
        keep_login(tmp_path / "file/auth.json", "h", "", LOGIN, {})


def test_logout_forgets_one_login_or_all(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    assert not forget_login(file, "h", "", {})
    assert forget_all(file) == 0
    for host, path in (("h", ""), ("h", "team"), ("i", "")):
        keep_login(file, host, path, LOGIN, {})
    assert forget_login(file, "h", "", {})
    assert not forget_login(file, "h", "", {})
    assert set(document(file)["auths"]) == {"h/team", "i"}
    assert forget_all(file) == 2
    assert document(file) == {"auths": {}}


@pytest.mark.parametrize("naming", [{"credsStore": "mine"}, {"credHelpers": {"h:1": "mine"}}])
def test_helper_that_the_file_names_keeps_the_login(tmp_path: Path, naming: dict[str, Any]) -> None:
    environment = helper(
        tmp_path,
        f'case $1 in store) cat > {tmp_path}/kept;; get) cat {tmp_path}/kept;; '
        f'erase) rm {tmp_path}/kept 2>/dev/null || {{ echo credentials not found; exit 1; }};; esac',
    )  # fmt: skip
    file = tmp_path / "auth.json"
    file.write_text(json.dumps(naming))
    assert keep_login(file, "h:1", "", LOGIN, environment) == "docker-credential-mine"
    assert document(file) == naming
    assert json.loads((tmp_path / "kept").read_text()) == {"ServerURL": "h:1", "Username": "me", "Secret": CANARY}
    assert CredentialStore((file,), environment).lookup("h:1") == Credential("me", CANARY)
    assert forget_login(file, "h:1", "", environment)
    assert not forget_login(file, "h:1", "", environment)


def test_helper_that_fails_is_an_error_without_the_password(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    file.write_text('{"credsStore":"mine"}')
    with pytest.raises(RegistryError) as caught:
        keep_login(file, "h", "", LOGIN, helper(tmp_path, "cat; exit 1"))
    assert CANARY not in str(caught.value)


def test_right_password_is_taken_and_a_wrong_one_is_not() -> None:
    def app(request: Request) -> Reply:
        known = request.headers.get("Authorization") == BASIC
        return Reply(200, b"{}") if known else Reply(401, headers={"WWW-Authenticate": 'Basic realm="r"'})

    with Hostile(app) as server:
        assert try_login(options(), server.address, "", LOGIN)
        assert try_login(options(), server.address, "team", LOGIN)
        with pytest.raises(RegistryError) as caught:
            try_login(options(), server.address, "", Login("me", "wrong"))
        assert {one.target for one in server.requests} == {"/v2/"}
    assert "does not accept this user name and password" in caught.value.what
    assert "check the user name" in caught.value.hint


def test_token_server_decides_over_a_login_for_a_namespace() -> None:
    def issue(request: Request) -> Reply:
        return Reply(200, b'{"token":"t"}') if request.headers.get("Authorization") == BASIC else Reply(401)

    with Hostile(issue) as tokens, Hostile(lambda _: Reply()) as server:
        asked = {"WWW-Authenticate": f'Bearer realm="{tokens.url}/t",service="s"'}
        server.app = lambda request: Reply(200) if "Authorization" in request.headers else Reply(401, headers=asked)
        assert try_login(options(), server.address, "team", LOGIN)
        with pytest.raises(RegistryError) as caught:
            try_login(options(), server.address, "", Login("me", "wrong"))
        assert [one.query.get("scope") for one in tokens.requests] == [["repository:team:pull"], None]
    assert "check the user name" in caught.value.hint


def test_registry_that_asks_nobody_says_nothing_about_the_password() -> None:
    with Hostile(lambda _: Reply(200)) as server:
        assert not try_login(options(), server.address, "", LOGIN)
        assert "Authorization" not in server.requests[0].headers


def test_what_is_no_registry_takes_no_login() -> None:
    with Hostile(lambda _: Reply(404)) as server, pytest.raises(RegistryError) as caught:
        try_login(options(), server.address, "", LOGIN)
    assert "does not look like a registry" in caught.value.what


def test_login_of_the_operator_counts_before_the_files_and_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    keep_login(file, "h", "", Login("file", "pw"), {})
    chosen = RegistryOptions(logins={"h/team": LOGIN, "i": LOGIN}, credentials=CredentialStore((file,)))
    assert chosen.credential("h", "team/app") == Credential("me", CANARY)
    assert chosen.credential("h", "other") == Credential("file", "pw")
    assert chosen.credential("i", "x") == Credential("me", CANARY)
    assert CANARY not in repr(chosen)
