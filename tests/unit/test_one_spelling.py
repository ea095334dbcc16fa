"""One spelling of every name, wherever it is read: a host written otherwise must not pass a policy, a rule or a memory by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airgap.errors import Damaged, Refused, UsageError
from airgap.layout.index import Index
from airgap.lists import parse_list
from airgap.lookaside import LookasideConfig
from airgap.mirror.placed import listed_there, read_names
from airgap.mirror.policy import SiteMirror
from airgap.naming.mapping import RegistryTarget, parse_target
from airgap.naming.renaming import parse_rules
from airgap.oci import media
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.hosts import flat_host, host_of_flat
from airgap.oci.image import Image
from airgap.oci.reference import Reference, Repository, is_path
from airgap.planning.lock import Lock
from airgap.registry import load_rules
from airgap.registry.http.authfile import check_scope
from airgap.registry.settings.credentials import entry_key
from airgap.trust.policy.document import parse_policy
from airgap.trust.policy.identity import accepts, is_reference, is_remap_prefix
from airgap.trust.policy.requirements import MatchExact, MatchRepository
from airgap.trust.policy.scopes import requirements_for_image
from tests.support.lists import listed

REJECT, ACCEPT = [{"type": "reject"}], [{"type": "insecureAcceptAnything"}]
ROOT = Descriptor(media.OCI_MANIFEST, Digest.of(b"image"), 5)
#: Spellings of docker.io/library/nginx:1, and of quay.io/team/app:1.
HUB = (
    "nginx:1",
    "DOCKER.IO/library/nginx:1",
    "index.docker.io/nginx:1",
    "registry-1.docker.io/library/nginx:1",
    "Docker.io:443/nginx:1",
)
QUAY = ("quay.io/team/app:1", "QUAY.IO/team/app:1", "Quay.Io/team/app:1")


@pytest.mark.parametrize("text", [*HUB, *QUAY])
def test_no_spelling_of_a_host_slips_past_a_scope_that_rejects_it(text: str) -> None:
    docker = {"docker.io": REJECT, "quay.io/team": REJECT, "": ACCEPT}
    policy = parse_policy(json.dumps({"default": ACCEPT, "transports": {"docker": docker}}).encode())
    assert requirements_for_image(policy, Reference.parse(text)).scope in ("docker.io", "quay.io/team")


@pytest.mark.parametrize(
    "text", ["QUAY.IO/team/app:1", "docker.io/nginx:1", "registry-1.docker.io/library/nginx:1", "reg:05000/x:1"]
)
def test_a_catalog_or_lock_in_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(Damaged):
        Image.from_json({"reference": text, **ROOT.to_json()}, "catalog.json")
    raw = {"schema": "airgap.lock/1", "images": [{"reference": text, **ROOT.to_json()}], "manifests": [ROOT.to_json()]}
    with pytest.raises(UsageError):
        Lock.from_bytes(json.dumps(raw).encode(), "lock")


def test_a_lock_in_another_spelling_does_not_lead_to_another_source() -> None:
    node = {**ROOT.to_json(), "repository": "QUAY.IO/team/signatures"}
    image = {"reference": "quay.io/team/app:1", **ROOT.to_json()}
    raw: dict[str, Any] = {"schema": "airgap.lock/1", "images": [image], "manifests": [node]}
    with pytest.raises(UsageError):
        Lock.from_bytes(json.dumps(raw).encode(), "lock")
    raw |= {"manifests": [ROOT.to_json()], "places": {"QUAY.IO/team/app:1": "oci:/srv/store"}}
    with pytest.raises(UsageError, match="a place names an image that is not in the lock"):
        Lock.from_bytes(json.dumps(raw).encode(), "lock")


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(QUAY),
        f"images: [{', '.join(QUAY)}]",
        "QUAY.IO: {images: {team/app: ['1']}}\n---\nquay.io: {images: {team/app: ['1']}}\n",
    ],
    ids=["text", "yaml", "skopeo sync"],
)
def test_an_image_that_a_list_names_in_two_spellings_is_one_image(text: str) -> None:
    assert {str(reference) for reference in listed(text.encode())} == {QUAY[0]}


def test_settings_of_a_registry_are_found_in_any_spelling() -> None:
    text = "QUAY.IO: {images: {a: ['1']}, credentials: {username: u, password: p}}"
    assert [one.registry for one in parse_list(text.encode(), "list").registries] == ["quay.io"]
    assert entry_key("https://Index.Docker.io/v1/") == entry_key("registry-1.docker.io") == "docker.io"
    assert entry_key("QUAY.IO/team") == "quay.io/team"
    assert (check_scope("QUAY.IO/team"), check_scope("Registry-1.docker.io")) == (("quay.io", "team"), ("docker.io", ""))


def test_a_registry_that_is_blocked_in_another_spelling_is_blocked(tmp_path: Path) -> None:
    file = tmp_path / "registries.conf"
    file.write_text('[[registry]]\nprefix = "QUAY.IO"\nlocation = "Mirror.Lan:05000/q"\nblocked = true\n')
    rules = load_rules(file, {}, tmp_path / "none")
    with pytest.raises(Refused):
        rules.places(Repository("quay.io", "team/app"), by_digest=True)
    file.write_text('[[registry]]\nprefix = "*.Corp.example"\nblocked = true\n')
    with pytest.raises(Refused):
        load_rules(file, {}, tmp_path / "none").places(Repository("reg.corp.example", "app"), by_digest=True)
    file.write_text('[[registry]]\nlocation = "QUAY.IO"\nblocked = true\n[[registry]]\nlocation = "quay.io"\n')
    with pytest.raises(UsageError, match="invalid entry"):
        load_rules(file, {}, tmp_path / "none")


def test_signatures_of_a_registry_are_looked_for_in_any_spelling_of_its_section(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("docker: {QUAY.IO/team: {lookaside: file:///sigs}, registry-1.docker.io: {lookaside: file:///hub}}\n")
    config = LookasideConfig.load([tmp_path])
    assert config.read_base(Repository("quay.io", "team/app")) == "file:///sigs"
    assert config.read_base(Repository("docker.io", "library/nginx")) == "file:///hub"
    file.write_text("docker: {QUAY.IO: {lookaside: file:///a}, quay.io: {lookaside: file:///b}}\n")
    with pytest.raises(UsageError, match="a key is given twice"):
        LookasideConfig.load([tmp_path]).read_base(Repository("quay.io", "team/app"))


@pytest.mark.parametrize("signed", ["QUAY.IO/team/app:1", "Quay.io/team/app:1"])
def test_a_signature_for_another_spelling_vouches_for_nothing_as_it_does_for_skopeo(signed: str) -> None:
    wanted = Reference.parse("quay.io/team/app:1")
    assert accepts(None, wanted, "quay.io/team/app:1")
    assert not any(accepts(rule, wanted, signed) for rule in (None, MatchExact(), MatchRepository()))
    assert not is_reference(signed, complete=True)
    assert not is_remap_prefix(signed.partition("/")[0])
    assert is_remap_prefix("docker.io")
    hub = Reference.parse("docker.io/library/nginx:1")
    assert accepts(None, hub, "index.docker.io/nginx:1")  # docker itself reads this name as docker.io
    assert not accepts(None, hub, "registry-1.docker.io/library/nginx:1")


@pytest.mark.parametrize(
    ("rule", "path"),
    [("prefix=QUAY.IO/team=base", "base/app"), ("image=Quay.io/team/app=web", "web"), ("prefix=Quay.Io=x", "x/team/app")],
)
def test_a_mapping_rule_in_another_spelling_applies(rule: str, path: str) -> None:
    assert parse_rules([rule]).place(Repository("quay.io", "team/app"), "1")[0] == path


def test_one_target_in_two_spellings_is_one_target_with_one_memory() -> None:
    spellings = ("docker://Reg.Site:05000/m", "docker://reg.site:5000/m/")
    assert {str(parse_target(text)) for text in spellings} == {"docker://reg.site:5000/m"}
    assert str(parse_target("docker://[0:0::1]:5000/m")) == "docker://[::1]:5000/m"
    with pytest.raises(UsageError, match="single-word host"):
        parse_target("docker://registry/m")


@pytest.mark.parametrize(
    ("host", "flat"),
    [
        ("[::1]:5000", "ip6.0__1-5000"),
        ("[::1]", "ip6.0__1"),
        ("[fe80::]", "ip6.fe80__0"),
        ("[::]:1", "ip6.0__0-1"),
        ("[2001:db8::1]:65535", "ip6.2001_db8__1-65535"),
        ("[1:2:3:4:5:6:7:8]:5000", "ip6.1_2_3_4_5_6_7_8-5000"),
        ("[::ffff:102:304]:5000", "ip6.0__ffff_102_304-5000"),
        ("localhost:5000", "localhost-5000"),
        ("ip6.example:5000", "ip6.example-5000"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_a_host_as_part_of_a_path_is_a_path_and_comes_back(host: str, flat: str) -> None:
    assert flat_host(host) == flat
    assert host_of_flat(flat) == host
    assert is_path(flat)
    target = parse_target("docker://r.site/m")
    assert isinstance(target, RegistryTarget)
    assert str(target.destination(Reference.parse(f"{host}/a/b:1"))) == f"r.site/m/{flat}/a/b:1"


@pytest.mark.parametrize(
    "text", ["ip6.0_1", "ip6.1__2__3", "ip6.__1", "ip6.0__01", "ip6.0__1-0", "ip6._", "ip6.FE80__1", "--1-5000"]
)
def test_what_no_host_is_written_as_means_none(text: str) -> None:
    assert host_of_flat(text) is None


@pytest.mark.parametrize(
    ("source", "other"),
    [
        ("reg.corp-5000/x:1", "reg.corp:5000"),
        ("a.io-1/x:1", "a.io:1"),
    ],
)
def test_a_host_that_would_land_where_another_one_belongs_is_refused_with_a_way_out(source: str, other: str) -> None:
    target, reference = parse_target("docker://r.site/m"), Reference.parse(source)
    assert isinstance(target, RegistryTarget)
    with pytest.raises(UsageError, match="would be ambiguous") as caught:
        target.destination(reference)
    assert other in caught.value.got
    assert f"--map prefix={reference.repository.host}=" in caught.value.hint
    mapped = parse_target("docker://r.site/m", parse_rules([f"prefix={reference.repository.host}=mine"]))
    assert str(mapped.destination(reference)) == "r.site/m/mine/x:1"
    with pytest.raises(UsageError):  # what the hosts are told agrees
        SiteMirror(target).name(reference.repository.host)


class Shelf:
    """A registry whose catalog lists what ``keep-host`` would never have written."""

    def resolve(self, reference: Reference) -> Digest | None:
        raise AssertionError("only lists are asked for")

    def repositories(self, host: str) -> Iterator[Repository]:
        yield from (Repository(host, f"m/{path}") for path in ("reg.corp-5000/x", "fe80--1-5000/x", "localhost-5000/x"))

    def tags(self, repository: Repository) -> Iterator[str]:
        yield "1"


def test_what_a_registry_lists_is_read_back_as_the_one_host_it_can_be() -> None:
    target = parse_target("docker://r.site/m")
    assert isinstance(target, RegistryTarget)
    found = [str(source) for source, _ in listed_there(Shelf(), target)]
    assert found == ["reg.corp:5000/x:1", "fe80--1:5000/x:1", "localhost:5000/x:1"]


def test_names_that_a_file_or_a_layout_has_in_another_spelling_are_read_in_the_one() -> None:
    raw = json.dumps({"names": [{"source": "QUAY.IO/team/app:1", "destination": "R.site/m/quay.io/team/app:1"}]}).encode()
    assert [tuple(map(str, pair)) for pair in read_names(raw, "f")] == [("quay.io/team/app:1", "r.site/m/quay.io/team/app:1")]
    entry = {**ROOT.to_json(), "annotations": {"org.opencontainers.image.ref.name": "QUAY.IO/team/app:1"}}
    index = Index.parse(json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(), "index.json", "d")
    assert index.find(Reference.parse("quay.io/team/app:1")) is not None
