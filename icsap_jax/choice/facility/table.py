"""Facilities as tables: a row of peaks in, where facilities stand and how far everybody has to go, out.

The column `agent1_peak` is what agent 1 reports, counted from 1; `facility_0` is where the lowest facility stands. Of a lottery the
placement that is likeliest is told, with its chance; distances are expected ones.
"""

from __future__ import annotations

import numpy as np

from icsap_jax.choice.columns import Columns
from icsap_jax.choice.facility.problem import Facility, FacilityEnv


class Table(Columns):
    """The columns of a rule that places facilities, and what they mean."""

    def __init__(self, problem: Facility, env: FacilityEnv):
        super().__init__(problem, env, "peak")
        self.output_columns = [*(f"facility_{place}" for place in range(problem.facilities)), "chance",
                               *(f"{agent}_distance" for agent in self.agents)]  # fmt: skip

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """Places, their chance, and distances, [R, K + 1 + N]."""
        places, chance = (np.asarray(answers[name], np.float64) for name in ("places", "chance"))
        likeliest = chance.argmax(-1)
        rows = np.arange(len(numbers))
        distances = np.abs(numbers[:, None, :, None] - places[:, :, None, :]).min(-1)
        expected = (distances * chance[..., None]).sum(1)
        return np.concatenate([np.sort(places[rows, likeliest], -1), chance[rows, likeliest][:, None], expected], -1)
