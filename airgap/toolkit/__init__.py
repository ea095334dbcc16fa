"""airgap itself, packed for machines without a network."""
