"""What a problem file may ask of an auction besides its objective: constraints that its rules have to keep. No jax here.

A constraint's builder gives (what is static of it, its numbers). The static part has a `name`, says whether it is `on_average` or holds on
every profile, and is `signed(numbers, account)` […]: satisfied when ≤ 0, on the mean or everywhere.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from icsap_jax.config import Kind, Objective


class AuctionConstraint(Kind):
    """Something that an auction's rules have to keep."""

    def title(self) -> str:
        """What it is called in results: its kind, unless there may be several of it."""
        return str(self.kind_name())


class OnAverage(AuctionConstraint):
    """A bound on the expectation of an objective."""

    objective: Objective = Field(description="a name, or weights by name")
    value: float = Field(description="the bound on its expectation")

    def weights(self) -> dict[str, float]:
        """Of each objective by name."""
        return {self.objective: 1.0} if isinstance(self.objective, str) else dict(self.objective)

    def title(self) -> str:
        """Its kind and the objective."""
        terms = [name if weight == 1 else f"{weight:g} {name}" for name, weight in self.weights().items()]
        return f"{self.kind_name()} {' + '.join(terms)}"


class AtLeast(OnAverage):
    """An expected objective may not fall below a value: welfare, say, subject to a revenue."""

    kind: Literal["at_least"] = "at_least"
    builder: ClassVar[Any] = "icsap_jax.auctions.constraints:at_least"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "at_least", "objective": "revenue", "value": 0.4}]


class AtMost(OnAverage):
    """An expected objective may not exceed a value: what bidders keep altogether (`utility`), say."""

    kind: Literal["at_most"] = "at_most"
    builder: ClassVar[Any] = "icsap_jax.auctions.constraints:at_most"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "at_most", "objective": "revenue", "value": 0.3}]
