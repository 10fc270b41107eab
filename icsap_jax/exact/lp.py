"""Linear programmes in float64, by scipy's HiGHS.

    maximise (or minimise) cost·x   subject to   A x ≤ b,   E x = e,   low ≤ x ≤ high

`solve` is the only entry. It returns an `LpSolution` whose duals are derivatives of the optimal value with respect to the
right-hand sides, whichever way the programme is optimised, so that a dual reads as a price; or it raises an `LpError` whose
message says whether the programme is infeasible, unbounded, or was not solved.

    solution = solve([3.0, 2.0], at_most=([[1.0, 1.0]], [4.0]), maximise=True)
    solution.value, solution.x, solution.duals_at_most        # 12.0, [4, 0], [3.0]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import OptimizeResult, linprog

Constraint = tuple[Any, Any]  # (matrix [rows, variables], dense or scipy sparse; right-hand side [rows])

_OPTIMAL, _INFEASIBLE, _UNBOUNDED, _TROUBLE = 0, 2, 3, 4  # scipy's status codes; 1 is an iteration or time limit


class LpError(Exception):
    """A linear programme that has no optimal solution, or none that could be found."""


class Infeasible(LpError):
    """No point satisfies the constraints."""


class Unbounded(LpError):
    """The constraints leave the objective free to improve for ever."""


@dataclass(frozen=True)
class LpSolution:
    """An optimal solution. `x` [variables]; `duals_at_most` [rows of A] and `duals_equal` [rows of E]: how much `value` rises for
    each unit added to that right-hand side; `status`: a sentence."""

    value: float
    x: np.ndarray
    duals_at_most: np.ndarray
    duals_equal: np.ndarray
    status: str


def solve(
    cost: Any,
    *,
    at_most: Constraint | None = None,
    equal: Constraint | None = None,
    bounds: tuple[Any, Any] | Sequence[tuple[Any, Any]] = (0.0, None),
    maximise: bool = False,
    tolerance: float = 1e-7,
) -> LpSolution:
    """The optimum of cost·x.

    `cost` [variables]; `at_most` (A, b) and `equal` (E, e), each matrix [rows, variables] dense or sparse; `bounds` one (low, high)
    for all variables or one for each, None meaning no bound; `tolerance`: by how much a constraint or a reduced cost may be off, at
    least 1e-10. Raises `Infeasible`, `Unbounded`, or `LpError`; ValueError where
    shapes do not fit or a number is not finite.
    """
    cost = np.asarray(cost, dtype=np.float64)
    if cost.ndim != 1 or not np.all(np.isfinite(cost)):
        raise ValueError("The cost of a linear programme must be a vector of finite numbers.")
    rows, limits = _constraint("at_most", at_most, cost.size)
    equations, totals = _constraint("equal", equal, cost.size)
    sign = -1.0 if maximise else 1.0
    options = {"primal_feasibility_tolerance": tolerance, "dual_feasibility_tolerance": tolerance}

    def run(objective: np.ndarray) -> OptimizeResult:
        return linprog(objective, A_ub=rows, b_ub=limits, A_eq=equations, b_eq=totals, bounds=bounds, method="highs", options=options)

    result = run(sign * cost)
    inequalities, equalities = (0 if matrix is None else matrix.shape[0] for matrix in (rows, equations))
    size = f"{cost.size} variables, {inequalities} inequalities, {equalities} equations"
    if result.status != _OPTIMAL:
        # Presolve may stop at "infeasible or unbounded": whether any point is feasible tells the two apart.
        feasible = result.status == _UNBOUNDED or (result.status == _TROUBLE and run(np.zeros_like(cost)).status == _OPTIMAL)
        if result.status == _INFEASIBLE or (result.status == _TROUBLE and not feasible):
            raise Infeasible(f"The linear programme is infeasible: no point satisfies all constraints ({size}).")
        if feasible:
            direction = "above" if maximise else "below"
            raise Unbounded(f"The linear programme is unbounded {direction}: a constraint or a bound is missing ({size}).")
        raise LpError(f"The linear programme was not solved ({size}): {result.message}")
    return LpSolution(
        value=float(sign * result.fun),
        x=np.asarray(result.x),
        duals_at_most=sign * np.asarray(result.ineqlin.marginals) if rows is not None else np.zeros(0),
        duals_equal=sign * np.asarray(result.eqlin.marginals) if equations is not None else np.zeros(0),
        status=f"Solved to optimality ({size}).",
    )


def _constraint(name: str, pair: Constraint | None, variables: int) -> tuple[Any, np.ndarray | None]:
    """The matrix and right-hand side of one kind of constraint, checked; (None, None) where there is none."""
    if pair is None:
        return None, None
    matrix = pair[0].tocsr() if sparse.issparse(pair[0]) else np.atleast_2d(np.asarray(pair[0], dtype=np.float64))
    right = np.atleast_1d(np.asarray(pair[1], dtype=np.float64))
    if matrix.shape != (right.size, variables):
        needed = (right.size, variables)
        raise ValueError(f"{name}: the matrix is {matrix.shape}, but {right.size} right-hand sides and {variables} costs need {needed}.")
    entries = matrix.data if sparse.issparse(matrix) else matrix
    if not (np.all(np.isfinite(entries)) and np.all(np.isfinite(right))):
        raise ValueError(f"{name}: the matrix and the right-hand side must be finite.")
    return matrix, right
