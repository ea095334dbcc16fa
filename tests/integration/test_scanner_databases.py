"""Databases of vulnerability scanners: carried as what they are, and an import says how old one is."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path

import pytest

from tests.support.site import Site

TRIVY = "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip"
NOW = dt.datetime.now(dt.UTC)


def days_ago(days: int) -> str:
    return (NOW - dt.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def trivy_db(place: Path, created: str) -> Path:
    """A database as trivy's are made, in skopeo's form of a directory."""
    place.mkdir()
    (place / "version").write_text("Directory Transport Version: 1.1\n")
    described = []
    for media_type, content in (("application/vnd.aquasec.trivy.config.v1+json", b"{}"), (TRIVY, b"a database")):
        digest = hashlib.sha256(content).hexdigest()
        (place / digest).write_bytes(content)
        described.append({"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)})
    described[1]["annotations"] = {"org.opencontainers.image.title": "db.tar.gz"}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described[0],
        "layers": [described[1]],
        **({"annotations": {"org.opencontainers.image.created": created}} if created else {}),
    }
    (place / "manifest.json").write_text(json.dumps(manifest))
    return place


def remarks(site: Site, work: Path, entries: str, made: str = "") -> list[str]:
    (work / "list.yaml").write_text(entries)
    bundle = site.export(work / "list.yaml", work / "usb", "--created", made or days_ago(0))
    done = site.run("import", bundle, "--to", f"oci:{work}/store", "--policy", site.policy, "--json", state="site-state")
    found: list[str] = json.loads(done.stdout)["remarks"]
    return found


@pytest.mark.parametrize(
    ("created", "says"),
    [
        (days_ago(30), "example.org/trivy-db:2 is a scanner's database that is 30 days old; what was found since is not in it"),
        (days_ago(1), ""),
        (days_ago(-9), ""),
        ("yesterday", ""),
        ("", ""),
    ],
    ids=["old", "new", "from-the-future", "no-time", "undated"],
)
def test_an_import_says_how_old_a_database_of_trivy_is(tmp_path: Path, created: str, says: str) -> None:
    database = trivy_db(tmp_path / "db", created)
    found = remarks(Site.make(tmp_path / "machine"), tmp_path, f"images: ['dir:{database} as example.org/trivy-db:2']\n")
    assert found == ([says] if says else [])


def test_a_database_is_at_least_as_old_as_its_bundle(tmp_path: Path) -> None:
    database = trivy_db(tmp_path / "db", "")
    entries = f"images: ['dir:{database} as example.org/trivy-db:2']\n"
    (found,) = remarks(Site.make(tmp_path / "machine"), tmp_path, entries, days_ago(8))
    assert found.startswith("example.org/trivy-db:2 is a scanner's database that is 8 days old")


def test_an_import_says_how_old_a_database_of_grype_is_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / f"vulnerability-db_v6.1.2_{days_ago(6)}_1767576631.tar.zst"
    file.write_bytes(b"a database")
    entries = f"files: [{{path: '{file}', name: grype-db, version: '6'}}]\n"
    (found,) = remarks(Site.make(tmp_path / "machine"), tmp_path, entries)
    assert found.startswith("airgap.local/files/grype-db:6 is a scanner's database that is 6 days old; grype refuses it unless")
