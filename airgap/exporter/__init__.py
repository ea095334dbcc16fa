"""The connected side: list -> resolve (lock) -> plan -> fill -> seal -> sign."""
