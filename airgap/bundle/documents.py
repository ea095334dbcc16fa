"""The companion files for people without our software. Both are pure functions of the catalog, so a change in them shows."""

from __future__ import annotations

import hashlib

from airgap.bundle import names
from airgap.bundle.catalog import Catalog
from airgap.text import human_size, plural, printable


def sha256sums(catalog: Catalog, raw: bytes) -> bytes:
    """``SHA256SUMS`` as coreutils reads it: catalog and volumes.

    Args:
        catalog: the parsed catalog.
        raw: its exact bytes.
    """
    lines = [f"{hashlib.sha256(raw).hexdigest()}  {names.CATALOG}\n"]
    lines += [f"{volume.sha256}  {volume.name}\n" for volume in catalog.volumes]
    return "".join(lines).encode()


def check_txt(catalog: Catalog, raw: bytes) -> bytes:
    """``CHECK.txt``: what this is, the volumes, and how to check it with stock tools; CRLF so that every editor shows it."""
    first, last = catalog.volumes[0].name, catalog.volumes[-1].name
    several = len(catalog.volumes) > 1
    expires = catalog.expires or "never"
    text = f"""This is a transfer bundle of container images, made by airgap.

  bundle    {catalog.name}   (stream {catalog.stream}, serial {catalog.serial})
  created   {catalog.created}   expires {expires}
  content   {plural(len(catalog.images), "image")}, {plural(len(catalog.volumes), "volume")}, {human_size(catalog.total_size)}
  catalog   sha256 {hashlib.sha256(raw).hexdigest()}

You need no key and no special software to find out whether it is complete and undamaged.
All files may lie on one disk or on several; check each disk where it is.

Linux:    sha256sum -c {names.SUMS}
          On one of several disks: sha256sum -c --ignore-missing {names.SUMS}
macOS:    shasum -a 256 -c {names.SUMS}
Windows:  certutil -hashfile {first} SHA256
          Compare the result with the line of that file below; the same for every other volume.

A volume that is missing or differs has to be copied again from its original. Nothing else needs to be repeated.

Who made it can be checked with the sender's public key, if you have it:
  base64 -d {names.CATALOG}.ID.sig > sig.bin; openssl dgst -sha256 -verify KEY.pub -signature sig.bin {names.CATALOG}
  gpg --verify {names.CATALOG}.ID.asc {names.CATALOG}

The volumes are plain tar archives which together hold one OCI image layout:
  {f"tar -xMf {first} -f ... -f {last}" if several else f"tar -xf {first}"}

Volumes:
"""
    text += "".join(f"  {v.name}  {v.size:>15,} bytes  {v.sha256}\n" for v in catalog.volumes)
    text += "\nImages:\n" + "".join(
        f"  {image.reference}\n      {printable(', '.join(image.platforms)) or 'no platform stated'}"
        f"; volume {', '.join(map(str, image.volumes))}\n"
        for image in catalog.images
    )
    return text.replace("\n", "\r\n").encode()
