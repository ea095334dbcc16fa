"""YAML (and JSON, which is YAML) from others, read as nodes with line and column; the only package that imports a YAML library."""
