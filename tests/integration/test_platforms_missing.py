"""A platform that was asked for and is not there: however it was asked for, on both sides, nothing is written."""

from __future__ import annotations

import json

import pytest

from airgap.format import names
from tests.support import images
from tests.support.bundles import CREATED
from tests.support.cli import REFUSED, USAGE, failed, here
from tests.support.desks import TOOL, WEB, OperatorDesk, SiteDesk
from tests.support.origin import Origin

HAULER = "apiVersion: content.hauler.cattle.io/v1\nkind: Images\n"


def lists(address: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every way to ask for arm64 of an image: the list, and options."""
    name, option = f"{address}/shop/one:1", ("--platform", "linux/arm64")
    return {
        "text": (f"{name}\n", option),
        "entry": (f"images:\n  - name: {name}\n    platforms: [linux/arm64]\n", ()),
        "default": (f"defaults:\n  platforms: [linux/arm64]\nimages:\n  - {name}\n", ()),
        "rule": (f"images:\n  - name: {address}/shop/one\n    platforms: [linux/arm64]\n    tags: ['1']\n", ()),
        "skopeo sync": (f"{address}:\n  images:\n    shop/one: ['1']\n", option),
        "hauler": (f"{HAULER}spec:\n  images:\n    - name: {name}\n      platform: linux/arm64\n", ()),
        "hauler annotation": (
            f"{HAULER}metadata:\n  annotations:\n    hauler.dev/platform: linux/arm64\nspec:\n  images:\n    - name: {name}\n",
            (),
        ),
    }


@pytest.mark.parametrize("kind", list(lists("x")))
@pytest.mark.parametrize("command", ["resolve", "plan", "export"])
def test_an_image_of_another_platform_is_not_carried_whatever_asks_for_it(operator: OperatorDesk, command: str, kind: str) -> None:
    operator.origin.push(f"{operator.address}/shop/one:1", images.image([images.layer("one")]))
    text, options = lists(operator.address)[kind]
    path = operator.work / "list"
    path.write_text(text)
    asked: list[object] = [command, path, "--json", *options]
    facts = failed(here(*(operator.command(*options, image_list=path) if command == "export" else asked)), USAGE)
    assert facts["error"] == "an image has none of the requested platforms"
    assert f"{operator.address}/shop/one:1" in facts["where"]
    assert (facts["expected"], facts["got"]) == ("linux/arm64", "linux/amd64")
    assert not operator.out.exists()


def test_an_image_from_an_archive_of_another_platform_is_not_carried(operator: OperatorDesk, site: SiteDesk) -> None:
    origin = Origin()
    one = origin.push("docker.io/shop/one:1", images.image([images.layer("one")]))
    bundle = site.made.sender.bundle(origin, [one], operator.work / "one")
    archive = f"oci-archive:{bundle / names.volume_name(1)}:{one}"
    facts = failed(here("plan", archive, "--platform", "linux/arm64", "--json"), USAGE, "none of the requested platforms")
    assert facts["got"] == "linux/amd64"


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)], ids=["import", "dry run"])
def test_an_import_loads_nothing_when_one_image_lacks_the_platform(site: SiteDesk, dry_run: tuple[str, ...]) -> None:
    facts = failed(site.import_("--platform", "linux/arm64", *dry_run), REFUSED, "none of the requested platforms")
    assert (facts["where"], facts["expected"], facts["got"]) == (TOOL, "linux/arm64", "linux/amd64")
    site.nothing_is_visible()
    assert not site.store.exists()


def test_an_import_names_every_image_that_lacks_a_platform(site: SiteDesk) -> None:
    facts = failed(site.import_("--platform", "linux/arm64", "--platform", "linux/s390x"), REFUSED, "2 of 2 images")
    for fact in (WEB, TOOL, "only some", "none of", *images.PLATFORMS):
        assert fact in facts["got"]
    assert facts["expected"] == "linux/arm64, linux/s390x"
    assert not site.store.exists()


def test_what_every_image_has_is_loaded(site: SiteDesk) -> None:
    done = site.import_("--platform", "linux/amd64")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rebuilt"] == [WEB]


def test_a_platform_that_an_incremental_bundle_does_not_show_is_asked_of_its_catalog(site: SiteDesk) -> None:
    """The config of an image that the site has is not carried."""
    site.is_taken()
    made = site.made
    machine = ("--state", site.work / "exporter", "--key", made.sender.key, "--created", CREATED)
    listed = site.work / "again.txt"
    listed.write_text(f"bundle:{made.bundle}:{TOOL}\n")
    options = ["--out", site.work / "next", "--stream", "prod", "--serial", 3, "--since", made.bundle]
    done = here("export", listed, *options, *machine, "--bundle-policy", made.sender.policy, "--json")
    assert done.returncode == 0, done.stderr
    bundle = site.work / "next/prod-0003"
    facts = failed(site.import_("--platform", "linux/arm64", bundle=bundle), REFUSED, "none of the requested platforms")
    assert facts["got"] == "linux/amd64"
    assert site.import_("--platform", "linux/amd64", bundle=bundle).returncode == 0


def test_artifacts_are_loaded_whatever_platform_is_asked_for_and_this_is_said(site: SiteDesk) -> None:
    origin = Origin()
    chart = origin.push("docker.io/shop/chart:1", images.artifact(None, "application/vnd.cncf.helm.chart", b"chart"))
    web = origin.push(WEB, images.multi_arch("web"))
    bundle = site.made.sender.bundle(origin, [chart, web], site.work / "charts")
    for options in (("--dry-run",), ()):
        done = site.import_("--platform", "linux/arm64", *options, bundle=bundle)
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        [remark] = [line for line in facts["remarks"] if "artifact" in line]
        assert str(chart) in remark
        assert facts["rebuilt"] == [WEB]


def test_a_container_storage_does_not_drop_one_of_two_platforms(site: SiteDesk) -> None:
    options = ("--platform", "linux/amd64", "--platform", "linux/arm64")
    facts = failed(site.import_(*options, bundle=site.made.newer, to="containers-storage:"), USAGE, "holds one platform")
    assert facts["got"] == "linux/amd64, linux/arm64"


def test_a_watched_bundle_without_the_platform_is_refused_and_says_why(site: SiteDesk) -> None:
    results = site.work / "results"
    watch = [
        "watch",
        site.bundle.parent,
        "--to",
        f"oci:{site.store}",
        "--policy",
        site.made.sender.policy,
        "--state",
        site.work / "state",
    ]
    done = here(*watch, "--once", "--results", results, "--settle", "0", "--platform", "linux/arm64", "--json")
    assert done.returncode == REFUSED, done.stderr
    assert "none of the requested platforms" in done.stdout + done.stderr
    assert not site.store.exists()
