"""Configuration for hosts that pull by the original names: few routes, right ones, and only to what is there."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator

import pytest
import yaml

from airgap.errors import UsageError
from airgap.mirror.engines import EngineAccess, for_containerd, for_containers, for_k3s, for_openshift, for_people
from airgap.mirror.placed import held_there, listed_there, read_names
from airgap.mirror.routes import Placed, Route, Routes, find_routes
from airgap.naming.mapping import RegistryTarget, parse_target
from airgap.naming.renaming import parse_rules
from airgap.oci.digest import Digest
from airgap.oci.reference import Reference, Repository
from airgap.progress import Silent

SOURCES = ("nginx:1", "docker.io/team/app:2", "quay.io/a/b/c:1", "localhost:5000/x:1")
DIGEST = Digest.of(b"")


def placed(rules: list[str], *sources: str, to: str = "docker://reg.site:5000/m") -> list[Placed]:
    spec = parse_target(to, parse_rules(rules))
    references = [Reference.parse(source) for source in sources or SOURCES]
    return [Placed(reference, spec.destination(reference), DIGEST) for reference in references]


def routes(rules: list[str], *sources: str, **more: str) -> dict[str, str]:
    return {route.source: route.location for route in find_routes(placed(rules, *sources, **more)).routes}


def led(found: Routes, source: Reference) -> str:
    """What containers-registries.conf(5) makes of a reference: the longest prefix that fits decides."""
    name = str(source)
    fits = [one for one in found.routes if re.match(re.escape(one.source) + r"([/:@]|$)", name)]
    route = max(fits, key=lambda one: len(one.source))
    return route.location + name[len(route.source) :]


def test_a_host_whose_names_stay_together_is_one_route() -> None:
    root = "reg.site:5000/m"
    hosts = {host: f"{root}/{host.replace(':', '-')}" for host in ("docker.io", "localhost:5000", "quay.io")}
    assert routes([]) == hosts
    assert routes(["strip-host"], "nginx:1", to="docker://reg.site") == {"docker.io": "reg.site"}


def test_where_names_lost_their_hosts_no_host_is_led_to_the_images_of_another() -> None:
    assert routes(["strip-host"]) == {
        "docker.io/library": "reg.site:5000/m/library",
        "docker.io/team": "reg.site:5000/m/team",
        "localhost:5000/x": "reg.site:5000/m/x",
        "quay.io/a": "reg.site:5000/m/a",
    }
    found = find_routes(placed(["strip-host"], "quay.io/a:1", "docker.io/a/b:1"))
    assert [(one.source, one.exact) for one in found.routes] == [("docker.io/a/b", False), ("quay.io/a", True)]


def test_two_sources_in_one_repository_are_not_written_down_as_if_they_could_be_told_apart() -> None:
    both = placed(["strip-host"], "quay.io/a/b:1", "docker.io/a/b:2")
    with pytest.raises(UsageError, match="holds the images of two source repositories"):
        find_routes(both)


def test_what_is_pulled_by_digest_is_reachable_whatever_its_tag() -> None:
    source, place = Reference.parse(f"quay.io/a@{DIGEST}"), Reference.parse("r.site/quay.io/a:airgap-sha256-x")
    assert find_routes([Placed(source, place, DIGEST)]).unreachable == ()
    assert find_routes([Placed(source, place, Digest.of(b"made anew"))]).routes == ()


def test_what_is_renamed_has_a_route_of_its_own() -> None:
    assert routes(["prefix=docker.io/library=base"], "nginx:1", "httpd:1", "team/app:2") == {
        "docker.io/library": "reg.site:5000/m/base",
        "docker.io/team": "reg.site:5000/m/docker.io/team",
    }
    assert routes(["flatten"], "nginx:1", "httpd:1") == {
        "docker.io/library/httpd": "reg.site:5000/m/docker.io-library-httpd",
        "docker.io/library/nginx": "reg.site:5000/m/docker.io-library-nginx",
    }


RULES: tuple[list[str], ...] = (
    [],
    ["strip-host"],
    ["flatten"],
    ["flatten=2"],
    ["prefix=docker.io/team=t"],
    ["image=nginx=web"],
    ["image=a/b=x", "flatten=2"],
)


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_every_route_leads_to_where_the_image_is(rules: list[str]) -> None:
    sources = (*SOURCES, "docker.io/a/b:1", "docker.io/b/b/c:1", "docker.io/a/b/d:1", "nginx:2")
    for exact in (False, True):
        everything = placed(rules, *sources)
        found = find_routes(everything, exact=exact)
        assert found.unreachable == ()
        for one in everything:
            assert led(found, one.source) == str(one.destination)


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_rewrites_of_k3s_say_the_same_and_never_two_things(rules: list[str]) -> None:
    everything = placed(rules, *SOURCES, "docker.io/a/b:1", "docker.io/b/b/c:1", "docker.io/a/b/d:1")
    document = yaml.safe_load(for_k3s(find_routes(everything), EngineAccess(ca="/ca.crt")).files["registries.yaml"])
    assert document["configs"] == {"reg.site:5000": {"tls": {"ca_file": "/ca.crt"}}}
    for one in everything:
        mirror = document["mirrors"][one.source.repository.host]
        assert mirror["endpoint"] == ["https://reg.site:5000"]
        path = one.source.repository.path
        results = {re.sub(p, to.replace("$1", r"\1"), path) for p, to in mirror["rewrite"].items() if re.search(p, path)}
        assert results == {one.destination.repository.path}


def test_an_image_with_another_tag_is_named_and_not_led_astray() -> None:
    everything = placed(["image=nginx:1=web:stable"], "nginx:1", "team/app:2")
    found = find_routes(everything)
    assert [one.source.repository.path for one in found.unreachable] == ["library/nginx"]
    assert [route.source for route in found.routes] == ["docker.io"]
    made = for_containers(found, EngineAccess(insecure=True))
    assert "docker.io/library/nginx:1 cannot be pulled by its own name" in made.warnings[0]
    entry = tomllib.loads(made.files["registries.conf"])["registry"][0]
    assert entry == {"prefix": "docker.io", "location": "reg.site:5000/m/docker.io", "insecure": True}


def test_tags_of_one_repository_in_two_places_have_no_route() -> None:
    found = find_routes(placed(["image=nginx:1=web"], "nginx:1", "nginx:2"))
    assert found.routes == ()
    assert len(found.unreachable) == 2


def test_containerd_asks_the_mirror_and_nobody_else() -> None:
    made = for_containerd(find_routes(placed([])), EngineAccess(ca="/etc/pki/ca.crt"))
    assert sorted(made.files) == [f"certs.d/{host}/hosts.toml" for host in ("docker.io", "localhost:5000", "quay.io")]
    url = "https://reg.site:5000/v2/m/docker.io"
    options = {"capabilities": ["pull", "resolve"], "override_path": True, "ca": "/etc/pki/ca.crt"}
    assert tomllib.loads(made.files["certs.d/docker.io/hosts.toml"]) == {"server": url, **options, "host": {url: options}}
    bare = for_containerd(find_routes(placed(["strip-host"], "nginx:1", to="docker://reg.site")), EngineAccess(insecure=True))
    assert tomllib.loads(bare.files["certs.d/docker.io/hosts.toml"])["server"] == "http://reg.site"
    assert "override_path" not in bare.files["certs.d/docker.io/hosts.toml"]


def test_containerd_says_which_hosts_it_cannot_follow() -> None:
    made = for_containerd(find_routes(placed(["prefix=docker.io/team=t"])), EngineAccess())
    assert "certs.d/docker.io/hosts.toml" not in made.files
    assert any("docker.io: containerd cannot follow" in warning for warning in made.warnings)
    with pytest.raises(UsageError, match="containerd can only put a path before names"):
        for_containerd(find_routes(placed(["flatten"])), EngineAccess())


@pytest.mark.parametrize(("tags", "kind", "field"), [
    (False, "ImageDigestMirrorSet", "imageDigestMirrors"), (True, "ImageTagMirrorSet", "imageTagMirrors"),
])  # fmt: skip
def test_openshift(tags: bool, kind: str, field: str) -> None:
    (text,) = for_openshift(find_routes(placed([], "nginx:1")), tags=tags).files.values()
    document = yaml.safe_load(text)
    assert (document["apiVersion"], document["kind"]) == ("config.openshift.io/v1", kind)
    mirrors = ["reg.site:5000/m/docker.io"]
    assert document["spec"] == {field: [{"source": "docker.io", "mirrors": mirrors, "mirrorSourcePolicy": "NeverContactSource"}]}


def test_lists_say_the_same_in_every_form_and_can_be_read_again() -> None:
    everything = placed(["flatten"])
    files = for_people(everything).files
    document = json.loads(files["images.json"])
    assert yaml.safe_load(files["images.yaml"]) == document
    pairs = [(one.source, one.destination) for one in everything]
    assert read_names(files["images.json"].encode(), "images.json") == pairs
    assert [tuple(line.split()) for line in files["images.txt"].splitlines()] == [(str(a), str(b)) for a, b in pairs]
    said = json.dumps({"names": [{"source": str(a), "destination": str(b)} for a, b in pairs]}).encode()
    assert read_names(said, "import.json") == pairs


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"images": [{}]}',
        b'{"names": [{"source": "UPPER/x y", "destination": "z"}]}',
        b'{"names": [{"source": "a"}]}',
        b'{"names": {"a": "b"}}',
    ],
)
def test_what_is_no_file_of_names(raw: bytes) -> None:
    with pytest.raises(UsageError, match="not a file of names"):
        read_names(raw, "names.json")


class Shelf:
    """A registry with these names."""

    def __init__(self, *names: str) -> None:
        self.names = [Reference.parse(name) for name in names]

    def resolve(self, reference: Reference) -> Digest | None:
        return DIGEST if reference in self.names else None

    def repositories(self, host: str) -> Iterator[Repository]:
        return iter(dict.fromkeys(name.repository for name in self.names if name.repository.host == host))

    def tags(self, repository: Repository) -> Iterator[str]:
        return iter(str(name.tag) for name in self.names if name.repository == repository)


def target(rules: list[str]) -> RegistryTarget:
    spec = parse_target("docker://reg.site:5000/m", parse_rules(rules))
    assert isinstance(spec, RegistryTarget)
    return spec


def test_a_catalog_tells_the_sources_of_names_that_kept_their_host() -> None:
    attached = f"reg.site:5000/m/quay.io/a/b/c:sha256-{'a' * 64}.sig"
    others = ("reg.site:5000/other/x:1", "reg.site:5000/m/library/nginx:1", "reg.site:5000/mine/docker.io/x/y:1", attached)
    shelf = Shelf(*(str(one.destination) for one in placed([])), *others)
    found = list(listed_there(shelf, target([])))
    assert {(str(a), str(b)) for a, b in found} == {(str(one.source), str(one.destination)) for one in placed([])}
    for rules in (["strip-host"], ["flatten"], ["prefix=docker.io=x"]):
        with pytest.raises(UsageError, match="cannot be derived with these mapping rules"):
            list(listed_there(shelf, target(rules)))


def test_what_is_not_there_does_not_count() -> None:
    everything = placed([])
    shelf = Shelf(*(str(one.destination) for one in everything[1:]))
    found = held_there([(one.source, one.destination) for one in everything], shelf, Silent())
    assert {one.source for one in found} == {one.source for one in everything[1:]}


def test_a_route_knows_its_host() -> None:
    assert (Route("a.b:1/c/d", "x").host, Route("a.b:1/c/d", "x").path) == ("a.b:1", "c/d")
