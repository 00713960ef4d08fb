"""`python -m hivemark.coordinator`."""

import sys

from hivemark.coordinator.main import main

if __name__ == "__main__":
    sys.exit(main())
