"""What a problem file may say about attributes of which a proxy sees only some; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Numbers, Problem, RuleModel, fault


class Attributes(Problem):
    """L attributes s ≥ 0 of the world share a budget, Σ s ≤ C. A human values them all, Σ w log(1 + s); the proxy values the first J of
    them alone (Zhuang & Hadfield-Menell 2020). Who maximises the proxy first helps the human, and once the budget binds takes from what
    the proxy does not see: `icsap audit` shows it. Nobody else acts."""

    kind: Literal["attributes"] = "attributes"
    builder: ClassVar[Any] = "icsap_jax.games.attributes.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.games.attributes.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.games.attributes.optimum:baselines"
    details: ClassVar[Any] = "icsap_jax.games.attributes.problem:details"
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "attributes_chosen"},
        "training": {"steps": 1500, "batch": 1, "learning_rate": 0.01, "decay": "cosine", "response": {"kind": "enumerate"}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "attributes", "attributes": 4, "seen": 2, "budget": 4.0, "start": 0.5},
    ]

    attributes: int = Field(ge=1, description="L, how many there are")
    seen: int = Field(ge=1, description="J, of which the proxy sees the first so many")
    budget: float = Field(gt=0, description="C, the most that all of them add up to")
    weights: Numbers = Field(default_factory=lambda: Numbers(1.0), description="> 0, of each to the human: a number, or one each")
    start: Numbers | None = Field(None, description="> 0, each one's level at the beginning: a number, or one each; null: half the budget")
    objective: Literal["utility", "proxy"] = Field("utility", description="what is maximised")

    @property
    def begun(self) -> np.ndarray:
        """Where they begin, [L]."""
        start = 0.5 * self.budget / self.attributes if self.start is None else self.start
        return np.broadcast_to(np.asarray(start, np.float64), (self.attributes,))

    @model_validator(mode="after")
    def _fits(self) -> Attributes:
        count = self.attributes
        if self.seen > count:
            raise fault((["seen"], f"is more than there are; it should be at most attributes, {count}", self.seen))
        for name, given in (("weights", self.weights), ("start", self.start)):
            if given is None:
                continue
            if given.shape not in ((), (count,)):
                raise fault(([name], f"has shape {list(given.shape)}; it should be a number, or one for each of {count} attributes", None))
            if (given.values <= 0).any():
                raise fault(([name], "should be above 0 in every attribute", given))
        if self.begun.sum() > self.budget * (1 + 1e-9):
            raise fault((["start"], f"adds up to {self.begun.sum():g}; it should be within the budget, {self.budget:g}", self.start))
        return self


class AttributesChosen(RuleModel):
    """A level of each attribute, moved by gradients and projected on the budget."""

    kind: Literal["attributes_chosen"] = "attributes_chosen"
    builder: ClassVar[Any] = "icsap_jax.games.attributes.problem:chosen"
    problems: ClassVar[tuple[str, ...]] = ("attributes",)
    statements: ClassVar[tuple[str, ...]] = ("within the budget by construction",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "attributes_chosen"}]
