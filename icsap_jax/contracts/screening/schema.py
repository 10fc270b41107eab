"""What a problem file may say about screening: selling to a buyer, or procuring from a seller, whose type is hidden; no jax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Kind, Model, Numbers, OneOf, Problem, RuleModel, fault
from icsap_jax.contracts.screening import worth as screening_worth


class TypePrior(Kind):
    """How a type is distributed over an interval. `build()` gives an object with `low`, `high`, `cdf` and `density`, in numpy."""

    low: float = Field(0.0, ge=0, description="the least type")
    high: float = Field(1.0, description="the largest type")

    @model_validator(mode="after")
    def _order(self) -> TypePrior:
        if not self.low < self.high:
            raise fault((["low"], f"should be below high, which is {self.high:g}", self.low))
        return self


class Uniform(TypePrior):
    """Uniform on [low, high]."""

    kind: Literal["uniform"] = "uniform"
    builder: ClassVar[Any] = screening_worth.uniform
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "uniform", "low": 1, "high": 2}]


class TruncatedExponential(TypePrior):
    """A density proportional to exp(−rate · type) on [low, high]; it rises where the rate is negative."""

    kind: Literal["truncated_exponential"] = "truncated_exponential"
    builder: ClassVar[Any] = screening_worth.truncated_exponential
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "truncated_exponential", "rate": 2.0, "low": 1, "high": 2}]
    rate: float = Field(description="how fast the density falls, per unit of type; not 0")

    @model_validator(mode="after")
    def _falls(self) -> TruncatedExponential:
        steep = abs(self.rate) * (self.high - self.low)
        if not 1e-6 <= steep <= 100.0:
            raise fault((["rate"], "times (high − low) should be between 1e-6 and 100 in size: below that it is uniform, and above it "
                                   "nearly every type is the same", self.rate))  # fmt: skip
        return self


class Worth(Kind):
    """What a quantity q costs a principal who sells it, or is worth to one who buys it. `build(side)` gives the concave W(q) that
    enters the principal's payoff: −cost or +value."""


class Power(Worth):
    """scale · q^exponent: a cost with exponent ≥ 1, or a value with exponent ≤ 1."""

    kind: Literal["power"] = "power"
    builder: ClassVar[Any] = screening_worth.power
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "power", "scale": 0.5, "exponent": 2}]
    scale: float = Field(1.0, gt=0, description="cost or value of one unit")
    exponent: float = Field(gt=0, description="at least 1 for a cost, at most 1 for a value")


class Quadratic(Worth):
    """linear · q + curvature · q²/2 as a cost, linear · q − curvature · q²/2 as a value (a demand that falls in a line)."""

    kind: Literal["quadratic"] = "quadratic"
    builder: ClassVar[Any] = screening_worth.quadratic
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "quadratic", "linear": 0.0, "curvature": 1.0}]
    linear: float = Field(0.0, ge=0, description="of the first unit, at the margin")
    curvature: float = Field(1.0, ge=0, description="by how much the margin rises (cost) or falls (value) with each unit")


class ScreenedAgent(Model):
    """The agent: a buyer who gets type · q − t, or a seller who gets t − type · q."""

    reservation: float = Field(0.0, description="what every type must be given to take part, one that trades nothing too")


