"""The status page in a real browser. Screenshots are kept in AIRGAP_ARTIFACTS, where that names a directory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.browser import Browser, rows
from tests.support.desks import Made
from tests.support.serving import Serving
from tests.support.site import Site

pytestmark = pytest.mark.slow("starts a real browser")

ARTIFACTS = os.environ.get("AIRGAP_ARTIFACTS", "")


@dataclass(frozen=True)
class Appliance:
    """A site that imported one bundle, refused another, and serves what it has."""

    browser: Browser
    url: str
    pictures: Path


@pytest.fixture(scope="module")
def appliance(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    work = tmp_path_factory.mktemp("appliance")
    browser = Browser(work / "browser")
    site = Site(work / "site")
    store, policy = work / "store", ("--policy", made.sender.policy)
    site.run("import", made.newer, "--to", f"oci:{store}", *policy)
    assert site.run("import", made.bundle, "--to", f"oci:{store}", *policy, check=False).returncode == 3
    pictures = Path(ARTIFACTS) if ARTIFACTS else work / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    with Serving(work, store, "--state", site.root / "state", "--admin", "127.0.0.1:0") as serving:
        serving.ask("/v2/nothing/tags/list")
        yield Appliance(browser, f"http://{serving.desk}/", pictures)


def text(dom: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", dom, flags=re.DOTALL))


def test_a_person_sees_bundles_images_errors_and_history(appliance, made):
    dom, console = appliance.browser.dom(appliance.url)
    assert console == ""  # the browser found nothing to complain about, the Content-Security-Policy included
    for name in ("bundles", "images", "errors", "history"):
        assert f'<section id="{name}">' in dom
    seen = text(dom)
    stream, _, serial = made.newer.name.rpartition("-")
    assert re.search(rf"{stream} sha256:[0-9a-f]{{64}} {int(serial)} \d minutes? loaded ", seen)
    assert "docker.io/shop/web:1" in seen
    assert re.search(r"refused \S* ?" + re.escape(made.bundle.name), seen)
    assert re.search(r"import \S* ?" + re.escape(made.newer.name) + r" oci:\S+ loaded \d images?", seen)
    assert re.search(r"linux/\w+", seen)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("name", "width", "height"), [("wide", 1280, 1400), ("phone", 500, 2400)])
def test_the_page_is_drawn_in_light_and_dark_on_a_screen_and_on_a_phone(appliance, name, width, height, dark):
    file = appliance.pictures / f"status-{name}-{'dark' if dark else 'light'}.png"
    png = appliance.browser.screenshot(appliance.url, file, width=width, height=height, dark=dark)
    pixels = rows(png)
    assert (len(pixels), len(pixels[0])) == (height, width * 3)
    assert (sum(pixels[2][:3]) < 150) == dark  # the page around the cards
    assert len({bytes(row) for row in pixels[: height // 2]}) > 100  # there is something on it
    assert {bytes(row[-6:]) for row in pixels} == {bytes(pixels[2][-6:])}  # and nothing hangs over the right edge


def test_the_page_can_be_printed(appliance):
    assert appliance.browser.pdf(appliance.url, appliance.pictures / "status.pdf").startswith(b"%PDF-")
