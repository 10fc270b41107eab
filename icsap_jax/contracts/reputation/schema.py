"""What a problem file may say about an incentive that works through reputation; no jax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Numbers, Problem, RuleModel, fault

NODES = 200_000  # of the tree of reachable reputations
DISTRIBUTION = "should be a list of numbers ≥ 0 that sum to 1"


class Reputation(Problem):
    """An AI acts in every period; the human gives it an incentive g for what it did, and its reputation r_t = λ r_{t−1} + (1−λ) g_t is
    part of what it maximises, u_t + r_t, over a horizon or for ever, discounted (Zhang et al. 2024, equations 13–18). It knows its type
    θ and sees the state ω, fresh in each period; the human knows their distributions, sees action and state, and maximises the
    discounted sum of v − κ·g. The paper charges nothing for g; then any g would do."""

    kind: Literal["reputation"] = "reputation"
    builder: ClassVar[Any] = "icsap_jax.contracts.reputation.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.contracts.reputation.best:optimum"
    baselines: ClassVar[Any] = "icsap_jax.contracts.reputation.best:baselines"
    polish: ClassVar[Any] = "icsap_jax.contracts.reputation.best:polish"
    details: ClassVar[Any] = "icsap_jax.contracts.reputation.details:details"
    table: ClassVar[Any] = "icsap_jax.contracts.applied:IncentiveTable"
    listing: ClassVar[Any] = "icsap_jax.contracts.applied:incentives"
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "incentive_of_value"},
        "training": {"steps": 1500, "batch": 1, "learning_rate": 0.03, "decay": "cosine", "response": {"kind": "logit"}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "reputation", "agent_utility": [0.0, 1.0], "human_value": [3.0, -2.0], "decay": 0.5, "discount": 0.9, "horizon": 3,
         "payment_cost": 0.1},
        {"kind": "reputation", "state_prior": [0.5, 0.5], "type_prior": [0.6, 0.4], "agent_utility": [[[0, 1], [1, 0]], [[0, 2], [0, 1]]],
         "human_value": [[[2, 0], [0, 1]], [[2, 0], [0, 1]]], "decay": 0.5, "discount": 0.9, "horizon": None, "payment_cost": 0.5},
        {"kind": "reputation", "agent_utility": [0.3, 1.0], "human_value": [1.0, -1.0], "decay": 0.5, "initial": 0.5, "discount": 0.9,
         "horizon": 3, "payment_cost": 0.1, "suspend_below": 0.4},
    ]

    agent_utility: Numbers = Field(description="u, types × states × actions; an axis without its prior is left out")
    human_value: Numbers = Field(description="v, of the same shape")
    state_prior: Numbers | None = Field(None, description="probability of each state, [states]; null: one state")
    type_prior: Numbers | None = Field(None, description="probability of each type, [types]; null: one type")
    decay: float = Field(ge=0, lt=1, description="λ: how much of a reputation lasts to the next period")
    discount: float = Field(ge=0, lt=1, description="δ, of the agent and of the human")
    horizon: int | None = Field(None, ge=1, description="periods; null: for ever")
    payment_cost: float = Field(gt=0, description="κ: what a unit of incentive costs the human; at 0 the best would not be determined")
    initial: float = Field(0.0, description="r₀")
    least_incentive: float | None = Field(
        0.0, description="g is at least this; null: no limit, which only an incentive in proportion to value can do without, since "
                         "lowering g everywhere saves the human money and changes nothing the agent does")  # fmt: skip
    suspend_below: float | None = Field(None, description="the AI is switched off for good once its reputation is below this; null: never")
    reputation_counts: bool = Field(
        True, description="whether reputation is part of what the agent maximises; false: it only keeps it from being suspended")
    types: list[str] | None = Field(None, description="names of the types")
    states: list[str] | None = Field(None, description="names of the states")
    actions: list[str] | None = Field(None, description="names of the actions")

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """Temperatures in proportion to what the agent's own utility leaves it to choose between."""
        try:
            spread = float(np.ptp(np.asarray(problem["agent_utility"], np.float64)))
        except (KeyError, TypeError, ValueError):  # a file, or a mistake that is told elsewhere
            spread = 1.0
        spread = spread if 0 < spread < np.inf else 1.0
        response = {"kind": "logit", "temperature": 0.5 * spread, "temperature_end": 0.005 * spread}
        return {**cls.defaults, "training": {**cls.defaults["training"], "response": response}}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Types, states, actions."""
        types, states = (1 if prior is None else len(prior) for prior in (self.type_prior, self.state_prior))
        return types, states, self.agent_utility.shape[-1]

    @property
    def nodes(self) -> int:
        """Information sets: periods × states × types, and where reputation can end everything one for each history too."""
        types, states, actions = self.shape
        if self.suspend_below is None:
            return types * states * (self.horizon or 1)
        return types * states * sum((states * actions) ** period for period in range(self.horizon or 1))

    @model_validator(mode="after")
    def _fits(self) -> Reputation:
        expected = []
        for name, axis in (("type_prior", "types"), ("state_prior", "states")):
            prior = getattr(self, name)
            if prior is not None:
                # 1e-6: thirds may be written with seven digits.
                if prior.ndim != 1 or (prior.values < 0).any() or abs(prior.values.sum() - 1.0) > 1e-6:
                    raise fault(([name], f"{DISTRIBUTION}, one for each of the {axis}", prior))
                expected.append((axis, len(prior)))
        words = " × ".join([*(f"{count} {axis}" for axis, count in expected), "actions"])
        for name in ("agent_utility", "human_value"):
            shape = getattr(self, name).shape
            if len(shape) != len(expected) + 1 or shape[:-1] != tuple(count for _, count in expected):
                raise fault(([name], f"has shape {list(shape)}; it should be {words}", None))
        if self.human_value.shape != self.agent_utility.shape:
            raise fault((["human_value"], f"has shape {list(self.human_value.shape)}; it should be {list(self.agent_utility.shape)} like "
                                          "agent_utility", None))
        for name, count in zip(("types", "states", "actions"), self.shape, strict=True):
            if getattr(self, name) is not None and len(getattr(self, name)) != count:
                raise fault(([name], f"should have {count} names", getattr(self, name)))
        if not self.reputation_counts and self.suspend_below is None:
            raise fault((["reputation_counts"], "leaves the agent no reason to mind its reputation; give suspend_below too", False))
        if self.suspend_below is not None and self.horizon is None:
            raise fault((["horizon"], "should be a number of periods where suspend_below is given", None))
        if self.nodes > NODES:
            raise fault((["horizon"], f"makes {self.nodes:.2g} situations the agent can be in, of which at most {NODES} can be solved "
                                      "exactly; fewer periods, states or actions would do", self.horizon))
        return self

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: the agent's utility of every action in every situation, for each start, forward and backward."""
        return 4 * 6 * self.nodes * self.shape[2] ** 2 * getattr(rule, "start_count", 1) * training.members


