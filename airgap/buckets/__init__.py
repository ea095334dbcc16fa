"""Bundles in S3-compatible buckets; the only package that imports ``boto3``, and only when a bucket is named (docs/adr/0038)."""
