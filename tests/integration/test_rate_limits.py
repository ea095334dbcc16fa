"""Whole jobs with registries that allow only so many requests in a time: they end, say why they wait, and ask nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.layout import LayoutStore
from tests.support import images
from tests.support.cli import here
from tests.support.dockerregistry import DockerRegistry
from tests.support.gateway import Gateway
from tests.support.ratelimit import Allowance

IMAGES = 5
#: What is read of them: a tag and three platforms each.
MANIFESTS = 4 * IMAGES
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'
#: Requests in flight: the most that can come before the first refusal is known.
WIDTH = 32


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert here("keys", "generate", "--no-passphrase", "--out", tmp_path / "keys").returncode == 0
    with LayoutStore(tmp_path / "layout") as layout:
        for number in range(IMAGES):
            images.publish(layout, f"docker.io/shop/web{number}:1", images.multi_arch(f"web{number}"))
        layout.commit()
        with DockerRegistry(tmp_path / "registry") as registry, Gateway(registry.address) as gateway:
            images.push_layout_to_registry(layout, registry.address)
            yield gateway


def export(work: Path, source: Gateway, *options: object) -> tuple[int, str]:
    (work / "images.txt").write_text("".join(f"{source.address}/shop/web{number}:1\n" for number in range(IMAGES)))
    where = ("--out", work / "out", "--state", work / "state")
    done = here("export", work / "images.txt", *where, "--stream", "prod", "--key", work / "keys/airgap.key", *options)
    return done.returncode, done.stderr


@pytest.mark.parametrize("told", [True, False], ids=["Retry-After", "without"])
def test_export_from_and_import_into_a_registry_that_refuses_now_and_then(tmp_path: Path, source: Gateway, told: bool) -> None:
    source.before = leaving = Allowance(30, 1.0, told=told)
    code, said = export(tmp_path, source)
    assert (code, "answered 429 (too many requests), waiting" in said) == (0, True), said
    asked = Counter(f"{request.method} {request.target}" for request in source.requests)
    assert asked.total() == len(asked) + len(leaving.refused), "what was answered is not asked again"
    assert len(leaving.refused) <= WIDTH * (1 + len(leaving.allowed) // 30)

    (tmp_path / "policy.json").write_text(POLICY)
    with DockerRegistry(tmp_path / "site") as registry, Gateway(registry.address) as site:
        site.before = entering = Allowance(60, 1.0, told=told)
        where = ("--to", f"docker://{site.address}/mirror", "--state", tmp_path / "site-state")
        done = here("import", tmp_path / "out/prod-0001", *where, "--policy", tmp_path / "policy.json")
        assert done.returncode == 0, done.stderr
        assert "answered 429 (too many requests), waiting" in done.stderr
        assert entering.refused


def test_a_used_up_allowance_ends_the_export_at_once_and_the_next_run_asks_for_the_rest(tmp_path: Path, source: Gateway) -> None:
    source.before = daily = Allowance(7, 3600.0, counts="/blobs/")
    code, said = export(tmp_path, source)
    assert code == 5, said
    assert "--registry-patience" in said
    assert len(daily.refused) <= WIDTH
    before = {request.target for request in source.requests}
    source.requests.clear()
    source.before = lambda _: None
    code, said = export(tmp_path, source)
    assert code == 0, said
    now = {request.target for request in source.requests}
    assert [target for target in now if "/blobs/" not in target] == [], "the lock is kept"
    assert now < {target for target in before | now if "/blobs/" in target}, "and so is every blob that was fetched"


@pytest.mark.parametrize("told", [True, False], ids=["Retry-After", "without"])
def test_an_allowance_of_manifests_is_waited_out_and_each_costs_one_of_it(tmp_path: Path, source: Gateway, told: bool) -> None:
    source.before = pulls = Allowance(7, 1.0, told=told, counts="/manifests/", method="GET")
    code, said = export(tmp_path, source)
    assert (code, "answered 429 (too many requests), waiting" in said) == (0, True), said
    assert len(pulls.answered) == len(set(pulls.answered)) == MANIFESTS
    assert len(pulls.refused) <= WIDTH * (1 + MANIFESTS // 7)


@pytest.mark.parametrize("told", [True, False], ids=["Retry-After", "without"])
def test_an_allowance_for_a_part_of_a_list_is_used_run_by_run_and_no_manifest_costs_two(
    tmp_path: Path, source: Gateway, told: bool
) -> None:
    answered: list[str] = []
    for left in range(MANIFESTS, 0, -6):
        source.before = pulls = Allowance(6, 3600.0, told=told, counts="/manifests/", method="GET")
        code, said = export(tmp_path, source, "--registry-patience", 1)
        assert code == (5 if left > 6 else 0), said
        assert len(pulls.answered) == min(left, 6), "every run gets on"
        answered += pulls.answered
    assert len(answered) == len(set(answered)) == MANIFESTS
    assert list((tmp_path / "state").rglob("*.manifests")) == [], "what was kept is needed no more"


def test_what_an_earlier_run_has_read_is_not_believed_when_it_is_damaged(tmp_path: Path, source: Gateway) -> None:
    source.before = Allowance(6, 3600.0, counts="/manifests/", method="GET")
    assert export(tmp_path, source, "--registry-patience", 1)[0] == 5
    (kept,) = (tmp_path / "state").rglob("*.manifests")
    first, *others = kept.read_bytes().splitlines()
    kept.write_bytes(b"\n".join([first[:-40] + b"A" * 40, b"\xff of no kind", *others]))
    source.before = again = Allowance(100, 3600.0, counts="/manifests/", method="GET")
    code, said = export(tmp_path, source)
    assert code == 0, said
    assert len(again.answered) == MANIFESTS - len(others)
