"""Facilities as tables: a row of peaks in, where facilities stand and how far everybody has to go, out.

The column `agent1_peak` is what agent 1 reports, counted from 1; `facility_0` is where the lowest facility stands. Of a lottery the
placement that is likeliest is told, with its chance; distances are expected ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from icsap_jax.choice.facility.problem import Facility, FacilityEnv

Refuse = Callable[[int, str, str], Exception]


class Table:
    """The columns of a rule that places facilities, and what they mean. Peaks must lie in the support: elsewhere the rule was never trained
    and its incentive gap never measured."""

    def __init__(self, problem: Facility, env: FacilityEnv):
        self.low, self.high = (np.asarray(bound)[:, 0] for bound in env.prior.support())
        self.columns = [f"agent{agent + 1}_peak" for agent in range(problem.agents)]
        self.output_columns = [*(f"facility_{place}" for place in range(problem.facilities)), "chance",
                               *(f"agent{agent + 1}_distance" for agent in range(problem.agents))]  # fmt: skip

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray]:
        """Reports [R, N, 1] float32. Raises `refuse(row, column, text)` for the first that is outside the support."""
        reports = numbers.astype(np.float32)
        wrong = np.argwhere((reports < self.low) | (reports > self.high))
        if len(wrong):
            row, agent = (int(each) for each in wrong[0])
            raise refuse(row, self.columns[agent], f"the peak {numbers[row, agent]:.6g} is outside the support [{self.low[agent]:.6g}, "
                         f"{self.high[agent]:.6g}] of the prior; the rule was never trained or measured outside")  # fmt: skip
        return (reports[..., None],)

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """Places, their chance, and distances, [R, K + 1 + N]."""
        places, chance = (np.asarray(answers[name], np.float64) for name in ("places", "chance"))
        likeliest = chance.argmax(-1)
        rows = np.arange(len(numbers))
        distances = np.abs(numbers[:, None, :, None] - places[:, :, None, :]).min(-1)
        expected = (distances * chance[..., None]).sum(1)
        return np.concatenate([np.sort(places[rows, likeliest], -1), chance[rows, likeliest][:, None], expected], -1)
