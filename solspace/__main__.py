"""``python -m solspace``: the command line, where its script is not on the path."""

import sys

from solspace.cli import main

if __name__ == "__main__":
    sys.argv[0] = "solspace"  # as it is noted in the provenance
    sys.exit(main())
