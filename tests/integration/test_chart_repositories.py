"""Charts from HTTP repositories: found, pinned, verified, and refused where something is not as it was said."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chartyard import WebFolder, offer, packed, web_folder
from tests.support.cli import DAMAGED, NETWORK, REFUSED, USAGE
from tests.support.site import Site
from tests.support.trustkit import gpg_home


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebFolder]:
    (tmp_path / "charts").mkdir()
    offer(tmp_path / "charts", ("web", "1.4.0"), ("web", "1.10.0+2"), ("web", "2.0.0-rc.1"), ("db", "5.1.0"))
    with web_folder(tmp_path / "charts") as served:
        yield served


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site.make(tmp_path_factory.mktemp("machine"))


def listed(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def entries(path: Path, web: WebFolder, *charts: str, **more: object) -> Path:
    items = [
        {"repo": web.url, "name": name, "version": version, **more} for name, _, version in (one.partition(":") for one in charts)
    ]
    return listed(path, json.dumps({"charts": items}))


def failed(site: Site, *arguments: object) -> tuple[int, str]:
    done = site.run(*arguments, check=False)
    return done.returncode, done.stderr


def test_a_range_is_pinned_and_the_lock_stays_as_it_is(site: Site, web: WebFolder, tmp_path: Path) -> None:
    wanted = entries(tmp_path / "list.yaml", web, "web:^1.2", "db:")
    lock = tmp_path / "lock.json"
    site.run("resolve", wanted, "--lock", lock)
    first = lock.read_bytes()
    site.run("resolve", wanted, "--lock", lock)
    assert lock.read_bytes() == first
    places = json.loads(first)["places"]
    assert sorted(places) == [f"{web.address}/db:5.1.0", f"{web.address}/web:1.10.0_2"]
    assert places[f"{web.address}/web:1.10.0_2"].startswith(f"chart:{web.url}/web:1.10.0+2@sha256:")


def test_the_archive_is_the_layer_byte_for_byte(site: Site, web: WebFolder, tmp_path: Path) -> None:
    bundle = site.export(entries(tmp_path / "list.yaml", web, "web:^1.2"), tmp_path / "usb")
    site.run("get", f"bundle:{bundle}:{web.address}/web:1.10.0_2", "-o", tmp_path, "--policy", site.policy, state="site-state")
    assert (tmp_path / "web-1.10.0+2.tgz").read_bytes() == packed("web", "1.10.0+2")


def test_the_newer_lists_of_other_tools_reach_the_same_charts(site: Site, web: WebFolder, tmp_path: Path) -> None:
    hauler = (
        "apiVersion: content.hauler.cattle.io/v1\nkind: Charts\nspec: "
        f"{{charts: [{{name: web, repoURL: '{web.url}', version: ^1.2}}]}}\n"
    )
    helmfile = f"repositories: [{{name: shop, url: '{web.url}'}}]\nreleases: [{{name: a, chart: shop/web, version: ^1.2}}]\n"
    zarf = (
        "kind: ZarfPackageConfig\nmetadata: {name: x}\n"
        f"components: [{{name: a, charts: [{{name: web, url: '{web.url}', version: ^1.2, namespace: a}}]}}]\n"
    )
    chart = f"apiVersion: v2\nname: x\nversion: 1.0.0\ndependencies: [{{name: web, version: ^1.2, repository: '{web.url}/'}}]\n"
    for text in (hauler, helmfile, zarf, chart, f"charts: ['{web.url}/web:^1.2']", f"chart:{web.url}/web:^1.2\n"):
        found = site.json("resolve", listed(tmp_path / "list", text))
        assert [image["reference"] for image in found["images"]] == [f"{web.address}/web:1.10.0_2"], text


def test_a_name_for_the_site_may_be_given(site: Site, web: WebFolder, tmp_path: Path) -> None:
    found = site.json("resolve", listed(tmp_path / "list", f"chart:{web.url}/web:1.4.0 as registry.example/charts/web:1.4.0\n"))
    assert [image["reference"] for image in found["images"]] == ["registry.example/charts/web:1.4.0"]


def test_an_archive_that_was_replaced_stops_an_export_of_the_lock(site: Site, web: WebFolder, tmp_path: Path) -> None:
    wanted = entries(tmp_path / "list.yaml", web, "web:1.4.0")
    site.run("resolve", wanted, "--lock", tmp_path / "lock.json")
    (web.folder / "web-1.4.0.tgz").write_bytes(packed("web", "1.4.0", b"a: 2\n"))
    code, said = failed(site, "plan", tmp_path / "lock.json")
    assert code == DAMAGED
    assert "replaced the archive" in said
    code, said = failed(site, "plan", wanted)
    assert code == DAMAGED
    assert "digest in the chart repository's index" in said
    index = (web.folder / "index.yaml").read_text()
    (web.folder / "index.yaml").write_text("".join(line for line in index.splitlines(True) if "digest:" not in line))
    code, said = failed(site, "resolve", wanted, "--lock", tmp_path / "lock.json")
    assert code == REFUSED
    assert "moved" in said


def test_a_provenance_file_that_is_gone_stops_an_export_of_the_lock(site: Site, web: WebFolder, tmp_path: Path) -> None:
    (web.folder / "web-1.4.0.tgz.prov").write_bytes(b"-----BEGIN PGP SIGNED MESSAGE-----\n")
    site.run("resolve", entries(tmp_path / "list.yaml", web, "web:1.4.0"), "--lock", tmp_path / "lock.json")
    (web.folder / "web-1.4.0.tgz.prov").unlink()
    code, said = failed(site, "export", tmp_path / "lock.json", "--out", tmp_path / "usb", "--key", site.key, "--stream", "s")
    assert code == DAMAGED
    assert "no longer what the lock says" in said


def test_another_chart_than_the_index_says_is_damage(site: Site, web: WebFolder, tmp_path: Path) -> None:
    index = (web.folder / "index.yaml").read_text().replace("- web-1.4.0.tgz", "- db-5.1.0.tgz")
    (web.folder / "index.yaml").write_text("".join(line for line in index.splitlines(True) if "digest:" not in line))
    code, said = failed(site, "plan", entries(tmp_path / "list.yaml", web, "web:1.4.0"))
    assert code == DAMAGED
    assert "another chart" in said


def test_an_archive_that_is_no_chart_is_the_damage_of_its_repository(site: Site, web: WebFolder, tmp_path: Path) -> None:
    index = (web.folder / "index.yaml").read_text()
    (web.folder / "index.yaml").write_text("".join(line for line in index.splitlines(True) if "digest:" not in line))
    (web.folder / "web-1.4.0.tgz").write_bytes(b"<html>not here</html>")
    code, said = failed(site, "plan", entries(tmp_path / "list.yaml", web, "web:1.4.0"))
    assert code == DAMAGED
    assert f"{web.url}/web-1.4.0.tgz" in said


def test_credentials_go_to_the_repository_and_to_nobody_else(site: Site, tmp_path: Path) -> None:
    (tmp_path / "charts").mkdir()
    (tmp_path / "cdn").mkdir()
    with web_folder(tmp_path / "cdn") as cdn, web_folder(tmp_path / "charts", "ann:secret") as web:
        offer(tmp_path / "cdn", ("web", "1.0.0"), ("db", "1.0.0"))
        offer(tmp_path / "charts", ("web", "1.0.0"), ("db", "1.0.0"), base=f"{cdn.url}/")
        index = (web.folder / "index.yaml").read_text().replace(f"{cdn.url}/db", "db")
        (web.folder / "index.yaml").write_text(index)
        web.moved["/db-1.0.0.tgz"] = f"{cdn.url}/db-1.0.0.tgz"
        wanted = entries(tmp_path / "list.yaml", web, "web:", "db:")
        assert failed(site, "plan", wanted)[0] == NETWORK
        auth = base64.b64encode(b"ann:secret").decode()
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {web.address: {"auth": auth}}}))
        web.asked.clear()
        site.run("plan", wanted, "--authfile", tmp_path / "auth.json")
        assert {given for _, given in web.asked} == {f"Basic {auth}"}
        assert {path for path, _ in cdn.asked} >= {"/web-1.0.0.tgz", "/db-1.0.0.tgz"}
        assert {given for _, given in cdn.asked} == {""}


@pytest.mark.parametrize("kind", ["good", "missing", "other-key", "other-archive", "changed"])
def test_a_keyring_in_the_list_decides_whether_a_chart_is_taken(site: Site, web: WebFolder, tmp_path: Path, kind: str) -> None:
    with gpg_home() as home:
        vendor, other = home.new_key("vendor"), home.new_key("other")
        (tmp_path / "keys.gpg").write_bytes(home.export(other if kind == "other-key" else vendor, armor=False))
        digest = hashlib.sha256(packed("web", "1.4.0", b"x: 1\n" if kind == "other-archive" else b"a: 1\n")).hexdigest()
        text = f"apiVersion: v2\nname: web\nversion: 1.4.0\n\n...\nfiles:\n  web-1.4.0.tgz: sha256:{digest}\n"
        signed = home.run("--clear-sign", "--digest-algo", "SHA512", "-u", vendor, data=text.encode())
        if kind != "missing":
            changed = signed.replace(b"name: web", b"name: wep") if kind == "changed" else signed
            (web.folder / "web-1.4.0.tgz.prov").write_bytes(changed)
        wanted = entries(tmp_path / "list.yaml", web, "web:1.4.0", keyring=str(tmp_path / "keys.gpg"))
        done = site.run("resolve", wanted, check=False)
        if kind == "good":
            assert done.returncode == 0, done.stderr
            assert f"signed by {vendor}" in done.stderr
        else:
            assert done.returncode == REFUSED, done.stderr


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("charts: [{repo: 'http://charts.example.com/a', name: web}]", USAGE, "--insecure-registry"),
        ("charts: [{repo: 'https://u:secret@charts.example.com/a', name: web}]", USAGE, "--authfile"),
        ("charts: [{repo: 'WEB', version: 1.x}]", USAGE, "name:"),
        ("charts: [{repo: 'WEB', name: web, path: x}]", USAGE, "repo:"),
        ("charts: [{repo: 'oci://a.example/b', name: web, keyring: x}]", USAGE, "keyring"),
        ("charts: [{repo: 'WEB', name: web, version: '!!'}]", USAGE, "version range"),
        ("charts: [{repo: 'WEB', name: web, version: '>9'}]", NETWORK, "1.4.0"),
        ("charts: [{repo: 'WEB/none', name: web}]", NETWORK, "no such file"),
    ],
)
def test_mistakes_are_told_with_what_to_do(site: Site, web: WebFolder, tmp_path: Path, text: str, code: int, said: str) -> None:
    found = failed(site, "plan", listed(tmp_path / "list.yaml", text.replace("WEB", web.url)))
    assert (found[0], said in found[1], "secret" in found[1]) == (code, True, False), found
