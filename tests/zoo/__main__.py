"""`python -m zoo NAME PORT`."""

from __future__ import annotations

import sys

from zoo import SERVERS, http, tables

__all__ = ["http", "tables"]  # which bring in every server
SERVERS[sys.argv[1]](int(sys.argv[2]))
