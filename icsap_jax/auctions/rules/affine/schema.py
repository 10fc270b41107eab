"""What a problem file may say of affine maximisers. No jax here."""

from __future__ import annotations

from collections.abc import Mapping
from math import comb
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from icsap_jax.config import RuleModel, fault

LISTED = 2**16  # deterministic allocations that are listed one by one
COUNTED = 2**13  # vectors of how many items each bidder gets
SCORES = 2**24  # of a menu held at once (`maximiser.SCORES`)
COPIES = 6  # of the scores in one training step: forward, backward, and what softmax makes of them


class AffineModel(RuleModel):
    """What affine maximisers have in common. They train on fresh truths, their choice a softmax whose temperature falls."""

    problems: ClassVar[tuple[str, ...]] = ("auction",)
    strategyproof: ClassVar[bool] = True
    statements: ClassVar[tuple[str, ...]] = (
        "feasible allocations by construction", "individually rational by construction", "strategyproof by construction")
    training: ClassVar[dict[str, Any]] = {
        "steps": 4000, "batch": 1024, "learning_rate": 1e-2, "decay": "cosine",
        "response": {"kind": "truthful", "temperature": 0.1, "temperature_end": 0.004},
    }  # fmt: skip

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """The same for every auction, as temperatures and boosts are in units of an item's average value."""
        return {"training": cls.training}

    def menu_memory(self, problem: Any, training: Any, entries: int) -> int:
        """Bytes of a menu of so many entries, its parameters with Adam's two moments and a gradient, and one block of its scores, which
        are scanned with the sums of every block kept."""
        agents, goods = problem.bidders, (3 if problem.valuation == "combinatorial" else problem.items)
        scores = (agents + 1) * training.batch * entries
        blocks = -(-scores // SCORES)
        sums = blocks * training.batch * (3 * (agents + 1) + agents * goods)
        return 4 * (COPIES * min(scores, SCORES) + sums + 8 * entries * (agents + 1) * (goods + 1) * training.members)


class Listing(AffineModel):
    """Affine maximisers that list all deterministic allocations."""

    serves: ClassVar[str] = f"at most {LISTED:,} allocations of M items to N bidders, (N + 1)^M"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.bidders", "problem.items", "training.batch")

    def unfit(self, problem: Any) -> str | None:
        """Too many allocations to list."""
        there = (problem.bidders + 1) ** problem.items
        if there <= LISTED:
            return None
        return (f"lists every allocation, of which there are {there:,} for {problem.bidders} bidders and {problem.items} items, "
                f"and at most {LISTED:,} can be listed")

    def memory(self, problem: Any, training: Any) -> int:
        """See `menu_memory`."""
        return self.menu_memory(problem, training, (problem.bidders + 1) ** problem.items)


class FreeBoosts(Listing):
    """All deterministic allocations, each with a boost of its own, and a weight for each bidder (Roberts 1979)."""

    kind: Literal["affine_maximiser"] = "affine_maximiser"
    builder: ClassVar[Any] = "icsap_jax.auctions.rules.affine.menus:affine_maximiser"


class VVCA(Listing):
    """All deterministic allocations; a boost for each bidder's bundle, which add up (Likhodedov & Sandholm 2005)."""

    kind: Literal["vvca"] = "vvca"
    builder: ClassVar[Any] = "icsap_jax.auctions.rules.affine.menus:vvca"


class CountBoosts(AffineModel):
    """All deterministic allocations, a million and more of them, with a boost for how many items each bidder gets; the best is found by
    a dynamic programme."""

    kind: Literal["affine_by_count"] = "affine_by_count"
    builder: ClassVar[Any] = "icsap_jax.auctions.rules.affine.counts:affine_by_count"
    serves: ClassVar[str] = (f"additive values, and at most {COUNTED:,} ways in which bidders may share the number of items, "
                             "(N + M)! / (N! M!)")
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.bidders", "problem.items", "training.batch")
    training: ClassVar[dict[str, Any]] = {**AffineModel.training, "steps": 2000, "batch": 512}

    def unfit(self, problem: Any) -> str | None:
        """Values that are not additive, or too many vectors of counts."""
        if problem.valuation != "additive":
            return f"adds up the values of items, and these are {problem.valuation}"
        there = comb(problem.bidders + problem.items, problem.items)
        if there <= COUNTED:
            return None
        return (f"has a boost for how many items each bidder gets, which {problem.bidders} bidders and {problem.items} items may in "
                f"{there:,} ways, and at most {COUNTED:,} can be kept")

    def memory(self, problem: Any, training: Any) -> int:
        """Bytes of the programme's tables: at each item, for each vector of counts of those already sold, who gets it."""
        bidders, items = problem.bidders, problem.items
        states = (bidders + 1) * comb(bidders + items + 1, items) + bidders**2 * comb(bidders + items, items)
        return 4 * COPIES * training.batch * states


class Menus(AffineModel):
    """Affine maximisers with menus of a chosen size."""

    heeds: ClassVar[tuple[str, ...]] = ("even lots",)
    memory_keys: ClassVar[tuple[str, ...]] = ("rule.menu_size", "training.batch")
    menu_size: int = Field(64, ge=1, description="K, how many lotteries there are to choose from, besides selling nothing")

    def memory(self, problem: Any, training: Any) -> int:
        """See `menu_memory`."""
        return self.menu_memory(problem, training, self.menu_size)


class Lotteries(Menus):
    """K lotteries over allocations, learned with their boosts and the bidders' weights (Curry, Sandholm & Dickerson 2023). It begins with
    the deterministic allocations, where there is room for all of them."""

    kind: Literal["lottery_ama"] = "lottery_ama"
    builder: ClassVar[Any] = "icsap_jax.auctions.rules.affine.menus:lottery_ama"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "lottery_ama", "menu_size": 12}]


class AMenuNet(Menus):
    """K lotteries, boosts and weights written by a transformer over pairs of bidder and item (Duan et al. 2023)."""

    kind: Literal["amenunet"] = "amenunet"
    builder: ClassVar[Any] = "icsap_jax.auctions.rules.affine.amenunet:amenunet"
    heeds: ClassVar[tuple[str, ...]] = ("contexts", "even lots")
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "amenunet", "menu_size": 8, "embedding": 4, "width": 8, "heads": 2, "layers": 2}]
    # Picked from warmly, a long menu learns to sell everything to one bidder, and does not leave that again.
    training: ClassVar[dict[str, Any]] = {
        **AffineModel.training, "learning_rate": 1e-3, "warmup": 0.02,
        "response": {"kind": "truthful", "temperature": 0.01, "temperature_end": 0.004},
    }  # fmt: skip

    embedding: int = Field(10, ge=1, description="numbers that stand for a kind of bidder or item, where contexts are no vectors")
    width: int = Field(64, ge=1, description="of every layer")
    heads: int = Field(4, ge=1, description="of the attention; they divide the width")
    layers: int = Field(3, ge=1, description="in each of which a pair attends to the bidder's other items and the item's other bidders")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> AMenuNet:
        if self.width % self.heads:
            raise fault((["heads"], f"should divide the width, {self.width}", self.heads))
        return self

    def memory(self, problem: Any, training: Any) -> int:
        """The menu, and the last layer: parameters, and what it says of each pair."""
        pairs = (problem.bidders + 1) * problem.items
        return super().memory(problem, training) + 4 * self.menu_size * (8 * pairs + 4 * 5 * self.width) * training.members
