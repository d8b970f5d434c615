"""All rows of the zoo, and by import all of its servers."""

from __future__ import annotations

import importlib.util
import sys

from zoo import Row
from zoo.proto import stubs

if importlib.util.find_spec("zoo_pb") is None:
    sys.path.append(str(stubs()))

from zoo import calls, health, js, load, other, scripted, stop

ROWS: tuple[Row, ...] = tuple(row for module in (calls, other, js, load, health, stop, scripted) for row in module.ROWS)
