"""The companion files for people without our software. All are pure functions of the catalog, so a change in them shows."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Container, Iterable
from importlib import resources

from airgap import __version__
from airgap.format import names
from airgap.format.catalog import Catalog, Volume, savings
from airgap.format.outline import Outline
from airgap.oci.digest import Digest
from airgap.text import human_size, plural, printable

#: What a catalog says about who made it.
TOOL = f"airgap {__version__}"

# Which keys will sign is not known when this is written (`airgap sign` adds some later), so every kind has its line. `openssl dgst`
# refuses Ed25519 ("Key type not supported"), which reads as a forgery; `pkeyutl -rawin` came with OpenSSL 3, which macOS lacks.
_WHO_MADE_IT = f"""\
Who made it can be checked with the sender's public key, if you have it (ID is in the name of the signature file):
  openssl base64 -d -A -in {names.CATALOG}.ID.sig -out sig.bin     and then, by the kind of key,
  ECDSA, RSA:  openssl dgst -sha256 -verify KEY.pub -signature sig.bin {names.CATALOG}
  Ed25519:     openssl pkeyutl -verify -pubin -inkey KEY.pub -rawin -in {names.CATALOG} -sigfile sig.bin
  OpenPGP:     gpg --verify {names.CATALOG}.ID.asc {names.CATALOG}
Which kind it is:  openssl pkey -pubin -in KEY.pub -noout -text
For Ed25519 this needs OpenSSL 3. For a P-384 or P-521 key try -sha384 and -sha512, too. "Key type not supported" and messages
about options say nothing about the signature.
"""


def sha256sums(catalog: Outline, raw: bytes, only: Container[str] | None = None) -> bytes:
    """``SHA256SUMS`` as coreutils reads it: catalog, volumes, parity files, and the scripts that check them.

    Args:
        catalog: the parsed catalog.
        raw: its exact bytes.
        only: the volumes and parity files to list, by name, when others lie elsewhere; by default all.
    """
    lines = [f"{hashlib.sha256(raw).hexdigest()}  {names.CATALOG}\n"]
    lines += [f"{file.sha256}  {file.name}\n" for file in catalog.files if only is None or file.name in only]
    lines += [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in scripts().items()]
    return "".join(lines).encode()


@functools.cache
def scripts() -> dict[str, bytes]:
    """The scripts that check a bundle with stock tools, by file name: the same in every bundle."""
    folder = resources.files("airgap.format") / "stock"
    return {name: (folder / name).read_bytes() for name in names.SCRIPTS}


def check_txt(catalog: Outline, raw: bytes) -> bytes:
    """``CHECK.txt``: what this is, the volumes, and how to check it with stock tools; CRLF so that every editor shows it."""
    first = catalog.volumes[0].name
    expires = catalog.expires or "never"
    open_to_all = (
        catalog if isinstance(catalog, Catalog) and catalog.pieces is None else None
    )  # else it must not say what is inside
    content = plural(len(open_to_all.images), "image") if open_to_all else "encrypted"
    parity = plural(len(catalog.parity), "parity file")
    repair = f"\nFrom the {parity} the tool can also rebuild it: airgap media repair" if catalog.parity else ""
    text = f"""This is a transfer bundle of container images, made by airgap.

  bundle    {catalog.name}   (stream {catalog.stream}, serial {catalog.serial})
  created   {catalog.created}   expires {expires}
  content   {content}, {plural(len(catalog.volumes), "volume")}, {human_size(catalog.total_size)}
  catalog   sha256 {hashlib.sha256(raw).hexdigest()}

You need no key and no special software to find out whether it is complete and undamaged.
All files may lie on one disk or on several; check each disk where it is.

Linux:    sh check.sh
macOS:    sh check.sh
Windows:  double-click check.cmd, or
          powershell -NoProfile -ExecutionPolicy Bypass -File check.ps1

On one of several disks: sh check.sh --subset, check.cmd --subset, check.ps1 -Subset.
By hand, Linux:    sha256sum -c {names.SUMS} (one of several disks: sha256sum -c --ignore-missing {names.SUMS})
By hand, macOS:    shasum -a 256 -c {names.SUMS}
By hand, Windows:  certutil -hashfile {first} SHA256
                   Compare the result with the line of that file below; the same for every other file.

A file that is missing or differs has to be copied again from its original. Nothing else needs to be repeated.{repair}

{_WHO_MADE_IT}
{_content(catalog, secret=open_to_all is None)}

