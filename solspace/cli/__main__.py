"""``python -m solspace.cli``."""

import sys

from solspace.cli import main

if __name__ == "__main__":
    sys.exit(main())
