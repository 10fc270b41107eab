"""What a problem file may say about persuasion with finitely many states and actions; no jax.

The other kinds of persuasion problem have folders of their own with a schema in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from icsap_jax.config import Kind, Model, Numbers, OneOf, Problem, RuleModel, fault
from icsap_jax.persuasion.prior_schema import ROUNDING, interior

MOST_PROFILES = 4096  # recommendations that are written out: actions to the power of types
OBEDIENT: dict[str, Any] = {"steps": 1000, "batch": 1, "learning_rate": 0.05, "decay": "cosine", "response": {"kind": "enumerate"}}
FREE: dict[str, Any] = {
    "steps": 2000, "batch": 1, "learning_rate": 0.02, "decay": "cosine",
    "response": {"kind": "logit", "temperature": 0.3, "temperature_end": 0.001, "spread": 0.01}}  # fmt: skip


class SignalCost(Kind):
    """What it costs the sender to tell the receiver something."""

    @property
    def per_nat(self) -> float:
        """Of mutual information of signal and state."""
        return 0.0


class Entropy(SignalCost):
    """`weight` for each nat of mutual information of signal and state, H(prior) − E H(posterior)."""

    kind: Literal["entropy"] = "entropy"
    weight: float = Field(1.0, gt=0, description="in the sender's utility, for each nat")

    @property
    def per_nat(self) -> float:
        """The weight."""
        return self.weight


class ReceiverResponse(Kind):
    """How the receiver chooses, given what it believes."""

    @property
    def quantal(self) -> float | None:
        """The precision of a quantal receiver; None of an exact one."""
        return None


class Exact(ReceiverResponse):
    """The receiver takes an action that is best for it."""

    kind: Literal["exact"] = "exact"


class Quantal(ReceiverResponse):
    """The receiver makes mistakes, the dearer the rarer: softmax(precision × expected utility) (McKelvey & Palfrey 1995)."""

    kind: Literal["logit"] = "logit"
    precision: float = Field(10.0, gt=0, description="per unit of the receiver's utility")

    @property
    def quantal(self) -> float | None:
        """The precision."""
        return self.precision


class Iterate(Model):
    """What becomes of beliefs when today's posterior is tomorrow's prior (Zhang et al. 2024, eq. 19–21)."""

    rounds: int = Field(1, ge=1, description="at most; fewer where beliefs no longer move; 1: nothing more is told")
    repeat: Literal["reoptimised", "fixed"] = Field(
        "reoptimised", description="the best scheme at every belief reached, or the learned signal again and again")
    tolerance: float = Field(1e-6, ge=0, description="what a belief may gain, or move by, and still be said to rest")


class Persuasion(Problem):
    """A sender commits to a signal for each state; the receiver, who knows the prior and the commitment, takes an action
    (Kamenica & Gentzkow 2011). Unless `signals` says how many there are, signals are recommendations of actions, and following one must
    be the best the receiver can do, by at least `obedience_margin`, given the recommendation."""

    kind: Literal["persuasion"] = "persuasion"
    builder: ClassVar[Any] = "icsap_jax.persuasion.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.persuasion.optimum:optimum"
    bound: ClassVar[Any] = "icsap_jax.persuasion.optimum:bound"
    baselines: ClassVar[Any] = "icsap_jax.persuasion.baselines:baselines"
    check: ClassVar[Any] = "icsap_jax.persuasion.optimum:check"
    polish: ClassVar[Any] = "icsap_jax.persuasion.polish:polish"
    details: ClassVar[Any] = "icsap_jax.persuasion.polish:details"
    pictures: ClassVar[Any] = "icsap_jax.persuasion.pictures:pictures"
    table: ClassVar[Any] = "icsap_jax.persuasion.table:SignalTable"
    listing: ClassVar[Any] = "icsap_jax.persuasion.polish:listing"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.prior", "problem.receiver", "rule.start_count")
    defaults: ClassVar[dict[str, Any]] = {"rule": {"kind": "signal"}, "training": OBEDIENT, "evaluation": {}}
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "persuasion", "prior": [0.7, 0.3], "sender": [[0, 1], [0, 1]], "receiver": [[1, 0], [0, 1]]},
        {"kind": "persuasion", "prior": [0.7, 0.3], "sender": [[0, 1], [0, 1]], "receiver": [[[1, 0], [0, 2]], [[2, 0], [0, 1]]],
         "receiver_types": [0.5, 0.5], "signals": 2, "signal_cost": {"kind": "entropy", "weight": 0.1},
         "receiver_response": {"kind": "logit", "precision": 5}},
    ]

    prior: Numbers = Field(description="probability of each state, all positive, [S]")
    sender: Numbers = Field(description="the sender's utility, states × actions")
    receiver: Numbers = Field(description="the receiver's utility, (types ×) states × actions")
    receiver_types: Numbers | None = Field(None, description="probability of each type of the receiver; null: there is one type")
    receiver_response: OneOf[ReceiverResponse] = Field(default_factory=Exact, description="how the receiver chooses")
    signals: int | None = Field(None, ge=1, description="how many signals there are; null: one to recommend each action (of each type)")
    signal_cost: OneOf[SignalCost] | None = Field(None, description="what telling costs the sender; null: nothing")
    obedience_margin: float = Field(5e-4, ge=0, description="by how much obeying beats every other action, given the recommendation")
    iterate: Iterate = Field(default_factory=Iterate, description="tell too what comes of persuading again and again")
    states: list[str] | None = Field(None, description="names of the states")
    actions: list[str] | None = Field(None, description="names of the actions")

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """Where signals have no meaning of their own, their meaning is what is searched for."""
        quantal = isinstance(problem.get("receiver_response"), Mapping) and problem["receiver_response"].get("kind") == "logit"
        if not quantal and problem.get("signals") is None:
            return cls.defaults
        return {**cls.defaults, "rule": {"kind": "signal", "start_count": 24}, "training": FREE}

    @model_validator(mode="after")
    def _fits(self) -> Persuasion:
        interior(self.prior, names=self.states)
        states = len(self.prior)
        shape = self.receiver.shape
        if len(shape) not in (2, 3) or shape[-2] != states:
            raise fault((["receiver"], f"has shape {list(shape)}; it should be (types ×) {states} states × actions", None))
        if self.sender.shape != shape[-2:]:
            raise fault((["sender"], f"has shape {list(self.sender.shape)}; it should be {list(shape[-2:])} like receiver", None))
        types = self.receiver_types
        if (len(shape) == 3) != (types is not None):
            text = (f"is missing; the {shape[0]} types of receiver need a probability each" if types is None
                    else "needs receiver of types × states × actions")  # fmt: skip
            raise fault((["receiver_types"], text, types))
        if types is not None and (types.shape != shape[:1] or (types.values <= 0).any() or abs(types.values.sum() - 1.0) > ROUNDING):
            raise fault((["receiver_types"], f"should be {shape[0]} probabilities > 0 that sum to 1", types))
        profiles = shape[-1] ** (1 if types is None else len(types))
        if profiles > MOST_PROFILES:
            raise fault((["receiver_types"], f"{shape[0]} types with {shape[-1]} actions each make {profiles} recommendations, and "
                         f"{MOST_PROFILES} are the most; write fewer types", types))
        plain = self.signal_cost is None and self.receiver_response.quantal is None
        if self.iterate.rounds > 1 and self.iterate.repeat == "reoptimised" and not plain:
            text = "should be fixed: schemes are re-optimised for exact receivers and signals that cost nothing"
            raise fault((["iterate", "repeat"], text, "reoptimised"))
        for name, count in (("states", states), ("actions", shape[-1])):
            names = getattr(self, name)
            if names is not None and (len(names) != count or len(set(names)) != count):
                raise fault(([name], f"should be {count} different names", names))
        return self

    def names(self, axis: Literal["states", "actions"], count: int) -> list[str]:
        """What the members of an axis are called: the names given, or their numbers from 0."""
        return getattr(self, axis) or [str(place) for place in range(count)]

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: every recommendation against every action in every state, forward and backward."""
        types = 1 if self.receiver_types is None else len(self.receiver_types)
        states, actions = self.sender.shape
        signals = self.signals or actions**types
        return 4 * 3 * states * signals * actions * types * training.members * getattr(rule, "start_count", 1)


class Signal(RuleModel):
    """A signalling scheme: the probability of each signal in each state, by its logits, from several starts; then made exact by the
    primal-dual method for what its signals recommend."""

    kind: Literal["signal"] = "signal"
    builder: ClassVar[Any] = "icsap_jax.persuasion.rules:signal"
    starts: ClassVar[Any] = "icsap_jax.persuasion.rules:signals"
    problems: ClassVar[tuple[str, ...]] = ("persuasion",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "signal"}]

    start_count: int = Field(4, ge=1, description="schemes that training begins with, from saying nothing to saying all")
