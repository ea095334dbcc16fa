"""What a target holds after its imports, and what may go: scans, prune and rollback."""
