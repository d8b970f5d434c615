"""`python -m zoo NAME PORT`."""

from __future__ import annotations

import sys

from zoo import SERVERS, tables

__all__ = ["tables"]  # which brings in every server
SERVERS[sys.argv[1]](int(sys.argv[2]))
