"""`python -m protoserve`."""

import sys

from protoserve.cli import main

sys.exit(main())
