"""Bundle format version 1 (docs/format.md): names, tar frame, catalog, companion files and parity."""
