"""What a problem file may say about Markov persuasion processes; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Numbers, Problem, RuleModel, fault

NEAR = 1e-6  # of a sum of probabilities to 1: thirds may be written with seven digits


class PersuasionMarkov(Problem):
    """A process whose state everybody sees. In each step the sender alone also sees an outcome, drawn anew by `state_prior` of the state,
    and recommends an action; a receiver who knows the state and cares for this step alone acts; and state, outcome and action decide the
    next state (Wu et al. 2022; Gan et al. 2022). It ends after `horizon` steps, or never, and then `discount` says what a unit in the
    next step is worth now."""

    kind: Literal["persuasion_markov"] = "persuasion_markov"
    builder: ClassVar[Any] = "icsap_jax.persuasion.markov.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.persuasion.markov.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.persuasion.markov.optimum:baselines"
    check: ClassVar[Any] = "icsap_jax.persuasion.markov.optimum:check"
    polish: ClassVar[Any] = "icsap_jax.persuasion.markov.polish:polish"
    bound: ClassVar[Any] = "icsap_jax.persuasion.markov.polish:bound"
    details: ClassVar[Any] = "icsap_jax.persuasion.markov.details:details"
    listing: ClassVar[Any] = "icsap_jax.persuasion.markov.details:listing"
    pictures: ClassVar[Any] = "icsap_jax.persuasion.markov.pictures:pictures"
    table: ClassVar[Any] = "icsap_jax.persuasion.markov.table:MarkovTable"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.receiver", "problem.horizon")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "markov_signal"},
        "training": {"steps": 3000, "batch": 1, "learning_rate": 0.05, "decay": "cosine", "response": {"kind": "enumerate"},
                     "lagrangian": {"kind": "annealed", "multiplier": 5.0, "multiplier_end": 500.0}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "persuasion_markov", "horizon": 2, "state_prior": [[0.7, 0.3], [0.4, 0.6]],
         "sender": [[[0, 1], [0, 1]], [[0, 2], [0, 2]]], "receiver": [[[1, 0], [0, 1]], [[1, 0], [0, 1]]],
         "transitions": [[[[0.5, 0.5], [0.1, 0.9]], [[0.5, 0.5], [0.5, 0.5]]], [[[0.9, 0.1], [0.9, 0.1]], [[0.2, 0.8], [0.2, 0.8]]]]},
        {"kind": "persuasion_markov", "discount": 0.8, "start": [0.5, 0.5], "state_prior": [[0.7, 0.3], [0.4, 0.6]],
         "sender": [[[0, 1], [0, 1]], [[0, 2], [0, 2]]], "receiver": [[[1, 0], [0, 1]], [[1, 0], [0, 1]]],
         "transitions": [[[[0.5, 0.5], [0.1, 0.9]], [[0.5, 0.5], [0.5, 0.5]]], [[[0.9, 0.1], [0.9, 0.1]], [[0.2, 0.8], [0.2, 0.8]]]]},
    ]

    state_prior: Numbers = Field(description="probability of each outcome in each state of the process, states × outcomes")
    sender: Numbers = Field(description="the sender's utility, states × outcomes × actions")
    receiver: Numbers = Field(description="the receiver's utility in a step, states × outcomes × actions")
    transitions: Numbers = Field(description="probability of each next state, states × outcomes × actions × states")
    start: int | Numbers = Field(0, description="the state in which the process starts, counted from 0, or the probability of each")
    horizon: int | None = Field(None, ge=1, description="steps; null: for ever, at a discount")
    discount: float | None = Field(None, ge=0, lt=1, description="what a unit in the next step is worth now; null: there is a horizon")
    # Margins add up over the steps, by a factor of 1/(1 − discount): a fifth of what is asked of a single game keeps the sum small.
    obedience_margin: float = Field(1e-4, ge=0, description="by how much obeying beats every other action, given state and recommendation")
    states: list[str] | None = Field(None, description="names of the states of the process")
    outcomes: list[str] | None = Field(None, description="names of what the sender alone sees")
    actions: list[str] | None = Field(None, description="names of the actions")

    @model_validator(mode="after")
    def _fits(self) -> PersuasionMarkov:
        if (self.horizon is None) == (self.discount is None):
            missing, both = "is missing; give the number of steps, or a discount", "excludes a discount; give one of them"
            raise fault((["horizon"], missing if self.horizon is None else both, self.horizon))
        if self.state_prior.ndim != 2:
            raise fault((["state_prior"], f"has {self.state_prior.ndim} axes; it should have two, states × outcomes", self.state_prior))
        states, outcomes = self.state_prior.shape
        check_rows(self.state_prior, "state_prior")
        check_names(self.states, "states", states)
        check_names(self.outcomes, "outcomes", outcomes)
        for state, outcome in np.argwhere(self.state_prior.values == 0):
            which = self.outcomes[outcome] if self.outcomes else f"{outcome} (counted from 0)"
            raise fault((["state_prior", int(state)], f"gives outcome {which} no probability; the prior must be interior in every state",
                         self.state_prior[state].tolist()))
        actions = self.receiver.shape[-1] if self.receiver.ndim else 0
        check_names(self.actions, "actions", actions)
        expected = {"receiver": (states, outcomes, actions), "sender": (states, outcomes, actions),
                    "transitions": (states, outcomes, actions, states)}
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                axes = "states × outcomes × actions" + (" × states" if len(shape) == 4 else "")
                raise fault(([name], f"has shape {list(found)}; it should be {list(shape)}, {axes}", None))
        check_rows(self.transitions, "transitions")
        self._starts(states)
        return self

    def _starts(self, states: int) -> None:
        """Refuse a start that is no state and no distribution over them."""
        if isinstance(self.start, int):
            if not 0 <= self.start < states:
                raise fault((["start"], f"should be a state's number from 0 to {states - 1}, or a probability for each", self.start))
        elif self.start.shape != (states,):
            raise fault((["start"], f"has shape {list(self.start.shape)}; it should be [{states}], a probability for each state", None))
        else:
            check_rows(self.start, "start")

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: every recommendation against every action for every outcome, and the next states."""
        states, outcomes, actions = self.receiver.shape
        layers = self.horizon or 1
        return 4 * 4 * layers * states * outcomes * actions * (actions + states) * training.members


class MarkovSignal(RuleModel):
    """In every state, and with a horizon in every step, a table: the probability of each recommendation for each outcome, by its
    logits."""

    kind: Literal["markov_signal"] = "markov_signal"
    builder: ClassVar[Any] = "icsap_jax.persuasion.markov.problem:markov_signal"
    problems: ClassVar[tuple[str, ...]] = ("persuasion_markov",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "markov_signal"}]


def check_rows(table: Numbers, name: str) -> None:
    """Raise `fault` at the first row (last axis) of a table that is no distribution."""
    rows = table.values
    wrong = np.argwhere((rows < 0).any(-1) | (abs(rows.sum(-1) - 1.0) > NEAR))
    for place in wrong:
        keys = [int(each) for each in place]
        row = rows[tuple(keys)]
        raise fault(([name, *keys], f"should be probabilities ≥ 0 that sum to 1; they sum to {row.sum():.6g}", row.tolist()))


def check_names(names: list[str] | None, axis: str, count: int) -> None:
    """Raise `fault` unless there are `count` different names, or none at all."""
    if names is not None and (len(names) != count or len(set(names)) != count):
        raise fault(([axis], f"should be {count} different names", names))
