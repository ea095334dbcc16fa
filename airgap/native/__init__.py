"""The compiled codecs of patches, and two digests in one pass; without a compiler Python does the same, slowly."""
