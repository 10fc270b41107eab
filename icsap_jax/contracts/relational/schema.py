"""What a problem file may say about self-enforcing contracts: no court, only the value of what is to come; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Numbers, Problem, RuleModel, fault


class Relational(Problem):
    """A principal and an agent who meet for ever, and whom nobody holds to a promised bonus. Either may walk away, so that what is
    promised on top of the wage may differ by no more than what the relationship is still worth (Levin 2003). Effort is seen by both, or
    only an outcome is."""

    kind: Literal["relational"] = "relational"
    builder: ClassVar[Any] = "icsap_jax.contracts.relational.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.contracts.relational.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.contracts.relational.optimum:baselines"
    polish: ClassVar[Any] = "icsap_jax.contracts.relational.problem:polish"
    details: ClassVar[Any] = "icsap_jax.contracts.relational.problem:details"
    listing: ClassVar[Any] = "icsap_jax.contracts.relational.problem:listing"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.surplus",)
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "relational_contract"},
        "training": {"steps": 2000, "batch": 1, "learning_rate": 0.005, "decay": "cosine",
                     "response": {"kind": "logit", "temperature": 0.05, "temperature_end": 1e-4}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "relational", "surplus": [0, 4, 6], "cost": [0, 1, 2.5], "discount": 0.6},
        {"kind": "relational", "surplus": [0, 4, 6], "cost": [0, 1, 2.5], "discount": 0.6, "observable": False,
         "outcome_probabilities": [[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]},
    ]

    surplus: Numbers = Field(description="what each effort brings the principal in a period, before anything is paid")
    cost: Numbers = Field(description="what each effort costs the agent")
    discount: float = Field(ge=0, lt=1, description="what a unit in the next period is worth now, to both")
    outside_surplus: float = Field(0.0, description="what both together get in a period once they have parted, all of it the principal's")
    observable: bool = Field(True, description="whether both see the effort; if not, only the outcome")
    outcome_probabilities: Numbers | None = Field(None, description="efforts × outcomes, where effort is not observable")
    efforts: list[str] | None = Field(None, description="names of the efforts")
    outcomes: list[str] | None = Field(None, description="names of the outcomes")

    @model_validator(mode="after")
    def _fits(self) -> Relational:
        if self.surplus.ndim != 1:
            raise fault((["surplus"], f"has {self.surplus.ndim} axes; it should be a list, one number for each effort", self.surplus))
        if self.cost.shape != self.surplus.shape:
            raise fault((["cost"], f"has shape {list(self.cost.shape)}; it should be {list(self.surplus.shape)} like surplus", self.cost))
        if (self.cost.values < 0).any():
            raise fault((["cost"], "should be numbers ≥ 0: what an effort costs the agent", self.cost))
        given = self.outcome_probabilities
        if self.observable == (given is not None):
            text = "belongs to observable: false" if self.observable else "is missing; with observable: false only outcomes are seen"
            raise fault((["outcome_probabilities"], text, None))
        if given is not None:
            if given.ndim != 2 or given.shape[0] != len(self.surplus):
                raise fault((["outcome_probabilities"], f"has shape {list(given.shape)}; it should have {len(self.surplus)} rows (efforts) "
                             "of one entry per outcome", None))
            for row in np.flatnonzero((given.values < 0).any(1) | (abs(given.values.sum(1) - 1.0) > 1e-6)):  # thirds have seven digits
                raise fault((["outcome_probabilities", int(row)], "should be probabilities ≥ 0 that sum to 1; they sum to "
                             f"{given.values[row].sum():.6g}", given.values[row].tolist()))
        outcomes = len(self.surplus) if given is None else given.shape[1]
        for name, count in (("efforts", len(self.surplus)), ("outcomes", outcomes)):
            names = getattr(self, name)
            if names is not None and (len(names) != count or len(set(names)) != count):
                raise fault(([name], f"should be {count} different names", names))
        return self

    def names(self, axis: Literal["efforts", "outcomes"], count: int) -> list[str]:
        """What the members of an axis are called: the names given, or their numbers from 0; a seen effort is its own outcome."""
        given = self.efforts if axis == "efforts" or (self.observable and self.outcomes is None) else self.outcomes
        return given or [str(place) for place in range(count)]

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: every effort's outcomes from a start for each effort, forward and backward."""
        efforts = len(self.surplus)
        outcomes = efforts if self.outcome_probabilities is None else self.outcome_probabilities.shape[1]
        return 4 * 3 * efforts * efforts * outcomes * training.members


class RelationalContract(RuleModel):
    """A wage, and a bonus for each outcome (or for each effort, where it is seen). Trained from a start for each effort that might be
    agreed on, with bonuses no larger than what that agreement is still worth; then made exact by the least spread that induces it."""

    kind: Literal["relational_contract"] = "relational_contract"
    builder: ClassVar[Any] = "icsap_jax.contracts.relational.problem:contract"
    starts: ClassVar[Any] = "icsap_jax.contracts.relational.problem:contracts"
    problems: ClassVar[tuple[str, ...]] = ("relational",)
    statements: ClassVar[tuple[str, ...]] = (
        "bonuses within what the agreed effort makes enforceable by construction",
        "the agreed effort pays as much as parting by construction",
    )
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "relational_contract"}]
