"""Divisions as tables: a row of everybody's reported tastes in, everybody's shares out.

A column of tastes is `agent1_piece2`, both counted from 1: in any units, but not negative. For each comes back the share.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from icsap_jax.division.family.problem import CakeFamily, FamilyEnv

Refuse = Callable[[int, str, str], Exception]


class DivisionTable:
    """The columns of a division and what they mean."""

    def __init__(self, problem: CakeFamily, env: FamilyEnv):
        self.problem = problem
        pairs = [f"agent{agent + 1}_piece{piece + 1}" for agent in range(problem.agents) for piece in range(problem.pieces)]
        self.columns, self.output_columns = pairs, [f"{pair}_share" for pair in pairs]

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray]:
        """Reports [R, N, P] whose rows sum to 1. Raises `refuse(row, column, text)` for the first taste below 0, and for the first agent
        who likes nothing."""
        wrong = np.argwhere(numbers < 0)
        if len(wrong):
            row, column = (int(each) for each in wrong[0])
            raise refuse(row, self.columns[column], f"is {numbers[row, column]:g}, and nobody minds getting cake; it should be at least 0")
        tastes = numbers.reshape(len(numbers), self.problem.agents, self.problem.pieces)
        total = tastes.sum(-1, keepdims=True)
        empty = np.argwhere(total[..., 0] <= 0)
        if len(empty):
            row, agent = (int(each) for each in empty[0])
            raise refuse(row, self.columns[agent * self.problem.pieces], "and all others of this agent are 0; it should like something")
        return ((tastes / total).astype(np.float32),)

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """The shares [R, N·P]."""
        return answers["shares"].astype(np.float64).reshape(len(numbers), -1)
