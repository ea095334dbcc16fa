"""The benchmark behind scripts/bench: a corpus of real images, and airgap beside skopeo on it. Standard library only."""
