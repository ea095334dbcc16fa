"""Bundle format version 1 (docs/format.md): catalog, tar frame, companion documents, media, and the bundle as a source."""
