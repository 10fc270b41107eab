"""Schemes for Markov processes as tables: a row of the state, what the sender sees in it and, with a horizon, the step, in; what is
recommended, and what that makes the receiver believe of what the sender saw, out.

The columns `state`, `outcome` and `step` have numbers counted from 0, as in the problem file's tables. The recommendation is drawn by a
seed, anew in every row; `belief_0`, … are the posterior after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from icsap_jax.persuasion.markov.problem import MarkovEnv, MarkovPersuasion

Refuse = Callable[[int, str, str], Exception]


class MarkovTable:
    """The columns of a scheme and what they mean."""

    def __init__(self, problem: MarkovPersuasion, env: MarkovEnv):
        self.problem, self.env = problem, env
        self.sizes = {"state": problem.states, "outcome": problem.outcomes, **({"step": problem.layers} if problem.horizon else {})}
        self.columns = list(self.sizes)
        self.output_columns = ["recommendation", "probability", *(f"belief_{outcome}" for outcome in range(problem.outcomes))]
        self.random = np.random.default_rng(0)

    def seed(self, seed: int) -> None:
        """Draw recommendations by this seed."""
        self.random = np.random.default_rng(seed)

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray]:
        """The rule's rows: those of every outcome in each line's step and state, since beliefs need them all, [R·O]."""
        step = numbers[:, 2] if self.problem.horizon else np.zeros(len(numbers))
        first = (step * self.problem.states + numbers[:, 0]) * self.problem.outcomes
        return ((first[:, None] + np.arange(self.problem.outcomes)).ravel().astype(np.int32),)

    def outputs(self, numbers: np.ndarray, answers: dict[str, Any]) -> np.ndarray:
        """The recommendation, how likely it was for that outcome, and the posterior after it, [R, 2 + O]."""
        every = np.asarray(answers["decision"], np.float64).reshape(len(numbers), self.problem.outcomes, -1)
        lines, state = np.arange(len(numbers)), numbers[:, 0].astype(int)
        says = every[lines, numbers[:, 1].astype(int)]
        cumulative = np.cumsum(says / says.sum(1, keepdims=True), axis=1)
        drawn = np.minimum((cumulative <= self.random.random((len(numbers), 1))).sum(1), says.shape[1] - 1)
        joint = np.asarray(self.env.state_prior)[state] * every[lines, :, drawn]
        return np.column_stack([drawn, says[lines, drawn], joint / joint.sum(1, keepdims=True)])
