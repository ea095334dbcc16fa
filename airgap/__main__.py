"""``python -m airgap``."""

from airgap.cli.main import main

if __name__ == "__main__":
    main()
