"""Patches: a blob made from another one; gzip blobs by way of their DEFLATE tokens."""
