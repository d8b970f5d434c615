"""How callers of v1 are answered by a model that speaks v2.

v1 gives amounts in euros. v2 gives them in cents and names the currency, so that other currencies became possible.
Everything else is carried over by `contract/v1_to_v2.py`.
"""

from collections.abc import Mapping
from typing import ClassVar, final

from ..contract import v1
from ..contract.v1_to_v2 import Carried


@final
class Upgrade(Carried):
    """v1's requests as v2's, v2's replies as v1's."""

    # The model may refuse a field of v2; callers of v1 know it by this name: {"v2's path": "v1's path"}.
    renamed: ClassVar[Mapping[str, str]] = {**Carried.renamed, "cents": "amount", "history.cents": "history.amount"}

    def score_request_cents(self, request: v1.ScoreRequest, /) -> int:
        """The payment's amount in cents."""
        return round(request.amount * 100)

    def score_request_currency(self, request: v1.ScoreRequest, /) -> str:
        """All amounts of v1 are in euros."""
        return "EUR"

    def payment_to_v2_cents(self, value: v1.Payment, /) -> int:
        """The amount of an earlier payment in cents."""
        return round(value.amount * 100)