class Screening(Problem):
    """A principal who does not know the agent's type offers a menu of quantities and transfers, one for each type to report (Mussa &
    Rosen 1978; Baron & Myerson 1982). It sells and gets t − cost(q), or procures and gets value(q) − t."""

    kind: Literal["screening"] = "screening"
    builder: ClassVar[Any] = "icsap_jax.contracts.screening.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.contracts.screening.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.contracts.screening.optimum:baselines"
    details: ClassVar[Any] = "icsap_jax.contracts.screening.menu:details"
    listing: ClassVar[Any] = "icsap_jax.contracts.screening.menu:listing"
    table: ClassVar[Any] = "icsap_jax.contracts.screening.menu:Table"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.types",)
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "screening_menu"},
        "training": {"steps": 3000, "batch": 1, "learning_rate": 0.01, "decay": "cosine", "response": {"kind": "enumerate"}},
        "evaluation": {},
    }
    # The rule is incentive compatible by construction, so that one misreport is enough to train with; the evaluation looks at all.
    continuum: ClassVar[dict[str, Any]] = {"kind": "candidates", "count": 1, "steps": 0}
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "screening", "types": [1, 2], "type_prior": [0.75, 0.25], "principal": {"kind": "power", "scale": 0.5, "exponent": 2}},
        {"kind": "screening", "side": "procure", "prior": {"kind": "uniform", "low": 1, "high": 2},
         "principal": {"kind": "quadratic", "linear": 5, "curvature": 1}},
    ]

    side: Literal["sell", "procure"] = Field("sell", description="whether the principal sells the quantity or buys it")
    types: Numbers | None = Field(None, description="the types, increasing; or else give prior")
    type_prior: Numbers | None = Field(None, description="probability of each of the types")
    prior: OneOf[TypePrior] | None = Field(None, description="of a type that can be anywhere in an interval; or else give types")
    agent: ScreenedAgent = Field(default_factory=ScreenedAgent, description="what the agent asks for")
    principal: OneOf[Worth] = Field(description="the cost of a quantity to a principal who sells, its value to one who procures")
    most: float | None = Field(None, gt=0, description="the largest quantity; null: what the best type would be given if it were known")

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """A continuum of types reports points of an interval, for which deviations are sampled, not enumerated."""
        if problem.get("prior") is None:
            return cls.defaults
        return {**cls.defaults, "training": {**cls.defaults["training"], "response": cls.continuum}}

    @model_validator(mode="after")
    def _fits(self) -> Screening:
        if (self.types is None) == (self.prior is None):
            raise fault((["types"], "should be given with type_prior, or else prior; one of the two", self.types))
        if self.types is not None:
            self._check_types(self.types)
        elif self.type_prior is not None:
            raise fault((["type_prior"], "belongs to types; a prior has its own probabilities", self.type_prior))
        if isinstance(self.principal, Power):
            cost = self.side == "sell"
            if (self.principal.exponent < 1.0) if cost else (self.principal.exponent > 1.0):
                raise fault((["principal", "exponent"], f"should be at {'least' if cost else 'most'} 1 for side: {self.side}",
                             self.principal.exponent))  # fmt: skip
        worth = self.principal.build(self.side)
        if self.most is None and not np.isfinite(worth.best(np.array(self.strongest))):
            raise fault((["most"], "is missing; without it the best type would be given any quantity, however large", None))
        return self

    @property
    def strongest(self) -> float:
        """What a unit is worth to the best type: the largest type of a buyer, minus the least cost of a seller."""
        low, high = self.ends
        return high if self.side == "sell" else -low

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest type."""
        if self.prior is not None:
            return self.prior.low, self.prior.high
        assert self.types is not None
        return float(self.types[0]), float(self.types[-1])

    def _check_types(self, types: Numbers) -> None:
        if types.ndim != 1 or (types.values < 0).any() or (np.diff(types.values) <= 0).any():
            raise fault((["types"], "should be a list of numbers ≥ 0, each larger than the one before", types))
        prior = self.type_prior
        if prior is None:
            raise fault((["type_prior"], f"is missing; the {len(types)} types need a probability each", None))
        if prior.shape != types.shape:
            raise fault((["type_prior"], f"has shape {list(prior.shape)}; it should be {list(types.shape)} like types", prior))
        # 1e-6: thirds may be written with seven digits.
        if (prior.values <= 0).any() or abs(prior.values.sum() - 1.0) > 1e-6:
            raise fault((["type_prior"], f"should be positive probabilities that sum to 1; they sum to {prior.values.sum():.6g}", prior))

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: every type with every report, forward and backward."""
        types = 256 if self.types is None else len(self.types)
        return 4 * 3 * types * types * training.members


class ScreeningMenu(RuleModel):
    """A quantity that rises with the type (falls with the cost, in procurement), and the transfers that make the truth the best
    report and leave the worst type with its reservation utility: the envelope formula. Over a continuum of types it is a network of
    ramps, straight between 64 points; over finitely many types a step for each."""

    kind: Literal["screening_menu"] = "screening_menu"
    builder: ClassVar[Any] = "icsap_jax.contracts.screening.menu:menu"
    problems: ClassVar[tuple[str, ...]] = ("screening",)
    statements: ClassVar[tuple[str, ...]] = (
        "quantities monotone in the type by construction",
        "incentive compatible by construction",
        "individually rational by construction",
    )
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "screening_menu"}]
