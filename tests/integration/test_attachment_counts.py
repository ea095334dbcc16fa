"""Every command and page that tells how many attachments an image has tells the same number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from airgap.oci.image import REFERRERS_TAG
from airgap.server.catalogue import Catalogue
from airgap.server.inventory import images as listed_images
from tests.support.site import Site

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
WEB = "localhost:5000/shop/web:1.0"


pytestmark = pytest.mark.slow("runs every command that counts")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


def a_list(site: Site, name: str, *references: str) -> Path:
    file = site.root / name
    file.write_text("".join(f"oci:{SAMPLES}/layout:{reference}\n" for reference in references))
    return file


def test_plan_resolve_inspect_report_diff_and_the_status_page_count_the_same_attachments(site: Site) -> None:
    web = a_list(site, "web.txt", WEB)
    resolved = site.json("resolve", web)["images"][0]["attachments"]
    expected = sum(one["kind"] != REFERRERS_TAG for one in resolved)
    assert 5 <= expected < len(resolved)  # the sample has lists of referrers under a tag, too
    told = {
        "plan": site.json("plan", web, "--out", site.root / "usb")["images"][0]["attachment_count"],
        "resolve": int(re.findall(r"(\d+) attachments", site.run("resolve", web).stdout)[0]),
        "plan, lines": int(re.findall(r"(\d+) attachments", site.run("plan", web, "--out", site.root / "usb").stdout)[0]),
    }
    other = site.export(a_list(site, "api.txt", "localhost:5000/shop/api:2.1"), site.root / "a")
    bundle = site.export(web, site.root / "b")
    told["inspect"] = int(re.findall(r"(\d+) attachments", site.run("inspect", bundle).stdout)[0])
    told["diff"] = site.json("diff", other, bundle)["added"][0]["attachment_count"]
    site.run("report", bundle, "-o", site.root / "report.html")
    row = re.findall(r"<tr.*?</tr>", (site.root / "report.html").read_text(), re.DOTALL)
    told["report"] = sum(int(count) for count in re.findall(r"(\d+) × ", next(one for one in row if " × " in one)))
    site.import_(f"oci:{site.root}/store", bundle)
    with LayoutStore(site.root / "store") as store:
        shown, _ = listed_images(Catalogue(store), 10)
    told["status page"] = {image.attachments for image in shown if image.name.endswith("shop/web:1.0")}.pop()
    assert told == dict.fromkeys(told, expected)
