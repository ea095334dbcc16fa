"""Confidential media: what encrypts volumes piece by piece, and what hands the key to the sites. No files, no formats.

A **content key** is random and belongs to one bundle. Volumes are cut into pieces of 1 MiB, each encrypted for itself with
AES-256-GCM (NIST SP 800-38D); the nonce is the volume's number and the piece's. GCM is counter mode with a tag, so writers encrypt
any stretch as it comes, and tags are taken later from what was written. The content key is wrapped for every site by X25519
(RFC 7748), HKDF-SHA256 (RFC 5869) and AES-256-GCM.

What needs no cryptography is in ``forms``: who only carries, checks or repairs encrypted volumes does without.
"""
