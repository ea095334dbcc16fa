"""The files for the hosts that pull: what the site's policy asks of the vendors, said for the names that are pulled."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
import yaml

from airgap.errors import UsageError
from airgap.mirror.policy import HostKey, Mode, SiteMirror, SitePolicy, host_rules
from airgap.mirror.policyfiles import MirrorConfig
from airgap.mirror.policyfiles import mirror_config as write
from airgap.naming.mapping import RegistryTarget, parse_target
from airgap.trust.policy.document import parse_policy

LOOKASIDE = "https://reg.site/sigs"
VENDOR = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/etc/pki/vendor.gpg"}
SITE = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/etc/pki/site.gpg"}
REJECT = [{"type": "reject"}]
ANYTHING = [{"type": "insecureAcceptAnything"}]
KEY = HostKey("/etc/pki/site.gpg")


def policy(docker: dict[str, Any], default: Any = REJECT, **others: Any) -> SitePolicy:
    document = {"default": default, "transports": {"docker": docker, "airgap": {"": [VENDOR]}, **others}}
    return SitePolicy(parse_policy(json.dumps(document).encode()), document)


def mirror(target: str = "docker://reg.site:5000/mirror", rule: str = "", lookaside: str = LOOKASIDE, **more: Any) -> SiteMirror:
    spec = parse_target(target, rule)
    assert isinstance(spec, RegistryTarget)
    return SiteMirror(spec, lookaside, **more)


def mirror_config(mode: Mode, place: SiteMirror, given: SitePolicy, sources: Any = (), site_keys: Any = ()) -> MirrorConfig:
    return write(place, given, host_rules(mode, place, given, sources, site_keys))


def docker(made: MirrorConfig) -> dict[str, Any]:
    document = json.loads(made.policy)
    assert document["default"] == REJECT
    assert "airgap" not in document["transports"]
    found: dict[str, Any] = document["transports"]["docker"]
    return found


def registries(made: MirrorConfig) -> dict[str, str]:
    """prefix -> location."""
    return {entry["prefix"]: entry["location"] for entry in tomllib.loads(made.registries_conf)["registry"]}


def remapped(requirement: dict[str, Any], prefix: str, signed: str) -> dict[str, Any]:
    return {**requirement, "signedIdentity": {"type": "remapIdentity", "prefix": prefix, "signedPrefix": signed}}


def test_original_names_keep_their_scopes_and_are_led_to_the_target() -> None:
    scopes = {"docker.io/library": [VENDOR], "quay.io": [VENDOR], "quay.io/bad": REJECT}
    made = mirror_config(Mode.ORIGINAL, mirror(), policy(scopes))
    assert docker(made) == scopes
    assert registries(made) == {
        "docker.io/library": "reg.site:5000/mirror/docker.io/library",
        "quay.io": "reg.site:5000/mirror/quay.io",
    }
    assert made.key_files == ("/etc/pki/vendor.gpg",)
    assert made.warnings == ()


def test_internal_names_get_the_vendors_scopes_with_remapped_identities() -> None:
    made = mirror_config(
        Mode.INTERNAL, mirror(), policy({"docker.io/library": [VENDOR], "localhost:5000": [VENDOR], "quay.io/bad": REJECT})
    )
    root = "reg.site:5000/mirror"
    assert docker(made) == {
        f"{root}/docker.io/library": [remapped(VENDOR, f"{root}/docker.io", "docker.io")],
        f"{root}/localhost-5000": [remapped(VENDOR, f"{root}/localhost-5000", "localhost:5000")],
        f"{root}/quay.io/bad": REJECT,
    }
    assert registries(made) == {root: root}


def test_site_mode_is_one_scope_for_the_sites_key() -> None:
    made = mirror_config(Mode.SITE, mirror(), policy({"": ANYTHING, "docker.io": [VENDOR]}), site_keys=[KEY])
    assert docker(made) == {"reg.site:5000/mirror": [SITE]}
    assert made.key_files == ("/etc/pki/site.gpg",)
    assert made.warnings == ()


def test_target_without_a_prefix_is_the_host_itself() -> None:
    made = mirror_config(Mode.SITE, mirror("docker://reg.site"), policy({}), site_keys=[KEY])
    assert list(docker(made)) == ["reg.site"]
    assert registries(mirror_config(Mode.ORIGINAL, mirror("docker://reg.site"), policy({"quay.io": [VENDOR]}))) == {
        "quay.io": "reg.site/quay.io"
    }


def test_sites_key_is_asked_for_beside_the_vendors_in_the_other_modes() -> None:
    given = policy({"docker.io/library": [VENDOR]})
    root = "reg.site:5000/mirror/docker.io"
    internal = docker(mirror_config(Mode.INTERNAL, mirror(), given, site_keys=[KEY]))
    assert internal == {f"{root}/library": [remapped(VENDOR, root, "docker.io"), SITE]}
    original = docker(mirror_config(Mode.ORIGINAL, mirror(), given, site_keys=[KEY]))
    assert original == {"docker.io/library": [VENDOR, remapped(SITE, "docker.io", root)]}


def test_several_site_keys_must_all_have_signed() -> None:
    made = mirror_config(Mode.SITE, mirror(), policy({}), site_keys=[KEY, HostKey("/etc/pki/cosign.pub", openpgp=False)])
    assert docker(made)["reg.site:5000/mirror"] == [SITE, {"type": "sigstoreSigned", "keyPath": "/etc/pki/cosign.pub"}]
    assert any("sigstore" in warning for warning in made.warnings)


def test_tag_and_digest_scopes_move_with_their_repository() -> None:
    digest = "sha256:" + "a" * 64
    made = mirror_config(Mode.INTERNAL, mirror(), policy({"quay.io/x/y:1": [VENDOR], f"quay.io/x/z@{digest}": REJECT}))
    assert list(docker(made)) == ["reg.site:5000/mirror/quay.io/x/y:1", f"reg.site:5000/mirror/quay.io/x/z@{digest}"]
    original = mirror_config(Mode.ORIGINAL, mirror(), policy({"quay.io/x/y:1": [VENDOR]}))
    assert registries(original) == {"quay.io/x/y": "reg.site:5000/mirror/quay.io/x/y"}


def test_source_without_a_scope_gets_what_decides_about_it() -> None:
    scopes = {"": ANYTHING, "*.example.com": [VENDOR]}
    made = mirror_config(Mode.INTERNAL, mirror(), policy(scopes), ["reg.example.com/a", "quay.io"])
    root = "reg.site:5000/mirror"
    assert docker(made) == {
        f"{root}/reg.example.com/a": [remapped(VENDOR, f"{root}/reg.example.com", "reg.example.com")],
        f"{root}/quay.io": ANYTHING,
    }
    assert any("no signature is required" in warning for warning in made.warnings)
    assert any('scope "" is not copied' in warning for warning in made.warnings)


def test_source_that_only_the_default_decides_about_is_judged_by_the_sites_default() -> None:
    assert docker(mirror_config(Mode.ORIGINAL, mirror(), policy({}), ["quay.io"])) == {"quay.io": REJECT}


def test_wildcard_goes_on_deciding_and_is_named_as_not_led_anywhere() -> None:
    scopes = {"*.example.com": [VENDOR], "quay.io": [VENDOR]}
    made = mirror_config(Mode.ORIGINAL, mirror(), policy(scopes))
    assert docker(made) == {"quay.io": [VENDOR], "*.example.com": [VENDOR]}
    assert "*.example.com" in made.warnings[0]
    assert list(docker(mirror_config(Mode.INTERNAL, mirror(), policy(scopes)))) == ["reg.site:5000/mirror/quay.io"]


def test_scopes_that_match_nothing_are_left_out() -> None:
    scopes = {"busybox": [VENDOR], "*.quay.io/x": [VENDOR], "quay.io/x": [VENDOR]}
    assert list(docker(mirror_config(Mode.INTERNAL, mirror(), policy(scopes)))) == ["reg.site:5000/mirror/quay.io/x"]


def test_without_any_source_there_is_nothing_to_write() -> None:
    with pytest.raises(UsageError, match="no source registry is known"):
        mirror_config(Mode.ORIGINAL, mirror(), policy({"": ANYTHING}))


@pytest.mark.parametrize("source", ["", "nginx", "*.example.com", "quay.io/x:1", "quay.io/", "https://quay.io", "quay.io/X", "a b"])
def test_what_is_no_source_is_refused(source: str) -> None:
    with pytest.raises(UsageError, match="not a source"):
        mirror_config(Mode.ORIGINAL, mirror(), policy({}), [source])


def test_names_without_their_host_cannot_tell_vendors_apart() -> None:
    lost = mirror(rule="strip-host")
    with pytest.raises(UsageError, match="several hosts"):
        mirror_config(Mode.INTERNAL, lost, policy({"docker.io": [VENDOR], "quay.io/x": [VENDOR]}))
    root = "reg.site:5000/mirror"
    one = mirror_config(Mode.INTERNAL, lost, policy({"docker.io": [VENDOR], "docker.io/library": REJECT}))
    assert docker(one) == {root: [remapped(VENDOR, root, "docker.io")], f"{root}/library": REJECT}
    several = mirror_config(Mode.ORIGINAL, lost, policy({"docker.io": [VENDOR], "quay.io/x": [VENDOR]}))
    assert registries(several) == {"docker.io": root, "quay.io/x": f"{root}/x"}


def test_two_hosts_that_look_alike_at_the_target_are_refused() -> None:
    with pytest.raises(UsageError, match="would be ambiguous"):
        mirror_config(Mode.INTERNAL, mirror(), policy({"a.example:5000": [VENDOR], "a.example-5000/x": [VENDOR]}))


@pytest.mark.parametrize(
    "identity",
    [
        {"type": "exactReference", "dockerReference": "quay.io/x/y:1"},
        {"type": "exactRepository", "dockerRepository": "quay.io/x/y"},
    ],
)
def test_identity_that_does_not_ask_what_was_pulled_stays(identity: dict[str, str]) -> None:
    requirement = {**VENDOR, "signedIdentity": identity}
    made = mirror_config(Mode.INTERNAL, mirror(), policy({"quay.io": [requirement]}))
    assert docker(made) == {"reg.site:5000/mirror/quay.io": [requirement]}


def test_remap_identity_is_remapped_from_the_targets_name() -> None:
    requirement = remapped(VENDOR, "mirror.example/hub", "docker.io")
    root = "reg.site:5000/mirror"
    made = mirror_config(Mode.INTERNAL, mirror(), policy({"mirror.example/hub/library": [requirement]}))
    assert docker(made) == {f"{root}/mirror.example/hub/library": [remapped(VENDOR, f"{root}/mirror.example/hub", "docker.io")]}
    never = remapped(VENDOR, "elsewhere.example", "docker.io")
    made = mirror_config(Mode.INTERNAL, mirror(), policy({"quay.io/x": [never]}))
    assert docker(made) == {f"{root}/quay.io/x": [remapped(VENDOR, f"{root}/quay.io", "quay.io")]}


@pytest.mark.parametrize(
    "identity",
    [
        {"type": "matchExact"},
        {"type": "remapIdentity", "prefix": "quay.io/part", "signedPrefix": "docker.io"},
    ],
    ids=["matchExact", "part-of-the-scope"],
)
def test_identity_without_a_counterpart_is_refused(identity: dict[str, str]) -> None:
    given = policy({"quay.io": [{**VENDOR, "signedIdentity": identity}]})
    with pytest.raises(UsageError, match="cannot express"):
        mirror_config(Mode.INTERNAL, mirror(), given)
    assert docker(mirror_config(Mode.ORIGINAL, mirror(), given)) == given.docker


def test_match_repository_becomes_stricter_and_says_so() -> None:
    made = mirror_config(Mode.INTERNAL, mirror(), policy({"quay.io": [{**VENDOR, "signedIdentity": {"type": "matchRepository"}}]}))
    assert docker(made)["reg.site:5000/mirror/quay.io"][0]["signedIdentity"]["type"] == "remapIdentity"
    assert any("matchRepository" in warning for warning in made.warnings)


def test_newer_fields_are_avoided_where_they_say_the_same_and_named_where_not() -> None:
    one, two = ({"type": "sigstoreSigned", "keyPaths": paths} for paths in (["/a"], ["/a", "/b"]))
    made = mirror_config(Mode.ORIGINAL, mirror(), policy({"quay.io/x": [one]}))
    assert docker(made) == {"quay.io/x": [{"type": "sigstoreSigned", "keyPath": "/a"}]}
    assert not any("keyPaths" in warning for warning in made.warnings)
    made = mirror_config(Mode.ORIGINAL, mirror(), policy({"quay.io/y": [two]}))
    assert any("keyPaths" in warning for warning in made.warnings)
    assert made.key_files == ("/a", "/b")


def test_other_transports_are_copied_but_neither_the_default_nor_what_is_for_bundles() -> None:
    others = {"docker-daemon": {"": ANYTHING}}
    made = mirror_config(Mode.SITE, mirror(), policy({}, ANYTHING, **others), site_keys=[KEY])
    document = json.loads(made.policy)
    assert document == {"default": REJECT, "transports": {"docker": {"reg.site:5000/mirror": [SITE]}, **others}}


def test_registries_d_names_the_target_whatever_is_pulled() -> None:
    for mode in Mode:
        made = mirror_config(mode, mirror(), policy({"quay.io": [VENDOR]}), site_keys=[KEY])
        assert yaml.safe_load(made.registries_d) == {
            "docker": {"reg.site:5000/mirror": {"lookaside": LOOKASIDE, "use-sigstore-attachments": False}}
        }
    made = mirror_config(Mode.SITE, mirror(lookaside=""), policy({}), site_keys=[HostKey("/k.pub", openpgp=False)])
    assert yaml.safe_load(made.registries_d) == {"docker": {"reg.site:5000/mirror": {"use-sigstore-attachments": True}}}


def test_gpg_signatures_need_a_place() -> None:
    with pytest.raises(UsageError, match="no lookaside is given"):
        mirror_config(Mode.ORIGINAL, mirror(lookaside=""), policy({"quay.io": [VENDOR]}))
    with pytest.raises(UsageError, match="not a valid lookaside"):
        mirror_config(Mode.ORIGINAL, mirror(lookaside="ftp://reg.site/sigs"), policy({"quay.io": [VENDOR]}))


def test_plain_http_is_said_only_where_it_is_so() -> None:
    assert "insecure" not in mirror_config(Mode.SITE, mirror(), policy({}), site_keys=[KEY]).registries_conf
    assert "insecure = true" in mirror_config(Mode.SITE, mirror(insecure=True), policy({}), site_keys=[KEY]).registries_conf


def test_site_mode_needs_a_key_and_takes_no_sources() -> None:
    with pytest.raises(UsageError, match="needs the site's key"):
        mirror_config(Mode.SITE, mirror(), policy({}))
    with pytest.raises(UsageError, match="covers everything"):
        mirror_config(Mode.SITE, mirror(), policy({}), ["quay.io"], [KEY])


def test_a_policy_that_asks_for_no_signature_leads_both_names_to_the_target_and_says_that_nothing_is_verified() -> None:
    made = mirror_config(Mode.ORIGINAL, mirror(lookaside=""), policy({"": ANYTHING}), ["docker.io", "quay.io/team"])
    root = "reg.site:5000/mirror"
    names = ["docker.io", "quay.io/team"]
    assert docker(made) == dict.fromkeys([*names, *(f"{root}/{name}" for name in names)], ANYTHING)
    assert registries(made) == {root: root} | {name: f"{root}/{name}" for name in names}
    assert any("a pull verifies nothing (add --site-key)" in warning for warning in made.warnings)


@pytest.mark.parametrize("mode", [Mode.ORIGINAL, Mode.INTERNAL])
def test_vendors_sigstore_signatures_come_with_what_hosts_do_not_read(mode: Mode) -> None:
    cosign = {"type": "sigstoreSigned", "keyPath": "/etc/pki/cosign.pub"}
    made = mirror_config(mode, mirror(), policy({"docker.io": [VENDOR], "quay.io/team": [cosign]}), site_keys=[KEY])
    (warning,) = (one for one in made.warnings if "only in .sig tags" in one)
    assert "below quay.io/team they refuse" in warning
    site = mirror_config(Mode.SITE, mirror(), policy({"": [cosign]}), site_keys=[HostKey("/etc/pki/site.pub", openpgp=False)])
    assert not any("only in .sig tags" in one for one in site.warnings)


def test_a_scope_for_all_other_images_that_rejects_needs_no_warning() -> None:
    made = mirror_config(Mode.ORIGINAL, mirror(), policy({"docker.io": [VENDOR], "": REJECT}))
    assert made.warnings == ()
    assert docker(made) == {"docker.io": [VENDOR]}


def test_whether_a_policy_names_a_source() -> None:
    assert policy({"docker.io": ANYTHING}).names_sources
    assert not policy({"": ANYTHING, "*.example.com": [VENDOR]}).names_sources
