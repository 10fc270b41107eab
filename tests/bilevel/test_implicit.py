"""Derivatives by the implicit function theorem: against closed forms and float64 differences, and never a wrong number unsaid."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.bilevel.implicit import solve

quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # compiling is most of what these tests cost
STEP = 1e-5  # of the central differences: in float64 their error is about its square


def cubic(p, x):
    """x³ + x = p has one root, everywhere simple: dx/dp = 1/(3x² + 1)."""
    return x**3 + x - p


def coupled(p, x):
    """Two equations in the leaves of a dict: a smooth contraction, so one root."""
    a, b = x["a"], x["b"]
    return {"a": a - 0.3 * jnp.sin(b) - p[0], "b": b - 0.4 * jnp.cos(a.sum()) * jnp.ones(2) - p[1] * p[0]}


@pytest.mark.parametrize("double", [False, True])
def test_the_derivative_is_the_closed_form_in_either_precision(double) -> None:
    """At p = 2 the root is 1 and its slope 1/4, to the rounding of a few operations."""
    with jax.enable_x64(double):
        p, start = jnp.asarray(2.0), jnp.asarray(0.1)
        run = quick(jax.value_and_grad(lambda p: (lambda r: (r.action, r))(solve(cubic, p, start)), has_aux=True))
        (_, response), slope = run(p)
        assert bool(response.converged)
        assert response.action.dtype == (jnp.float64 if double else jnp.float32)
        rounding = 50 * float(jnp.finfo(response.action.dtype).eps)
        assert float(response.action) == pytest.approx(1.0, abs=rounding)
        assert float(slope) == pytest.approx(0.25, abs=rounding)


def test_many_unknowns_agree_with_differences() -> None:
    """A pytree of unknowns, forward and reverse mode, in float64."""
    start = {"a": np.zeros(2), "b": np.ones(2)}
    with jax.enable_x64(True):
        p = jnp.asarray([0.7, -0.4])

        def flat(p):
            action = solve(coupled, p, jax.tree.map(jnp.asarray, start)).action
            return jnp.concatenate([action["a"], action["b"]])

        forward, backward = quick(jax.jacfwd(flat))(p), quick(jax.jacrev(flat))(p)
        run = quick(flat)
        both = [np.asarray(run(p.at[i].add(sign * STEP))) for i in range(2) for sign in (1, -1)]
        differences = np.stack([(both[0] - both[1]) / (2 * STEP), (both[2] - both[3]) / (2 * STEP)], 1)
    np.testing.assert_allclose(forward, backward, atol=1e-12)  # float64
    np.testing.assert_allclose(forward, differences, atol=1e-8)  # STEP² and 1e-16/STEP


def test_a_few_iterations_from_a_root_leave_an_exact_derivative() -> None:
    """Nothing is unrolled: started at the root, with one Newton step, the slope is the theorem's."""
    with jax.enable_x64(True):
        slope = quick(jax.grad(lambda p: solve(cubic, p, jnp.ones(()), most_steps=1).action))(jnp.asarray(2.0))
        assert float(slope) == pytest.approx(0.25, abs=1e-14)


def test_roots_side_by_side_are_those_found_alone() -> None:
    """vmap over parameters, of which the farthest takes the most steps."""
    with jax.enable_x64(True):
        ps = jnp.asarray([0.0, 2.0, 1e3])
        found = quick(jax.vmap(lambda p: solve(cubic, p, jnp.zeros(()))))(ps)
        slopes = quick(jax.vmap(jax.grad(lambda p: solve(cubic, p, jnp.zeros(())).action)))(ps)
        assert np.asarray(found.converged).all()
        np.testing.assert_allclose(found.action**3 + found.action, ps, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(slopes, 1 / (3 * found.action**2 + 1), rtol=1e-12)


@pytest.mark.parametrize("double", [False, True])
def test_what_has_no_root_says_so_and_does_not_raise(double) -> None:
    """x² + 1 = 0, under jit and grad; a number that is not finite neither. The derivative is finite: training goes on."""
    with jax.enable_x64(double):
        for equation in (lambda p, x: x**2 + p, lambda p, x: jnp.log(-p * (1 + x**2))):
            run = quick(jax.value_and_grad(lambda p, f=equation: (lambda r: (r.action, r))(solve(f, p, jnp.asarray(0.7))), has_aux=True))
            (action, response), slope = run(jnp.ones(()))
            assert not bool(response.converged)
            assert np.isfinite(action)
            assert np.isfinite(slope)


@pytest.mark.parametrize("double", [False, True])
def test_at_a_fold_there_is_no_derivative(double) -> None:
    """x² = p at p = 0, where two roots meet: not converged, from wherever it started, nor where rounding hides it (x² − 2x + p at
    p = 1). A little away from the fold the root counts again."""
    with jax.enable_x64(double):
        square = quick(lambda p, start: solve(lambda p, x: x**2 - p, p, start).converged)
        shifted = quick(lambda p, start: solve(lambda p, x: x**2 - 2 * x + p, p, start).converged)
        for start in (1.0, 1e-3, 0.0):
            assert not bool(square(jnp.zeros(()), jnp.asarray(start)))
            assert not bool(shifted(jnp.ones(()), jnp.asarray(1 + start)))
        assert bool(square(jnp.asarray(0.01), jnp.asarray(0.5)))


def test_dependent_equations_are_no_root() -> None:
    """Two times the same equation: a line of solutions, and no derivative."""
    with jax.enable_x64(True):
        twice = quick(lambda p, start: solve(lambda p, x: jnp.stack([x.sum() - p, 2 * x.sum() - 2 * p]), p, start).converged)
        assert not bool(twice(jnp.ones(()), jnp.asarray([0.3, 0.4])))


def test_a_fixed_point_of_two_that_answer_each_other() -> None:
    """Cournot's duopoly, each producing (1 − p − other)/2: both (1 − p)/3, with slope −1/3 in a common cost p."""
    with jax.enable_x64(True):
        def outputs(p):
            return solve(lambda p, x: x - (1 - p - x[::-1]) / 2, p, jnp.zeros(2)).action

        np.testing.assert_allclose(quick(outputs)(jnp.asarray(0.1)), 0.3, atol=1e-14)
        np.testing.assert_allclose(quick(jax.jacrev(outputs))(jnp.asarray(0.1)), -1 / 3, atol=1e-14)
