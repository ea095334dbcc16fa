"""docs/vectors/ is what its README says: read by airgap's own commands, and by a second reader made from the pages alone."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from airgap.documents.custody import Log, read_result
from airgap.documents.custodysignatures import who_signed
from airgap.documents.receipt import Receipt
from airgap.documents.request import ResendRequest
from airgap.errors import UsageError
from airgap.lifecycle.pruneplan import PrunePlan
from airgap.media.disks import Disks
from airgap.oci.digest import Digest
from airgap.planning.lock import Lock
from airgap.schemas.catalogue import json_schema
from airgap.schemas.documents import DOCUMENTS
from airgap.trust.keys.revoked import Revoked
from tests.support.bundles import flip
from tests.support.cli import DAMAGED, REFUSED, failed, here
from tests.support.formatreader import documents
from tests.support.formatreader.bundle import Bundle
from tests.support.formatreader.strict import Bad, is_signed, sha256

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "docs/vectors"
EXPECTED: dict[str, dict[str, Any]] = json.loads((VECTORS / "expected.json").read_text())
BUNDLES = ("plain", "volumes", "incremental", "parity", "encrypted")
SENDER, SITE = (VECTORS / f"keys/{name}.{kind}" for name, kind in (("sender", "pub"), ("site", "key")))


def directory(kind: str) -> Path:
    return VECTORS / str(EXPECTED[kind]["directory"])


def opened(kind: str, *directories: Path, **options: Any) -> Bundle:
    """Read by the second reader, an incremental bundle with the blobs of its base."""
    if "base" in EXPECTED[kind]:
        options["held"] = opened(EXPECTED[kind]["base"]).blobs
    return Bundle(*(directories or (directory(kind),)), site_key=SITE.read_bytes(), **options)


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here("policy", "init", "--public-key", SENDER, "-o", tmp_path / "policy.json")
    return tmp_path / "policy.json"


def test_vectors_stay_small_and_everything_in_them_is_in_the_readme() -> None:
    files = [path for path in VECTORS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 450_000
    text = (VECTORS / "README.md").read_text()
    named = {path.relative_to(VECTORS).parts[0] for path in files}
    assert [name for name in named if f"`{name}" not in text and name != "README.md"] == []


@pytest.mark.parametrize("kind", BUNDLES)
def test_the_second_reader_gets_every_blob_of_every_bundle(kind: str) -> None:
    wanted, found = EXPECTED[kind], opened(kind)
    assert f"sha256:{sha256(found.raw)}" == wanted["catalog"]
    assert is_signed(found.raw, (directory(kind) / f"catalog.json.{wanted['key']}.sig").read_bytes(), SENDER.read_bytes())
    assert {one["reference"]: one["digest"] for one in found.catalog["images"]} == wanted["images"]
    sizes = {digest: len(data) for digest, data in found.blobs.items()}
    assert sizes == wanted["carried"] | wanted["held"] | wanted["made"]
    assert found.reached.keys() == wanted["images"].keys()
    assert all(wanted["images"][name] in reached for name, reached in found.reached.items())


def test_airgap_gets_every_blob_of_every_bundle(policy: Path, tmp_path: Path) -> None:
    trusting = ("--policy", policy, "--state", tmp_path / "state")
    for kind in BUNDLES:
        key = ("--decrypt-key", SITE) if kind == "encrypted" else ()
        store = tmp_path / ("plain" if kind == "incremental" else kind)
        for command in ("verify", directory(kind)), ("import", directory(kind), "--to", f"oci:{store}"):
            done = here(*command, *trusting, *key)
            assert done.returncode == 0, done.stderr
        wanted = EXPECTED[kind]["carried"] | EXPECTED[kind]["held"] | EXPECTED[kind]["made"]
        catalog = opened(kind).catalog
        elsewhere = {blob["patch"]["blob"] for blob in catalog["blobs"].values() if "patch" in blob}
        elsewhere |= {image["digest"] for image in catalog["images"] if "omitted" in image}  # an index that is rebuilt
        for digest in wanted.keys() - elsewhere:
            algorithm, _, digits = digest.partition(":")
            data = (store / "blobs" / algorithm / digits).read_bytes()
            assert (len(data), Digest.of(data, algorithm)) == (wanted[digest], digest)


def test_kinds_of_entries_are_all_there() -> None:
    """What the README promises of the vectors, so that a change does not take it away unnoticed."""
    found = {kind: opened(kind).catalog for kind in BUNDLES}
    codecs = {blob["patch"]["codec"] for blob in found["incremental"]["blobs"].values() if "patch" in blob}
    assert codecs == {"bytes/1", "deflate-tokens/1"}
    assert any("held" in blob for blob in found["incremental"]["blobs"].values())
    assert {one["kind"] for image in found["plain"]["images"] for one in image.get("attachments", [])} == {
        "cosign-signature",
        "referrer",
        "referrers-tag",
    }
    assert any(digest.startswith("sha512:") for digest in found["plain"]["blobs"])
    assert any(not blob["size"] for blob in found["plain"]["blobs"].values())
    assert any("omitted" in image for image in found["volumes"]["images"])
    assert any(len(blob.get("extents", [])) > 1 for blob in found["volumes"]["blobs"].values())
    assert len(found["parity"]["parity"]) == 2
    assert len(found["encrypted"]["volumes"]) > 1


def test_the_second_reader_rebuilds_lost_volumes_from_parity(tmp_path: Path) -> None:
    copy = shutil.copytree(directory("parity"), tmp_path / "copy")
    for name in EXPECTED["parity"]["lost"]:
        (copy / name).unlink()
    found = opened("parity", copy)
    assert found.rebuilt == EXPECTED["parity"]["lost"]
    assert found.blobs == opened("parity").blobs
    (copy / "parity-0001.bin").unlink()
    with pytest.raises(Bad):
        opened("parity", copy)


@pytest.mark.parametrize("kind", BUNDLES)
def test_neither_reader_takes_a_bundle_with_one_changed_byte(kind: str, policy: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(directory(kind), tmp_path / directory(kind).name)
    for name in ("parity-0001.bin", "parity-0002.bin"):
        (copy / name).unlink(missing_ok=True)
    flip(copy / "volume-0001.tar", 3000)
    with pytest.raises(Bad):
        opened(kind, copy)
    key = ("--decrypt-key", SITE) if kind == "encrypted" else ()
    failed(here("verify", copy, "--policy", policy, "--state", tmp_path / "state", *key), DAMAGED)


def test_neither_reader_opens_the_encrypted_bundle_without_its_key(policy: Path, tmp_path: Path) -> None:
    failed(here("verify", directory("encrypted"), "--policy", policy, "--state", tmp_path / "state"), REFUSED)
    with pytest.raises(ValueError):
        Bundle(directory("encrypted"), site_key=None)


def test_both_readers_get_the_same_from_the_receipt() -> None:
    wanted, path = EXPECTED["receipt"], VECTORS / "documents/plant-7.receipt"
    raw = path.read_bytes()
    assert is_signed(raw, Path(f"{path}.{EXPECTED['plain']['key']}.sig").read_bytes(), SENDER.read_bytes())
    theirs, ours = documents.receipt(raw), Receipt.from_bytes(raw)
    held = theirs["manifests"] | theirs["blobs"]
    assert {digest: [size, list(places)] for digest, (size, places) in held.items()} == wanted["held"]
    assert {digest: [one.size, list(one.repositories)] for digest, one in ours.holdings.blobs.items()} == wanted["held"]
    assert sorted(theirs["manifests"]) == sorted(ours.holdings.manifests) == wanted["manifests"]
    named = {f"{repository}:{tag}": digest for repository, tags in theirs["images"].items() for tag, digest in tags.items()}
    assert named == ours.holdings.images == wanted["images"]
    assert (theirs["site"], theirs["created"]) == (ours.site, ours.created) == (wanted["site"], wanted["created"])


def test_both_readers_get_the_same_from_the_custody_log() -> None:
    wanted, raw = EXPECTED["custody"], (VECTORS / "documents/custody.jsonl").read_bytes()
    catalog = EXPECTED[wanted["bundle"]]["catalog"]
    entries, torn = documents.custody(raw, catalog, SENDER.read_bytes())
    ours = Log.parse(raw, Digest(catalog))
    assert [one["who"] for one in entries] == [one.who for one in ours.entries] == wanted["who"]
    assert [one["signed"] for one in entries] == wanted["signed"]
    keys = [SENDER.read_bytes()]
    signed = [
        one.seal and not who_signed(one.signed_bytes(), "sig", one.seal.content.encode(), keys, Revoked())[1]
        for one in ours.entries
    ]  # fmt: skip
    assert signed == wanted["signed"]
    assert len(torn) == ours.torn == wanted["torn"]
    assert ours.problems == ()
    with pytest.raises(Bad):
        documents.custody(raw.replace(b"seal 0815", b"seal 0816"), catalog, SENDER.read_bytes())


def test_both_readers_get_the_same_from_the_request_and_use_its_supplement(policy: Path, tmp_path: Path) -> None:
    raw, wanted = (VECTORS / "documents/request.json").read_bytes(), EXPECTED["request"]
    theirs, ours = documents.request(raw), ResendRequest.from_bytes(raw, "request")
    assert f"{theirs['stream']}-{theirs['serial']:04d}" == ours.bundle == directory(wanted["bundle"]).name
    blocks = [[name, number] for name, ranges in theirs["files"].items() for a, b in ranges for number in range(a, b + 1)]
    assert blocks == [list(one) for one in ours.blocks()] == wanted["blocks"]
    answer = VECTORS / EXPECTED["supplement"]["directory"]
    supplied = documents.supplement(answer, raw)
    assert sorted(map(list, supplied)) == wanted["blocks"]
    copy = shutil.copytree(directory("parity"), tmp_path / directory("parity").name)
    for name in ("volume-0001.tar", "parity-0001.bin", "parity-0002.bin"):
        (copy / name).unlink()
    assert opened("parity", copy, supplied=supplied).blobs == opened("parity").blobs
    trusting = ("--policy", policy, "--state", tmp_path / "state")
    assert here("verify", copy, *trusting).returncode == DAMAGED
    assert here("verify", copy, answer, *trusting).returncode == 0


def test_both_readers_get_the_same_from_the_list_of_disks() -> None:
    raw, wanted = (VECTORS / "documents/DISKS.json").read_bytes(), EXPECTED["disks"]
    theirs, ours = documents.disks(raw), Disks.from_bytes(raw, "DISKS.json")
    assert (theirs["disk"], theirs["disks"]) == (ours.own, ours.files) == (wanted["disk"], wanted["disks"])


def test_both_readers_get_the_same_from_the_lock() -> None:
    raw, wanted = (VECTORS / "documents/images.lock").read_bytes(), EXPECTED["lock"]
    images, blobs = documents.lock(raw)
    ours = Lock.from_bytes(raw, "images.lock")
    assert images == {str(one.reference): one.root.digest for one in ours.images} == wanted["images"]
    walked = [node for image in ours.images for node in ours.walk(image)]
    found = {one.digest: one.size for node in walked for one in (node.descriptor, *node.blobs)}
    assert blobs == found == wanted["blobs"]
    first = json.loads(raw)["manifests"][0]["digest"]
    for reads in (documents.lock, lambda changed: Lock.from_bytes(changed, "images.lock")):
        with pytest.raises((Bad, UsageError)):
            reads(raw.replace(first.encode(), b"sha256:" + b"0" * 64, 1))


def test_both_readers_get_the_same_from_the_plan_of_a_removal() -> None:
    raw, wanted = (VECTORS / "documents/prune.json").read_bytes(), EXPECTED["prune"]
    theirs, ours = documents.prune(raw), PrunePlan.parse(raw, "prune.json")
    [step] = theirs["steps"]
    assert (ours.digest, list(ours.steps[0].removal.manifests)) == (wanted["digest"], step["remove"]["manifests"])
    assert sum(one["size"] for one in step["remove"]["blobs"]) == sum(size for _, size in ours.steps[0].removal.blobs)
    assert sum(one["size"] for one in step["remove"]["blobs"]) == wanted["bytes"]
    assert step["remove"]["manifests"] == wanted["manifests"]
    assert [one["name"] for one in step["names"]] == [one.name for one in ours.steps[0].names]
    for reads in (documents.prune, lambda changed: PrunePlan.parse(changed, "prune.json")):
        with pytest.raises((Bad, UsageError)):
            reads(raw.replace(b'"keep": false', b'"keep": true', 1))


def test_both_readers_get_the_same_from_the_result_of_a_check() -> None:
    path, wanted = VECTORS / "documents/check.json", EXPECTED["check"]
    raw, catalog = path.read_bytes(), EXPECTED[wanted["bundle"]]["catalog"]
    assert is_signed(raw, Path(f"{path}.{EXPECTED['plain']['key']}.sig").read_bytes(), SENDER.read_bytes())
    theirs, ours = documents.check(raw), read_result(raw, Digest(catalog), "check.json")
    assert (theirs["result"], theirs["exit_code"]) == (ours.result, ours.exit_code) == (wanted["result"], wanted["exit_code"])
    assert theirs["bad"] == {directory(wanted["bundle"]).name: wanted["bad"]}
    assert [one["catalog"] for one in theirs["bundles"]] == [catalog]


def test_the_second_reader_gets_outcome_and_error_from_the_result_of_an_import() -> None:
    raw, wanted = (VECTORS / "documents/parity-0001.result.json").read_bytes(), EXPECTED["result"]
    found = documents.result(raw)
    assert (found["outcome"], found["exit_code"]) == (wanted["outcome"], wanted["exit_code"])
    assert found["catalog"] == EXPECTED[wanted["bundle"]]["catalog"]
    jsonschema.validate(found, json_schema("result"))


def test_the_second_reader_finds_the_same_difference_as_airgap() -> None:
    done = here("diff", directory("plain"), directory("incremental"), "--json")
    found = json.loads(done.stdout)
    blobs = {name: sorted(found["compared_blobs"][name]["digests"]) for name in ("shared", "only_a", "only_b")}
    names = {key: sorted(one["reference"] for one in found[key]) for key in ("added", "removed")}
    wanted = documents.difference(opened("plain").catalog, opened("incremental").catalog)
    assert {**names, **blobs, "unchanged_count": found["unchanged_count"]} == wanted


def test_every_document_has_a_vector_or_a_reason_why_not() -> None:
    """The second reader knows every document that somebody else than the airgap that wrote it reads."""
    own = {"journal", "watch"}  # docs/vectors/README.md says why
    kinds = {json.loads(path.read_bytes().split(b"\n{")[0])["schema"] for path in VECTORS.rglob("*.json*") if is_document(path)}
    kinds |= {json.loads(path.read_bytes())["schema"] for path in (VECTORS / "documents").glob("*.[lr]*") if is_document(path)}
    assert kinds == {f"airgap.{name}/1" for name in DOCUMENTS.keys() - own}


def is_document(path: Path) -> bool:
    return path.is_file() and path.suffix != ".sig" and path.name != "expected.json"


def test_the_second_reader_shares_no_code_with_airgap() -> None:
    files = list((ROOT / "tests/support/formatreader").glob("*.py"))
    assert len(files) == 5
    for path in files:
        nodes = list(ast.walk(ast.parse(path.read_text())))
        loaded = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        loaded |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        assert [name for name in loaded if name.startswith("airgap") or name == "tests.support"] == []


@pytest.mark.slow("makes all vectors again")
def test_the_script_makes_the_same_bytes_again(tmp_path: Path) -> None:
    """All of them with the libraries that made them; with others the documents and bundles in which nothing is compressed again."""
    subprocess.run([sys.executable, ROOT / "scripts/make-vectors", tmp_path / "again"], check=True)
    again = json.loads((tmp_path / "again/expected.json").read_text())
    same = again["made with"] == EXPECTED["made with"]
    for path in VECTORS.rglob("*"):
        name = path.relative_to(VECTORS)
        if path.is_file() and (same or name.parts[0] == "keys") and name.name != "README.md":
            assert (tmp_path / "again" / name).read_bytes() == path.read_bytes(), name
