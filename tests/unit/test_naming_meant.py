"""Hints to whoever names a target or a list in another way than is wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import UsageError
from airgap.naming.mapping import parse_store, parse_target
from airgap.naming.meant import meant_image
from tests.support.cli import USAGE, failed, here


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("registry.site:5000/mirror", "docker://registry.site:5000/mirror"),
        ("registry.site:5000", "docker://registry.site:5000"),
        ("localhost/x/", "docker://localhost/x"),
        ("QUAY.io/team", "docker://quay.io/team"),
        ("https://registry.site/mirror", "docker://registry.site/mirror"),
        ("docker:registry.site/mirror", "docker://registry.site/mirror"),
        ("docker:/registry.site", "docker://registry.site"),
        ("/srv/store", "oci:/srv/store"),
        ("./store", "oci:./store"),
        ("oci-archiv:/srv/a.tar", "oci-archive:/srv/a.tar"),
        ("docker-archive/a.tar", ""),
        ("gone.receipt", ""),
        ("my.dir/images.tar.gz", ""),
        ("https://registry.site/x.json", "docker://registry.site/x.json"),
        ("my.keys.example", "docker://my.keys.example"),
        ("store", ""),
        ("docker://", ""),
        ("https://", ""),
        ("bad_host.x/y\x1b[2J", ""),
        ("rsync:/srv", ""),
        ("", ""),
    ],
)
def test_target_without_its_transport_is_suggested_with_it(given: str, meant: str) -> None:
    for parse in (parse_target, parse_store):
        with pytest.raises(UsageError) as caught:
            parse(given)
        assert caught.value.hint == (f"did you mean {meant}?" if meant else "")


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("docker.io/x", "docker.io/library/x:latest"),
        ("docker://nginx", "docker.io/library/nginx:latest"),
        ("docker://quay.io/team/app:1", "quay.io/team/app:1"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("quay.io/app@sha256:" + "a" * 64, "quay.io/app@sha256:" + "a" * 64),
        ("images.txt", ""),
        ("lists/images", ""),
        ("my.lists/images.yaml", ""),
        ("./images", ""),
        ("/srv/images.d/x", ""),
        ("docker://", ""),
        ("C:\\lists\\images", ""),
    ],
)
def test_image_in_the_place_of_a_list_is_told_from_the_name_of_a_file(name: str, image: str) -> None:
    assert str(meant_image(name) or "") == image


@pytest.mark.parametrize("command", ["resolve", "plan"])
@pytest.mark.parametrize("given", ["docker.io/x", "docker://x"])
def test_image_in_the_place_of_a_list_is_led_into_one(command: str, given: str, tmp_path: Path) -> None:
    done = here(command, given, "--state", tmp_path / "state")
    failed(done, USAGE, "cannot read the image list", "echo docker.io/library/x:latest > images.txt")


def test_registry_in_the_place_of_a_base_gets_its_transport(tmp_path: Path) -> None:
    (tmp_path / "images.txt").write_text("nginx\n")
    done = here("plan", tmp_path / "images.txt", "--since", "registry.site:5000/mirror", "--state", tmp_path / "state")
    failed(done, USAGE, "did you mean docker://registry.site:5000/mirror?")


def test_missing_file_in_the_place_of_a_base_is_no_registry(tmp_path: Path) -> None:
    (tmp_path / "images.txt").write_text("nginx\n")
    done = here("plan", tmp_path / "images.txt", "--since", "gone.receipt", "--state", tmp_path / "state")
    failed(done, USAGE, "cannot read the base")
    assert "did you mean" not in done.stderr


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("host/path", "did you mean docker://host:PORT/path (a registry) or oci:host/path (a directory)?"),
        ("registry.site:5000/mirror", "did you mean docker://registry.site:5000/mirror?"),
        ("./store", "did you mean oci:./store?"),
    ],
)
def test_a_target_without_a_transport_gets_one(given: str, meant: str, tmp_path: Path) -> None:
    failed(here("import", tmp_path, "--to", given, "--state", tmp_path / "state"), USAGE, "not a target", meant)
