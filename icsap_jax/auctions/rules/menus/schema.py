"""What a problem file may say of learned menus for one bidder. No jax here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from icsap_jax.config import RuleModel


class RochetNet(RuleModel):
    """A menu of lotteries and prices for one bidder, from which it gets what it likes best (Dütting et al. 2019, section 3)."""

    kind: Literal["rochetnet"] = "rochetnet"
    builder: ClassVar[Any] = "icsap_jax.auctions.rules.menus.rochetnet:rochetnet"
    listing: ClassVar[Any] = "icsap_jax.auctions.rules.menus.listing:listing"
    problems: ClassVar[tuple[str, ...]] = ("auction",)
    statements: ClassVar[tuple[str, ...]] = (
        "feasible allocations by construction", "individually rational by construction", "strategyproof by construction",
    )
    serves: ClassVar[str] = "one bidder; with `symmetric: true` one with additive values or unit demand"
    strategyproof: ClassVar[bool] = True
    heeds: ClassVar[tuple[str, ...]] = ("even lots",)
    memory_keys: ClassVar[tuple[str, ...]] = ("rule.menu_size", "training.batch")
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "rochetnet", "menu_size": 12}, {"kind": "rochetnet", "menu_size": 12, "symmetric": True},
    ]

    menu_size: int = Field(1000, ge=1, description="entries learned; nothing at 0 is always there besides")
    symmetric: bool = Field(False, description="an entry stands for all its permutations: exact where items are exchangeable; where they "
                                               "are not, the best such menu may earn less than the best menu")

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """See the class."""
        return {"training": {
            "steps": 4000, "batch": 512, "learning_rate": 0.02, "decay": "cosine",
            "response": {"kind": "truthful", "temperature": 0.03, "temperature_end": 0.0003, "share": 0.8},
        }}

    def unfit(self, problem: Any) -> str | None:
        """More than one bidder; bundles that are to change places."""
        if problem.bidders > 1:
            return f"offers a menu to one bidder, and here are {problem.bidders}"
        if self.symmetric and problem.valuation == "combinatorial":
            return "with symmetric = true lets items change places, and here bundles are for sale"
        return None

    def memory(self, problem: Any, training: Any) -> int:
        """Bytes: what every entry is worth to every type, about six times with what is kept to differentiate it; the entries with
        Adam's two moments and a gradient."""
        return 4 * training.members * self.menu_size * (6 * training.batch + 6 * (problem.items + 2))
