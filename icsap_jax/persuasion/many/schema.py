"""What a problem file may say about persuading several receivers; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Numbers, Problem, RuleModel, fault
from icsap_jax.persuasion.prior_schema import interior


class PersuasionMany(Problem):
    """A sender who sees the state recommends an action to each of several receivers, whose payoffs may depend on what the others do
    (Bergemann & Morris 2019). On private channels each receiver hears its own recommendation only, so that a rule is a Bayes correlated
    equilibrium; on a public one all hear all, so that every profile recommended is a Nash equilibrium at the belief it leaves."""

    kind: Literal["persuasion_many"] = "persuasion_many"
    builder: ClassVar[Any] = "icsap_jax.persuasion.many.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.persuasion.many.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.persuasion.many.optimum:baselines"
    check: ClassVar[Any] = "icsap_jax.persuasion.many.optimum:check"
    bound: ClassVar[Any] = "icsap_jax.persuasion.many.polish:bound"
    polish: ClassVar[Any] = "icsap_jax.persuasion.many.polish:polish"
    details: ClassVar[Any] = "icsap_jax.persuasion.many.details:details"
    listing: ClassVar[Any] = "icsap_jax.persuasion.many.details:listing"
    pictures: ClassVar[Any] = "icsap_jax.persuasion.many.pictures:pictures"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.receivers", "problem.prior")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "recommendations"},
        "training": {"steps": 3000, "batch": 1, "learning_rate": 0.05, "decay": "cosine", "response": {"kind": "enumerate"}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "persuasion_many", "prior": [0.7, 0.3], "receivers": [[[0, -0.5], [0, 0.5]], [[0, -0.75], [0, 0.25]]],
         "sender": [[[0, 1], [1, 2]], [[0, 1], [1, 2]]]},
        {"kind": "persuasion_many", "prior": [0.5, 0.5], "channel": "public", "anonymous": True,
         "receivers": [[[0, 0], [-1, -0.9]], [[0, 0], [0.55, 0.65]]], "sender": [[0, 1, 2], [0, 1, 2]]},
    ]

    prior: Numbers = Field(description="probability of each state, above 0")
    receivers: Numbers = Field(
        description="each receiver's utility: receivers × states × actions, or where others matter receivers × states × one axis of "
        "actions for each receiver; anonymous: states × 2 (not acting, acting), or states × 2 × how many of the others act")
    sender: Numbers = Field(
        description="the sender's utility: states × one axis of actions for each receiver; anonymous: states × how many act (0, 1, … all)")
    channel: Literal["private", "public"] = Field("private", description="whether each receiver hears its own recommendation or all")
    anonymous: bool = Field(
        False, description="receivers are alike and have two actions: a rule says how many shall act, who does is drawn evenly")
    obedience_margin: float = Field(5e-4, ge=0, description="by how much obeying beats every other action, given what is heard")
    states: list[str] | None = Field(None, description="names of the states")
    actions: list[str] | None = Field(None, description="names of the actions")
    names: list[str] | None = Field(None, description="names of the receivers; none where they are anonymous")

    @model_validator(mode="after")
    def _fits(self) -> PersuasionMany:
        interior(self.prior, names=self.states)
        states, given = len(self.prior), self.receivers.shape
        if self.sender.ndim < 2 or self.sender.shape[0] != states:
            raise fault((["sender"], f"has shape {list(self.sender.shape)}; its first axis should be the {states} states of prior, then "
                         + ("how many receivers act" if self.anonymous else "one axis of actions for each receiver"), None))
        count, actions = self.count
        if self.anonymous:
            right = [(states, 2), (states, 2, count)]
            self._shape("sender", [(states, count + 1)])
        else:
            profile = (actions,) * count
            right = [(count, states, actions), (count, states, *profile)]
            self._shape("sender", [(states, *profile)])
        if count < 1 or actions < 2:
            raise fault((["sender"], f"has shape {list(self.sender.shape)}; it should leave a receiver with two actions or more", None))
        if given not in right:
            what = "states × 2, and where others matter × how many of them act" if self.anonymous else (
                "receivers × states × actions, and where others matter one axis of actions for each receiver")
            raise fault((["receivers"], f"has shape {list(given)}; with this prior and sender it should be "
                         f"{' or '.join(str(list(shape)) for shape in right)}: {what}", None))
        for name, size in (("states", states), ("actions", actions), ("names", 0 if self.anonymous else count)):
            called = getattr(self, name)
            if called is not None and (len(called) != size or len(set(called)) != size):
                raise fault(([name], "are for receivers who are told apart; leave it out" if not size else
                             f"should be {size} different names", called))
        return self

    def _shape(self, name: str, right: list[tuple[int, ...]]) -> None:
        if getattr(self, name).shape not in right:
            raise fault(([name], f"has shape {list(getattr(self, name).shape)}; it should be {list(right[0])}", None))

    @property
    def count(self) -> tuple[int, int]:
        """(how many receivers, how many actions each has)."""
        return (self.sender.shape[1] - 1, 2) if self.anonymous else (self.sender.ndim - 1, self.sender.shape[1])

    @property
    def separable(self) -> bool:
        """Whether receivers are told apart and none cares what the others do."""
        return not self.anonymous and self.receivers.shape == (self.count[0], len(self.prior), self.count[1])

    def called(self, axis: Literal["states", "actions", "names"]) -> list[str]:
        """What the members of an axis are called: the names given, or their numbers from 0."""
        size = {"states": len(self.prior), "actions": self.count[1], "names": self.count[0]}[axis]
        return getattr(self, axis) or [str(place) for place in range(size)]

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step, every receiver's deviations against all recommendations, or of the polish if that is more: a
        system of one equation for each state and recommendation."""
        receivers, actions = self.count
        states, signals = len(self.prior), int(np.prod(self.sender.shape[1:]))
        if self.anonymous:
            return 4 * 20 * states * signals * training.members
        heard = signals if self.channel == "public" else 1
        deviations = 1 if self.separable else receivers**2 * actions
        step = 4 * 3 * (deviations + receivers * actions) * states * signals * heard * training.members
        return max(step, 8 * 4 * (states * signals) ** 2 if self.channel == "private" else 0)


class Recommendations(RuleModel):
    """In each state the probability of each profile of recommendations, or where receivers are anonymous of each number of them who are
    told to act, by its logits."""

    kind: Literal["recommendations"] = "recommendations"
    builder: ClassVar[Any] = "icsap_jax.persuasion.many.problem:recommendations"
    problems: ClassVar[tuple[str, ...]] = ("persuasion_many",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "recommendations"}]
