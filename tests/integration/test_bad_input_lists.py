"""Lists, arguments and keys that make no sense: exit code 2 and one clear message before any registry is asked."""

from __future__ import annotations

import pytest

from tests.support import images
from tests.support.bundles import CREATED
from tests.support.cli import USAGE, failed, here
from tests.support.desks import OperatorDesk
from tests.support.tools import require
from tests.support.trustkit import gpg_home

pytestmark = pytest.mark.slow("a wide matrix of inputs over the whole way")

HAULER = "kind: Images\nspec:\n  images:\n  "
OC_MIRROR = "kind: ImageSetConfiguration\nmirror:\n  additionalImages: [{name: x}]\n"


#: Where the typo is, and what is said of it.
TYPOS = {
    "case": ("docker.io/library/nginx:1\ndocker.io/UPPER/case:1\n", "2:1", "lower case"),
    "two tags": ("nginx:1\n\n   nginx:1:2  # comment\n", "3:4", "not a valid image reference"),
    "key": ("images:\n  - nginx:1\n  - name: x:1\n    platfroms: [linux/amd64]\n", "4:5", "unknown key"),
    "platform": ("images:\n  - nginx:1\n  - name: x:1\n    platforms: [linux]\n", "4:17", "not a valid platform"),
    "yaml": ("images: [nginx:1\n", "2:1", "not valid YAML"),
    "digest": ("nginx@sha256:123\n", "1:1", "not a sha256 digest"),
    "empty": ("# nothing\n", "1:1", "empty"),
    "range": ("images:\n  - name: x\n    tags:\n      semver: new\n", "4:15", "not a valid version range"),
    "regex": ("images:\n  - name: x\n    tags: {regex: '(a'}\n", "3:19", "not a valid regular expression"),
    "skopeo": ("quay.io:\n  images:\n    x: [1.0]\n  images-by-semver: {y: latest}\n", "4:25", "not a valid version range"),
    "hauler": (f"apiVersion: content.hauler.cattle.io/v1\n{HAULER}- name: x\n    platfrom: a/b\n", "6:5", "unknown key"),
    "oc-mirror": (
        f"apiVersion: mirror.openshift.io/v2alpha1\n{OC_MIRROR}  operators: [{{catalog: x}}]\n",
        "5:3",
        "not carried by airgap",
    ),
    "imgpkg": ("apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n- image: x:1\n", "4:10", "has no digest"),
    "kubernetes": ("apiVersion: v1\nkind: Pod\n", "2:7", "airgap discover"),
}


@pytest.mark.parametrize(("text", "place", "says"), TYPOS.values(), ids=TYPOS)
def test_a_typo_in_the_list_is_found_to_the_column(operator: OperatorDesk, text: str, place: str, says: str) -> None:
    path = operator.work / "list"
    path.write_text(text)
    assert operator.refused(USAGE, says, image_list=path)["where"] == f"{path}:{place}"
    assert not operator.out.exists()
    assert not operator.server.requests


def test_several_typos_are_told_together(operator: OperatorDesk) -> None:
    path = operator.list("nginx:1", "docker.io/Nope", "also nope", "ok:1")
    facts = operator.refused(USAGE, "2 mistakes in the image list", image_list=path)
    assert f"{path}:2:1" in facts["got"]
    assert f"{path}:3:1" in facts["got"]


def test_mistakes_in_several_lists_are_told_together(operator: OperatorDesk) -> None:
    paths = [operator.work / name for name in "abc"]
    for path, text in zip(paths, ("fine:1\n", "Bad:1\n", "images:\n- Worse\n- 1.0\n"), strict=True):
        path.write_text(text)
    command = ["export", *paths, *operator.command()[2:]]
    facts = failed(here(*command), USAGE, "mistakes in 2 image lists")
    assert [line.partition(": ")[0] for line in facts["got"].split("\n")] == [
        f"{paths[1]}:1:1",
        f"{paths[2]}:2:3",
        f"{paths[2]}:3:3",
    ]


def test_two_entries_that_pin_one_tag_to_two_digests(operator: OperatorDesk) -> None:
    one, two = (f"{operator.address}/shop/web:1@sha256:{digit * 64}" for digit in "12")
    facts = operator.refused(USAGE, "disagree", image_list=operator.list(one, two))
    assert "images.txt:1" in facts["where"]
    assert "images.txt:2" in facts["where"]
    assert not operator.server.requests


def test_a_tag_and_a_pin_of_it_that_turn_out_to_be_two_images(operator: OperatorDesk) -> None:
    old = images.image([images.layer("old")])
    operator.origin.push(f"{operator.address}/shop/web@{old.digest}", old)
    names = (f"{operator.address}/shop/web:1", f"{operator.address}/shop/web:1@{old.digest}")
    operator.refused(USAGE, "one name to different images", image_list=operator.list(*names))
    assert not operator.out.exists()


