"""A bound that many share."""

from __future__ import annotations

from collections.abc import Iterable


def fair_share(sizes: Iterable[int], budget: int) -> int:
    """The size to which each must be cut so that all of them together keep within the budget."""
    left, ordered = budget, sorted(sizes)
    for position, size in enumerate(ordered):
        share = left // (len(ordered) - position)
        if size > share:
            return share
        left -= size
    return ordered[-1] if ordered else 0
