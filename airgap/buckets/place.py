"""The name of a place in a bucket: ``s3://BUCKET`` or ``s3://BUCKET/PREFIX``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from airgap.errors import UsageError
from airgap.text import printable

SCHEME = "s3:"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]", re.ASCII)
_PART = re.compile(r"[A-Za-z0-9!_.*'()=@+-]{1,255}", re.ASCII)
_MOST_PREFIX = 512


@dataclass(frozen=True, order=True)
class BucketPlace:
    """Where objects have their keys: ``prefix`` has no slash at its ends; empty for the bucket itself.

    Source: Amazon S3 user guide, "Bucket naming rules" and "Naming Amazon S3 objects" (the characters that are safe in keys).
    """

    bucket: str
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> BucketPlace:
        """Read ``s3://BUCKET[/PREFIX]``. Raises ``UsageError``."""
        bucket, _, prefix = text.removeprefix(SCHEME).lstrip("/").partition("/")
        parts = [part for part in prefix.split("/") if part]
        good = text.startswith(SCHEME) and _BUCKET.fullmatch(bucket) and len(prefix) <= _MOST_PREFIX
        if not good or not all(_PART.fullmatch(part) and part.strip(".") for part in parts):
            raise UsageError(
                "not a place in a bucket",
                got=printable(text),
                expected="s3://BUCKET or s3://BUCKET/PREFIX of letters, digits and . _ - / and the like",
            )
        return cls(bucket, "/".join(parts))

    def below(self, name: str) -> BucketPlace:
        """A directory in it, as far as buckets have any."""
        return BucketPlace(self.bucket, self.key(name))

    def key(self, name: str) -> str:
        """The key of an object in it."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def place_of(path: Path) -> BucketPlace | None:
    """The place in a bucket that an argument names, which the command line has read as a path (``s3:/BUCKET/PREFIX`` then).

    A directory on this machine that is called ``s3:`` can be named from the root. Raises ``UsageError``.
    """
    if path.parts[:1] != (SCHEME,):
        return None
    return BucketPlace.parse("s3://" + "/".join(path.parts[1:]))
