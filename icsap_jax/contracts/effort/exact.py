"""Continuous effort exactly, in float64: closed forms where cost is quadratic, a bounded search in one dimension where it is a power.

With everything paid for by participation the principal's profit from slopes β is B·a(β) − c(a(β)) − ½ r β′Σβ − reservation, a(β) the
agent's best effort. For c = ½ a′C a, with E choosing the measured tasks (Holmström & Milgrom 1991, equation 5 where E = I),

    E′(C⁻¹ + rΣ)E β = E′C⁻¹B
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from icsap_jax.contracts.effort.schema import PowerCost, square

ROOM = 4.0  # the box of efforts reaches this many times as far as any effort anybody would want


@dataclass(frozen=True)
class Exact:
    """The problem as float64 arrays: as `effort.EffortEnv`, with C as `matrix`, or else `scale` and `exponent` of a power."""

    gains: np.ndarray
    matrix: np.ndarray | None
    scale: np.ndarray | None
    exponent: float
    noise: np.ndarray
    risk_aversion: float
    measured: np.ndarray
    outside: float
    low: np.ndarray
    high: np.ndarray

    def cost(self, effort: np.ndarray) -> float:
        """c(a)."""
        if self.matrix is not None:
            return float(0.5 * effort @ self.matrix @ effort)
        return float(np.abs(effort) ** self.exponent @ self.scale / self.exponent)

    def reply(self, slopes: np.ndarray) -> np.ndarray:
        """The effort [T] in the box that maximises slopes·a − c(a)."""
        if self.matrix is None:
            return np.clip((np.maximum(slopes, 0.0) / self.scale) ** (1 / (self.exponent - 1)), self.low, self.high)
        free = np.linalg.solve(self.matrix, slopes)
        if (free >= self.low).all() and (free <= self.high).all():
            return free
        found = minimize(
            lambda a: self.cost(a) - slopes @ a, np.clip(free, self.low, self.high), jac=lambda a: self.matrix @ a - slopes,
            bounds=list(zip(self.low, self.high, strict=True)), method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-12},
        )  # fmt: skip
        return found.x

    def profit(self, slopes: np.ndarray) -> float:
        """What the principal keeps at slopes [T], participation binding."""
        effort = self.reply(slopes)
        risk = 0.5 * self.risk_aversion * slopes @ self.noise @ slopes
        return float(self.gains @ effort - self.cost(effort) - risk - self.outside)

    def first_best(self) -> float:
        """With effort for all to see, and no risk on the agent."""
        effort = self.reply(self.gains)
        return float(self.gains @ effort - self.cost(effort) - self.outside)

    def best_slopes(self) -> np.ndarray | None:
        """The optimal β [T]; None where nothing exact is known (a box that binds, a power with noise common to tasks)."""
        if self.matrix is None:
            return self._searched()
        kept = np.flatnonzero(self.measured)
        slopes = np.zeros(len(self.gains))
        inverse = np.linalg.inv(self.matrix)
        if kept.size:
            curvature = (inverse + self.risk_aversion * self.noise)[np.ix_(kept, kept)]
            slopes[kept] = np.linalg.solve(curvature, (inverse @ self.gains)[kept])
        free = inverse @ slopes
        return slopes if (free >= self.low).all() and (free <= self.high).all() else None

    def _searched(self) -> np.ndarray | None:
        """Task by task over the efforts there are: a grid, then the best of its neighbourhood."""
        if np.abs(self.noise - np.diag(np.diag(self.noise))).max() > 0:
            return None
        slopes = np.zeros(len(self.gains))
        for task in np.flatnonzero(self.measured):
            def loss(slope: float, task: int = task) -> float:
                return -self.profit(np.where(np.arange(len(slopes)) == task, slope, 0.0))

            steepest = self.scale[task] * self.high[task] ** (self.exponent - 1)
            grid = np.linspace(0.0, steepest, 2001)
            place = int(np.argmin([loss(slope) for slope in grid]))
            ends = grid[max(place - 1, 0)], grid[min(place + 1, 2000)]
            slopes[task] = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-13}).x
        return slopes

    def single_task_slopes(self) -> np.ndarray:
        """β [T] of a principal who prices each measured task as if it were the only one: B / (1 + r C σ²), quadratic costs."""
        return self.measured * self.gains / (1 + self.risk_aversion * np.diag(self.matrix) * np.diag(self.noise))


def of_model(model: Any) -> Exact:
    """From a checked problem file."""
    tasks = model.tasks
    gains = np.atleast_1d(np.asarray(model.gains, np.float64))
    powered = isinstance(model.cost, PowerCost)
    exact = Exact(
        gains=gains, matrix=None if powered else square(model.cost.matrix, tasks),
        scale=np.broadcast_to(model.cost.scale.values, (tasks,)).copy() if powered else None,
        exponent=float(model.cost.exponent) if powered else 2.0, noise=square(model.noise, tasks),
        risk_aversion=float(model.risk_aversion), outside=float(model.reservation),
        measured=np.ones(tasks) if model.measured is None else np.asarray(model.measured, np.float64),
        low=np.full(tasks, -np.inf), high=np.full(tasks, np.inf),
    )  # fmt: skip
    if model.effort is not None:
        low, high = model.effort.values
    else:
        wanted = [exact.reply(np.abs(gains) if powered else gains)]
        wanted += [] if powered else [exact.reply(exact.best_slopes()), exact.reply(exact.single_task_slopes())]
        high = ROOM * np.abs(wanted).max()
        low = 0.0 if powered else -high
    return Exact(**{**vars(exact), "low": np.full(tasks, low), "high": np.full(tasks, high)})


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: what the principal keeps under the best linear wage; never more than the first best."""
    exact = of_model(model)
    slopes = exact.best_slopes()
    method = "bounded search, task by task" if exact.matrix is None else "closed form"
    return {
        "value": None if slopes is None else exact.profit(slopes),
        "method": None if slopes is None else method,
        "source": "Holmström & Milgrom 1987, 1991",
        "upper_bound": exact.first_best(),
    }


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """What the principal keeps in the first best, without incentives, when the agent gets all it produces (its slope the gain of each
    measured task), and where there are several tasks when each is priced as if it were alone."""
    exact = of_model(model)
    found = {
        "first_best": exact.first_best(),
        "no_incentive": exact.profit(np.zeros(model.tasks)),
        "selling_the_firm": exact.profit(exact.gains * exact.measured),
    }
    if model.tasks > 1 and exact.matrix is not None:
        found["single_task_slopes"] = exact.profit(exact.single_task_slopes())
    return found


def details(problem: Any, env: Any, model: Any, rule_model: Any, rule: Any) -> dict[str, Any]:
    """The wage and the effort it calls forth, exactly, from the slopes that were learned; beside them the best ones."""
    exact = of_model(model)
    slopes = np.asarray(rule(None), np.float64) * exact.measured
    effort = exact.reply(slopes)
    risk = 0.5 * exact.risk_aversion * slopes @ exact.noise @ slopes
    fixed = exact.outside + exact.cost(effort) + risk - slopes @ effort
    told = {"slopes": slopes.tolist(), "fixed_wage": float(fixed), "effort": effort.tolist()}
    best = exact.best_slopes()
    if best is not None:
        told["best_slopes"] = best.tolist()
    if model.tasks > 1 and exact.matrix is not None:
        told["single_task_slopes"] = exact.single_task_slopes().tolist()
    return told
