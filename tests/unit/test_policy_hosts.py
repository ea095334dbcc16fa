"""Which podman and skopeo read a policy: ``airgap policy check --for``, by one table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from airgap.errors import UsageError
from airgap.trust.judge.hosts import Host
from tests.support.cli import USAGE, failed, here

PAGE = Path(__file__).resolve().parents[2] / "docs/policy.md"
KEY = {"type": "sigstoreSigned", "keyPath": "/k"}
GPG = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}
UNREAD = ["a cosign signature in a referrer (OCI 1.1 mode)", "a Sigstore bundle"]


def policy(*requirements: dict[str, Any]) -> dict[str, Any]:
    return {"default": [{"type": "reject"}], "transports": {"docker": {"quay.io/x": list(requirements)}}}


@pytest.mark.parametrize(
    ("requirement", "reading", "refusing"),
    [
        (GPG, "podman-3.4 skopeo-1.0 podman-5", ""),
        (KEY, "podman-4.2 podman-5 skopeo-1.9 skopeo-1.9.3 skopeo-2", "podman-4 podman-4.1.9 skopeo-1 skopeo-1.8"),
        ({**GPG, "keyPaths": ["/k"]}, "podman-4.2 skopeo-1.9.1 skopeo-1.10", "podman-4.1 skopeo-1.9 skopeo-1.9.0"),
        ({**KEY, "rekorPublicKeyPath": "/r"}, "podman-4.4 podman-5 skopeo-1.11", "podman-4.3 skopeo-1.10"),
        (
            {"type": "sigstoreSigned", "keyDatas": ["AA=="]},
            "podman-5.2.2 podman-5.3 skopeo-1.17",
            "podman-5 podman-5.2 skopeo-1.16",
        ),
        ({"type": "sigstoreSigned", "pki": {}}, "podman-5.5 skopeo-1.19", "podman-5.4 skopeo-1.18.2"),
    ],
)
def test_a_host_refuses_a_file_with_what_it_does_not_know(requirement: dict[str, Any], reading: str, refusing: str) -> None:
    for text in reading.split():
        assert Host.parse(text).unknown(policy(GPG, requirement)) == [], text
    for text in refusing.split():
        assert Host.parse(text).unknown(policy(requirement)), text


def test_only_requirements_are_looked_at() -> None:
    document = {"default": [{"type": "reject"}], "transports": {"docker": {"sigstoreSigned": [GPG], "pki": [GPG]}}}
    assert Host.parse("podman-3").unknown(document) == []


@pytest.mark.parametrize(
    "text", ["", "podman", "podman-", "podman-x", "docker-27", "podman-5.1.2.3", "podman-99999", "podman-5\n", "PODMAN-5"]
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a host that reads policies"):
        Host.parse(text)


def test_check_says_which_hosts_read_the_file_and_what_the_others_do_not_know(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(policy({**KEY, "rekorPublicKeyPath": "/r"})))
    done = here("policy", "check", path, "--for", "podman-5", "--for", "skopeo-1.9")
    assert "podman-5: reads the file" in done.stdout
    assert "skopeo-1.9: refuses the whole file: sigstoreSigned.rekorPublicKeyPath is known since skopeo 1.11" in done.stdout
    assert json.loads(here("policy", "check", path, "--for", "podman-5", "--for", "skopeo-1.9", "--json").stdout)["hosts"] == [
        {"host": "podman-5", "reads": True, "unread_fields": [], "unread_signatures": UNREAD},
        {"host": "skopeo-1.9", "reads": False, "unread_fields": ["sigstoreSigned.rekorPublicKeyPath"], "unread_signatures": UNREAD},
    ]
    assert json.loads(here("policy", "check", path, "--json").stdout)["hosts"] == []
    failed(here("policy", "check", path, "--for", "docker-27"), USAGE, "not a host that reads policies")


def test_a_host_that_reads_the_file_still_finds_no_signature_outside_of_sig_tags(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(policy(KEY)))
    said = "podman, skopeo and CRI-O find sigstore signatures only in .sig tags: they do not find a cosign signature in a referrer"
    assert said in here("policy", "check", path, "--for", "podman-5").stdout
    assert said not in here("policy", "check", path).stdout, "nobody asked for a host"
    path.write_text(json.dumps(policy(GPG)))
    assert said not in here("policy", "check", path, "--for", "podman-5").stdout
    assert json.loads(here("policy", "check", path, "--for", "podman-5", "--json").stdout)["hosts"][0]["unread_signatures"] == []


def test_the_page_has_the_table_that_counts() -> None:
    rows = re.findall(r"^\| (?:`sigstoreSigned`|\.\.\.) with ([\w, ]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE.read_text(), re.MULTILINE)
    fields = {field: since for names, *since in rows for field in names.split(", ")}
    assert len(fields) == 10
    for field, (podman, skopeo) in fields.items():
        for text in (f"podman-{podman}", f"skopeo-{skopeo}"):
            assert Host.parse(text).unknown(policy({"type": "sigstoreSigned", field: "x"})) == [], text
            *above, last = Host.parse(text).version
            older = Host(text.partition("-")[0], (*above, last - 1))
            assert older.unknown(policy({"type": "sigstoreSigned", field: "x"})), older
