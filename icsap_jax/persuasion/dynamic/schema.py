"""What a problem file may say about persuasion over time: a receiver that remembers, while the state stands still or drifts; no jax.

Markov processes, whose states everybody sees, have a folder of their own, `persuasion/markov`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Numbers, Problem, RuleModel, fault
from icsap_jax.persuasion.markov.schema import check_names, check_rows
from icsap_jax.persuasion.prior_schema import interior

LARGEST = 200_000  # numbers in a table of recommendations after every history


class PersuasionDynamic(Problem):
    """A sender who sees a state and remembers what it has said recommends an action in every period. The state stands still, or drifts by
    `transitions` from one period to the next. The receiver remembers every recommendation and cares for its payoff in this period alone:
    a new one comes each time, or one that does not look ahead. Following a recommendation must be the best it can do, by at least
    `obedience_margin`, given this one and all before it."""

    kind: Literal["persuasion_dynamic"] = "persuasion_dynamic"
    builder: ClassVar[Any] = "icsap_jax.persuasion.dynamic.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.persuasion.dynamic.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.persuasion.dynamic.baselines:baselines"
    check: ClassVar[Any] = "icsap_jax.persuasion.dynamic.optimum:check"
    polish: ClassVar[Any] = "icsap_jax.persuasion.dynamic.polish:polish"
    bound: ClassVar[Any] = "icsap_jax.persuasion.dynamic.polish:bound"
    details: ClassVar[Any] = "icsap_jax.persuasion.dynamic.details:details"
    listing: ClassVar[Any] = "icsap_jax.persuasion.dynamic.details:listing"
    pictures: ClassVar[Any] = "icsap_jax.persuasion.dynamic.pictures:pictures"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.horizon", "problem.receiver")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "history_signal"},
        "training": {"steps": 3000, "batch": 1, "learning_rate": 0.05, "decay": "cosine", "response": {"kind": "enumerate"},
                     "lagrangian": {"kind": "annealed", "multiplier": 2.0, "multiplier_end": 200.0}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "persuasion_dynamic", "prior": [0.7, 0.3], "transitions": [[0.8, 0.2], [0.1, 0.9]], "horizon": 2,
         "sender": [[0, 1], [0, 1]], "receiver": [[0, -0.5], [0, 0.5]]},
    ]

    prior: Numbers = Field(description="probability of each state in the first period, [S]")
    transitions: Numbers | None = Field(None, description="states × states, this period's to the next's; null: the state stands still")
    horizon: int = Field(ge=1, description="periods")
    sender: Numbers = Field(description="the sender's utility, states × actions, or periods × states × actions")
    receiver: Numbers = Field(description="the receiver's utility in a period, states × actions, or periods × states × actions")
    # A margin is paid for in every period: a tenth of what is asked of a single one keeps the sum of a few below a thousandth.
    obedience_margin: float = Field(1e-4, ge=0, description="by how much obeying beats every other action, given all that was recommended")
    states: list[str] | None = Field(None, description="names of the states")
    actions: list[str] | None = Field(None, description="names of the actions")

    @model_validator(mode="after")
    def _fits(self) -> PersuasionDynamic:
        interior(self.prior, names=self.states)
        count = len(self.prior)
        check_names(self.states, "states", count)
        if self.transitions is not None:
            if self.transitions.shape != (count, count):
                text = f"has shape {list(self.transitions.shape)}; it should be {[count, count]}, states × states"
                raise fault((["transitions"], text, None))
            check_rows(self.transitions, "transitions")
        actions = self.receiver.shape[-1] if self.receiver.ndim else 0
        for name in ("receiver", "sender"):
            table: Numbers = getattr(self, name)
            if table.shape not in ((count, actions), (self.horizon, count, actions)):
                text = (f"has shape {list(table.shape)}; it should be {[count, actions]}, states × actions, or "
                        f"{[self.horizon, count, actions]} with one such table for each period")
                raise fault(([name], text, None))
        check_names(self.actions, "actions", actions)
        # In logarithms first: a power of a long horizon is a number nobody can print.
        if self.horizon * np.log(max(actions, 1)) > np.log(1e12) or histories(actions, self.horizon) * count * actions > LARGEST:
            raise fault((["horizon"], f"{self.horizon} periods of {actions} actions make more than {LARGEST} probabilities, after all that "
                         "may have been said; ask for fewer periods", None))
        return self

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: after every history every recommendation against every action, forward and backward."""
        states, actions = len(self.prior), self.receiver.shape[-1]
        return 4 * 4 * histories(actions, self.horizon) * states * actions * actions * training.members


def histories(actions: int, horizon: int) -> int:
    """How many histories of recommendations there are before some period: Σ_t A^(t−1)."""
    return sum(actions**period for period in range(horizon))


class HistorySignal(RuleModel):
    """After every history of recommendations a table: the probability of each recommendation in each state, by its logits."""

    kind: Literal["history_signal"] = "history_signal"
    builder: ClassVar[Any] = "icsap_jax.persuasion.dynamic.problem:history_signal"
    problems: ClassVar[tuple[str, ...]] = ("persuasion_dynamic",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "history_signal"}]
