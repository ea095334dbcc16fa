"""An export by rules that was cut off goes on with what it had found, whatever tags there are by then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.errors import RegistryError, UsageError
from airgap.exporter.export import Exported, export
from airgap.format.catalog import Catalog
from airgap.lists import parse_list
from airgap.oci.descriptor import Descriptor
from airgap.oci.reference import Repository
from airgap.progress import Silent
from airgap.state import State
from tests.support import images
from tests.support.bundles import Sender, asking
from tests.support.origin import Origin

pytestmark = pytest.mark.slow("runs whole exports and imports against real registries")

NAME = "quay.io/team/app"


class Tagged(Origin):
    """Lists its tags, and loses the connection as long as a test wants."""

    cut = False

    def tags(self, repository: Repository) -> Iterator[str]:
        """As ``Tags.tags``."""
        return iter(self.shelves[str(repository)].tags)

    def open(self, repository: Repository, descriptor: Descriptor, offset: int = 0) -> images.BytesReader:
        """As ``Source.open``."""
        if self.cut and "config" not in descriptor.media_type:
            raise RegistryError("the connection broke")
        return super().open(repository, descriptor, offset)


def run(sender: Sender, origin: Tagged, rule: str, out: Path) -> Exported:
    wanted = parse_list(f"images: [{{name: {NAME}, tags: {rule}}}]".encode(), "list").wanted
    request = asking(wanted, origin, out, [sender.signer], threads=1, tags=origin)
    with State(out.parent / "state") as state:
        return export(request, state, Silent())


def test_a_tag_that_is_new_since_then_does_not_stop_the_resume_but_another_rule_does(tmp_path: Path) -> None:
    sender, origin, out = Sender.make(tmp_path / "sender"), Tagged(), tmp_path / "usb"
    for tag in ("1.0", "1.1"):
        origin.push(f"{NAME}:{tag}", images.image([images.layer(tag)]))
    origin.cut = True
    with pytest.raises(RegistryError):
        run(sender, origin, "{semver: ^1, newest: 1}", out)
    origin.cut = False
    origin.push(f"{NAME}:1.2", images.image([images.layer("1.2")]))
    with pytest.raises(UsageError) as caught:
        run(sender, origin, "{semver: ^1, newest: 2}", out)
    assert "different content" in caught.value.what
    done = run(sender, origin, "{semver: ^1, newest: 1}", out)
    assert isinstance(done.catalog, Catalog)
    assert [str(image.reference) for image in done.catalog.images] == [f"{NAME}:1.1"]
