"""The best that any tax on income can do with finitely many types (Mirrlees 1971; finitely many: Stiglitz 1982), and a proof of it.

A direct mechanism gives type i the utility u_i and the income z_i. With y_i = z_i^d the cost of effort is linear in y and income concave,
so that all of it is one concave programme: maximise the social value of u subject to

    u_i ≥ u_j + (cost_j − cost_i)(y_j)  for all i, j        nobody would rather be somebody else
    Σ f_i (y_i^{1/d} − u_i − cost_i(y_i)) ≥ requirement     what is consumed and spent has been earned

It is solved by cutting planes (Kelley 1960): y^{1/d} and the social value are replaced by the tangents found so far, whose linear programme
says at least as much as can be had. Its answer, with everybody's utility lowered by what the tangents promised too much, is a mechanism,
and says what can be had. Both ends meet. A schedule of taxes is a mechanism, so that no schedule does better either.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.optimize import linprog

from icsap_jax.config import ConfigError
from icsap_jax.games.economy.exact import Exact, of_model
from icsap_jax.games.economy.social import EqualityProductivity, Isoelastic, Maximin, Revenue, Weighted
from icsap_jax.inequality import equally_distributed

ROUNDS = 200  # of tangents, at most
CLOSE = 1e-9  # of the scale of payoffs, between what can be had and what is proved; and what HiGHS' tolerances may have cost the proof
FIRST = (0.003, 0.03, 0.1, 0.3, 0.6, 1.0, 1.5)  # effort costs, as shares of those without a tax, at which the first tangents are
MOST = 100.0  # times its effort cost without a tax that a type may be asked for; where that is not enough, nothing is


@dataclass(frozen=True)
class Best:
    """A mechanism: `income`, `consumption` and `utility` [B] of each type; its `value`, and the `bound` that no other exceeds."""

    income: np.ndarray
    consumption: np.ndarray
    utility: np.ndarray
    value: float
    bound: float


class _Programme:
    """The linear programme in (u [B], Y [B], s [B], w): Y = y/y°, effort cost as a share of what it is without a tax, s the income and w
    the social value as the tangents have them. It minimises −w."""

    def __init__(self, exact: Exact):
        self.exact, self.types = exact, len(exact.free)
        self.width = 3 * self.types + 1
        self.rows: list[np.ndarray] = []
        self.right: list[float] = []
        self._incentives()
        for share in FIRST:
            self.income_tangents(np.full(self.types, share))
        self._budget_and_value()

    def row(self, right: float, **entries: Any) -> None:
        """A row  entries · variables ≤ right; entries by name: u, Y, s [B], w."""
        row, n = np.zeros(self.width), self.types
        for name, place in (("u", slice(0, n)), ("Y", slice(n, 2 * n)), ("s", slice(2 * n, 3 * n)), ("w", 3 * n)):
            row[place] = entries.get(name, 0.0)
        self.rows.append(row)
        self.right.append(right)

    @property
    def own_cost(self) -> np.ndarray:
        """What each type's effort costs it without a tax, so that Y costs Y times that."""
        return self.exact.free / self.exact.exponent

    def _incentives(self) -> None:
        exact, unit = self.exact, np.eye(self.types)
        ratio = exact.free[None, :] / exact.free[:, None]  # [i, j]: of what j earns without a tax to what i does
        cost = self.own_cost[:, None] * ratio**exact.exponent  # what Y_j = 1 costs type i
        for i in range(self.types):
            for j in range(self.types):
                if i != j:
                    self.row(0.0, u=unit[j] - unit[i], Y=(self.own_cost[j] - cost[i, j]) * unit[j])

    def income_tangents(self, at: np.ndarray) -> None:
        """s_i ≤ the tangent of z°·Y^{1/d} at Y = `at` [B]."""
        exact, at = self.exact, np.maximum(at, 1e-10)
        value, slope = exact.free * at ** (1 / exact.exponent), exact.free / exact.exponent * at ** (1 / exact.exponent - 1)
        size = np.maximum(slope / exact.free, 1.0)  # rows of entries near one
        for i, unit in enumerate(np.eye(self.types)):
            self.row((value - slope * at)[i] / size[i], s=unit / size[i], Y=-slope[i] / size[i] * unit)

    def _budget_and_value(self) -> None:
        exact, f, n = self.exact, self.exact.share, self.types
        social, surplus = exact.social, {"s": -f, "u": f, "Y": f * self.own_cost}
        self.low = np.concatenate([np.full(n, -np.inf), np.zeros(2 * n), [-np.inf]])
        if isinstance(social, Revenue):  # utilities are before the rebate here, and nobody need earn anything
            self.low[:n] = 0.0
            self.row(0.0, w=1.0, **surplus)
            return
        self.row(-exact.requirement, **surplus)
        if isinstance(social, Weighted):
            self.row(0.0, w=1.0, u=-f * social.weights)
        elif isinstance(social, Maximin):
            for unit in np.eye(n):
                self.row(0.0, w=1.0, u=-unit)
        else:
            self.row(0.0, w=1.0, u=-f)  # an equally distributed equivalent is never more than the mean

    def value_tangent(self, utility: np.ndarray) -> None:
        """w ≤ the tangent, at these utilities [B], of the equally distributed equivalent, which is concave and homogeneous."""
        social, f = self.exact.social, self.exact.share
        utility = np.maximum(utility, 1e-5 * np.abs(utility).max())
        level = equally_distributed(utility, f, social.aversion, np)
        self.row(0.0, w=1.0, u=-f * (utility / level) ** -social.aversion)

    def solve(self) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """(the most that w can be, u, Y and s [B]). Raises RuntimeError where HiGHS does not find it."""
        cost, n = np.zeros(self.width), self.types
        cost[3 * n] = -1.0
        high = np.full(self.width, np.inf)
        high[n : 2 * n] = MOST
        tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
        found = linprog(cost, A_ub=np.array(self.rows), b_ub=np.array(self.right), bounds=np.stack([self.low, high], 1), options=tight)
        if found.x is None:
            raise RuntimeError(f"the linear programme of the best mechanism was not solved: {found.message}")
        return -found.fun, found.x[:n], found.x[n : 2 * n], found.x[2 * n : 3 * n]


