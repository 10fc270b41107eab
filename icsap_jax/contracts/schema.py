"""What a problem file may say about contracts over finitely many actions and outcomes; no jax.

The other kinds of contracting problem have folders of their own with a schema in each.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Kind, Numbers, OneOf, Problem, RuleModel, fault

ROUNDING = 1e-6  # thirds may be written with seven digits


class AgentUtility(Kind):
    """The agent's utility of money, increasing and concave. `build()` gives an object like those in contracts/tables.py."""


class Linear(AgentUtility):
    """u(t) = t: a risk-neutral agent."""

    kind: Literal["linear"] = "linear"
    builder: ClassVar[Any] = "icsap_jax.contracts.tables:risk_neutral"


class Sqrt(AgentUtility):
    """u(t) = √t, t ≥ 0."""

    kind: Literal["sqrt"] = "sqrt"
    builder: ClassVar[Any] = "icsap_jax.contracts.tables:square_root"


class Cara(AgentUtility):
    """u(t) = (1 − exp(−r t)) / r: constant absolute risk aversion r."""

    kind: Literal["cara"] = "cara"
    builder: ClassVar[Any] = "icsap_jax.contracts.tables:constant_risk_aversion"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "cara", "risk_aversion": 0.5}]
    risk_aversion: float = Field(gt=0, description="r, per unit of money")