def test_a_platform_that_no_image_has(operator: OperatorDesk) -> None:
    operator.origin.push(f"{operator.address}/shop/multi:1", images.multi_arch("multi"))
    options = ("--platform", "linux/s390x")
    operator.refused(
        USAGE, "none of the requested platforms", options=options, image_list=operator.list(f"{operator.address}/shop/multi:1")
    )
    assert not operator.out.exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--volume-size", "nonsense"), "not a valid size"),
        (("--volume-size", "4 elephants"), "fat32"),
        (("--volume-size", "0"), "larger than zero"),
        (("--volume-size", "5kB"), "too small"),
        (("--volume-size", "-5GB"), "not a valid size"),
        (("--stream", "Prod Site"), "not a valid stream name"),
        (("--stream", "../../etc"), "not a valid stream name"),
        (("--stream", "x" * 49), "not a valid stream name"),
        (("--stream", ""), "not a valid stream name"),
        (("--serial", "0"), "--serial"),
        (("--serial", "-1"), "--serial"),
        (("--serial", "seven"), "--serial"),
        (("--serial", str(2**53)), "--serial"),
        (("--created", "yesterday"), "RFC 3339"),
        (("--created", "2026-01-31"), "RFC 3339"),
        (("--created", "2026-01-31T12:00:00"), "RFC 3339"),
        (("--created", "0001-01-01T00:00:00+23:00"), "RFC 3339"),
        (("--expires", "soon"), "90d"),
        (("--expires", "0d"), "before it is created"),
        (("--expires", "2020-01-01T00:00:00Z"), "before it is created"),
        (("--created", "9999-12-01T00:00:00Z", "--expires", "90d"), "out of range"),
        (("--threads", "0"), "--threads"),
        (("--key", "/nowhere/airgap.key"), "cannot read the key file"),
        (("--key", "/"), "cannot read the key file"),
        (("--key", "/dev/null"), "not a private key"),
        (("--passphrase-file", "/nowhere/passphrase"), None),
        (("--bogus",), "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_argument_that_makes_no_sense(operator: OperatorDesk, options: tuple[str, ...], says: str | None) -> None:
    if says is None:  # asked for only when a key is encrypted
        assert here(*operator.command(*options)).returncode == 0
        return
    operator.refused(USAGE, says, options=options)
    assert not operator.out.exists()
    assert not operator.server.requests


@pytest.mark.parametrize("epoch", ["now", "-1", "9" * 30])
def test_a_source_date_epoch_that_is_none(operator: OperatorDesk, epoch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    arguments = [a for a in operator.command() if a not in ("--created", CREATED)]
    failed(here(*arguments), USAGE, "SOURCE_DATE_EPOCH")


def test_a_missing_list_a_missing_option_and_a_lock_beside_a_list(operator: OperatorDesk) -> None:
    operator.refused(USAGE, "cannot read the image list", "No such file", image_list=operator.work / "nowhere.txt")
    failed(here("export", operator.list(), "--out", operator.out, "--json"), USAGE, "Missing option", "see airgap export --help")
    lock = operator.work / "images.lock"
    assert here("resolve", operator.list(), "--lock", lock).returncode == 0
    both = ["export", lock, operator.list(), *operator.command()[2:]]
    failed(here(*both), USAGE, "a lock cannot be combined")


def test_a_lock_that_was_cut_or_edited(operator: OperatorDesk) -> None:
    lock = operator.work / "images.lock"
    assert here("resolve", operator.list(), "--lock", lock).returncode == 0
    whole = lock.read_bytes()
    lock.write_bytes(whole[: len(whole) // 2])
    operator.refused(USAGE, "not acceptable JSON", image_list=lock)
    lock.write_bytes(whole.replace(b'"manifests":[\n{', b'"manifests":[\n],"x":[{'))
    operator.refused(USAGE, "the lock is incomplete", image_list=lock)
    assert not operator.out.exists()


def test_a_wrong_passphrase_and_none(operator: OperatorDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "right")
    assert here("keys", "generate", "--out", operator.work / "locked").returncode == 0
    monkeypatch.setenv("AIRGAP_KEY_PASSPHRASE", "wrong")
    options = ("--key", operator.work / "locked/airgap.key")
    operator.refused(USAGE, "wrong passphrase", "airgap.key", options=options)
    monkeypatch.delenv("AIRGAP_KEY_PASSPHRASE")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    operator.refused(USAGE, "no passphrase", "--passphrase-file", options=options)
    assert not operator.out.exists()
    assert not operator.server.requests


def test_a_gpg_key_that_nobody_has(operator: OperatorDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    require("gpg")
    with gpg_home() as home:
        monkeypatch.setenv("GNUPGHOME", str(home.path))
        operator.refused(USAGE, options=("--key", f"gpg:{'A' * 40}"))
        operator.refused(USAGE, options=("--key", "gpg:not a fingerprint"))
    assert not operator.out.exists()
