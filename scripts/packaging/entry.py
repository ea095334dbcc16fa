"""Where the build with the interpreter inside begins."""

import sys

from airgap.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
