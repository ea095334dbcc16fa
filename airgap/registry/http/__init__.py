"""HTTP with registries: authorised, repeated when that may help, bounded in size and time."""
