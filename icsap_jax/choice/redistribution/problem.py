"""VCG redistribution: M like units, N agents who want one each, and money that goes back to them (Cavallo 2006; Guo & Conitzer 2009).

An agent's type is its value for a unit, its report a value. The M highest reports get a unit each and pay the (M + 1)-th highest, so that
M·θ₍M₊₁₎ is collected; agent i is handed back h(θ₋ᵢ), which its own report does not enter. Utility is value less price plus h. No deficit:

    Σ_i h(θ₋ᵢ) ≤ M·θ₍M₊₁₎      on every profile, or in expectation.

What a rule does with reports is all in its module, so that it can be applied without the problem.
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

NO_DEFICIT, PARTICIPATION = "no deficit", "participation"


@register_dataclass
@dataclass(frozen=True)
class RedistributionEnv:
    """The `prior` of values, the `weights` of the designer's objectives in their order, the numbers of each of the `limits`."""

    prior: Any
    weights: Array
    limits: tuple[Any, ...] = ()


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`allocation` […, N, 1]: who gets a unit; `payment` […, N]: what each pays after all; `rebate` […, N]: what of it was handed back."""

    allocation: Array
    payment: Array
    rebate: Array


@dataclass(frozen=True)
class Redistribution(constraints.Limited, PricedNumber):
    """N agents, `units`; `objective` names what the designer maximises; `every`: no deficit on any profile, and not on average alone;
    `participation`: nobody is handed back less than nothing; `limits`: what rules have to keep besides."""

    agents: int
    units: int
    objective: tuple[str, ...] = ("utility",)
    every: bool = True
    participation: bool = True
    limits: tuple[Any, ...] = ()
    rowwise: bool = True
    margin: float = 0.0

    @property
    def constraints(self) -> tuple[str, ...]:
        """The names of the constraints on every profile."""
        own = [name for name, asked in ((NO_DEFICIT, self.every), (PARTICIPATION, self.participation)) if asked]
        return (*own, *super().constraints)

    @property
    def averages(self) -> tuple[str, ...]:
        """The names of the constraints on expectations."""
        return (*(() if self.every else (NO_DEFICIT,)), *super().averages)

    def score(self, env: RedistributionEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """The designer's value, its named parts, and the signed constraints, [B] each."""
        account = self.account(draw, decision)
        outcome = self.outcome(env, account)
        every, averages = outcome.constraints, outcome.averages
        (every if self.every else averages)[NO_DEFICIT] = -decision.payment.sum(-1)
        if self.participation:
            every[PARTICIPATION] = -decision.rebate
        return replace(outcome, constraints=every, averages=averages)

    def account(self, draw: Draw, decision: Decision) -> objectives.Account:
        """Who received what and paid how much, and what each would have in another's place."""
        value, won = draw.types[..., 0], decision.allocation[..., 0]
        return objectives.Account(
            value=won * value, transfer=decision.payment, allocation=decision.allocation,
            elsewhere=value[..., :, None] * won[..., None, :] - decision.payment[..., None, :], whole=value,
        )  # fmt: skip


def build(model: Any, folder: Any) -> tuple[Redistribution, RedistributionEnv]:
    """The problem a file describes and its numbers."""
    weights, (limits, numbers) = weights_of(model.objective), constraints.build(model.constraints)
    env = RedistributionEnv(
        prior=model.prior.build(model.agents, 1, folder), weights=jnp.asarray(list(weights.values()), jnp.float32), limits=numbers)
    return Redistribution(
        agents=model.agents, units=model.units, objective=tuple(weights), every=model.no_deficit == "everywhere",
        participation=model.participation, limits=limits,
    ), env  # fmt: skip


def check(problem: Redistribution, env: RedistributionEnv, config: Config) -> None:
    """Raise ConfigError where a value may be negative, or has no upper end: deficits could then not be bounded."""
    low, _ = env.prior.support()
    if (least := float(np.asarray(low).min())) < 0:
        raise ConfigError(f"{config.source}: problem.prior reaches down to {least:g}; the value of a unit should be at least 0: shift the "
                          "prior, or cut it off at 0.")
    if float(np.asarray(env.prior.tail()).max()) > 0:
        raise ConfigError(f"{config.source}: problem.prior has no upper end, and what is handed back could exceed what is collected where "
                          "no rule was ever trained; write a prior on an interval, such as truncated_normal.")