class Contract(Problem):
    """Hidden action, and with a leading axis of types hidden type too: the agent's action, or its type, gives an outcome; the principal
    pays by the outcome alone (Grossman & Hart 1983; Zhang et al. 2024, section 6)."""

    kind: Literal["contract"] = "contract"
    builder: ClassVar[Any] = "icsap_jax.contracts.problem:build"
    baselines: ClassVar[Any] = "icsap_jax.contracts.baselines:baselines"
    check: ClassVar[Any] = "icsap_jax.contracts.optimum:check"
    polish: ClassVar[Any] = "icsap_jax.contracts.polish:polish"
    details: ClassVar[Any] = "icsap_jax.contracts.polish:details"
    pictures: ClassVar[Any] = "icsap_jax.contracts.pictures:pictures"
    table: ClassVar[Any] = "icsap_jax.contracts.table:ContractTable"
    listing: ClassVar[Any] = "icsap_jax.contracts.polish:listing"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.outcome_probabilities", "rule.start_count")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "contract"},
        "training": {"steps": 3000, "batch": 1, "learning_rate": 0.002, "decay": "cosine",
                     "response": {"kind": "logit", "temperature": 0.1, "temperature_end": 1e-4,
                                  "spread": 0.001}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "contract", "outcome_probabilities": [[0.8, 0.2], [0.2, 0.8]], "costs": [0, 1], "rewards": [0, 10]},
        {"kind": "contract", "outcome_probabilities": [[[0.8, 0.2], [0.2, 0.8]], [[0.6, 0.4], [0.3, 0.7]]], "costs": [[0, 1], [0, 0.5]],
         "rewards": [0, 10], "type_prior": [0.5, 0.5], "limited_liability": False, "reservation_utility": 0.5,
         "agent_utility": {"kind": "cara", "risk_aversion": 0.1}},
    ]

    outcome_probabilities: Numbers = Field(description="F, (types ×) actions × outcomes; every row sums to 1")
    costs: Numbers = Field(description="of the actions to the agent, (types ×) actions")
    rewards: Numbers = Field(description="of the outcomes to the principal, [outcomes]")
    type_prior: Numbers | None = Field(None, description="probability of each type; null: there is one type")
    limited_liability: bool = Field(True, description="payments are never negative")
    reservation_utility: Numbers = Field(
        default_factory=lambda: Numbers(0.0), description="the utility the agent gets elsewhere, one number or [types]")
    agent_utility: OneOf[AgentUtility] = Field(default_factory=Linear, description="of money")
    payment_cost: float = Field(1.0, gt=0, description="what a unit paid costs the principal")
    types: list[str] | None = Field(None, description="names of the types")
    actions: list[str] | None = Field(None, description="names of the actions")
    outcomes: list[str] | None = Field(None, description="names of the outcomes")

    @model_validator(mode="after")
    def _fits(self) -> Contract:
        given = self.outcome_probabilities
        if given.ndim not in (2, 3):
            raise fault((["outcome_probabilities"], f"has {given.ndim} axes; it should be (types ×) actions × outcomes", None))
        *types, actions, outcomes = given.shape
        for row in map(tuple, np.argwhere((given.values < 0).any(-1) | (abs(given.values.sum(-1) - 1.0) > ROUNDING))):
            keys: list[str | int] = ["outcome_probabilities", *(int(place) for place in row)]
            raise fault((keys, f"should be probabilities ≥ 0 that sum to 1; they sum to {given.values[row].sum():.6g}",
                         given.values[row].tolist()))
        self._shaped("costs", (*types, actions), "one cost for each action" + (" of each type" if types else ""))
        self._shaped("rewards", (outcomes,), "one reward for each outcome")
        for place in map(tuple, np.argwhere(self.costs.values < 0)):
            raise fault((["costs", *(int(each) for each in place)], "should be ≥ 0: what an action costs the agent",
                         float(self.costs.values[place])))
        prior = self.type_prior
        if types and prior is None:
            raise fault((["type_prior"], f"is missing; the {types[0]} types of outcome_probabilities need a probability each", None))
        if prior is not None:
            if not types:
                raise fault((["type_prior"], "needs outcome_probabilities of types × actions × outcomes", prior))
            self._shaped("type_prior", tuple(types), "one probability for each type")
            if (prior.values < 0).any() or abs(prior.values.sum() - 1.0) > ROUNDING:
                raise fault((["type_prior"], f"should be probabilities ≥ 0 that sum to 1; they sum to {prior.values.sum():.6g}", prior))
        if self.reservation_utility.ndim:
            self._shaped("reservation_utility", tuple(types) or (1,), "one number, or one for each type")
        if self.agent_utility.kind_name() == "sqrt" and not self.limited_liability:
            raise fault((["limited_liability"], "should be true for agent_utility sqrt, which is not defined below 0", False))
        for name, count in (("types", types[0] if types else 1), ("actions", actions), ("outcomes", outcomes)):
            names = getattr(self, name)
            if names is not None and (len(names) != count or len(set(names)) != count):
                raise fault(([name], f"should be {count} different names", names))
        return self

    def _shaped(self, name: str, shape: tuple[int, ...], meaning: str) -> None:
        """Refuse a table that does not fit outcome_probabilities."""
        found = getattr(self, name)
        if found.shape != shape:
            raise fault(([name], f"has shape {list(found.shape)}; it should be {list(shape)}, {meaning}, like outcome_probabilities", None))

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: every report and action of every type from every start, forward and backward."""
        types, actions, outcomes = (1, *self.outcome_probabilities.shape)[-3:]
        starts = getattr(rule, "start_count", 1)
        return 4 * 6 * starts * training.members * types * types * actions * max(outcomes, types * actions)

    def names(self, axis: Literal["types", "actions", "outcomes"], count: int) -> list[str]:
        """What the members of an axis are called: the names given, or their numbers from 0."""
        return getattr(self, axis) or [str(place) for place in range(count)]


class ContractRule(RuleModel):
    """Payments for each outcome; in a menu for each reported type and outcome. Trained from many starts by the agent's smoothed
    response, then made exact by the least-pay programme of the actions that it induces."""

    kind: Literal["contract"] = "contract"
    builder: ClassVar[Any] = "icsap_jax.contracts.rules:schedule"
    starts: ClassVar[Any] = "icsap_jax.contracts.rules:sketches"
    optimum: ClassVar[Any] = "icsap_jax.contracts.optimum:optimum"
    problems: ClassVar[tuple[str, ...]] = ("contract",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "contract"}]

    shape: Literal["any", "monotone", "linear", "threshold"] = Field(
        "any", description="any; monotone: rising with the reward; linear: a share of it; threshold: one payment from some reward on")
    menu: Literal["single", "deterministic"] = Field(
        "single", description="one contract for all types, or one for each to choose from")
    budget: float | None = Field(None, ge=0, description="the most payable on any outcome; null: no limit")
    margin: float = Field(0.0, ge=0, description="by which the induced choice must beat every other; its exact cost is reported")
    start_count: int = Field(64, ge=1, description="starts at most, picked evenly among the actions, or profiles of actions, to induce")
