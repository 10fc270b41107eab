"""What a problem file may say about an auction: the auction, and the rules that may run it. Priors are in `prior_schema`.

Each model names its builder; nothing here imports jax.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, ValidationInfo, model_validator

from icsap_jax.auctions.prior_schema import Uniform
from icsap_jax.config import Objective, OneOf, PriorModel, Problem, RuleModel, fault, kinds
from icsap_jax.config.models import folder_of, under
from icsap_jax.config.reading import merge


class Auction(Problem):
    """N bidders with private values for M items, from a known prior; the designer allocates and charges.

    `combinatorial` is over two items: a bidder's type is (v₁, v₂, C) and the pair is worth v₁ + v₂ + C, C from `synergy`
    (Dütting et al. 2019, section 5, settings IV and V).
    """

    kind: Literal["auction"] = "auction"
    builder: ClassVar[Any] = "icsap_jax.auctions.problem:build"
    check: ClassVar[Any] = "icsap_jax.auctions.problem:check"
    optimum: ClassVar[Any] = "icsap_jax.auctions.optimum:optimum"
    control: ClassVar[Any] = "icsap_jax.auctions.optimum:control"
    baselines: ClassVar[Any] = "icsap_jax.auctions.baselines:baselines"
    pictures: ClassVar[Any] = "icsap_jax.auctions.pictures:draw"
    table: ClassVar[Any] = "icsap_jax.auctions.table:Table"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.bidders", "problem.items", "training.batch")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "regretnet"},
        "training": {
            "steps": 20000,
            "batch": 1024,
            "learning_rate": 3e-3,
            "decay": "cosine",
            "response": {"kind": "exchange"},
            "lagrangian": {"kind": "annealed", "multiplier": 2.0, "multiplier_end": 150.0},
        },
        "evaluation": {},
    }
    many_items: ClassVar[dict[str, Any]] = {
        "training": {
            "batch": 512,
            "response": {"kind": "exchange", "reports": 32, "steps": 8},
            "lagrangian": {"kind": "annealed", "multiplier_end": 50.0},
        }
    }
    tied_bidders: ClassVar[dict[str, Any]] = {
        "training": {"batch": 128, "response": {"kind": "candidates", "count": 16, "steps": 5}},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "auction", "bidders": 1, "items": 2, "prior": {"kind": "uniform", "low": 0, "high": 1}},
        {"kind": "auction", "bidders": 2, "items": 2, "valuation": "unit_demand", "prior": {"kind": "uniform", "low": 2, "high": 3}},
        {"kind": "auction", "bidders": 2, "items": 2, "valuation": "combinatorial", "prior": {"kind": "uniform", "low": 1, "high": 2}},
    ]

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """With more than three items, reports drawn at random come nowhere near the best misreport: there they are refined, and the
        price of the gap ends lower. With few items refining gains nothing, and its unfinished climbs bias the gradient. Where bidders'
        values depend on each other, no bidder's can be redrawn alone for an exchange of reports."""
        items = problem.get("items")
        found = merge(cls.defaults, cls.many_items) if isinstance(items, int) and items > 3 else cls.defaults
        return merge(found, cls.tied_bidders) if _ties_bidders(problem) else found

    bidders: int = Field(ge=1, description="N, how many bid")
    items: int = Field(ge=1, description="M, how many are for sale, one of each")
    valuation: Literal["additive", "unit_demand", "combinatorial"] = Field(
        "additive", description="what a bundle is worth: the sum of its items, its best item, or v₁ + v₂ + C for the pair")
    prior: OneOf[PriorModel] = Field(description="of each bidder's values for the items")
    synergy: OneOf[PriorModel] | None = Field(None, description="of C, combinatorial only; null: uniform on [-1, 1]")
    objective: Objective = Field("revenue", description="a name, or weights by name")

    @model_validator(mode="before")
    @classmethod
    def _default_synergy(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("valuation") == "combinatorial" and data.get("synergy") is None:
            return {**data, "synergy": Uniform(low=-1.0, high=1.0)}
        return data

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> Auction:
        combinatorial = self.valuation == "combinatorial"
        if combinatorial and self.items != 2:
            raise fault((["items"], "should be 2 when valuation is combinatorial", self.items))
        if self.synergy is not None and not combinatorial:
            raise fault((["synergy"], f"belongs to valuation: combinatorial, not {self.valuation}", self.synergy.kind_name()))
        with under("prior"):
            self.prior.check(self.bidders, self.items, folder_of(info))
        if self.synergy is not None:
            with under("synergy"):
                self.synergy.check(self.bidders, 1, folder_of(info))
        return self

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: rows of reports (the truth, and each bidder's deviations tried) through the networks, three
        times for the forward pass, its residuals and the gradients; the menus of exchanged reports; parameters with Adam's two
        moments and a gradient; and the remembered misreports of the published ascent."""
        response, hidden = training.response, list(getattr(rule, "hidden", [100, 100]))
        inputs, outputs = self.bidders * (self.items + 1), 2 * (self.bidders + 1) * (self.items + 1)
        reports: int = getattr(response, "reports", 0) or 0
        exchanged = reports + (getattr(response, "anywhere", 0) or 0)
        tried: int = getattr(response, "count", 1) or 1
        rows = training.batch * exchanged // reports if reports else training.batch * (1 + self.bidders * tried)
        menu = training.batch * self.bidders * exchanged
        layers = [inputs, *hidden, outputs]
        parameters = 2 * sum(a * b for a, b in pairwise(layers))
        pool = (getattr(response, "pool", None) or 0) * training.batch * inputs
        return 4 * (4 * menu + 3 * rows * (inputs + outputs + 2 * sum(hidden)) + 4 * parameters * training.members + pool)


def _ties_bidders(problem: Mapping[str, Any]) -> bool:
    """Whether a prior or a synergy, not yet checked, ties bidders to each other; False where it is wrong, which is said later."""
    bidders, tied = problem.get("bidders"), False
    for prior, items in ((problem.get("prior"), problem.get("items")), (problem.get("synergy"), 1)):
        if isinstance(prior, Mapping) and isinstance(bidders, int) and isinstance(items, int) and min(bidders, items) > 0:
            chosen = kinds(PriorModel).get(str(prior.get("kind")))
            with suppress(ValidationError):
                tied |= chosen is not None and chosen.model_validate(dict(prior)).ties_agents(bidders, items, Path())
    return tied


Width = Annotated[int, Field(ge=1)]


class RegretNet(RuleModel):
    """Separate allocation and payment networks, feasible and individually rational by construction (Dütting et al. 2019)."""

    kind: Literal["regretnet"] = "regretnet"
    builder: ClassVar[Any] = "icsap_jax.auctions.rules:regretnet"
    problems: ClassVar[tuple[str, ...]] = ("auction",)
    statements: ClassVar[tuple[str, ...]] = ("feasible allocations by construction", "individually rational by construction")
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "regretnet", "hidden": [8, 8]}]

    hidden: list[Width] = Field([100, 100], description="width of each hidden layer, in both networks")
    activation: Literal["tanh", "relu", "sigmoid", "softplus", "elu", "gelu", "silu"] = Field("tanh", description="between hidden layers")
    normalise: bool = Field(True, description="reports enter as (report − centre) / half-width of the support; false as published")
