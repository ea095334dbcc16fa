"""The nouns of OCI images, shared by every store: digests, references, descriptors, manifests, stores. No I/O here."""
