"""Separable convex programmes: closed forms, the certificate, and functions that are infinite at the end of their domain."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from icsap_jax.exact import convex, lp

GAP = 1e-9  # what is asked for, relative to values of at least 1
FREE = (None, None)


def twice(x):
    """The slope of x²."""
    return 2.0 * x


def barrier(x):
    """−log(1 − x), infinite at 1."""
    return -np.log1p(-x)


def barrier_slope(x):
    """1 / (1 − x)."""
    return 1.0 / (1.0 - x)


def test_the_point_of_a_half_space_nearest_to_the_origin_is_found():
    """x₁ + 2x₂ ≥ 5: (1, 2), at a squared distance of 5."""
    found = convex.minimise([1.0, 1.0], np.square, twice, at_most=([[-1.0, -2.0]], [-5.0]), bounds=[FREE, FREE])
    assert found.value == pytest.approx(5.0, abs=5 * GAP)
    assert found.lower_bound <= 5.0 + 1e-12
    # A gap g in a function of curvature 2 leaves the point within √g.
    np.testing.assert_allclose(found.x, [1.0, 2.0], atol=np.sqrt(5 * GAP))


@pytest.mark.parametrize("seed", range(4))
def test_bounds_meet_where_an_interior_method_finds_the_minimum(seed):
    """Random weights and rows; SLSQP starts from a feasible point and stops at 1e-12."""
    random = np.random.default_rng(seed)
    weights, rows = random.random(6), random.normal(size=(4, 6))
    right = rows @ random.normal(size=6) - random.random(4)
    found = convex.minimise(weights, np.square, twice, at_most=(rows, right), bounds=[FREE] * 6)
    rival = minimize(
        lambda x: weights @ x**2, found.x + 0.1, jac=lambda x: 2 * weights * x, method="SLSQP", options={"ftol": 1e-12, "maxiter": 500},
        constraints={"type": "ineq", "fun": lambda x: right - rows @ x, "jac": lambda x: -rows},
    )  # fmt: skip
    assert np.all(rows @ found.x <= right + 1e-9)  # HiGHS is asked for 1e-10
    assert found.lower_bound <= rival.fun + 1e-9
    assert found.value == pytest.approx(rival.fun, abs=1e-7)  # SLSQP's own accuracy
    assert 0.0 <= found.value - found.lower_bound + 1e-12 <= GAP * max(1.0, found.value) + 1e-12


def test_a_minimum_close_to_an_infinite_end_is_certified():
    """x₁ + x₂ ≥ 2 − 2ε under x ≤ 1: both are 1 − ε by symmetry and convexity, at −2 log ε."""
    near = 1e-6
    found = convex.minimise([1.0, 1.0], barrier, barrier_slope, at_most=([[-1.0, -1.0]], [2 * near - 2.0]), bounds=[(0.0, 1.0)] * 2)
    exact = -2.0 * np.log(near)
    # Constraints are met to 1e-10, which at a slope of 1/ε = 10⁶ is worth 1e-4.
    assert found.value == pytest.approx(exact, abs=1e-4)
    assert found.lower_bound <= exact + 1e-4


def test_bounds_that_leave_only_an_infinite_value_are_infeasible():
    with pytest.raises(lp.Infeasible, match="finite value"):
        convex.minimise([1.0], barrier, barrier_slope, at_most=([[1.0]], [2.0]), bounds=[(1.0, 1.0)])


def test_constraints_without_a_point_are_infeasible():
    with pytest.raises(lp.Infeasible, match="no point satisfies"):
        convex.minimise([1.0], np.square, twice, at_most=([[1.0], [-1.0]], [0.0, -1.0]), bounds=[FREE])


def test_values_that_fall_for_ever_are_called_unbounded():
    with pytest.raises(lp.Unbounded):
        convex.minimise([1.0], np.negative, lambda x: -np.ones_like(x), at_most=([[-1.0]], [0.0]), bounds=[FREE])


def test_a_minimum_far_from_where_the_search_begins_is_found():
    """(x − 10⁵)² without a constraint that binds: the first tangents all fall the same way. The square is exact to 1e10·2⁻⁵²."""
    far = 1e5
    found = convex.minimise([1.0], lambda x: (x - far) ** 2, lambda x: 2 * (x - far), at_most=([[-1.0]], [0.0]), bounds=[FREE])
    assert found.value == pytest.approx(0.0, abs=1e-5)


def test_too_few_rounds_say_what_is_known():
    with pytest.raises(lp.LpError, match="After 1 rounds the minimum is only known to lie between"):
        convex.minimise([1.0, 2.0], np.square, twice, at_most=([[-1.0, -2.0]], [-5.0]), bounds=[FREE, FREE], most_rounds=1)


@pytest.mark.parametrize("weights", [[-1.0], [np.nan], [[1.0]]])
def test_weights_that_are_not_are_refused(weights):
    with pytest.raises(ValueError, match="finite numbers ≥ 0"):
        convex.minimise(weights, np.square, twice, at_most=([[1.0]], [1.0]), bounds=[FREE])
