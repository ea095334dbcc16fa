"""``airgap report`` on real bundles, looked at with a real browser. Pictures are kept in AIRGAP_ARTIFACTS."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airgap.format import names
from airgap.oci.digest import Digest
from tests.support.browser import Browser, rows
from tests.support.bundles import catalog_of, flip
from tests.support.cli import REFUSED, USAGE, failed
from tests.support.dockerregistry import DockerRegistry
from tests.support.platform import publish_platform
from tests.support.site import Site
from tests.support.tools import require

pytestmark = pytest.mark.slow("starts a real browser")

ARTIFACTS = os.environ.get("AIRGAP_ARTIFACTS", "")


@dataclass(frozen=True)
class Desk:
    """Two bundles of one stream: the second has two more images, two SBOMs more, and three volumes."""

    work: Path
    site: Site
    first: Path
    second: Path

    def report(self, *arguments: object, **options: str) -> tuple[str, dict[str, object]]:
        """Make a report; its words, and the facts."""
        page = self.work / f"{len(list(self.work.iterdir()))}.html"
        facts = self.site.json("report", *arguments, "-o", page, **options)
        return words(page.read_text()), facts


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    require("docker-registry")
    work = tmp_path_factory.mktemp("report")
    with DockerRegistry(work / "registry") as registry:
        published = publish_platform(registry.address, work)
        site = Site.make(work / "site")
        short = work / "short.txt"
        short.write_text("".join(f"{reference}\n" for reference in published.references[:3]))
        first = site.export(short, work / "out")
        spdx, cyclonedx = work / "spdx.json", work / "cyclonedx.json"
        licences = ["MIT", "Apache-2.0", "GPL-2.0-only", "NOASSERTION", "BSD-3-Clause"]
        packages = [{"name": f"p{n}", "licenseConcluded": licences[n % 5]} for n in range(310)]
        spdx.write_text(json.dumps({"spdxVersion": "SPDX-2.3", "packages": packages}))
        components = [{"name": f"c{n}", "licenses": [{"license": {"id": "ISC"}}]} for n in range(87)]
        cyclonedx.write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components}))
        attach = [f"{published.references[0]}::sbom-spdx={spdx}", f"{published.references[2]}::sbom-cyclonedx={cyclonedx}"]
        options = ["--volume-size", "100kB", *(word for text in attach for word in ("--attach", text))]
        second = site.export(published.list_file(work), work / "out", *options, serial=2)
        yield Desk(work, site, first, second)


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL))


def test_the_bundle_before_it_is_found_beside_it(desk):
    seen, facts = desk.report(desk.second)
    assert facts["compared_with"] == "prod-0001"
    assert "New (2)" in seen
    assert re.search(r"Changed \(2\) .*gained: 1 × SBOM", seen)
    assert "1 image unchanged" in seen
    assert (facts["verified"], facts["remarks"]) == (False, [])
    assert "Signatures: not verified here" in seen


def test_what_it_is_compared_with_can_be_named_and_other_places_are_tried(desk, tmp_path):
    moved = tmp_path / "usb" / desk.second.name
    shutil.copytree(desk.second, moved)
    assert desk.report(moved, "--since", desk.first / names.CATALOG)[1]["compared_with"] == "prod-0001"
    assert desk.report(moved)[1]["compared_with"] == "prod-0001, as exported by this machine"
    seen, facts = desk.report(moved, state="no-state")
    assert facts["compared_with"] is None
    assert "name the previous bundle with --since" in seen


def test_a_site_sees_what_is_new_for_it(desk, tmp_path):
    moved = tmp_path / "usb" / desk.second.name
    shutil.copytree(desk.second, moved)
    desk.site.import_(f"oci:{tmp_path / 'store'}", desk.first)
    seen, facts = desk.report(moved, state="site-state")
    assert "as this site loaded it into oci:" in str(facts["compared_with"])
    assert "New (2)" in seen
    assert "3 images unchanged" in seen


@pytest.mark.smoke("report")
def test_sizes_sharing_sboms_and_checksums_are_those_of_the_bundle(desk):
    seen, facts = desk.report(desk.second)
    raw = (desk.second / names.CATALOG).read_bytes()
    assert facts["catalog"] == str(Digest.of(raw))
    assert str(Digest.of(raw)) in seen
    for volume in catalog_of(desk.second).volumes:
        assert f"{volume.name} {volume.sha256} {volume.size:,}" in seen
    assert "SPDX-2.3 310" in seen
    assert "CycloneDX 1.6 87 ISC (87)" in seen
    assert re.search(r"blobs? of \S+ kB are needed by several images", seen)
    assert re.search(r"linux/s390x 1 image", seen)


def test_signatures_are_verified_when_a_policy_is_given(desk, tmp_path):
    seen, facts = desk.report(desk.second, "--policy", desk.site.policy)
    assert facts["verified"] is True
    assert "✓ Signed by ECDSA P-256 key" in seen
    stranger = Site.make(tmp_path / "stranger")
    page = tmp_path / "page.html"
    failed(stranger.run("report", desk.second, "-o", page, "--policy", stranger.policy, check=False), REFUSED)
    assert not page.exists()


def test_one_of_several_media_has_a_page_that_says_what_is_not_there(desk, tmp_path):
    medium = tmp_path / "disk"
    medium.mkdir()
    for name in (names.CATALOG, "volume-0002.tar"):
        shutil.copy(desk.second / name, medium)
    seen, facts = desk.report(medium)
    assert "volume-0001.tar not here" in seen
    assert "The bundle is not signed." in seen
    assert "volume-0001.tar: a volume is missing" in seen or "a volume is missing" in " ".join(facts["remarks"])


def test_who_carried_it_is_in_the_report(desk, tmp_path):
    bundle = tmp_path / desk.second.name
    shutil.copytree(desk.second, bundle)
    desk.site.run("media", "log", bundle, "--who", "Anna <b>", "--where", "depot 4", "--at", "2026-02-01T08:00:00Z")
    assert "Anna &lt;b&gt; 2026-02-01 08:00 UTC depot 4 unsigned" in desk.report(bundle)[0]
    (bundle / names.CUSTODY).write_bytes(b"{}\n")
    assert "The log is broken" in desk.report(bundle)[0]


def test_damage_is_said_and_does_not_end_the_report(desk, tmp_path):
    bundle = tmp_path / desk.second.name
    shutil.copytree(desk.second, bundle)
    root = catalog_of(bundle).images[0].root.digest
    extent = catalog_of(bundle).blobs[root].extents[0]
    flip(bundle / names.volume_name(extent.volume), extent.offset)
    seen, facts = desk.report(bundle)
    assert "unknown here" in seen
    assert "has the wrong digest" in str(facts["remarks"])
    assert "shop/nested:2" in seen


def test_an_encrypted_bundle_shows_what_is_inside_only_to_its_site(desk, tmp_path):
    desk.site.run("keys", "generate", "--no-passphrase", "--out", tmp_path, "--type", "x25519")
    bundle = desk.site.export(desk.work / "short.txt", tmp_path / "out", "--encrypt-to", tmp_path / "airgap.pub", stream="secret")
    seen, facts = desk.report(bundle, "--policy", desk.site.policy)
    assert "encrypted for the site" in seen
    assert "✓ Signed by" in seen
    assert "shop/web" not in seen
    assert catalog_sums(bundle) <= set(seen.split())
    seen, facts = desk.report(bundle, "--decrypt-key", tmp_path / "airgap.key")
    assert "shop/web:1.0" in seen
    assert facts["remarks"] == []
    assert "unknown here" not in seen


def catalog_sums(bundle: Path) -> set[str]:
    """The digests of all volumes, as the bundle's own list has them."""
    lines = (bundle / names.SUMS).read_text().splitlines()
    return {line.split()[0] for line in lines if names.is_volume(line.split()[1])}