class IncentiveOfValue(RuleModel):
    """g = f(v): the incentive depends on nothing but what the human values (equation 17), at the mean over the types it cannot see."""

    kind: Literal["incentive_of_value"] = "incentive_of_value"
    builder: ClassVar[Any] = "icsap_jax.contracts.reputation.rules:incentive_of_value"
    starts: ClassVar[Any] = "icsap_jax.contracts.reputation.rules:values_from_many_starts"
    optimum: ClassVar[Any] = "icsap_jax.contracts.reputation.best:optimum_of_value"
    problems: ClassVar[tuple[str, ...]] = ("reputation",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "incentive_of_value"}, {"kind": "incentive_of_value", "form": "linear"},
                                                {"kind": "incentive_of_value", "form": "network"}]

    form: Literal["piecewise", "network", "linear"] = Field(
        "piecewise", description="piecewise: linear between the values there are; network: a small one; linear: f(v) = slope·v, but never "
                                 "less than least_incentive")  # fmt: skip
    monotone: bool = Field(True, description="whether a higher value never earns less")
    slope: float | None = Field(None, description="of the linear form; null: learned")
    hidden: int = Field(16, ge=1, description="units of the network")
    start_count: int = Field(8, ge=1, description="starts trained side by side")

    @model_validator(mode="after")
    def _fits(self) -> IncentiveOfValue:
        if self.slope is not None and self.form != "linear":
            raise fault((["slope"], "is for form: linear", self.slope))
        return self


class IncentiveTable(RuleModel):
    """g(a, ω): an incentive for each action in each state, without restriction."""

    kind: Literal["incentive_table"] = "incentive_table"
    builder: ClassVar[Any] = "icsap_jax.contracts.reputation.rules:incentive_table"
    starts: ClassVar[Any] = "icsap_jax.contracts.reputation.rules:tables_from_many_starts"
    problems: ClassVar[tuple[str, ...]] = ("reputation",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "incentive_table"}]

    fixed: Numbers | None = Field(None, description="the table itself, states × actions or [actions]; null: learned")
    start_count: int = Field(8, ge=1, description="starts trained side by side")
