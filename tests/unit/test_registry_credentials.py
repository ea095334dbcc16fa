"""Auth files and credential helpers."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from airgap.errors import AirgapError, RegistryError, UsageError
from airgap.registry import Credential, CredentialStore
from airgap.registry.settings.credentials import run_helper

#: Where the containers tools keep logins of a user without XDG_RUNTIME_DIR.
RUN = f"/run/containers/{os.getuid()}/auth.json"


def auth(name: str, password: str = "pw") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:{password}".encode()).decode()}


def store(tmp_path: Path, **document: Any) -> CredentialStore:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(document))
    return CredentialStore((file,), {"PATH": f"{tmp_path}:/usr/bin:/bin"})


def helper(tmp_path: Path, name: str, script: str) -> dict[str, str]:
    file = tmp_path / f"docker-credential-{name}"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return {"PATH": f"{tmp_path}:/usr/bin:/bin"}


def user(credential: Credential | None) -> str | None:
    return credential.username if credential else None


@pytest.mark.parametrize("key", ["h:5000", "https://h:5000", "http://h:5000/v1/", "https://h:5000/v2/x", "h:5000/"])
def test_registry_is_found_in_all_spellings_of_its_key(tmp_path: Path, key: str) -> None:
    credentials = store(tmp_path, auths={key: auth("me", "p:w")})
    assert credentials.lookup("h:5000", "a/b") == Credential("me", "p:w")
    assert credentials.lookup("h") is None
    assert credentials.lookup("xh:5000") is None


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"])
def test_docker_hub_is_found_in_all_its_names(tmp_path: Path, key: str) -> None:
    assert user(store(tmp_path, auths={key: auth("me")}).lookup("docker.io", "library/nginx")) == "me"


def test_most_specific_namespace_wins(tmp_path: Path) -> None:
    credentials = store(tmp_path, auths={"h": auth("host"), "h/a": auth("a"), "h/a/b": auth("ab")})
    found = [user(credentials.lookup("h", path)) for path in ("a/b", "a/b/c", "a/x", "ab", "")]
    assert found == ["ab", "ab", "a", "host", "host"]


def test_identity_token_is_recognised(tmp_path: Path) -> None:
    found = store(tmp_path, auths={"h": {**auth("ignored"), "identitytoken": "tok"}}).lookup("h")
    assert found == Credential("", "", "tok")
    assert "tok" not in repr(found)


def test_entries_without_credentials_are_passed_over(tmp_path: Path) -> None:
    assert store(tmp_path, auths={"h": {}, "i": {"auth": ""}, "j": None}).lookup("h") is None


@pytest.mark.parametrize("value", ["***", base64.b64encode(b"nocolon").decode(), "ä"])
def test_malformed_entry_is_an_error_without_its_content(tmp_path: Path, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        store(tmp_path, auths={"h": {"auth": value}}).lookup("h")
    assert value not in str(caught.value)


def test_malformed_file_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    file.write_text("{")
    with pytest.raises(UsageError):
        CredentialStore((file,)).lookup("h")


def test_first_file_that_knows_the_registry_wins(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(json.dumps({"auths": {name: auth(name), "both": auth(name)}}))
    credentials = CredentialStore((tmp_path / "missing", tmp_path / "one", tmp_path / "two"))
    assert [user(credentials.lookup(host)) for host in ("one", "two", "both")] == ["one", "two", "one"]


@pytest.mark.parametrize(
    ("environment", "files"),
    [
        ({"HOME": "/h"}, [RUN, "/h/.config/containers/auth.json", "/h/.docker/config.json"]),
        ({"XDG_RUNTIME_DIR": "/r"}, ["/r/containers/auth.json"]),
        ({"REGISTRY_AUTH_FILE": "/a", "XDG_RUNTIME_DIR": "/r", "DOCKER_CONFIG": "/d"}, ["/a", "/d/config.json"]),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}, [RUN, "/c/containers/auth.json", "/h/.docker/config.json"]),
        ({}, [RUN]),
    ],
)
def test_files_are_those_of_podman_and_docker(environment: dict[str, str], files: list[str]) -> None:
    assert [str(file) for file in CredentialStore.from_environment(environment)._files] == files


def test_helper_of_a_registry_is_asked_by_name(tmp_path: Path) -> None:
    helper(
        tmp_path, "mine", 'read server; echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"$server\\",\\"Secret\\":\\"s\\"}"'
    )
    credentials = store(tmp_path, credHelpers={"h:5000": "mine", "docker.io": "mine"}, auths={"other": auth("plain")})
    assert credentials.lookup("h:5000") == Credential("h:5000", "s")
    assert user(credentials.lookup("docker.io")) == "https://index.docker.io/v1/"
    assert user(credentials.lookup("other")) == "plain"


def test_store_helper_is_asked_for_every_registry_then_the_file(tmp_path: Path) -> None:
    helper(tmp_path, "all", 'read s; [ "$s" = known ] || { echo "credentials not found in native keychain"; exit 1; }\n'
                            'echo \'{"Username":"<token>","Secret":"tok"}\'')  # fmt: skip
    credentials = store(tmp_path, credsStore="all", auths={"h": auth("plain")})
    assert credentials.lookup("known") == Credential("", "", "tok")
    assert user(credentials.lookup("h")) == "plain"
    assert credentials.lookup("nobody") is None


@pytest.mark.parametrize(
    "script",
    [
        "exit 3",
        "echo canary",
        "echo '{}'",
        'echo \'{"Username":1,"Secret":"canary"}\'',
        "head -c 200000 /dev/zero",
        "exec 0<&-; exit 1",
    ],
)
def test_helper_that_fails_is_an_error_without_its_output(tmp_path: Path, script: str) -> None:
    environment = helper(tmp_path, "bad", script)
    with pytest.raises(RegistryError) as caught:
        run_helper("bad", "h", environment)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing", "../evil", "a b", "-x", ""])
def test_helper_that_is_missing_or_has_no_proper_name_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(AirgapError):
        run_helper(name, "h", {"PATH": str(tmp_path)})
