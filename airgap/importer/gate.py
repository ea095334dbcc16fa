"""May this bundle enter now? Serials against the site's memory."""

from __future__ import annotations

from airgap.bundle.catalog import Catalog
from airgap.errors import Refused
from airgap.oci.digest import Digest
from airgap.state import Remembered


def check_serial(catalog: Catalog, digest: Digest, last: Remembered | None, allow_older: bool) -> None:
    """Refuse an older bundle than the newest one of its stream that this site has taken, and a second one of the same serial.

    Args:
        catalog: the verified catalog.
        digest: of its bytes.
        last: the newest bundle of the stream taken so far; a gap after it is fine.
        allow_older: take an older one deliberately.

    Raises:
        Refused: older, or another bundle of the same serial.
    """
    if last is None or catalog.serial > last.serial:
        return
    if catalog.serial == last.serial:
        if digest != last.catalog:
            raise Refused(
                f"another bundle with serial {catalog.serial} of stream {catalog.stream} was imported here before",
                expected=f"catalog {last.catalog}",
                got=f"catalog {digest}",
                hint="a serial is used once: find out from the sender which of the two is right",
            )
        return
    if not allow_older:
        raise Refused(
            f"an older bundle than the one this site has: {catalog.name}",
            expected=f"serial {last.serial} or higher of stream {catalog.stream}",
            got=f"serial {catalog.serial}",
            hint="bring the newest bundle, or go back deliberately with --allow-older",
        )
