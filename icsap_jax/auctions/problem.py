"""The auction: bidders with private values for items, a designer who allocates and charges (Myerson 1981; Dütting et al. 2019).

A bidder's type is its value for each item, or, when values are combinatorial over two items, (v₁, v₂, C) with the pair worth
v₁ + v₂ + C. Reports are types; the recommended report is the truth. Utility is quasi-linear: the value of what is received less
the payment. A decision on one profile never looks at another (`rowwise`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax import objectives
from icsap_jax.bilevel.types import Array, Box, Draw, Outcome, Rule, Tree
from icsap_jax.config import Config, ConfigError


@register_dataclass
@dataclass(frozen=True)
class AuctionEnv:
    """The numbers of an auction: the prior of item values, the prior of the synergy C (combinatorial only, else None), and the
    weights of the designer's objectives, in the order of `Auction.objective`."""

    prior: Any
    synergy: Any
    weights: Array


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`allocation` […, N, M]: the probability with which each bidder gets each item (or bundle {1}, {2}, {1,2}); `payment` […, N]."""

    allocation: Array
    payment: Array


@dataclass(frozen=True)
class Auction:
    """N bidders, M items; `valuation` is additive, unit_demand or combinatorial; `objective` names what the designer maximises."""

    agents: int
    items: int
    valuation: str
    objective: tuple[str, ...] = ("revenue",)
    rowwise: bool = True
    margin: float = 0.0

    @property
    def goods(self) -> int:
        """The number of things a bidder can be allocated: items, or bundles."""
        return 3 if self.valuation == "combinatorial" else self.items

    def independent(self, env: AuctionEnv) -> bool:
        """Whether bidders' types are independent of each other, so that one bidder's can be redrawn alone."""
        return env.prior.independent_agents and (env.synergy is None or env.synergy.independent_agents)

    def held_out(self, env: AuctionEnv) -> AuctionEnv:
        """The auction on profiles kept from training: other rows of an empirical prior, the same prior otherwise."""
        synergy = None if env.synergy is None else env.synergy.held_out()
        return AuctionEnv(prior=env.prior.held_out(), synergy=synergy, weights=env.weights)

    def draw(self, env: AuctionEnv, key: Array, count: int) -> Draw:
        """`count` profiles: types [B, N, T], each of weight 1/B. Nothing is seen but the reports."""
        values_key, synergy_key = jax.random.split(key)
        types = env.prior.sample(values_key, count)
        if self.valuation == "combinatorial":
            types = jnp.concatenate([types, env.synergy.sample(synergy_key, count)], -1)
        return Draw(weight=jnp.full((count,), 1.0 / count, types.dtype), types=types)

    def space(self, env: AuctionEnv, draw: Draw) -> Box:
        """The misreport box: the support of the prior, [N, T]."""
        low, high = env.prior.support()
        if self.valuation == "combinatorial":
            synergy_low, synergy_high = env.synergy.support()
            low, high = jnp.concatenate([low, synergy_low], -1), jnp.concatenate([high, synergy_high], -1)
        return Box(low=low, high=high)

    def recommended(self, env: AuctionEnv, draw: Draw) -> Array:
        """The truth, [B, N, T]."""
        return draw.types

    def values(self, types: Array) -> Array:
        """What each good is worth: types […, N, T] give […, N, M]."""
        if self.valuation != "combinatorial":
            return types
        return jnp.concatenate([types[..., :2], types.sum(-1, keepdims=True)], -1)

    def infeasibility(self, env: AuctionEnv, decision: Decision) -> Array:
        """By how much an allocation is more than there is, [], the largest of all profiles: any item given more than once, a negative
        share, a bidder with more than one thing it wants only one of."""
        given = decision.allocation
        excess = [(-given).max(), self._sold(given).max() - 1.0]
        if self.valuation != "additive":
            excess.append(given.sum(-1).max() - 1.0)
        return jnp.maximum(jnp.stack(excess).max(), 0.0)

    def _sold(self, given: Array) -> Array:
        """The probability with which each item is given to anybody, […, items]: an item also goes with a bundle it is in."""
        if self.valuation != "combinatorial":
            return given.sum(-2)
        return given[..., :2].sum(-2) + given[..., 2:].sum(-2)

    def decide(self, env: AuctionEnv, rule: Rule, seen: Tree, action: Array) -> Decision:
        """Allocation and payments on reports […, N, T]. Raises ConfigError where the rule gives them in other shapes."""
        decision = rule(action)
        for name, wanted in (("allocation", (*action.shape[:-1], self.goods)), ("payment", action.shape[:-1])):
            found = getattr(getattr(decision, name, None), "shape", None)
            if found != wanted:
                gives = "is no array" if found is None else f"has shape {list(found)}"
                raise ConfigError(f"rule: on reports of shape {list(action.shape)} its {name} {gives}; it should have {list(wanted)}.")
        return decision

    def utility(self, env: AuctionEnv, draw: Draw, decision: Decision, action: Array) -> Array:
        """Value received at the true types less the payment, […, I, N]. One einsum: when K reports are judged by B types of a
        lone bidder it becomes a single [B, M] × [M, K] product."""
        received = jnp.einsum("...nm,...nm->...n", decision.allocation, self.values(draw.types))
        return received - decision.payment

    def weight(self, env: AuctionEnv, draw: Draw, decision: Decision) -> Array:
        """Every profile is an information set of its own, of the profile's weight: [B, 1]."""
        return draw.weight[..., None]

    def score(self, env: AuctionEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """The designer's value and its named parts profile by profile, [B] each; an auction has no signed constraints."""
        received = jnp.einsum("...nm,...nm->...n", decision.allocation, self.values(draw.types))
        account = objectives.Account(value=received, transfer=decision.payment)
        by_name = objectives.evaluate(self.objective, account)
        value = sum(env.weights[k] * by_name[name] for k, name in enumerate(self.objective))
        return Outcome(value=value, objectives=by_name, constraints={})


def check(problem: Auction, env: AuctionEnv, config: Config) -> None:
    """Raise ConfigError where something for sale may be worth less than nothing: rules charge a share of the value of what they give,
    which protects from loss only where that is ≥ 0."""
    low, _ = (np.asarray(bound, np.float64) for bound in env.prior.support())
    if low.min() < 0:
        raise ConfigError(f"{config.source}: problem.prior reaches down to {low.min():g}; a value should be at least 0, as nobody has to "
                          "take an item: shift the prior, or cut it off at 0.")
    if env.synergy is None:
        return
    synergy, apart = np.asarray(env.synergy.support()[0], np.float64)[:, 0], low.sum(-1)
    bidder = int((synergy + apart).argmin())
    if synergy[bidder] + apart[bidder] < 0:
        raise ConfigError(f"{config.source}: problem.synergy reaches down to {synergy[bidder]:g}, where two items that are worth "
                          f"{apart[bidder]:g} one by one are worth {synergy[bidder] + apart[bidder]:g} together; it should be 0 at least.")


def build(model: Any, folder: Any) -> tuple[Auction, AuctionEnv]:
    """The auction a problem file describes and its numbers; `folder` is where relative data files are looked up."""
    weights = {model.objective: 1.0} if isinstance(model.objective, str) else dict(model.objective)
    combinatorial = model.valuation == "combinatorial"
    env = AuctionEnv(
        prior=model.prior.build(model.bidders, model.items, folder),
        synergy=model.synergy.build(model.bidders, 1, folder) if combinatorial else None,
        weights=jnp.asarray(list(weights.values()), jnp.float32),
    )
    return Auction(agents=model.bidders, items=model.items, valuation=model.valuation, objective=tuple(weights)), env