def best_mechanism(exact: Exact) -> Best | None:
    """The best mechanism and its proof; None for equality × productivity, which counts no leisure: whoever earns little can be punished
    until everybody earns however much, at no loss of it; and where weights favour the skilled so much that the same pays."""
    if isinstance(exact.social, EqualityProductivity):
        return None
    programme, best = _Programme(exact), None
    bound = np.inf
    for _ in range(ROUNDS):
        most, utility, cost, promised = programme.solve()
        if cost.max() > 0.999 * MOST:
            return None
        bound = min(bound, most)
        income = exact.free * np.maximum(cost, 0.0) ** (1.0 / exact.exponent)
        if not isinstance(exact.social, Revenue):  # whose utilities are before the rebate, and whose value pays for the promise
            utility = utility + exact.share @ (income - promised)
        consumption = utility + exact.cost(income)
        value = _value(exact, income, consumption)
        if best is None or value > best.value:
            best = Best(income, consumption, utility, value, bound)
        if bound - best.value <= CLOSE * exact.scale:
            break
        programme.income_tangents(cost)
        if isinstance(exact.social, Isoelastic):
            programme.value_tangent(utility)
    return Best(best.income, best.consumption, best.utility, best.value, float(max(bound, best.value)) + CLOSE * exact.scale)


def _value(exact: Exact, income: np.ndarray, consumption: np.ndarray) -> float:
    """What consumption after all transfers is worth to the designer, or the revenue where that is what it values."""
    if isinstance(exact.social, Revenue):
        return float(exact.share @ (income - consumption))
    tax = income - consumption
    return float(exact.worth(income, tax + (exact.requirement - tax @ exact.share)))  # what is left over is given to all


@lru_cache(maxsize=64)
def _of_file(written: str, kind: type) -> Best | None:
    return best_mechanism(of_model(kind.model_validate_json(written)))


def of_problem(model: Any) -> Best | None:
    """`best_mechanism` of the economy a problem file describes, remembered for the next question."""
    return _of_file(model.model_dump_json(), type(model))


def check(problem: Any, env: Any, config: Any) -> None:
    """Raise ConfigError where there is no best mechanism."""
    if of_problem(config.problem) is None:
        raise ConfigError("problem.objective.weights: favour the skilled so much that there is no best mechanism: taking from the poor "
                          "always pays; write smaller weights for the largest skills.")  # fmt: skip


def optimum(problem: Any, env: Any, model: Any, rule_model: Any = None) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"} of the best direct mechanism."""
    best = of_problem(model)
    if best is None:
        return {"value": None, "method": None, "source": None, "upper_bound": None}
    return {"value": best.value, "method": f"concave programme by cutting planes, proved to {max(best.bound - best.value, 0.0):.0e}",
            "source": "Mirrlees 1971; Stiglitz 1982", "upper_bound": best.bound}  # fmt: skip
