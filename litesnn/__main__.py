"""``python -m litesnn``: the command ``litesnn``."""

import sys

from litesnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
