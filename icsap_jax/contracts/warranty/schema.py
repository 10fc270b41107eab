"""What a problem file may say about buying from a seller who alone knows whether the thing will last; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Numbers, Problem, RuleModel, fault


class Warranty(Problem):
    """The used car: a buyer offers a lump sum now, or a deposit now and a deferred payment if the car survives; each type of seller
    takes one of the two or keeps the car. What survives is a sign of quality, so that the deferred payment screens (Spence 1977,
    Grossman 1981 on warranties as signals; here it is the uninformed side that designs)."""

    kind: Literal["warranty"] = "warranty"
    builder: ClassVar[Any] = "icsap_jax.contracts.warranty.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.contracts.warranty.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.contracts.warranty.optimum:baselines"
    polish: ClassVar[Any] = "icsap_jax.contracts.warranty.problem:polish"
    details: ClassVar[Any] = "icsap_jax.contracts.warranty.problem:details"
    listing: ClassVar[Any] = "icsap_jax.contracts.warranty.problem:listing"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.survive",)
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "warranty_menu"},
        "training": {"steps": 2000, "batch": 1, "learning_rate": 0.001, "decay": "cosine",
                     "response": {"kind": "logit", "temperature": 0.003, "temperature_end": 1e-4}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "warranty", "survive": [0.4, 0.9], "value": 10, "reservation": [2, 6], "prior": [0.5, 0.5], "seller_discount": 0.9},
        {"kind": "warranty", "survive": [0.4, 0.9], "value": 10, "reservation": [2, 6], "prior": [0.5, 0.5], "seller_discount": 0.9,
         "min_deposit": None},
    ]

    survive: Numbers = Field(description="probability that the car survives, for each type of seller")
    value: float = Field(gt=0, description="of a car that survives, to the buyer; any other is worth nothing")
    reservation: Numbers = Field(description="what the car is worth to each type of seller")
    prior: Numbers = Field(description="probability of each type of seller")
    seller_discount: float = Field(ge=0, lt=1, description="what a sure unit paid later is worth to the seller now")
    buyer_discount: float = Field(1.0, gt=0, le=1, description="what a sure unit paid later costs the buyer now")
    min_deposit: float | None = Field(0.0, le=0, description="the least deposit; below 0 the seller posts a bond, null: of any size")
    types: list[str] | None = Field(None, description="names of the types of seller")

    @model_validator(mode="after")
    def _fits(self) -> Warranty:
        survive = self.survive.values
        if survive.ndim != 1 or ((survive < 0) | (survive > 1)).any():
            raise fault((["survive"], "should be a list of probabilities in [0, 1], one for each type of seller", self.survive))
        for name in ("reservation", "prior"):
            found = getattr(self, name)
            if found.shape != survive.shape:
                raise fault(([name], f"has shape {list(found.shape)}; it should be {list(survive.shape)} like survive", found))
        if (self.reservation.values < 0).any():
            raise fault((["reservation"], "should be numbers ≥ 0: a seller may always keep the car", self.reservation))
        # 1e-6: thirds may be written with seven digits.
        if (self.prior.values < 0).any() or abs(self.prior.values.sum() - 1.0) > 1e-6:
            raise fault((["prior"], f"should be probabilities ≥ 0 that sum to 1; they sum to {self.prior.values.sum():.6g}", self.prior))
        if self.min_deposit is None and self.seller_discount > self.buyer_discount:
            raise fault((["min_deposit"], "should be given where the seller is more patient (seller_discount "
                         f"{self.seller_discount:g}) than the buyer ({self.buyer_discount:g}): ever larger bonds would pay for ever larger "
                         "deferred payments", None))  # fmt: skip
        if self.types is not None and len(set(self.types)) != len(survive):
            raise fault((["types"], f"should be {len(survive)} different names", self.types))
        return self

    def names(self) -> list[str]:
        """What the types are called: the names given, or their numbers from 0."""
        return self.types or [str(place) for place in range(len(self.survive))]

    def scale(self) -> float:
        """The size of payments: the larger of the car's value and the sellers' reservations."""
        return float(max(self.value, np.max(self.reservation.values)))

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: three actions of each type from every start, forward and backward."""
        return 4 * 3 * 3 * len(self.survive) * getattr(rule, "start_count", 1) * training.members


class WarrantyMenu(RuleModel):
    """A lump sum, and a deposit with a deferred payment. Trained from starts that are just enough for one type or another, by the
    seller's smoothed response; then made exact by the linear programme of the choices that it induces."""

    kind: Literal["warranty_menu"] = "warranty_menu"
    builder: ClassVar[Any] = "icsap_jax.contracts.warranty.problem:menu"
    starts: ClassVar[Any] = "icsap_jax.contracts.warranty.problem:menus"
    problems: ClassVar[tuple[str, ...]] = ("warranty",)
    statements: ClassVar[tuple[str, ...]] = ("payments within their bounds by construction",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "warranty_menu"}]

    start_count: int = Field(256, ge=1, description="starts at most, picked evenly among the menus that are just enough for some types")
