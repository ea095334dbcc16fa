"""Confidential media: encryption of volumes piece by piece, and wrapping of the key for the sites. No files, no formats.

A **content key** is random and belongs to one bundle. Volumes are cut into pieces of 1 MiB, each encrypted for itself with
AES-256-GCM (NIST SP 800-38D); the nonce is the volume's number and the piece's. GCM is counter mode with a tag, so writers encrypt
any stretch as it comes, and tags are taken later from what was written. The content key is wrapped for every site by X25519
(RFC 7748), HKDF-SHA256 (RFC 5869) and AES-256-GCM.

``forms`` needs no cryptography: copying, checking and repairing encrypted volumes do without it.
"""
