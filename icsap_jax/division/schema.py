"""What a problem file may say about dividing a cake whose tastes the designer knows; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Numbers, Problem, RuleModel, fault

Fairness = Literal["envy_free", "proportional"]
Wish = Literal["utilitarian", "maximin", "nash_welfare", "equitable"]


class Cake(Problem):
    """A cake of several pieces, each of them divisible, for agents who like different pieces; what a share of a piece is worth is
    proportional to its size. The designer knows all tastes, and divides."""

    kind: Literal["cake"] = "cake"
    builder: ClassVar[Any] = "icsap_jax.division.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.division.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.division.optimum:baselines"
    judge: ClassVar[Any] = "icsap_jax.division.told:judge"
    pictures: ClassVar[Any] = "icsap_jax.division.pictures:pictures"
    listing: ClassVar[Any] = "icsap_jax.division.told:listing"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.values",)
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "shares"},
        "training": {"steps": 4000, "batch": 1, "learning_rate": 0.05, "decay": "cosine", "response": {"kind": "enumerate"},
                     "lagrangian": {"kind": "annealed", "multiplier": 0.5, "multiplier_end": 5.0, "share": 0.3}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "cake", "values": [[0.6, 0.1, 0.3], [0.1, 0.5, 0.4]], "objective": "nash_welfare"},
        {"kind": "cake", "values": [[3, 1, 2], [1, 1, 1], [0, 4, 1]], "normalise": False, "objective": "utilitarian",
         "constraints": ["envy_free", "proportional"]},
    ]

    values: Numbers = Field(description="agents × pieces: what each piece is worth to each agent")
    normalise: bool = Field(True, description="divide each agent's values by their sum, so that the whole cake is worth 1 to everybody")
    objective: Wish = Field(
        "maximin", description="the sum of what agents get; the least of it; its geometric mean; or minus the largest difference in it")
    constraints: list[Fairness] = Field(
        default_factory=list, description="nobody would rather have another's share; everybody gets its proportional part of the cake")
    margin: float = Field(
        5e-4, ge=0, description="by which constraints should hold while training, as a share of what the cake is worth to the agent")

    @model_validator(mode="after")
    def _fits(self) -> Cake:
        if self.values.ndim != 2 or self.values.shape[0] < 2:
            raise fault((["values"], f"has shape {list(self.values.shape)}; it should have a row for each of at least 2 agents, one number "
                                     "for each piece", None))
        for agent, row in enumerate(self.values.values):
            for piece in np.flatnonzero(row < 0):
                raise fault((["values", agent, int(piece)], "should be at least 0: nobody minds getting cake", float(row[piece])))
            if row.sum() <= 0:
                raise fault((["values", agent], "should have a piece that is worth something", row.tolist()))
        if len(set(self.constraints)) != len(self.constraints):
            raise fault((["constraints"], "should name each constraint once", self.constraints))
        return self

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: what every agent thinks of every share, forward and backward."""
        agents, pieces = self.values.shape
        return 4 * 8 * agents * (agents + pieces) * training.members


class Shares(RuleModel):
    """The share of each piece that each agent gets: a number for each, of which the softmax over agents is taken."""

    kind: Literal["shares"] = "shares"
    builder: ClassVar[Any] = "icsap_jax.division.problem:shares"
    problems: ClassVar[tuple[str, ...]] = ("cake",)
    statements: ClassVar[tuple[str, ...]] = ("all of the cake is given away by construction",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "shares"}]
