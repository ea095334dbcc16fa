"""The kinds of patches there are. Apart from the codec, so that reading catalogs needs no compression library."""

from __future__ import annotations

#: gzip layers by way of their tokens, and anything else as it is.
DEFLATE = "deflate-tokens/1"
PLAIN = "bytes/1"
CODECS = (DEFLATE, PLAIN)
