"""Where options come from besides the command line: the environment and ``airgap.toml``."""
