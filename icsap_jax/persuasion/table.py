"""Schemes as tables: a row of the state in, what is said, and what that makes the receiver believe, out.

The column `state` has a state's number, counted from 0 as in the problem file's tables. The signal is drawn by a seed, anew in every
row; `belief_0`, … are the posterior after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from icsap_jax.persuasion.problem import Persuasion, PersuasionEnv

Refuse = Callable[[int, str, str], Exception]


class SignalTable:
    """The columns of a scheme and what they mean."""

    def __init__(self, problem: Persuasion, env: PersuasionEnv):
        self.problem, self.env = problem, env
        self.sizes = {"state": problem.states}
        self.columns = list(self.sizes)
        self.output_columns = ["signal", "probability", *(f"belief_{state}" for state in range(problem.states))]
        self.random = np.random.default_rng(0)

    def seed(self, seed: int) -> None:
        """Draw signals by this seed."""
        self.random = np.random.default_rng(seed)

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray]:
        """Every row's state, and after the rows every state once, since beliefs need them all: [R + S]."""
        return (np.concatenate([numbers[:, 0], np.arange(self.problem.states)]).astype(np.int32),)

    def outputs(self, numbers: np.ndarray, answers: dict[str, Any]) -> np.ndarray:
        """The signal, how likely it was in that state, and the posterior after it, [R, 2 + S]."""
        every = np.asarray(answers["decision"], np.float64)
        said, scheme = every[: len(numbers)], every[len(numbers) :]
        cumulative = np.cumsum(said / said.sum(1, keepdims=True), axis=1)
        signal = np.minimum((cumulative < self.random.random((len(numbers), 1))).sum(1), said.shape[1] - 1)
        joint = np.asarray(self.env.prior)[:, None] * scheme
        mass = joint.sum(0)
        posterior = np.where(mass > 0, joint / np.where(mass > 0, mass, 1.0), np.asarray(self.env.prior)[:, None])
        return np.column_stack([signal, said[np.arange(len(numbers)), signal], posterior.T[signal]])
