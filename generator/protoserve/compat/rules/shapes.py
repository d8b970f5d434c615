"""Shapes: sizes that changed, and dimensions that were tied to each other or became free."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

from protoserve.compat.change import Break, Directions
from protoserve.compat.rules.field_pair import FieldPair
from protoserve.schema.model import Field


def compare_shapes(pair: FieldPair) -> None:
    """Reports a change of the sizes of one shape."""
    was, now, used = pair.before, pair.after, pair.used
    if was.shape is None or now.shape is None or was.shape == now.shape:
        return
    sizes = list(zip(was.shape, now.shape, strict=False))
    changed_sizes = [pair for pair in sizes if any(isinstance(size, int) for size in pair) and pair[0] != pair[1]]
    other_rank = len(was.shape) != len(now.shape)
    breaks: set[Break] = set()
    if was.dynamic != now.dynamic:
        breaks |= {Break.WIRE, Break.JSON, *used}
    if other_rank or any(isinstance(before, int) and isinstance(after, int) for before, after in changed_sizes):
        breaks |= used
    if any(isinstance(before, str) for before, _ in changed_sizes):
        breaks |= used & {Break.REQUEST}
    if any(isinstance(after, str) for _, after in changed_sizes):
        breaks |= used & {Break.RESPONSE}
    difference = f"the shape is {_shown(now)}, was {_shown(was)}"
    if not changed_sizes and not other_rank:
        pair.report("dimension-renamed", (), f"{difference}: names of dimensions do not travel")
        return
    effect = "arrays of the old shape do not fit" if breaks else "all that was valid still is"
    remedy = f"keep `{was.name}` as it is, marked `deprecated: true`, and add a field of the new shape"
    pair.report("shape-changed", breaks, f"{difference}: {effect}", remedy)


def _shown(field: Field) -> str:
    return f"[{', '.join(map(str, field.shape or ()))}]"


def compare_dimension_names(pairs: Iterable[FieldPair], used: Directions) -> None:
    """Reports dimensions of one message that have one name now and had two before, or the other way round.

    Equal names are equal sizes, so this is a limit on the message as a whole.
    """
    dimensions = [
        (before, after, pair)
        for pair in pairs
        if pair.before.shape is not None and pair.after.shape is not None
        if len(pair.before.shape) == len(pair.after.shape)
        for before, after in zip(pair.before.shape, pair.after.shape, strict=True)
        if isinstance(before, str) and isinstance(after, str)
    ]
    for (first_before, first_after, _), (second_before, second_after, pair) in combinations(dimensions, 2):
        were_equal, are_equal = first_before == second_before, first_after == second_after
        if are_equal and not were_equal:
            why = f"two dimensions must be of one size, {second_after}, and were free of each other before"
            remedy = "give the dimension a name of its own, as before"
            pair.report("dimensions-tied", used & {Break.REQUEST}, why, remedy, key="shape")
        elif were_equal and not are_equal:
            why = f"{first_after} and {second_after} can differ now, and were of one size, {first_before}, before"
            pair.report("dimensions-untied", used & {Break.RESPONSE}, why, "keep one name for both", key="shape")
