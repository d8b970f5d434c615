"""Shapes: sizes that changed, and dimensions that were tied to each other or are no longer."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

from protoserve.compat.change import Break, Changes, Directions
from protoserve.schema.model import Field


def judge(was: Field, now: Field, path: str, used: Directions, found: Changes) -> None:
    """Tells a change of the sizes of one shape."""
    if was.shape is None or now.shape is None or was.shape == now.shape:
        return
    pairs = list(zip(was.shape, now.shape, strict=False))
    fixed = [pair for pair in pairs if any(isinstance(size, int) for size in pair) and pair[0] != pair[1]]
    ranks = len(was.shape) != len(now.shape)
    breaks: set[Break] = set()
    if was.dynamic != now.dynamic:
        breaks |= {Break.WIRE, Break.JSON, *used}
    if ranks or any(isinstance(before, int) and isinstance(after, int) for before, after in fixed):
        breaks |= used
    if any(isinstance(before, str) for before, _ in fixed):
        breaks |= used & {Break.REQUEST}
    if any(isinstance(after, str) for _, after in fixed):
        breaks |= used & {Break.RESPONSE}
    said = f"the shape is {_shown(now)}, was {_shown(was)}"
    if not fixed and not ranks:
        found.add(path, now.where, "dimension-renamed", (), f"{said}: names of dimensions do not travel")
        return
    effect = "arrays of the old shape do not fit" if breaks else "all that fitted before still fits"
    remedy = f"keep `{was.name}` as it is, marked `deprecated: true`, and add a field of the new shape"
    found.add(path, now.where, "shape-changed", breaks, f"{said}: {effect}", remedy)


def _shown(field: Field) -> str:
    return f"[{', '.join(map(str, field.shape or ()))}]"


def judge_ties(pairs: Iterable[tuple[Field, Field, str]], used: Directions, found: Changes) -> None:
    """Tells dimensions of one message that have one name now and had two before, or the other way round.

    Equal names are equal sizes, so this is a limit on the message as a whole.
    """
    places = [
        (before, after, now, path)
        for was, now, path in pairs
        if was.shape is not None and now.shape is not None and len(was.shape) == len(now.shape)
        for before, after in zip(was.shape, now.shape, strict=True)
        if isinstance(before, str) and isinstance(after, str)
    ]
    for first, second in combinations(places, 2):
        tied, ties = first[0] == second[0], first[1] == second[1]
        if tied == ties:
            continue
        _, name, field, path = second
        if ties:
            why = f"two dimensions must be of one size, {name}, and were free of each other before"
            remedy = "give the dimension a name of its own, as before"
            found.add(path, field.where, "dimensions-tied", used & {Break.REQUEST}, why, remedy)
        else:
            why = f"{first[1]} and {second[1]} are free of each other, and were of one size, {first[0]}, before"
            remedy = "keep one name for both"
            found.add(path, field.where, "dimensions-untied", used & {Break.RESPONSE}, why, remedy)
