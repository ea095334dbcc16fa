"""The real skopeo reads what ``airgap policy`` and ``mirror-config`` write, and accepts and rejects what airgap does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.trust.keys.signers import generate
from tests.support.pulling import PREFIX, Yard, yard

pytestmark = pytest.mark.slow("starts real skopeo, podman or containerd many times")

SIGNED, UNSIGNED = "team/app", "team/unsigned"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """A vendor with an image that is signed and one that is not; bundles with each."""
    with yard(tmp_path_factory.mktemp("written")) as found:
        for path in (SIGNED, UNSIGNED):
            built = found.publish(path)
            if path == SIGNED:
                found.sign(path, *built.everything())
            found.export(path)
        (found.root / "site.pem").write_bytes(generate("ecdsa", None).public_pem)
        yield found


def host(place: Yard, policy: Path, directory: Path) -> Path:
    """The files of a host that pulls from the vendor under a policy."""
    directory.mkdir()
    shutil.copy(policy, directory / "policy.json")
    shutil.copytree(place.root / "registries.d", directory / "registries.d")
    (directory / "registries.conf").write_text(f'[[registry]]\nlocation = "{place.vendor.address}"\ninsecure = true\n')
    return directory


def judged(place: Yard, policy: Path, directory: Path) -> dict[str, bool]:
    """Whether both images are accepted: by airgap in their bundles, and the same by skopeo at the vendor."""
    config = host(place, policy, directory)
    found = {}
    for path in (SIGNED, UNSIGNED):
        done = place.site.run("verify", place.export(path), "--policy", policy, check=False)
        assert done.returncode in (0, 3), done.stderr
        found[path] = done.returncode == 0
        assert place.skopeo(config, place.original(path)) == found[path], path
    return found


CASES = {
    "one key": (["{team}={vendor}"], "reject", {SIGNED: True, UNSIGNED: False}),
    "one of two keys": (["{team}={site}", "{team}={vendor}"], "reject", {SIGNED: True, UNSIGNED: False}),
    "another's key": (["{team}={site}"], "accept", {SIGNED: False, UNSIGNED: False}),
    "no rule for them": (["quay.io/x={site}"], "accept", {SIGNED: True, UNSIGNED: True}),
    "rejected by default": (["quay.io/x={site}"], "reject", {SIGNED: False, UNSIGNED: False}),
    "narrower scopes": (["{team}=reject", "{team}/unsigned=accept"], "accept", {SIGNED: False, UNSIGNED: True}),
}


@pytest.mark.parametrize("how", [(), ("--by-path",)], ids=["embedded", "by path"])
@pytest.mark.parametrize("case", CASES)
def test_skopeo_judges_by_a_written_policy_as_airgap_does(place: Yard, tmp_path: Path, case: str, how: tuple[str, ...]) -> None:
    rules, default, wanted = CASES[case]
    names = {"team": f"{place.vendor.address}/team", "vendor": place.root / "vendor.gpg", "site": place.root / "site.gpg"}
    images = [word for rule in rules for word in ("--image", rule.format(**names))]
    policy = tmp_path / "policy.json"
    place.site.run("policy", "init", "--key", place.site.public, *images, "--image-default", default, *how, "-o", policy)
    assert judged(place, policy, tmp_path / "host") == wanted


def test_skopeo_judges_by_a_changed_policy_as_airgap_does(place: Yard, tmp_path: Path) -> None:
    policy, team = tmp_path / "policy.json", f"{place.vendor.address}/team"
    run = place.site.run
    run("policy", "init", "--key", place.site.public, "--image", f"{team}={place.root / 'site.gpg'}", "-o", policy)
    assert judged(place, policy, tmp_path / "first") == {SIGNED: False, UNSIGNED: False}
    run("policy", "add", policy, "--image", f"{team}={place.root / 'vendor.gpg'}")
    assert judged(place, policy, tmp_path / "second") == {SIGNED: True, UNSIGNED: False}
    run("policy", "remove", policy, "--image", f"{team}={place.site_key}")
    assert judged(place, policy, tmp_path / "third") == {SIGNED: True, UNSIGNED: False}
    run("policy", "remove", policy, "--image", f"{team}={place.vendor_key}")
    assert judged(place, policy, tmp_path / "fourth") == {SIGNED: False, UNSIGNED: False}
    run("policy", "remove", policy, "--image", team)
    assert judged(place, policy, tmp_path / "fifth") == {SIGNED: True, UNSIGNED: True}


def test_a_pem_key_is_read_and_two_make_debians_skopeo_refuse_the_file_as_the_warning_says(place: Yard, tmp_path: Path) -> None:
    policy, scope = tmp_path / "policy.json", "quay.io/x"
    done = place.site.run(
        "policy", "init", "--key", place.site.public, "--image", f"{scope}={place.root / 'site.pem'}", "-o", policy
    )
    assert "warning" not in done.stdout
    assert place.skopeo(host(place, policy, tmp_path / "one"), place.original(SIGNED))  # the default accepts
    done = place.site.run("policy", "add", policy, "--image", f"{scope}={place.site.public}")
    assert (
        "warning      skopeo 1.9 and podman 4.3 (Debian 12) reject the whole file because of sigstoreSigned.keyDatas" in done.stdout
    )
    with pytest.raises(AssertionError, match="trust policy"):
        place.skopeo(host(place, policy, tmp_path / "two"), place.original(SIGNED))


def test_mirror_config_works_with_the_policy_that_init_writes(place: Yard, tmp_path: Path) -> None:
    policy, out = tmp_path / "policy.json", tmp_path / "hosts"
    place.site.run("policy", "init", "--key", place.site.public, "-o", policy)
    place.site.run("import", place.export(UNSIGNED), "--to", place.target, "--policy", policy, state="plain-state")
    command = ("mirror-config", "--to", place.target, "--format", "policy", "--policy", policy)
    facts = place.site.json(*command, "--out", out, state="plain-state")
    location = f"{place.registry.address}/{PREFIX}/{place.host}"
    document = json.loads((out / "policy.json").read_bytes())
    anything = [{"type": "insecureAcceptAnything"}]
    assert document == {
        "default": [{"type": "reject"}],
        "transports": {"docker": {place.vendor.address: anything, location: anything}},
    }
    assert facts["key_files"] == []
    assert any(
        "the bundle's signature covered these images, but a pull verifies nothing (add --site-key)" in one
        for one in facts["warnings"]
    )
    for name in (place.original(UNSIGNED), place.internal(UNSIGNED)):
        assert place.skopeo(out, name), name
    place.push(place.publish("elsewhere/app"), f"{PREFIX}/elsewhere/app", place.registry.address)
    assert not place.skopeo(out, f"{place.registry.address}/{PREFIX}/elsewhere/app:1")  # not what was imported
    place.site.run(*command, "--site-key", place.root / "site.gpg", "--lookaside", place.signatures, "--out", tmp_path / "signed")
    assert not place.skopeo(tmp_path / "signed", place.internal(UNSIGNED))
