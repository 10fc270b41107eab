"""Equilibria by Newton's method, on toy problems whose roots are known by hand."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.bilevel import equilibrium, newton
from icsap_jax.bilevel.newton import RootSearch

QUICK = {"xla_backend_optimization_level": 0}
ROUNDING = 1e-5  # float32, numbers of size one


@dataclass(frozen=True)
class Toy:
    """x³ + heat·x = pull + x's neighbour / 4, for two numbers x."""

    def begin(self, env, draw):
        return jnp.zeros((2,))

    def misfit(self, env, draw, decision, x, temperature):
        return x**3 + (1 + temperature) * x - decision - x[::-1] / 4


@dataclass(frozen=True)
class Fold:
    """x² = decision: two roots, which meet at 0 and are gone below."""

    def begin(self, env, draw):
        return jnp.ones(())

    def misfit(self, env, draw, decision, x, temperature):
        return x**2 - decision


def cooled(problem, decision, steps=60):
    """(the root, whether it was found) at temperature .1 from 10."""
    found = equilibrium.cooled(problem, None, None, decision, jnp.asarray(0.1), jnp.asarray(10.0), 4, steps)
    return found.action, found.converged


@pytest.fixture(scope="module")
def toy():
    """decisions [B, 2] → ((roots, converged), the slope of the first root in both numbers of the decision)."""

    def first(decision):
        root, converged = cooled(Toy(), decision)
        return root[0], (root, converged)

    return jax.jit(jax.vmap(jax.value_and_grad(first, has_aux=True)), compiler_options=QUICK)


def test_the_root_is_found_with_its_derivative(toy) -> None:
    """The equations hold, and the slope is that of the inverse Jacobian, [3x² + 1.1, −¼; −¼, 3y² + 1.1]⁻¹, first row."""
    decisions = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)) * 3, jnp.float32)
    (_, (roots, converged)), slopes = toy(decisions)
    assert converged.all()
    x = np.asarray(roots, float)
    np.testing.assert_allclose(x**3 + 1.1 * x - x[:, ::-1] / 4, decisions, atol=ROUNDING * 10)  # decisions of size 5
    for place, slope in zip(x, np.asarray(slopes), strict=True):
        exact = np.linalg.inv(np.diag(3 * place**2 + 1.1) - 0.25 * np.eye(2)[::-1])[0]
        np.testing.assert_allclose(slope, exact, atol=ROUNDING)


@pytest.mark.parametrize(("decision", "there"), [(4.0, True), (0.0, False), (-1.0, False)])
def test_a_fold_is_no_root_and_has_no_slope(decision, there) -> None:
    """At 4 the root is 2 and its slope ¼. At 0 two roots meet, below there is none: neither is told as found, and the slope is 0."""

    def root(decision):
        found = equilibrium.settled(Fold(), None, None, decision, jnp.ones(()), jnp.ones(()))
        return found.action, found.converged

    (value, converged), slope = jax.jit(jax.value_and_grad(root, has_aux=True), compiler_options=QUICK)(jnp.asarray(decision))
    assert bool(converged) == there
    assert float(slope) == pytest.approx(0.25 if there else 0.0, abs=ROUNDING)
    assert not there or float(value) == pytest.approx(2.0, abs=ROUNDING)


def test_memory_does_not_grow_with_the_steps_allowed() -> None:
    """A derivative through ten times as many steps needs not one byte more."""

    def bytes_of(steps):
        slope = jax.grad(lambda decision: cooled(Toy(), decision, steps)[0].sum())
        return jax.jit(slope).lower(jnp.ones((2,))).compile(QUICK).memory_analysis().temp_size_in_bytes

    assert bytes_of(40) == bytes_of(400)


def test_stragglers_are_finished_by_themselves_and_change_nobodys_answer() -> None:
    """Square roots side by side, each begun at 1: large numbers take Newton many steps, the rest are done long before. Everyone's is what
    it is where all are alone; those that do not fit into the steps allowed keep what they had."""
    search = RootSearch(
        lambda given, x, stage: x**2 - given, lambda given, x, stage, heavier, left: left / (2 * x * (1 + heavier[None])),
        lambda given, stage: jnp.zeros(()), 0, newton.PUSHES,
    )  # fmt: skip
    numbers = np.random.default_rng(1).uniform(0.5, 2, 256)
    numbers[::37] = 10.0 ** np.arange(4, 11)
    given = jnp.asarray(numbers, jnp.float32)[None]
    together = jax.jit(lambda given: search(given, jnp.ones_like(given), 40))
    assert given.shape[1] >= newton.FEWER * newton.FEWEST  # or nobody would be moved
    found = together(given)
    np.testing.assert_allclose(found[0], np.sqrt(numbers), rtol=ROUNDING)
    alone = jax.jit(lambda given: jax.lax.map(lambda one: search(one[None, None], jnp.ones((1, 1)), 40)[0, 0], given[0]))(given)
    np.testing.assert_allclose(found[0], alone, rtol=4e-7)  # a rounding or two: other instructions do the same sums


def test_problems_lie_side_by_side_however_they_are_vmapped() -> None:
    """A search told of 2 × 3 problems by two vmaps sees 6 along its last axis, and numbers that all share once."""
    seen = []

    def search(given):
        own, shared = given
        seen.append((own.shape, shared.shape))
        return own * shared

    def one(own, shared):
        return newton.side_by_side(search, (own[:, None], shared[:, None]))[:, 0]

    own, shared = jnp.arange(24.0).reshape(2, 3, 4), jnp.arange(4.0)
    found = jax.vmap(jax.vmap(one, (0, None)), (0, None))(own, shared)
    np.testing.assert_array_equal(found, own * shared[None, None])
    assert seen[-1] == ((4, 6), (4, 1))
