"""Which names a store is served under."""

from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import Damaged
from airgap.layout import LayoutStore
from airgap.server import Catalogue
from tests.support import images


def served(path: Path, names: dict[str, images.Built]) -> Catalogue:
    with LayoutStore(path) as store:
        for name, built in names.items():
            images.publish(store, name, built)
        store.commit()
    return Catalogue(LayoutStore(path))


def test_two_hosts_that_agree_share_the_bare_path_and_two_that_differ_do_not(tmp_path):
    one, two = images.image([images.layer(1)]), images.image([images.layer(2)])
    same = {"docker.io/library/a:1": one, "quay.io/library/a:1": one, "quay.io/library/a:2": two}
    differ = {"docker.io/library/b:1": one, "quay.io/library/b:1": two}
    catalogue = served(tmp_path / "s", {**same, **differ})
    assert catalogue.repository("library/a").tags == {"1": one.digest, "2": two.digest}
    assert catalogue.repository("library/b") is None
    assert catalogue.ambiguous == {"library/b": ["docker.io/library/b", "quay.io/library/b"]}
    assert catalogue.repository("quay.io/library/b").tags == {"1": two.digest}
    assert catalogue.repository("library/b", "docker.io").tags == {"1": one.digest}


def test_a_sparse_index_is_served_without_what_is_not_there(tmp_path):
    web = images.multi_arch("web")
    served(tmp_path / "s", {"quay.io/a/b:1": web})
    (tmp_path / "s" / "blobs" / "sha256" / web.children[0].digest.hex).unlink()
    repository = Catalogue(LayoutStore(tmp_path / "s")).repository("a/b")
    assert web.children[0].digest not in repository.manifests
    assert {web.digest, web.children[1].digest} <= set(repository.manifests)


def test_indexes_nested_too_deeply_are_refused(tmp_path):
    built = images.image([images.layer("x")])
    for _ in range(4):
        built = images.index([built])
    served(tmp_path / "four", {"quay.io/a/b:1": built})
    with pytest.raises(Damaged):
        served(tmp_path / "five", {"quay.io/a/b:1": images.index([built])})