def test_mistakes_have_messages(desk, tmp_path):
    page = tmp_path / "page.html"
    failed(desk.site.run("report", tmp_path, "-o", page, check=False), USAGE, "no bundle here")
    failed(desk.site.run("report", desk.second, "-o", page, "--since", desk.site.policy, check=False), USAGE, "cannot compare")
    failed(desk.site.run("report", desk.second, "-o", tmp_path / "no/where.html", check=False), 6)
    assert not page.exists()


@pytest.fixture(scope="module")
def looked(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> tuple[Browser, str, Path]:
    work = tmp_path_factory.mktemp("browser")
    page = work / "report.html"
    desk.site.run("report", desk.second, "-o", page, "--policy", desk.site.policy, "--created", "2026-02-01T00:00:00Z")
    pictures = Path(ARTIFACTS) if ARTIFACTS else work
    pictures.mkdir(parents=True, exist_ok=True)
    return Browser(work / "browser"), page.as_uri(), pictures


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("name", "width", "height"), [("wide", 1200, 3000), ("phone", 500, 4500)])
def test_the_page_is_drawn_in_light_and_dark_on_a_screen_and_on_a_phone(looked, name, width, height, dark):
    browser, url, pictures = looked
    pixels = rows(
        browser.screenshot(
            url, pictures / f"report-{name}-{'dark' if dark else 'light'}.png", width=width, height=height, dark=dark
        )
    )
    assert (len(pixels), len(pixels[0])) == (height, width * 3)
    assert (sum(pixels[2][:3]) < 150) == dark  # the page around the cards
    assert len({bytes(row) for row in pixels[: height // 2]}) > 100  # there is something on it
    assert {bytes(row[-6:]) for row in pixels} == {bytes(pixels[2][-6:])}  # and nothing hangs over the right edge


def test_the_browser_has_nothing_to_complain_about_and_a_scanner_reads_the_code(looked, desk):
    browser, url, pictures = looked
    assert browser.dom(url)[1] == ""
    picture = pictures / "report-code.png"
    browser.screenshot(url, picture, width=1200, height=800, dark=True)
    done = subprocess.run([require("zbarimg"), "--quiet", picture], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"QR-Code:{Digest.of((desk.second / names.CATALOG).read_bytes())}"


def test_the_page_fits_on_a4_paper(looked):
    browser, url, pictures = looked
    printed = browser.pdf(url, pictures / "report.pdf")
    assert printed.startswith(b"%PDF-")
    boxes = {tuple(round(float(n)) for n in found.split()) for found in re.findall(rb"/MediaBox ?\[([^\]]+)\]", printed)}
    assert boxes == {(0, 0, 595, 842)} or {(w, h) for _, _, w, h in boxes} <= {(595, 842), (596, 842), (595, 841), (594, 841)}


def test_no_page_of_paper_is_for_the_last_line_alone(looked, tmp_path):
    browser, url, _ = looked
    page = Path(url.removeprefix("file://")).read_text()

    def pages(document: str, lines: int) -> int:
        (tmp_path / "page.html").write_text(document.replace("</main>", f"{'<p>more</p>' * lines}</main>"))
        return len(re.findall(rb"/Type ?/Page\b", browser.pdf((tmp_path / "page.html").as_uri(), tmp_path / "page.pdf")))

    without = re.sub(r"<footer>.*?</footer>", "", page)
    assert without != page
    full = pages(without, 0)
    fits, too_many = 0, 128
    while too_many - fits > 1:  # how many lines more the last page takes
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if pages(without, middle) == full else (fits, middle)
    assert pages(page, fits) == full
