"""Which names a store is served under."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import Damaged
from airgap.layout import LayoutStore
from airgap.server import Catalogue
from airgap.server.catalogue import Served
from airgap.server.routes import answer
from tests.support import images


def served(path: Path, names: dict[str, images.Built]) -> Catalogue:
    with LayoutStore(path) as store:
        for name, built in names.items():
            images.publish(store, name, built)
        store.commit()
    return Catalogue(LayoutStore(path))


def there(catalogue: Catalogue, name: str, host: str = "") -> Served:
    found = catalogue.repository(name, host)
    assert found is not None
    return found


def test_two_hosts_that_agree_share_the_bare_path_and_two_that_differ_do_not(tmp_path):
    one, two = images.image([images.layer(1)]), images.image([images.layer(2)])
    same = {"docker.io/library/a:1": one, "quay.io/library/a:1": one, "quay.io/library/a:2": two}
    differ = {"docker.io/library/b:1": one, "quay.io/library/b:1": two}
    catalogue = served(tmp_path / "s", {**same, **differ})
    assert there(catalogue, "library/a").tags == {"1": one.digest, "2": two.digest}
    assert catalogue.repository("library/b") is None
    assert catalogue.ambiguous == {"library/b": ["docker.io/library/b", "quay.io/library/b"]}
    assert there(catalogue, "quay.io/library/b").tags == {"1": two.digest}
    assert there(catalogue, "library/b", "docker.io").tags == {"1": one.digest}


def test_a_sparse_index_is_served_without_what_is_not_there(tmp_path):
    web = images.multi_arch("web")
    served(tmp_path / "s", {"quay.io/a/b:1": web})
    (tmp_path / "s" / "blobs" / "sha256" / web.children[0].digest.hex).unlink()
    repository = there(Catalogue(LayoutStore(tmp_path / "s")), "a/b")
    assert web.children[0].digest not in repository.manifests
    assert {web.digest, web.children[1].digest} <= set(repository.manifests)


def test_indexes_nested_too_deeply_are_refused(tmp_path):
    built = images.image([images.layer("x")])
    for _ in range(4):
        built = images.index([built])
    served(tmp_path / "four", {"quay.io/a/b:1": built})
    with pytest.raises(Damaged):
        served(tmp_path / "five", {"quay.io/a/b:1": images.index([built])})


# A mirror that answers for a registry which it has nothing from would have one registry's image pulled as another's.


def asked(catalogue: Catalogue, repository: str, host: str) -> list[int]:
    """The status of everything that can be asked of the image ``:1`` there."""
    image = images.image([images.layer(1)])
    paths = ["manifests/1", f"manifests/{image.digest}", f"blobs/{image.manifest.layers[0].digest}", "tags/list",
             f"referrers/{image.digest}"]  # fmt: skip
    return [int(answer(catalogue, f"/v2/{repository}/{path}?ns={host}", {}).status) for path in paths]


@pytest.mark.parametrize(
    ("host", "repository"),
    [
        ("docker.io", "library/a"),
        ("DOCKER.IO", "library/a"),
        ("index.docker.io", "library/a"),
        ("registry-1.docker.io", "library/a"),
        ("registry-1.docker.io:443", "library/a"),
        ("docker.io", "docker.io/library/a"),
        ("Reg.Example:05000", "team/a"),
        ("reg.example:5000", "reg.example-5000/team/a"),
        ("[0:0:0:0:0:0:0:1]:5000", "team/b"),
        ("%5B::1%5D:5000", "team/b"),
        ("[::1]:5000", "ip6.0__1-5000/team/b"),
    ],
)
def test_a_mirror_knows_its_registry_in_every_spelling_of_the_host(tmp_path, host, repository):
    one = images.image([images.layer(1)])
    names = dict.fromkeys(("docker.io/library/a:1", "reg.example:5000/team/a:1", "[::1]:5000/team/b:1"), one)
    assert asked(served(tmp_path / "s", names), repository, host) == [200] * 5


@pytest.mark.parametrize(
    ("host", "repository"),
    [
        ("quay.io", "library/a"),  # the same path of another registry
        ("quay.io", "docker.io/library/a"),
        ("reg.example", "team/a"),
        ("reg.example-5000", "team/a"),
        ("docker.io:5000", "library/a"),
        ("docker.io", "plain"),  # nobody knows which registry a plain name is from
        ("not a host", "library/a"),
        ("..", "library/a"),
    ],
)
def test_a_mirror_never_answers_for_one_registry_with_the_image_of_another(tmp_path, host, repository):
    one = images.image([images.layer(1)])
    names = dict.fromkeys(("docker.io/library/a:1", "reg.example:5000/team/a:1"), one)
    assert asked(served(tmp_path / "s", names), repository, host.replace(" ", "%20")) == [404] * 5


def test_two_hosts_that_are_written_alike_are_served_under_neither_name_and_told_apart_by_ns(tmp_path):
    one, two = images.image([images.layer(1)]), images.image([images.layer(2)])
    catalogue = served(tmp_path / "s", {"reg.corp:5000/x:1": one, "reg.corp-5000/x:2": two})
    assert catalogue.repository("reg.corp-5000/x") is None
    assert catalogue.ambiguous == {"reg.corp-5000/x": ["x?ns=reg.corp-5000", "x?ns=reg.corp:5000"]}
    assert there(catalogue, "x", "reg.corp:5000").tags == {"1": one.digest}
    assert there(catalogue, "x", "reg.corp-5000").tags == {"2": two.digest}