Volumes:
"""
    text += _rows(catalog.volumes) + ("\nParity files:\n" + _rows(catalog.parity) if catalog.parity else "")
    text += _images(open_to_all) if open_to_all else ""
    text += "\nScripts:\n" + "".join(f"  {name}  {hashlib.sha256(content).hexdigest()}\n" for name, content in scripts().items())
    text += _in_chinese(catalog, secret=open_to_all is None)
    return text.replace("\n", "\r\n").encode()


def _in_chinese(catalog: Outline, *, secret: bool) -> str:
    """The same for readers of Chinese; the tables above are for both. UTF-8, as names of images may be as well."""
    inside = "内容已加密：只有指定的站点能够读取。" if secret else "各卷是普通的 tar 归档，合起来是一个 OCI 镜像目录。"
    repair = f"\n本数据包带有 {len(catalog.parity)} 个校验文件，也可以用软件重建：airgap media repair" if catalog.parity else ""
    return f"""
------------------------------------------------------------------------
中文说明

这是一个由 airgap 制作的容器镜像数据包：{catalog.name}（流 {catalog.stream}，序号 {catalog.serial}），共 {len(catalog.volumes)} 卷。
{inside}

不需要密钥，也不需要安装软件，就能检查它是否齐全、完好。文件可以在一块或多块磁盘上，请在每块磁盘上分别检查。

Linux、macOS：  sh check.sh --lang zh
Windows：       双击 check.cmd，或运行
                powershell -NoProfile -ExecutionPolicy Bypass -File check.ps1 -Lang zh

文件分在多块磁盘上时：sh check.sh --subset，check.cmd --subset，check.ps1 -Subset
手工检查，Linux：    sha256sum -c {names.SUMS}（多块磁盘之一：加 --ignore-missing）
手工检查，macOS：    shasum -a 256 -c {names.SUMS}
手工检查，Windows：  certutil -hashfile {catalog.volumes[0].name} SHA256，与上面表中的值比较；其余文件相同

缺少或不一致的文件，从原件重新复制即可，其他文件不必重做。{repair}

检查只能发现损坏，不能证明是谁制作的；那要用发送方的公钥验证签名，命令见上文。
"""


def _content(catalog: Outline, *, secret: bool) -> str:
    first, last = catalog.volumes[0].name, catalog.volumes[-1].name
    if secret:
        return "The volumes are encrypted: only the sites that they were made for can read them."
    command = f"tar -xMf {first} -f ... -f {last}" if len(catalog.volumes) > 1 else f"tar -xf {first}"
    missing = _missing(catalog) if isinstance(catalog, Catalog) else ""
    together = "hold a part of one OCI image layout" if missing else "together hold one OCI image layout"
    return f"The volumes are plain tar archives which {together}:\n  {command}{missing}"


def _missing(catalog: Catalog) -> str:
    """What a layout out of this bundle alone lacks, and what the bundle builds on. A catalog has no names of others."""
    saved = savings(catalog.blobs)
    absent = saved["held_blobs"] + saved["patched_blobs"]
    if not absent:
        return ""
    size = human_size(saved["held_bytes"] + saved["patched_bytes"])
    text = f"\nNot in them, or only as the difference from something older: {plural(absent, 'blob')} of the layout ({size})."
    text += "\nThe site has what is missing; airgap import puts the layout together there."
    if not catalog.base:
        return text
    before = f"the bundle before serial {catalog.serial} of stream {catalog.stream}, with the catalog"
    other = f"a receipt of the site, or a bundle of stream {catalog.stream} before serial {catalog.serial}, with the catalog"
    rows = "".join(f"\n  {before if base == catalog.previous else other}\n      {_hex(base)}" for base in catalog.base)
    return f"{text}\n\nThis is an incremental bundle. It can be imported where this was imported or written before:{rows}"


def _hex(digest: Digest) -> str:
    return f"{digest.algorithm} {digest.hex}"  # as in the line `catalog` above, so that two files can be compared


def _images(catalog: Catalog) -> str:
    return "\nImages:\n" + "".join(
        f"  {image.reference}\n      {printable(', '.join(image.platforms)) or 'no platform stated'}"
        f"; volume {', '.join(map(str, image.volumes))}\n"
        for image in catalog.images
    )


def _rows(files: Iterable[Volume]) -> str:
    return "".join(f"  {file.name}  {file.size:>15,} bytes  {file.sha256}\n" for file in files)
