"""Votes as tables: a row of ballots in, the probability of each alternative out.

The column `agent1_choice_0` is the alternative that voter 1 puts first, `agent1_choice_1` the one it puts second; voters are counted from
1, alternatives and choices from 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from icsap_jax.choice.voting.problem import Voting, VotingEnv, rankings

Refuse = Callable[[int, str, str], Exception]


class Table:
    """The columns of a voting rule, and what they mean."""

    def __init__(self, problem: Voting, env: VotingEnv):
        self.problem = problem
        count = range(problem.alternatives)
        self.columns = [f"agent{voter + 1}_choice_{choice}" for voter in range(problem.agents) for choice in count]
        self.sizes = dict.fromkeys(self.columns, problem.alternatives)
        self.output_columns = [f"probability_{alternative}" for alternative in count]

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray]:
        """Ballots [R, N, M!] float32. Raises `refuse(row, column, text)` for the first that is no order of the alternatives."""
        count = self.problem.alternatives
        choices = numbers.reshape(len(numbers), self.problem.agents, count)
        wrong = np.argwhere((np.sort(choices, -1) != np.arange(count)).any(-1))
        if len(wrong):
            row, voter = (int(each) for each in wrong[0])
            given = ", ".join(f"{each:g}" for each in choices[row, voter])
            raise refuse(row, self.columns[voter * count], f"the choices {given} should be 0 to {count - 1}, each once")
        return ((choices[:, :, None] == rankings(count)).all(-1).astype(np.float32),)

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """Probabilities, [R, M]."""
        return np.asarray(answers["decision"], np.float64)
