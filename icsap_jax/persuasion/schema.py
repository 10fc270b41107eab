"""What a problem file may say about persuasion with finitely many states and actions; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from icsap_jax.config import Numbers, Problem, RuleModel, fault


class Persuasion(Problem):
    """A sender commits to a signal for each state; the receiver, who knows the prior and the commitment, takes an action
    (Kamenica & Gentzkow 2011). Signals are recommendations of actions, and following one must be the best the receiver can do,
    by at least `obedience_margin`, given the recommendation."""

    kind: Literal["persuasion"] = "persuasion"
    builder: ClassVar[Any] = "icsap_jax.persuasion.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.persuasion.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.persuasion.baselines:baselines"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.prior", "problem.receiver")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "signal"},
        "training": {"steps": 4000, "batch": 1, "learning_rate": 0.05, "decay": "cosine", "response": {"kind": "enumerate"}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "persuasion", "prior": [0.7, 0.3], "sender": [[0, 1], [0, 1]], "receiver": [[1, 0], [0, 1]]}]

    prior: Numbers = Field(description="probability of each state, [S]")
    sender: Numbers = Field(description="the sender's utility, states × actions")
    receiver: Numbers = Field(description="the receiver's utility, states × actions")
    obedience_margin: float = Field(0.003, ge=0, description="by how much obeying beats every other action, given the recommendation")
    states: list[str] | None = Field(None, description="names of the states")
    actions: list[str] | None = Field(None, description="names of the actions")

    @model_validator(mode="after")
    def _fits(self) -> Persuasion:
        prior = self.prior.values
        # 1e-6: thirds may be written with seven digits.
        if prior.ndim != 1 or (prior < 0).any() or abs(prior.sum() - 1.0) > 1e-6:
            raise fault((["prior"], "should be a list of numbers ≥ 0 that sum to 1, one for each state", self.prior))
        shape = self.receiver.shape
        if len(shape) != 2 or shape[0] != len(prior):
            raise fault((["receiver"], f"has shape {list(shape)}; it should have {len(prior)} rows (states) of one entry per action", None))
        if self.sender.shape != shape:
            raise fault((["sender"], f"has shape {list(self.sender.shape)}; it should be {list(shape)} like receiver", None))
        for name, count in (("states", shape[0]), ("actions", shape[1])):
            names = getattr(self, name)
            if names is not None and len(names) != count:
                raise fault(([name], f"should have {count} names", names))
        return self

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: every recommendation against every action in every state, forward and backward."""
        states, actions = self.receiver.shape
        return 4 * 3 * states * actions * actions * training.members


class Signal(RuleModel):
    """A signalling scheme: the probability of each recommendation in each state, by its logits."""

    kind: Literal["signal"] = "signal"
    builder: ClassVar[Any] = "icsap_jax.persuasion.rules:signal"
    problems: ClassVar[tuple[str, ...]] = ("persuasion",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "signal"}]
