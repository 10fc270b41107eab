"""What a problem file may say of rules that are kept honest by the price of the gap. No jax here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from icsap_jax.config import Problem, RuleModel

Width = Annotated[int, Field(ge=1)]
Activation = Literal["tanh", "relu", "sigmoid", "softplus", "elu", "gelu", "silu", "soft_sign"]
HELD = ("feasible allocations by construction", "individually rational by construction")
KEYS = ("problem.bidders", "problem.items", "training.batch")


class RegretNet(RuleModel):
    """Separate allocation and payment networks, feasible and individually rational by construction (Dütting et al. 2019)."""

    kind: Literal["regretnet"] = "regretnet"
    builder: ClassVar[Any] = "icsap_jax.auctions.rules.regret.regretnet:regretnet"
    problems: ClassVar[tuple[str, ...]] = ("auction",)
    statements: ClassVar[tuple[str, ...]] = HELD
    heeds: ClassVar[tuple[str, ...]] = ("budgets", "even lots")
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "regretnet", "hidden": [8, 8]}]

    hidden: list[Width] = Field([100, 100], description="width of each hidden layer, in both networks")
    activation: Activation = Field("tanh", description="between hidden layers")
    normalise: bool = Field(True, description="reports enter as (report − centre) / half-width of the support; false as published")


class Symmetric(RuleModel):
    """A network that treats bidders alike and items alike: permuting them permutes the decision, and the parameters know neither number."""

    problems: ClassVar[tuple[str, ...]] = ("auction",)
    statements: ClassVar[tuple[str, ...]] = HELD
    serves: ClassVar[str] = "additive values or unit demand"
    heeds: ClassVar[tuple[str, ...]] = ("even lots",)
    memory_keys: ClassVar[tuple[str, ...]] = (*KEYS, "rule.hidden")

    def unfit(self, problem: Problem) -> str | None:
        """Bundles are not entries of a matrix of bidders and items."""
        valuation = getattr(problem, "valuation", None)
        return "treats items alike one by one, and here bundles of them are valued" if valuation == "combinatorial" else None

    def numbers(self, problem: Any) -> int:
        """How many numbers one row of reports becomes on its way through the network."""
        return problem.bidders * problem.items * (10 + 3 * sum(getattr(self, "hidden", [])))

    def memory(self, problem: Any, training: Any) -> int | None:
        """Bytes of one training step: every number of every row three times (forward, kept for the gradient, gradient), and what
        exchanged reports offer each other."""
        response = training.response.innermost()
        reports, tried = getattr(response, "reports", 0) or 0, getattr(response, "count", 1) or 1
        exchanged = reports + (getattr(response, "anywhere", 0) or 0)
        rows = training.batch * exchanged // reports if reports else training.batch * (1 + problem.bidders * tried)
        return 4 * (3 * rows * self.numbers(problem) + 4 * training.batch * problem.bidders * exchanged)


class EquivariantNet(Symmetric):
    """Exchangeable layers (Rahme, Jelassi, Bruna & Weinberg 2021): one network for any number of bidders and items. Each entry knows
    itself and the means of its bidder, of its item and of all. Bidders and items are told apart by their supports alone."""

    kind: Literal["equivariant"] = "equivariant"
    builder: ClassVar[Any] = "icsap_jax.auctions.rules.regret.equivariant:equivariant"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "equivariant", "hidden": [4, 4]}]

    hidden: list[Width] = Field([16, 16, 16], description="channels of each hidden layer")
    activation: Activation = Field("tanh", description="between layers")


class RegretFormer(Symmetric):
    """Attention between the items of a bidder and between the bidders for an item (Ivanov et al. 2022). The loss of the same paper is
    `training.lagrangian.kind: budget`."""

    kind: Literal["regretformer"] = "regretformer"
    builder: ClassVar[Any] = "icsap_jax.auctions.rules.regret.regretformer:regretformer"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "regretformer", "channels": 4, "heads": 1, "head_width": 2}]
    memory_keys: ClassVar[tuple[str, ...]] = (*KEYS, "rule.channels", "rule.blocks")

    channels: int = Field(32, ge=1, description="features of each entry")
    blocks: int = Field(1, ge=1, description="of attention, one after the other")
    heads: int = Field(2, ge=1, description="of each attention")
    head_width: int = Field(16, ge=1, description="numbers of each head")

    def numbers(self, problem: Any) -> int:
        """As above; each attention also weighs every pair."""
        pairs = problem.bidders * problem.items * (problem.bidders + problem.items)
        entries = problem.bidders * problem.items * (10 * self.channels + 8 * self.heads * self.head_width)
        return self.blocks * (entries + 2 * self.heads * pairs)


class Contest(Symmetric):
    """Prices and temperatures by an exchangeable network, shares by a softmax contest, and the payments that make such a contest truthful:
    what is left to gain by lying is only what offers depend on the bidder's own report. Ours. Made for additive bidders: with unit demand
    an item that its winner does not choose stays unsold."""

    kind: Literal["contest"] = "contest"
    builder: ClassVar[Any] = "icsap_jax.auctions.rules.regret.contest:contest"
    heeds: ClassVar[tuple[str, ...]] = ()
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "contest", "hidden": [4, 4]}]

    hidden: list[Width] = Field([16, 16, 16], description="channels of each hidden layer")
    activation: Activation = Field("tanh", description="between layers")

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """A contest is sharper than what reports drawn at random can see from three items on, where they are refined; it needs a lower
        price of the gap in the end, and a low one in the beginning, not to stay with auctions item by item, where it starts."""
        items = problem.get("items")
        response = {"response": {"steps": 8}} if isinstance(items, int) and items == 3 else {}
        return {"training": {**response, "lagrangian": {"multiplier": 2.0, "multiplier_end": 60.0}}}

    def numbers(self, problem: Any) -> int:
        """As above; each bidder is also compared with each other for every item."""
        return super().numbers(problem) + 4 * problem.bidders**2 * problem.items
