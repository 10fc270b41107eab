"""The value of information design as a function: what the best scheme earns, with exact derivatives, batched.

By the envelope theorem the optimal value moves with the game's numbers as the Lagrangian does at the best scheme x and its multipliers λ:

    dV/dv(ω,a) = x(ω,a)      dV/du(ω,a) = x(ω,a) Σ_b λ(a,b) − Σ_b x(ω,b) λ(b,a)      dV/dμ₀(ω) = price of the state

(for the prior along directions that keep its sum). Both come from the primal-dual method, so that no linear programme is called: under
jit, vmap and grad, in the precision of what is given. Where the best scheme or its multipliers are not unique, so is the derivative:
one of the value's directional ones.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from icsap_jax.bilevel.primal_dual import Programme, Solution, solve
from icsap_jax.bilevel.types import Array


def programme(prior: Array, sender: Array, receiver: Array, margin: float = 0.0) -> Programme:
    """Of recommending actions in one game: `prior` [S], utilities [S, A]; a block is a recommendation, its rows the other actions."""
    apart = 1.0 - jnp.eye(receiver.shape[1], dtype=receiver.dtype)
    lead = receiver[:, :, None] - receiver[:, None, :] - margin * apart[None]
    return Programme(sender.T, jnp.moveaxis(lead, 0, -1), jnp.eye(len(prior), dtype=prior.dtype), prior)


def best_scheme(prior: Array, sender: Array, receiver: Array, margin: float = 0.0) -> Solution:
    """Scheme and prices of one game; its `x` is [A, S], joint probabilities of recommendation and state, its `multiplier` [A, A] on
    (recommended, deviation). vmap for many games."""
    return solve(programme(prior, sender, receiver, margin))


@jax.custom_jvp
def optimal_value(prior: Array, sender: Array, receiver: Array) -> Array:
    """What the sender gets at best, ties in its favour, in a game of `prior` [S] and utilities [S, A]; differentiable once in each.
    float32 is good to about 10⁻³ of the range of utilities, float64 to 10⁻⁶: call under `jax.enable_x64`."""
    return best_scheme(prior, sender, receiver).value


@optimal_value.defjvp
def _along(primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]) -> tuple[Array, Array]:
    found = best_scheme(*primals)
    prior, sender, receiver = tangents
    x, multiplier = found.x.T, found.multiplier
    slope = x * multiplier.sum(1)[None] - x @ multiplier
    return found.value, (found.price * prior).sum() + (x * sender).sum() + (slope * receiver).sum()
