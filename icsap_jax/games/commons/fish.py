"""The great fish war (Levhari & Mirman 1980, Bell Journal of Economics 11): s′ = (s − Σ c)^α, u = log c, discounted by β.

Agent i catches the share σ_i of the stock in every period, and R = 1 − Σ σ is left. Then log s_{t+1} = α (log s_t + log R), so that the
discounted sum S of log s_t solves S = log s₀ + β α (S + log R/(1 − β)), and

    V_i = Σ β^t log(σ_i s_t) = log σ_i/(1 − β) + log s₀/(1 − αβ) + αβ/((1 − β)(1 − αβ)) log R.

A tax on the share, t σ_i in each period, takes t σ_i/(1 − β) of that. Constant shares lose nothing: where the others' are constant, the
value log s/(1 − αβ) + constant solves agent i's Bellman equation, with the same best share at every stock. With k = αβ/(1 − αβ) that is

    1/σ_i = t_i + k/R,

so that without a tax σ = (1 − αβ)/(n − (n − 1) αβ) in the Markov-perfect equilibrium; the sum of values is largest at
σ = (1 − αβ)/n, to which t = (n − 1)/(1 − αβ) leads. Where all pay the same, σ is the smaller root of n t σ² − (t + k + n) σ + 1 = 0. A
tax in proportion to log c scales 1/σ_i and k/R alike and does nothing.

Shares may add up to more than there is when somebody deviates: below a thousandth, log is continued by its Taylor polynomial of second
degree, so that values stay finite and concave, and nobody ever wants to be there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Draw
from icsap_jax.config import ConfigError
from icsap_jax.games.commons.problem import Commons, Regulation

NEAR_NOTHING = 1e-3  # a share; below it log is continued


@register_dataclass
@dataclass(frozen=True)
class FishEnv:
    """`growth` α [], `discount` β [], the first `stock` [], and the shares that agents could catch, `high` [N]: all of it."""

    growth: Array
    discount: Array
    stock: Array
    high: Array


@dataclass(frozen=True)
class FishWar(Commons):
    """The growing stock; a harvest is a share of it."""

    def payoff(self, env: FishEnv, harvest: Array) -> Array:
        """V [..., N] of shares [..., N]."""
        kept = env.growth * env.discount
        left = jnp.broadcast_to(1.0 - harvest.sum(-1, keepdims=True), harvest.shape)
        first = jnp.log(env.stock) / (1.0 - kept)
        return logarithm(harvest) / (1.0 - env.discount) + first + kept / ((1.0 - env.discount) * (1.0 - kept)) * logarithm(left)

    def periods(self, env: FishEnv) -> Array:
        """Σ β^t: the tax is due in every period."""
        return 1.0 / (1.0 - env.discount)

    def unit(self, env: FishEnv) -> float:
        """The tax on an infinity of agents for each of them."""
        return float(self.agents / (1.0 - env.growth * env.discount))

    def reply(self, env: FishEnv, draw: Draw, decision: Regulation) -> Array:
        """The Markov-perfect equilibrium, [1, N, 1], where the rule is the same for all. Raises ConfigError where it is not."""
        if decision.tax.shape != (1,) or decision.quota.shape != (1,):
            raise ConfigError("training.response.closed_form = true: the fish war has a formula only for a rule that is the same for all; "
                              "use false, or individual: false.")
        ahead = env.growth * env.discount / (1.0 - env.growth * env.discount)
        tax, agents = decision.tax / decision.kept, float(self.agents)
        middle = tax + ahead + agents
        wanted = 2.0 / (middle + jnp.sqrt(middle**2 - 4.0 * agents * tax))
        return jnp.broadcast_to(jnp.minimum(wanted / decision.quota, 1.0), (1, self.agents, 1))


def logarithm(share: Array) -> Array:
    """log, and below `NEAR_NOTHING` its Taylor polynomial of second degree about that point."""
    far = share / NEAR_NOTHING - 1.0
    below = jnp.log(NEAR_NOTHING) + far - 0.5 * far**2
    return jnp.where(share > NEAR_NOTHING, jnp.log(jnp.maximum(share, NEAR_NOTHING)), below)


def build(model: Any, agents: int) -> tuple[FishWar, FishEnv]:
    """From its model in a problem file."""
    growth, discount, stock = (np.float64(each) for each in (model.growth, model.discount, model.initial))
    return FishWar(agents=agents), FishEnv(growth=growth, discount=discount, stock=stock, high=np.ones(agents))
