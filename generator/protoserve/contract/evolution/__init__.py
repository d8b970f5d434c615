"""What changed from one contract to another, and for whom that breaks something.

`compare` is all: two contracts in, changes out. It reads no file and knows no git; see `protoserve.evolve` for that.
"""

from __future__ import annotations

from protoserve.contract.evolution.change import Break, Change
from protoserve.contract.evolution.compare import STABILITY_WITHDRAWN, compare

__all__ = ["STABILITY_WITHDRAWN", "Break", "Change", "compare"]
