"""A private Sigstore instance for tests: CA, CT log, Rekor 1 and 2, timestamp authority, and the trusted root that names them."""
