"""Wages and incentives as tables and lists: what was measured, or done, in; what is to be paid out.

A wage's columns are `x1`, `x2`, …: the measured outcome of each task. An incentive's are `state` (where there are several) and
`action`, by their numbers from 0 as in the problem file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.types import Rule

Refuse = Callable[[int, str, str], Exception]


class WageTable:
    """The columns of a linear wage α + β·x."""

    def __init__(self, problem: Any, env: Any):
        self.problem, self.env = problem, env
        self.columns = [f"x{task + 1}" for task in range(problem.tasks)]
        self.output_columns = ["wage"]

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray]:
        """Nothing that depends on the rows: slopes are the same for all."""
        return (np.zeros(0, np.float32),)

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """The wage [R, 1] on measured outcomes [R, T]; what is not measured is not paid for."""
        wage = jax.jit(lambda env, told: self.problem.decide(env, lambda seen: told, None, None))(self.env, answers["decision"])
        return (float(wage.fixed) + numbers @ np.asarray(wage.slopes, np.float64))[:, None]


class IncentiveTable:
    """The columns of an incentive g(a, ω)."""

    def __init__(self, problem: Any, env: Any):
        self.seen = np.asarray(env.seen, np.float32)
        self.sizes = {**({"state": problem.states} if problem.states > 1 else {}), "action": problem.actions}
        self.columns, self.output_columns = list(self.sizes), ["incentive"]

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray]:
        """What the human values, [S, A], whatever the rows."""
        return (self.seen,)

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """The incentive [R, 1] of each row's state and action."""
        whole = numbers.astype(int)
        state = whole[:, 0] if "state" in self.sizes else np.zeros(len(whole), int)
        return answers["decision"].astype(np.float64)[state, whole[:, -1]][:, None]


def wage(problem: Any, env: Any, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The wage as rows: its fixed part, and the slope of each task."""
    found = jax.jit(problem.decide)(env, rule, None, None)
    slopes = [{"part": f"slope of x{task + 1}", "wage": float(slope)} for task, slope in enumerate(found.slopes)]
    return [{"part": "fixed", "wage": float(found.fixed)}, *slopes]


def incentives(problem: Any, env: Any, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The incentive for each action in each state, beside what the human values it at on average over types."""
    given, seen = np.asarray(rule(env.seen), np.float64), np.asarray(env.seen, np.float64)
    states, actions = model.states or range(problem.states), model.actions or range(problem.actions)
    return [
        {**({"state": state} if problem.states > 1 else {}), "action": action, "value": float(seen[s, a]), "incentive": float(given[s, a])}
        for s, state in enumerate(states) for a, action in enumerate(actions)
    ]  # fmt: skip
