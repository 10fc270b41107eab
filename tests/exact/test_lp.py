"""Linear programmes: optimal values, prices as duals, and what is said when there is no solution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from icsap_jax.exact import lp

# HiGHS solves these few rows to its feasibility tolerance of 1e-7 or better.
CLOSE = 1e-7

SHOP = np.array([[1.0, 1.0], [1.0, 3.0]])  # two resources, two products
STOCK = np.array([4.0, 6.0])
PROFIT = np.array([3.0, 5.0])


def test_a_production_plan_uses_both_resources_at_its_optimum():
    plan = lp.solve(PROFIT, at_most=(SHOP, STOCK), maximise=True)
    assert plan.value == pytest.approx(14.0, abs=CLOSE)
    np.testing.assert_allclose(plan.x, [3.0, 1.0], atol=CLOSE)
    assert "optimality" in plan.status


@pytest.mark.parametrize("maximise", [True, False])
def test_duals_are_what_one_more_unit_is_worth(maximise):
    sign = 1.0 if maximise else -1.0
    equal = ([[1.0, -1.0]], [1.0])
    plan = lp.solve(sign * PROFIT, at_most=(SHOP, STOCK), equal=equal, maximise=maximise)
    for row in range(2):
        more = lp.solve(sign * PROFIT, at_most=(SHOP, STOCK + 0.01 * np.eye(2)[row]), equal=equal, maximise=maximise)
        assert plan.duals_at_most[row] == pytest.approx((more.value - plan.value) / 0.01, abs=1e-4)  # a difference of two solves
    more = lp.solve(sign * PROFIT, at_most=(SHOP, STOCK), equal=(equal[0], [1.01]), maximise=maximise)
    assert plan.duals_equal[0] == pytest.approx((more.value - plan.value) / 0.01, abs=1e-4)


def test_strong_duality_at_a_random_programme():
    random = np.random.default_rng(0)
    matrix, limits, gains = random.random((8, 5)), 1.0 + random.random(8), random.random(5)
    plan = lp.solve(gains, at_most=(sparse.csr_matrix(matrix), limits), maximise=True)
    assert plan.duals_at_most @ limits == pytest.approx(plan.value, abs=CLOSE)
    assert np.all(plan.duals_at_most @ matrix >= gains - CLOSE)


def test_an_infeasible_programme_says_so():
    with pytest.raises(lp.Infeasible, match="no point satisfies all constraints"):
        lp.solve([1.0], at_most=([[1.0], [-1.0]], [1.0, -2.0]), maximise=True)


def test_infeasible_and_unbounded_at_once_is_called_infeasible():
    with pytest.raises(lp.Infeasible):
        lp.solve([1.0, 1.0], equal=([[1.0, 0.0]], [-1.0]), maximise=True)


@pytest.mark.parametrize(("maximise", "bounds", "word"), [(True, (0, None), "above"), (False, (None, 0), "below")])
def test_an_unbounded_programme_says_in_which_direction(maximise, bounds, word):
    with pytest.raises(lp.Unbounded, match=word):
        lp.solve([1.0], bounds=bounds, maximise=maximise)


@pytest.mark.parametrize(
    "bad",
    [
        {"cost": [[1.0]]},
        {"cost": [np.nan]},
        {"cost": [1.0], "at_most": ([[1.0, 2.0]], [1.0])},
        {"cost": [1.0], "at_most": ([[1.0]], [1.0, 2.0])},
        {"cost": [1.0], "equal": ([[np.inf]], [1.0])},
    ],
)
def test_what_is_not_a_linear_programme_is_refused(bad):
    with pytest.raises(ValueError, match=r"vector of finite|the matrix"):
        lp.solve(**bad)
