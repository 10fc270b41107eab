"""The optimal value as a function of the game: its derivatives against exact ones, and many games in one call."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.persuasion.programme import best_scheme as exact
from icsap_jax.persuasion.programme import upper_bound
from icsap_jax.persuasion.tables import Game, best_reply_value
from icsap_jax.persuasion.value import best_scheme, optimal_value


def uniform(seed, states, actions):
    """prior, sender, receiver of the family `uniform` of the case file."""
    rng = np.random.default_rng(seed)
    receiver, sender = rng.random((states, actions)), rng.random((states, actions))
    return rng.dirichlet(np.ones(states)), sender, receiver


def test_the_value_moves_with_the_game_as_the_exact_derivatives_say(case) -> None:
    """dV/dv, dV/du, dV/dprior of a 3×3 game, and along a direction against differences of exact values."""
    known = case("gradients_rand_3x3_seed6")
    tables = uniform(known["spec"]["seed"], known["spec"]["n"], known["spec"]["m"])
    with jax.enable_x64(True):
        value, (price, of_sender, of_receiver) = jax.value_and_grad(optimal_value, argnums=(0, 1, 2))(*map(jnp.asarray, tables))
    assert float(value) == pytest.approx(known["value"], abs=1e-8)
    np.testing.assert_allclose(of_sender, known["dV_dv"], atol=1e-6)
    np.testing.assert_allclose(of_receiver, known["dV_du"], atol=1e-6)
    np.testing.assert_allclose(price, known["price"], atol=1e-6)
    rng, step = np.random.default_rng(0), 1e-5
    change = [rng.normal(size=table.shape) for table in tables]
    change[0] -= change[0].mean()  # a prior keeps its sum
    ahead, behind = (exact(*(table + sign * step * move for table, move in zip(tables, change, strict=True))).value for sign in (1, -1))
    slope = sum((np.asarray(part) * move).sum() for part, move in zip((price, of_sender, of_receiver), change, strict=True))
    assert slope == pytest.approx((ahead - behind) / (2 * step), abs=1e-5)  # HiGHS's 1e-10 over twice the step


def test_many_games_in_one_call_are_solved_with_proof(cases) -> None:
    """Twenty 5×5 games with a margin, in one call: mean ≥ .99 and worst ≥ .97 of the exact optimum with ties against the sender; and
    without a margin multipliers whose bound is never below it and 1e-3 above on average."""
    games = [uniform(seed, 5, 5) for seed in range(20)]
    with jax.enable_x64(True):
        given = [jnp.asarray(np.stack(part)) for part in zip(*games, strict=True)]
        batch = jax.jit(jax.vmap(best_scheme, in_axes=(0, 0, 0, None)))
        schemes, duals = np.asarray(batch(*given, 5e-4).x), np.asarray(batch(*given, 0.0).multiplier)
    shares, above = [], []
    for (prior, sender, receiver), x, multipliers in zip(games, schemes, duals, strict=True):
        best, game = exact(prior, sender, receiver).value, Game.single(prior, sender, receiver)
        joint = x.T * (prior / x.sum(0))[:, None]
        shares.append(best_reply_value(joint, sender, receiver, "against") / best)
        above.append(upper_bound(prior, game.worth(game.profiles()), game.obedience(game.profiles()), multipliers) / best - 1)
    assert np.mean(shares) >= 0.99
    assert min(shares) >= 0.97
    assert min(above) >= -1e-9
    assert np.mean(above) <= 1e-3
