"""`python -m ssdie COMMAND` is the same as `ssdie COMMAND`."""

import sys

from ssdie.cli import main

if __name__ == "__main__":
    sys.exit(main())
