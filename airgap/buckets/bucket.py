"""One bucket: list, read, write. Credentials, region and endpoint are the standard ones of every S3 client."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap import fsio
from airgap.buckets.place import BucketPlace
from airgap.errors import AirgapError, Damaged, MediaError, RegistryError, UsageError, one_line
from airgap.text import printable

#: Bytes of a part, and parts under way at a time: 256 MiB are in flight at most. Larger files have larger parts (10,000 at most).
_PART, _AT_A_TIME = 64 * 1024 * 1024, 4
#: Seconds for a connection, and without a byte of an answer.
_CONNECT, _READ = 20, 60
#: The digest of a whole file, beside its object: tells who comes back that it is there already. A hint, never a proof.
_DIGEST = "airgap-sha256"
_LONGEST = 300


@dataclass(frozen=True, order=True)
class Object:
    """An object: its name below the place that was listed, its size in bytes, and a tag that changes with its content."""

    name: str
    size: int
    tag: str = ""

    @property
    def stamp(self) -> str:
        """What tells this content of it from another."""
        return f"{self.size} {self.tag}"


class Bucket:
    """A client for one bucket. Thread-safe, as boto3's clients are.

    Raises:
        UsageError: the extra ``s3`` is not installed, or there is something wrong with the settings.
    """

    def __init__(self, place: BucketPlace) -> None:
        self.bucket = place.bucket
        with _asking("cannot reach the bucket", str(place)):
            self._client = _client(place)

    def list(self, place: BucketPlace, most: int) -> list[Object]:
        """The objects below a place, in the order of their names.

        Args:
            place: in this bucket.
            most: objects that are taken.

        Raises:
            Damaged: there are more.
            UsageError, RegistryError: the bucket is not there, or does not let us.
        """
        start = place.key("")
        found: list[Object] = []
        with _asking("cannot list the bucket", str(place)):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start):
                for one in page.get("Contents", ()):
                    tag = printable(str(one.get("ETag", "")), _LONGEST)
                    found.append(Object(str(one["Key"]).removeprefix(start), int(one["Size"]), tag))
                if len(found) > most:
                    raise Damaged("too many objects", where=str(place), expected=f"at most {most}", hint="name a longer prefix")
        return sorted(found)

    def read(self, place: BucketPlace, name: str, limit: int) -> bytes | None:
        """A small object wholly, or None. Raises as :meth:`list`, and ``Damaged`` if it has more than ``limit`` bytes."""
        where = str(place.below(name))
        with _asking("cannot read from the bucket", where):
            body = self._client.get_object(Bucket=self.bucket, Key=place.key(name))["Body"]
            with contextlib.closing(body):
                data: bytes = body.read(limit + 1)
            if len(data) > limit:
                raise Damaged("an object is too large", where=where, expected=f"at most {limit} bytes")
            return data
        return None

    def holds(self, place: BucketPlace, name: str, size: int, sha256: str) -> bool:
        """Whether an earlier :meth:`put` has left just this there, by its size in bytes and the digest that it noted."""
        with _asking("cannot look into the bucket", str(place.below(name))):
            head = self._client.head_object(Bucket=self.bucket, Key=place.key(name))
            return bool(head["ContentLength"] == size and head.get("Metadata", {}).get(_DIGEST) == sha256)
        return False

    def fetch(self, place: BucketPlace, one: Object, path: Path, advance: Callable[[int], None]) -> None:
        """Copy an object to a new file, as many bytes as it was listed with.

        Raises:
            Damaged: it is gone, or has another size by now.
            UsageError, RegistryError, MediaError: the bucket or the disk refuses.
        """
        where = str(place.below(one.name))
        with fsio.new_file(path, 0o600, durable=False) as fd, os.fdopen(os.dup(fd), "wb") as file:
            with _asking("cannot read from the bucket", where), fsio.disk_errors("cannot write", path):
                head = self._client.head_object(Bucket=self.bucket, Key=place.key(one.name))
                if head["ContentLength"] == one.size:
                    self._client.download_fileobj(self.bucket, place.key(one.name), file, Callback=advance, Config=_transfer())
            file.flush()
            if os.fstat(fd).st_size != one.size:
                raise Damaged("an object has changed since it was listed", where=where, expected=f"{one.size} bytes")

    def put(self, path: Path, place: BucketPlace, name: str, advance: Callable[[int], None], sha256: str = "") -> None:
        """Copy a file into the bucket, in parts; the object is there when the last one is, and not before.

        Raises:
            UsageError, RegistryError: the bucket refuses.
            MediaError, Damaged: the file cannot be read.
        """
        extra = {"Metadata": {_DIGEST: sha256}} if sha256 else {}
        with fsio.opened(path) as fd, os.fdopen(os.dup(fd), "rb") as file:
            with _asking("cannot write into the bucket", str(place.below(name))) as missing:
                how = {"ExtraArgs": extra, "Callback": advance, "Config": _transfer()}
                self._client.upload_fileobj(file, self.bucket, place.key(name), **how)
            if missing:
                raise RegistryError("the bucket does not take an object", where=str(place.below(name)), got=missing[0])


def _client(place: BucketPlace) -> Any:
    try:
        import boto3  # here, for who names no bucket does without
        from botocore.config import Config
    except ImportError as error:
        raise UsageError(
            "buckets need a package that is not installed",
            where=str(place),
            expected="boto3",
            hint="install it: pip install 'airgap-bundles[s3]'",
        ) from error
    plain: dict[str, Any] = {
        "connect_timeout": _CONNECT,
        "read_timeout": _READ,
        "retries": {"total_max_attempts": 5, "mode": "standard"},
        "max_pool_connections": 4 * _AT_A_TIME,
    }
    session = boto3.session.Session()
    client = session.client("s3", config=Config(**plain))
    if client.meta.endpoint_url.rstrip("/").endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return client
    # servers of one's own seldom have a name for every bucket
    return session.client("s3", config=Config(**plain, s3={"addressing_style": "path"}))


def _transfer() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART, max_concurrency=_AT_A_TIME)


@contextlib.contextmanager
def _asking(what: str, where: str) -> Iterator[list[str]]:
    """Turn what boto3 raises into our errors. That an object is missing ends the block, and its code is in the list."""
    missing: list[str] = []
    try:
        yield missing
    except AirgapError:
        raise
    except OSError as error:
        raise MediaError(what, where=where, got=str(error)) from error
    except Exception as error:  # boto3 loads its exceptions late, and s3transfer wraps them
        code = _code(error)
        if code in ("NoSuchKey", "404", "NotFound"):
            missing.append(code)
            return
        raise _meaning(error, code, what, where) from error


def _code(error: BaseException) -> str:
    """The code of an answer, even of one that the copying in parts has wrapped; empty where there was no answer."""
    for one in (error, error.__cause__, error.__context__):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def _meaning(error: Exception, code: str, what: str, where: str) -> AirgapError:
    said = printable(one_line(str(error)), _LONGEST)
    if code == "NoSuchBucket" or "NoSuchBucket" in said:
        return UsageError("there is no such bucket", where=where, hint="create it, or correct the name or AWS_ENDPOINT_URL")
    denied = ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "Forbidden")
    if code in denied:
        hint = "look at the rights of these credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID, ~/.aws/credentials)"
        return RegistryError(f"{what}: access is denied", where=where, got=said, hint=hint)
    name = type(error).__name__
    if "Credential" in name or "Profile" in name or name in ("InvalidConfigError", "ConfigParseError", "UnknownRegionError"):
        hint = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return UsageError(f"{what}: there are no usable credentials", where=where, got=said, hint=hint)
    hint = "look at AWS_ENDPOINT_URL and the network; run the same command again to continue"
    return RegistryError(what, where=where, got=said, hint=hint)
