"""The values inside an image list, whatever its kind: references and platforms as people write them."""

from __future__ import annotations

import re

from airgap.errors import UsageError
from airgap.lists.mistakes import Mistakes, Spot
from airgap.oci.descriptor import Platform
from airgap.oci.reference import Reference

#: No image list may ask for more images.
MAX_ENTRIES = 100_000

# Stricter than Platform.parse: "linux/amd64, linux/arm64" in one string has three parts too.
_PLATFORM = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*){1,2}", re.IGNORECASE | re.ASCII)


def wished_reference(text: str, spot: Spot, mistakes: Mistakes) -> Reference | None:
    """A reference, with or without skopeo's ``docker://`` before it; None when it is a mistake."""
    try:
        return Reference.parse(text.removeprefix("docker://"))
    except UsageError as error:
        mistakes.add_error(spot, error)
        return None


def wished_platform(text: str, spot: Spot, mistakes: Mistakes) -> Platform | None:
    """A platform; None when it is a mistake."""
    if _PLATFORM.fullmatch(text):
        return Platform.parse(text)
    mistakes.add(spot, "not a platform", expected="os/architecture[/variant], such as linux/arm64", got=text)
    return None


def too_many(spot: Spot, mistakes: Mistakes) -> None:
    """Note that the list is too long."""
    mistakes.add(spot, "the image list is too long", expected=f"{MAX_ENTRIES} images at most", hint="split it into several bundles")
