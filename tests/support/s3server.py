"""A real S3 server on loopback: moto's, as a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3


@dataclass(frozen=True)
class S3Server:
    """Its address, and what a client must have in its environment."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """The standard variables."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "an-id-of-a-test",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-a-test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def client(self) -> Any:
        """A client, to look behind the command's back."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id="an-id-of-a-test",
            aws_secret_access_key="a-secret-of-a-test",
            region_name="us-east-1",
        )

    def objects(self, bucket: str) -> dict[str, bytes]:
        """All objects of a bucket by key."""
        client = self.client
        found = client.list_objects_v2(Bucket=bucket).get("Contents", ())
        return {one["Key"]: client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in found}


@contextmanager
def s3_server(log: Path) -> Iterator[S3Server]:
    """The server, with a bucket ``landing``; what it says goes to a file."""
    with log.open("wb") as out:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            while (found := re.search(rb"Running on (http://127\.0\.0\.1:\d+)", log.read_bytes())) is None:
                if process.poll() is not None:
                    raise RuntimeError(log.read_text())
            server = S3Server(found[1].decode())
            server.client.create_bucket(Bucket="landing")
            yield server
        finally:
            process.kill()
            process.wait()
