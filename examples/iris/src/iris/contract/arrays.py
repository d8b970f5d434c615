"""Arrays against the limits of their elements: alike for requests and replies.

Copied by protoserve. Do not edit: `make generate` writes it again.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEW = 48  # elements, which Python compares in less time than numpy takes to begin
LARGEST = sys.float_info.max


def first_outside(
    array: NDArray[Any], low: float | None, high: float | None, *, allow_nan: bool
) -> tuple[str, object] | None:
    """Index, as `[0, 2]`, and value of the first element that is not allowed; None where all are."""
    if array.size == 0 or array.dtype.kind == "b" or (allow_nan and low is None and high is None):
        return None
    if array.size <= FEW and not allow_nan:
        lowest, highest = -LARGEST if low is None else low, LARGEST if high is None else high
        if all(lowest <= element <= highest for element in array.ravel().tolist()):
            return None
    # The extremes are enough for an array that is valid, and cheap. NaN fails both comparisons.
    smallest, largest = _extremes(array)
    low_enough = -math.inf < smallest if low is None else low <= smallest
    high_enough = largest < math.inf if high is None else largest <= high
    if low_enough and high_enough:
        return None
    outside = np.zeros(array.shape, bool) if allow_nan else ~np.isfinite(array)
    if low is not None:
        outside |= array < low
    if high is not None:
        outside |= array > high
    if not outside.any():
        return None
    index = np.unravel_index(int(outside.argmax()), array.shape)
    return f"[{', '.join(str(int(i)) for i in index)}]", array[index].item()


def _extremes(array: NDArray[Any]) -> tuple[Any, Any]:
    """The smallest and the largest element; at least one of them is NaN if any element is."""
    if array.dtype.kind != "f" or array.dtype.itemsize != 2:
        return np.minimum.reduce(array, axis=None).item(), np.maximum.reduce(array, axis=None).item()
    # Processors compare no float16, numpy converts each. As integers they are in the same order but for the negative
    # ones, whose lower bits are turned round; NaN is beyond the infinities.
    bits = array.view(f"{array.dtype.byteorder}i2")
    keys = bits ^ ((bits >> 15) & 0x7FFF)
    ends = np.array([keys.min(), keys.max()], np.int16)
    smallest, largest = (ends ^ ((ends >> 15) & 0x7FFF)).view(np.float16).tolist()
    return smallest, largest
