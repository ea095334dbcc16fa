"""Lists of other tools."""
