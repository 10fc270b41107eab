"""Tables whose rows are the numbers that agents report, one column each: what they have in common, and the refusal of a number for which no
rule was ever trained or measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# row, column, what is wrong → the error to raise
Refuse = Callable[[int, str, str], Exception]


class Columns:
    """`agent1_WORD`, …, one for each agent, counted from 1, within the support of the prior."""

    def __init__(self, problem: Any, env: Any, word: str):
        self.word, self.agents = word, [f"agent{agent + 1}" for agent in range(problem.agents)]
        self.low, self.high = (np.asarray(bound)[:, 0] for bound in env.prior.support())
        self.columns = [f"{agent}_{word}" for agent in self.agents]

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray]:
        """Reports [R, N, 1] float32 from numbers [R, N]. Raises `refuse(row, column, text)` for the first outside the support."""
        reports = numbers.astype(np.float32)
        wrong = np.argwhere((reports < self.low) | (reports > self.high))
        if len(wrong):
            row, agent = (int(each) for each in wrong[0])
            raise refuse(row, self.columns[agent], f"the {self.word} {numbers[row, agent]:.6g} is outside the support "
                         f"[{self.low[agent]:.6g}, {self.high[agent]:.6g}] of the prior; the rule was never trained or measured outside")
        return (reports[..., None],)
