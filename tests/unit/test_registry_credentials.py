"""Auth files and credential helpers."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from airgap.errors import AirgapError, RegistryError, UsageError
from airgap.registry import Credential, CredentialStore
from airgap.registry.settings.credentials import run_helper
from tests.support.tools import require

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


#: What containers-auth.json(5) and containers/image say: the entries, the repository, and whose login counts.
RULES: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "exact-before-url": ({"https://h.io": auth("url"), "h.io": auth("exact")}, "h.io/a/b", "exact"),
    "exact-before-url-in-any-order": ({"h.io": auth("exact"), "https://h.io": auth("url")}, "h.io/a/b", "exact"),
    "exact-before-url-with-path": ({"https://h.io/v1/": auth("url"), "h.io": auth("exact")}, "h.io", "exact"),
    "exact-before-hub-url": (
        {"https://index.docker.io/v1/": auth("url"), "docker.io": auth("exact")},
        "docker.io/library/x",
        "exact",
    ),
    "hub-url": ({"https://index.docker.io/v1/": auth("url")}, "docker.io/library/x", "url"),
    "url": ({"https://h.io": auth("url")}, "h.io/a/b", "url"),
    "url-v1": ({"http://h.io/v1/": auth("url")}, "h.io/a/b", "url"),
    "url-v2": ({"https://h.io/v2/": auth("url")}, "h.io/a/b", "url"),
    "url-with-any-path-is-the-registry": ({"https://h.io/other": auth("url")}, "h.io/a/b", "url"),
    "repository": ({"h.io/a/b": auth("repo"), "h.io/a": auth("space"), "h.io": auth("host")}, "h.io/a/b", "repo"),
    "namespace": ({"h.io/a/b": auth("repo"), "h.io/a": auth("space"), "h.io": auth("host")}, "h.io/a/c", "space"),
    "registry": ({"h.io/a/b": auth("repo"), "h.io/a": auth("space"), "h.io": auth("host")}, "h.io/ab", "host"),
    "namespace-before-url": ({"https://h.io": auth("url"), "h.io/a": auth("space")}, "h.io/a/b", "space"),
    "namespace-is-not-the-registry": ({"h.io/a": auth("space")}, "h.io", None),
    "empty-exact-entry-decides": ({"h.io": {}, "https://h.io": auth("url")}, "h.io/a/b", None),
    "empty-namespace-decides": ({"h.io/a": {}, "h.io": auth("host")}, "h.io/a/b", None),
    "port-is-part-of-the-name": ({"h.io:443": auth("port")}, "h.io", None),
    "other-port": ({"h.io:5000": auth("port"), "h.io": auth("none")}, "h.io:5000/a", "port"),
    "path-without-scheme-is-a-namespace": ({"h.io/v1/": auth("space")}, "h.io/a", None),
    "tag-in-a-key-matches-nothing": ({"h.io/a/b:1": auth("tagged")}, "h.io/a/b", None),
    "address": ({"[::1]:5000": auth("six")}, "[::1]:5000/a", "six"),
    "nul-bytes-around-the-password": ({"h.io": auth("me", "\0pw\0")}, "h.io", "me"),
}


@pytest.mark.parametrize("rule", RULES)
def test_rules_of_look_up_are_those_of_containers_auth_json(tmp_path: Path, rule: str) -> None:
    entries, repository, expected = RULES[rule]
    host, _, path = repository.partition("/")
    found = store(tmp_path, auths=entries).lookup(host, path)
    assert user(found) == expected
    assert found is None or found.password == "pw"


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "address"])  # skopeo 1.9 reads no IPv6 addresses
def test_skopeo_looks_up_the_same(tmp_path: Path, rule: str) -> None:
    entries, repository, expected = RULES[rule]
    (tmp_path / "auth.json").write_text(json.dumps({"auths": entries}))
    command = [require("skopeo"), "login", "--get-login", "--authfile", str(tmp_path / "auth.json"), repository]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.strip() or None) == expected, done.stderr
    assert "not logged into" in done.stderr or expected


def test_entry_in_another_spelling_counts_after_all_exact_ones(tmp_path: Path) -> None:
    entries = {"index.docker.io/library": auth("spelled"), "docker.io": auth("exact")}
    assert user(store(tmp_path, auths=entries).lookup("docker.io", "library/x")) == "exact"
    assert user(store(tmp_path, auths={"H.IO/a": auth("space"), "h.io/": auth("host")}).lookup("h.io", "a/b")) == "space"


def test_dockercfg_has_entries_for_whole_registries(tmp_path: Path) -> None:
    file = tmp_path / ".dockercfg"
    file.write_text(json.dumps({"https://index.docker.io/v1/": auth("hub"), "h.io/v1/": auth("path"), "i.io": auth("name")}))
    credentials = CredentialStore((file,))
    found = [user(credentials.lookup(host, "a/b")) for host in ("docker.io", "h.io", "i.io", "j.io")]
    assert found == ["hub", "path", "name", None]


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
        ({"HOME": "/h"}, [RUN, "/h/.config/containers/auth.json", "/h/.docker/config.json", "/h/.dockercfg"]),
        ({"XDG_RUNTIME_DIR": "/r"}, ["/r/containers/auth.json"]),
        ({"REGISTRY_AUTH_FILE": "/a", "XDG_RUNTIME_DIR": "/r", "DOCKER_CONFIG": "/d"}, ["/a", "/d/config.json"]),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}, [RUN, "/c/containers/auth.json", "/h/.docker/config.json", "/h/.dockercfg"]),
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


def test_entries_beside_the_helper_of_a_registry_do_not_count(tmp_path: Path) -> None:
    helper(tmp_path, "mine", 'echo "credentials not found in native keychain"; exit 1')
    one = {"credHelpers": {"h.io": "mine"}, "auths": {"h.io": auth("plain"), "h.io/a": auth("space"), "i.io": auth("other")}}
    credentials = store(tmp_path, **one)
    assert credentials.lookup("h.io", "a/b") is None
    assert user(credentials.lookup("i.io")) == "other"
    (tmp_path / "next.json").write_text(json.dumps({"auths": {"h.io": auth("next")}}))
    both = CredentialStore((tmp_path / "config.json", tmp_path / "next.json"), {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert user(both.lookup("h.io", "a/b")) == "next"


def test_helper_is_for_a_registry_and_no_namespace(tmp_path: Path) -> None:
    helper(tmp_path, "mine", 'echo \'{"Username":"helped","Secret":"s"}\'')
    assert store(tmp_path, credHelpers={"h.io/a": "mine"}).lookup("h.io", "a/b") is None
    assert user(store(tmp_path, credHelpers={"https://h.io/v1/": "mine"}).lookup("h.io", "a/b")) == "helped"


def test_exact_helper_wins_over_one_whose_key_is_a_url(tmp_path: Path) -> None:
    helper(tmp_path, "url", 'echo \'{"Username":"url","Secret":"s"}\'')
    helper(tmp_path, "exact", 'echo \'{"Username":"exact","Secret":"s"}\'')
    for helpers in ({"h.io": "exact", "https://h.io": "url"}, {"https://h.io": "url", "h.io": "exact"}):
        assert user(store(tmp_path, credHelpers=helpers).lookup("h.io")) == "exact"


def test_login_to_docker_hub_that_podman_gave_to_a_helper_is_found(tmp_path: Path) -> None:
    helper(tmp_path, "mine", 'read s; [ "$s" = docker.io ] || { echo "credentials not found"; exit 1; }\n'
                             'echo \'{"Username":"podman","Secret":"s"}\'')  # fmt: skip
    assert user(store(tmp_path, credHelpers={"docker.io": "mine"}).lookup("docker.io", "library/x")) == "podman"


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
