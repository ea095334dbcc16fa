"""Damage that ``airgap serve`` meets in a blob while it sends it: neither the client nor the operator takes it for good."""

from __future__ import annotations

import http.client
import shutil
from pathlib import Path

import pytest

from tests.support.bundles import catalog_of, flip
from tests.support.desks import Made
from tests.support.serving import Serving

pytestmark = pytest.mark.slow("starts a service")


def test_a_damaged_blob_of_a_bundle_is_not_sent_whole_and_reported_once(made: Made, tmp_path: Path) -> None:
    bundle = shutil.copytree(made.bundle, tmp_path / made.bundle.name)
    catalog = catalog_of(bundle)
    large = [(digest, one) for digest, one in catalog.blobs.items() if one.size > 20_000 and one.extents]
    (digest, blob), (other, good), *_ = sorted(large, key=lambda one: one[1].size, reverse=True)
    extent = blob.extents[-1]
    flip(bundle / catalog.volumes[extent.volume - 1].name, extent.offset + extent.length // 2)
    path = "/v2/quay.io/tools/tool/blobs/"
    with Serving(tmp_path, bundle) as serving:
        for _ in range(2):
            with pytest.raises(http.client.IncompleteRead):
                serving.ask(path + digest)
        assert len(serving.ask(path + other).body) == good.size
        serving.said(f"damaged: .*{digest} has the wrong digest")
        assert 'airgap_errors_total{kind="damaged"} 2.0' in serving.ask("/metrics").body.decode()
        assert serving.ask("/status").body.decode().count("has the wrong digest") == 1
        assert serving.stop() == 0
    assert sum("has the wrong digest" in line for line in serving.log) == 1
