"""What a problem file may say of GemNet. No jax here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from icsap_jax.config import RuleModel

Width = Annotated[int, Field(ge=1)]
MOST_ITEMS = 3  # every bundle is an entry, and the values of all of them cut the cells
MOST_VALUES = 6  # bidders times items: profiles of cells are a grid over all values at once


class GemNet(RuleModel):
    """A menu for each bidder, which depends on the others' reports alone: first by a network, then with prices changed so that menus are
    compatible everywhere (Wang, Jiang & Parkes 2024). Its entries are all bundles, at a price each."""

    kind: Literal["gemnet"] = "gemnet"
    builder: ClassVar[Any] = "icsap_jax.auctions.rules.gemnet.menus:gemnet"
    polish: ClassVar[Any] = "icsap_jax.auctions.rules.gemnet.polish:polish"
    problems: ClassVar[tuple[str, ...]] = ("auction",)
    statements: ClassVar[tuple[str, ...]] = (
        "feasible allocations by construction", "individually rational by construction", "strategyproof by construction",
    )
    serves: ClassVar[str] = (f"two bidders or more with additive values or unit demand, at most {MOST_ITEMS} items and {MOST_VALUES} "
                             "values in all, N·M; revenue alone, without constraints, budgets, contexts, a population or a preference; "
                             "priors under which bidders are independent of each other")
    strategyproof: ClassVar[bool] = True
    trained_by: ClassVar[str] = "compatible"
    memory_keys: ClassVar[tuple[str, ...]] = ("rule.hidden", "rule.cells", "training.batch")
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "gemnet", "hidden": [8], "cells": 400, "sample": 64, "rounds": 1}]

    hidden: list[Width] = Field([64, 64], description="width of each hidden layer, in the network of every bidder's menu")
    cells: int = Field(1_400_000, ge=1, le=20_000_000,
                       description="profiles of cells at most, on which menus are made compatible, by the finest grid with no more")
    sample: int = Field(8192, ge=1, description="types of each bidder on which prices are judged while they are changed")
    rounds: int = Field(3, ge=0, description="of lowering and raising prices, and of handing on what nobody uses")

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """The price of what is given twice ends where the network gives away about a ten-thousandth of an item twice: dearer, and it
        leaves too much unsold; cheaper, and the changes of prices cost more than was gained."""
        return {"training": {
            "steps": 20000, "batch": 2048, "learning_rate": 5e-3, "decay": "cosine",
            "response": {"kind": "compatible", "temperature": 0.1, "temperature_end": 0.01, "share": 0.9},
            "lagrangian": {"kind": "annealed", "multiplier": 1.0, "multiplier_end": 4.0, "share": 0.9},
        }}

    def unfit(self, problem: Any) -> str | None:
        """One bidder; bundles as goods; more values than a grid can hold; another aim than revenue; bidders who tell of each other."""
        if problem.bidders < 2:
            return "makes menus of several bidders compatible, and here is one"
        if problem.valuation == "combinatorial":
            return "sells items, and here bundles are goods of their own"
        if problem.items > MOST_ITEMS or problem.bidders * problem.items > MOST_VALUES:
            return (f"needs a grid over the values of all bidders at once, of which there may be {MOST_VALUES}, and {MOST_ITEMS} items; "
                    f"here are {problem.bidders} bidders and {problem.items} items")
        if problem.objective != "revenue" or problem.constraints or problem.budgets is not None or problem.contexts is not None:
            return "changes prices for revenue alone, without constraints, budgets or contexts"
        if problem.population is not None:
            return "changes prices for bidders who are all rational, and here is a population"
        if problem.preference is not None:
            return "changes prices for revenue alone, whatever people like of it, and here they were asked"
        if problem.prior.ties_agents(problem.bidders, problem.items, Path()):
            return "judges prices by each bidder's own values, and this prior ties bidders to each other"
        return None

    def memory(self, problem: Any, training: Any) -> int:
        """Bytes of one training step (rows through the networks, three times), or of the changes of prices, which follow it: for every
        profile of cells and every pair of entries a number, twice."""
        entries = 2 ** problem.items if problem.valuation == "additive" else problem.items + 1
        step = 12 * training.batch * training.members * problem.bidders * (2 * sum(self.hidden) + 4 * entries)
        return max(step, 16 * self.cells * entries * (entries + problem.bidders))
