"""The exporter, on the connected side: list -> resolve (lock) -> plan -> fill -> seal -> sign."""
