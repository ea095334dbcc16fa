"""The compiled codecs of patches; without a compiler patch/ does the same in Python, slowly."""
