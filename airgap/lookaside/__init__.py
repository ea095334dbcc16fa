"""Lookaside signatures: GPG simple-signing blobs in a directory tree or on a static web server, found through registries.d."""

from airgap.limits import MAX_SIGNATURE_BLOB, MAX_SIGNATURES
from airgap.lookaside.config import LookasideConfig
from airgap.lookaside.read import LookasideReader
from airgap.lookaside.write import merge_signatures, write_signatures

__all__ = ["MAX_SIGNATURES", "MAX_SIGNATURE_BLOB", "LookasideConfig", "LookasideReader", "merge_signatures", "write_signatures"]
