"""When prices move: the published schedule, the geometric one, and the budget's multiplier."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.bilevel.lagrangian import Duals, numbers
from icsap_jax.bilevel.schema import ALGnet, Augmented, Budget

STEPS = 12


def history(model, gaps, value=1.0):
    """(multiplier [steps, N], penalty [steps]) after each of `STEPS` updates at these gaps [N]."""
    lagrangian, gaps = model.build(), jnp.asarray(gaps)
    prices, seen = lagrangian.init(numbers(model), gaps.shape[0]), []
    for step in range(1, STEPS + 1):
        prices = lagrangian.update(prices, gaps, jnp.asarray(value), jnp.asarray(step), jnp.asarray(step / STEPS))
        seen.append((np.asarray(prices.multiplier), float(prices.penalty)))
    return np.stack([multiplier for multiplier, _ in seen]), np.array([penalty for _, penalty in seen])


def test_published_schedule_is_stepwise() -> None:
    """λ ← λ + ρ·gap every 4 steps only, each agent by its own gap; ρ ← ρ + 2 every 6 steps only (Dütting et al. 2019)."""
    model = Augmented(multiplier=5.0, multiplier_every=4, penalty=1.0, penalty_increment=2.0, penalty_every=6)
    multiplier, penalty = history(model, [0.5, 0.0])
    np.testing.assert_allclose(penalty, [1] * 5 + [3] * 6 + [5])
    # At step 4 ρ is 1; at 8 and 12 it is 3: at step 12 λ moves by the ρ with which the step was taken.
    np.testing.assert_allclose(multiplier[:, 0], [5] * 3 + [5.5] * 4 + [7.0] * 4 + [8.5])
    np.testing.assert_allclose(multiplier[:, 1], 5.0)


def test_geometric_schedule_goes_from_start_to_end_over_training() -> None:
    """ρ grows by the same factor in each equal share of training and ends where it was told to."""
    _, penalty = history(Augmented(multiplier=1.0, penalty=2.0, penalty_end=200.0), [0.1])
    assert penalty[-1] == pytest.approx(200.0, rel=1e-5)  # float32 powers
    np.testing.assert_allclose(penalty[1:] / penalty[:-1], 100 ** (1 / STEPS), rtol=1e-5)


def test_the_slope_of_the_cost_is_the_multiplier_plus_the_penalty_times_the_gap() -> None:
    """λ·gap + ρ/2·gap² costs λ + ρ·gap at the margin: a gap costs even where it is zero, which is what makes the penalty exact."""
    model = Augmented(multiplier=3.0, penalty=4.0)
    lagrangian = model.build()
    prices = lagrangian.init(numbers(model), 2)
    slope = jax.grad(lambda gap: lagrangian.cost(prices, gap))(jnp.asarray([0.0, 0.5]))
    np.testing.assert_allclose(slope, [3.0, 5.0])


def test_a_budget_is_dearer_over_it_and_cheaper_under_it() -> None:
    """The multiplier of the agent over its budget rises at every step, that of the agent under it falls."""
    multiplier, _ = history(Budget(target=1e-2, target_start=1e-2, rate=0.1), [0.1, 1e-4], value=1.0)
    assert (np.diff(multiplier[:, 0]) > 0).all()
    assert (np.diff(multiplier[:, 1]) < 0).all()


def test_at_its_budget_a_multiplier_rests() -> None:
    """The budget is a share of the objective, split evenly: two agents at .01·2/2 each are exactly on it."""
    multiplier, _ = history(Budget(target=1e-2, target_start=1e-2, multiplier=3.0), [0.01, 0.01], value=2.0)
    np.testing.assert_allclose(multiplier, 3.0, rtol=1e-5)  # float32 logarithms


def test_at_the_root_difference_a_gap_is_worth_what_it_brings_only_up_to_where_the_roots_say() -> None:
    """−(√P − √R) + R (Rahme et al. 2021, equation 6): of two rules the better is the one whose corrected revenue (√P − √R)² is higher,
    wherever R itself is small; and its price of a gap is the slope of the loss in R over that in P."""
    lagrangian = ALGnet().build()
    prices = lagrangian.init(numbers(ALGnet()), 2)
    gaps, more = jnp.asarray([1e-5, 2e-5]), jnp.asarray([1e-3, 2e-3])
    assert lagrangian.loss(prices, jnp.asarray(0.54), gaps) < lagrangian.loss(prices, jnp.asarray(0.58), more)
    assert (0.54**0.5 - gaps.sum() ** 0.5) ** 2 > (0.58**0.5 - more.sum() ** 0.5) ** 2
    slopes = jax.grad(lagrangian.loss, argnums=(1, 2))(prices, jnp.asarray(0.54), more)
    told = lagrangian.update(prices, more, jnp.asarray(0.54), jnp.asarray(1), jnp.asarray(0.1)).multiplier
    np.testing.assert_allclose(told, -slopes[1] / slopes[0], rtol=1e-4)  # the hair under the root


def test_a_dual_finds_the_price_of_what_it_limits() -> None:
    """max √x, x ≤ ¼ on average: the multiplier is the slope there, 1/(2·√¼) = 1, from noise of the size of x; a limit that does not
    bind costs nothing in the end."""
    noise = jax.random.normal(jax.random.key(0), (4000,))

    def climbed(limit):
        def step(carry, drawn):
            x, duals = carry
            push = jax.grad(lambda x: duals.cost((x - limit + 0.25 * drawn)[None]) - jnp.sqrt(x))(x)
            moved = duals.update((x - limit + 0.25 * drawn)[None])
            return (jnp.clip(x - 0.01 * push, 1e-3, 1.0), moved), (x, duals.multiplier)

        duals = Duals.of({"dual_penalty": jnp.asarray(1.0), "dual_rate": jnp.asarray(0.02)}, 1)
        _, (xs, multipliers) = jax.lax.scan(step, (jnp.asarray(0.5), duals), noise)
        return float(xs[2000:].mean()), float(multipliers[2000:].mean())

    # 2000 noisy steps of a mean leave an error of 0.25·√(correlated steps / 2000) ≈ .03.
    assert climbed(0.25) == pytest.approx((0.25, 1.0), abs=0.06)
    x, price = climbed(2.0)
    assert x == pytest.approx(1.0, abs=0.01)
    assert price < 1e-3
