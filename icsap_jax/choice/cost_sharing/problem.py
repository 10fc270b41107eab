"""Cost sharing: an excludable service, its cost, and agents who know alone what it is worth to them (Moulin 1999; Moulin & Shenker 2001;
Wang et al. 2021, "Mechanism design for public projects via neural networks").

An agent's type is its value for being served, its report a value. A decision gives each agent a probability x_i of being served and a
payment. Where these are no certainties, one random number u in [0, 1] decides for all: agent i is served where u < x_i. Then at least k are
served where u is below the k-th largest probability, and with c_k the cost of serving k and c₀ = 0 the expected cost is

    Σ_k (c_k − c_{k−1})·x₍ₖ₎

which for a project that costs C however many use it is C·max_i x_i. What stays with the designer is minus that: `welfare` is values less
cost, `profit` what is collected beyond it. Balance, payments = cost, is a signed constraint from both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax import constraints, objectives
from icsap_jax.bilevel.types import Array, Draw, Outcome
from icsap_jax.choice.one_number import PricedNumber
from icsap_jax.config import Config, ConfigError
from icsap_jax.config.objectives import weights_of

BALANCE, DEFICIT, SURPLUS = "balance", "deficit", "surplus"


@register_dataclass
@dataclass(frozen=True)
class CostEnv:
    """The `prior` of values, the `costs` [N] of serving 1 … N, the `weights` of the designer's objectives in their order, the numbers of
    each of the `limits`."""

    prior: Any
    costs: Array
    weights: Array
    limits: tuple[Any, ...] = ()


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`allocation` […, N, 1]: the probability with which each is served; `payment` […, N]: what each pays, expected."""

    allocation: Array
    payment: Array


@dataclass(frozen=True)
class CostSharing(constraints.Limited, PricedNumber):
    """N agents; `objective` names what the designer maximises; `every`: the budget balances on every profile, and not on average alone;
    `limits`: what rules have to keep besides."""

    agents: int
    objective: tuple[str, ...] = ("welfare",)
    every: bool = True
    limits: tuple[Any, ...] = ()
    rowwise: bool = True
    margin: float = 0.0

    @property
    def constraints(self) -> tuple[str, ...]:
        """The names of the constraints on every profile."""
        return (*((BALANCE,) if self.every else ()), *super().constraints)

    @property
    def averages(self) -> tuple[str, ...]:
        """The names of the constraints on expectations."""
        return (*(() if self.every else (DEFICIT, SURPLUS)), *super().averages)

    def score(self, env: CostEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """The designer's value, its named parts, and the signed constraints, [B] each; `balance` [B, 2] from below and above."""
        account = self.account(env, draw, decision)
        outcome = self.outcome(env, account)
        every, averages = outcome.constraints, outcome.averages
        short = -objectives.profit(account)
        if self.every:
            every[BALANCE] = jnp.stack([short, -short], -1)
        else:
            averages |= {DEFICIT: short, SURPLUS: -short}
        return replace(outcome, constraints=every, averages=averages)

    def account(self, env: CostEnv, draw: Draw, decision: Decision) -> objectives.Account:
        """Who received what and paid how much; what each would have in another's place; the cost is what the designer does not keep."""
        value, served = draw.types[..., 0], decision.allocation[..., 0]
        return objectives.Account(
            value=served * value, transfer=decision.payment, kept=-expected_cost(env.costs, served), allocation=decision.allocation,
            elsewhere=value[..., :, None] * served[..., None, :] - decision.payment[..., None, :], whole=value,
        )  # fmt: skip


def expected_cost(costs: Array, served: Array) -> Array:
    """Of serving agents with probabilities […, N], […], where `costs` [N] are of serving 1 … N: see the module."""
    further = costs - jnp.concatenate([jnp.zeros_like(costs[:1]), costs[:-1]])
    return -jnp.sort(-served, axis=-1) @ further


def served(account: objectives.Account) -> Array:
    """How much is given away in all, […]: probabilities added up; where being served is all that is given, the expected number of those who
    are, between 0 and N."""
    return account.told("allocation").sum((-2, -1))


def build(model: Any, folder: Any) -> tuple[CostSharing, CostEnv]:
    """The problem a file describes and its numbers."""
    weights, (limits, numbers) = weights_of(model.objective), constraints.build(model.constraints)
    env = CostEnv(
        prior=model.prior.build(model.agents, 1, folder), costs=jnp.asarray(model.costs(), jnp.float32),
        weights=jnp.asarray(list(weights.values()), jnp.float32), limits=numbers,
    )  # fmt: skip
    return CostSharing(agents=model.agents, objective=tuple(weights), every=model.balance == "everywhere", limits=limits), env


def check(problem: CostSharing, env: CostEnv, config: Config) -> None:
    """Raise ConfigError where being served may be worth less than nothing: rules charge a share of what it is worth."""
    if (least := float(np.asarray(env.prior.support()[0]).min())) < 0:
        raise ConfigError(f"{config.source}: problem.prior reaches down to {least:g}; what being served is worth should be at least 0: "
                          "shift the prior, or cut it off at 0.")
