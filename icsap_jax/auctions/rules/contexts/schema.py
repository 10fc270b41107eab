"""What a problem file may say of rules that look at public contexts. No jax here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from icsap_jax.auctions.schema import Auction, ties_bidders
from icsap_jax.config import Problem, RuleModel, fault


class CITransNet(RuleModel):
    """One transformer over the grid of bidders and items, told their contexts; for any number of either (Duan et al. 2022). Where there
    are no contexts, the places of bidders and items stand for them."""

    kind: Literal["citransnet"] = "citransnet"
    builder: ClassVar[Any] = "icsap_jax.auctions.rules.contexts.citransnet:citransnet"
    problems: ClassVar[tuple[str, ...]] = ("auction",)
    statements: ClassVar[tuple[str, ...]] = ("feasible allocations by construction", "individually rational by construction")
    serves: ClassVar[str] = "additive values or unit demand"
    heeds: ClassVar[tuple[str, ...]] = ("budgets", "contexts")
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "citransnet", "width": 4, "heads": 1, "layers": 1, "embedding": 2}]
    memory_keys: ClassVar[tuple[str, ...]] = ("rule.width", "rule.layers", "training.batch")

    width: int = Field(16, ge=2, description="of what is known of a pair of bidder and item, in every layer; 64 as published")
    heads: int = Field(2, ge=1, description="of attention; they divide the width; 4 as published")
    layers: int = Field(2, ge=1, description="each lets a bidder's items see each other, and an item's bidders; 3 as published")
    embedding: int = Field(16, ge=1, description="numbers that stand for a kind of bidder or item, where contexts are no vectors")
    informed: bool = Field(
        True, description="told of each pair what its context says of its value: the bounds and the mean; false as published")

    @model_validator(mode="after")
    def _divides(self) -> CITransNet:
        if self.width % self.heads:
            raise fault((["heads"], f"should divide the width, which is {self.width}", self.heads))
        return self

    def unfit(self, problem: Problem) -> str | None:
        """Pairs of a bidder and an item are what it sees: no bundles."""
        if isinstance(problem, Auction) and problem.valuation == "combinatorial":
            return "sees pairs of a bidder and an item, and here bundles have values of their own"
        return None

    def memory(self, problem: Problem, training: Any) -> int | None:
        """Rows of grids through every layer, three times; about 14 numbers of the width are kept for a pair in a layer."""
        response, grid = training.response.innermost(), getattr(problem, "bidders", 1) * getattr(problem, "items", 1)
        reports: int = getattr(response, "reports", 0) or 0
        tried: int = getattr(response, "count", 1) or 1
        rows = training.batch * (1 + tried * getattr(problem, "bidders", 1))
        if reports:
            rows = training.batch * (reports + (getattr(response, "anywhere", 0) or 0)) // reports
        return 4 * 3 * rows * grid * 14 * self.width * self.layers

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """Many different contexts in each step, and few reports for each of them; with more than three items those are refined, as for
        other rules, and the price of the gap ends lower. Where bidders' values depend on each other, the response is `candidates`."""
        items = problem.get("items")
        many = isinstance(items, int) and items > 3
        response = {"kind": "exchange", "reports": 8, "anywhere": 8 if many else 4, "steps": 6 if many else 0}
        if ties_bidders(problem):  # whose reports cannot be exchanged
            response = {"kind": "candidates", "count": 8, "steps": 5}
        lagrangian = {"kind": "annealed", "multiplier_end": 60.0 if many else 100.0}
        return {"training": {"steps": 6000, "batch": 256 if many else 384, "learning_rate": 3e-3, "warmup": 0.05, "response": response,
                             "lagrangian": lagrangian}}  # fmt: skip
