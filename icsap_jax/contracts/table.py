"""Contracts as tables: a row of what happened in, what is to be paid out.

The column `outcome` has an outcome's number, counted from 0 as in the problem file's tables; where the agent chooses from a menu, the
column `report` has the number of the type it reported.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from icsap_jax.contracts.problem import Contract, ContractEnv

Refuse = Callable[[int, str, str], Exception]


class ContractTable:
    """The columns of a contract and what they mean."""

    def __init__(self, problem: Contract, env: ContractEnv):
        self.sizes = {**({"report": problem.types} if problem.types > 1 else {}), "outcome": problem.outcomes}
        self.columns = list(self.sizes)
        self.output_columns = ["payment"]

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray, np.ndarray]:
        """Report and outcome [R] each, int32."""
        whole = numbers.astype(np.int32)
        return (whole[:, 0] if "report" in self.sizes else np.zeros(len(whole), np.int32)), whole[:, -1]

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """The payment [R, 1]."""
        return answers["decision"].astype(np.float64)[:, None]
