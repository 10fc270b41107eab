"""The auction: bidders with private values for items, a designer who allocates and charges (Myerson 1981; Dütting et al. 2019).

A bidder's type is its value for each item, or, when values are combinatorial over two items, (v₁, v₂, C) with the pair worth
v₁ + v₂ + C. Reports are types; the recommended report is the truth. Utility is quasi-linear: the value of what is received less
the payment. A decision on one profile never looks at another (`rowwise`).

Bidders with a private budget (Che & Gale 2000; Feng, Narasimhan & Parkes 2018) have it as the last number of their type. Payments are
expected ones, charged whatever a lottery gives; one beyond the true budget is worth less than anything else, so that nobody gains by
a report under which it could not pay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax import constraints, objectives
from icsap_jax.auctions import attainable
from icsap_jax.auctions import preference as preferences
from icsap_jax.bilevel.bounded import Population
from icsap_jax.bilevel.ties import largest
from icsap_jax.bilevel.types import Array, Box, Draw, Outcome, Rule, Tree
from icsap_jax.config import Config, ConfigError
from icsap_jax.config.objectives import weights_of

AVERAGED = 1024  # draws over which the value of an item is averaged where it depends on contexts
RUIN = -1e6  # what a payment that one does not have is worth: finite, so that slopes are, and below all that can be gained


@register_dataclass
@dataclass(frozen=True)
class AuctionEnv:
    """The numbers of an auction: the prior of item values, the prior of the synergy C (combinatorial only, else None), the weights of
    the designer's objectives, in the order of `Auction.objective`, what items are worth to it unsold, `outside` [M], the prior of
    budgets [N, 1] (None: nobody has one), what a unit beyond one's budget costs while a rule is trained, `overspent` (None: `RUIN`, once
    it is judged), the numbers of each of `Auction.limits`, the law of public `contexts` (None: there are none), given which the prior is
    then read, the `population` of boundedly rational bidders (None: all are rational), the `preference` of people for allocations (None:
    nobody was asked), and what an item is worth on average, the `unit` of payoffs []."""

    prior: Any
    synergy: Any
    weights: Array
    outside: Array
    budget: Any = None
    overspent: Array | None = None
    limits: tuple[Any, ...] = ()
    contexts: Any = None
    population: Population | None = None
    preference: preferences.Taste | None = None
    unit: Array | float = 1.0


@register_dataclass
@dataclass(frozen=True)
class Decision:
    """`allocation` […, N, M]: the probability with which each bidder gets each item (or bundle {1}, {2}, {1,2}); `payment` […, N]."""

    allocation: Array
    payment: Array


@dataclass(frozen=True)
class Auction(constraints.Limited):
    """N bidders, M items; `valuation` is additive, unit_demand or combinatorial; `objective` names what the designer maximises;
    `budgets`: whether bidders have private ones; `limits`: what the rules have to keep."""

    agents: int
    items: int
    valuation: str
    objective: tuple[str, ...] = ("revenue",)
    rowwise: bool = True
    margin: float = 0.0
    budgets: bool = False
    limits: tuple[Any, ...] = ()

    @property
    def goods(self) -> int:
        """The number of things a bidder can be allocated: items, or bundles."""
        return 3 if self.valuation == "combinatorial" else self.items

    def independent(self, env: AuctionEnv) -> bool:
        """Whether bidders' types are independent of each other, so that one bidder's can be redrawn alone."""
        return all(prior is None or prior.independent_agents for prior in (env.prior, env.synergy, env.budget))

    def held_out(self, env: AuctionEnv) -> AuctionEnv:
        """The auction on profiles kept from training: other rows of an empirical prior, the same prior otherwise."""
        synergy, budget = (None if prior is None else prior.held_out() for prior in (env.synergy, env.budget))
        return replace(env, prior=env.prior.held_out(), synergy=synergy, budget=budget, overspent=None)

    def scenarios(self, env: AuctionEnv) -> tuple[AuctionEnv, ...]:
        """The auction with each of the priors that may be true, the box of reports being that of all; the auction alone where one is."""
        told = getattr(env.prior, "scenarios", None)
        return (env,) if told is None else tuple(replace(env, prior=prior) for prior in told())

    def population(self, env: AuctionEnv) -> Population | None:
        """The bidders that are boundedly rational, in the units of values."""
        return env.population

    def preference(self, env: AuctionEnv) -> preferences.Taste | None:
        """What people like of its decisions."""
        return env.preference

    def shown(self, env: AuctionEnv, draw: Draw, decision: Decision) -> Array:
        """What people see of decisions, [B, F]."""
        return preferences.shown(env.preference, self.account(env, draw, decision), env.unit)

    def liked(self, env: AuctionEnv, draw: Draw, decision: Decision) -> Array:
        """Whether people like decisions, [B], 1 or 0."""
        return preferences.liked(env.preference, self.account(env, draw, decision))

    def imagined(self, env: AuctionEnv, key: Array, count: int, sharpest: float = preferences.SHARPEST) -> tuple[Draw, Decision]:
        """Fresh profiles, and random feasible decisions on them."""
        draw_key, decision_key = jax.random.split(key)
        draw = self.draw(env, draw_key, count)
        return draw, Decision(*preferences.imagined(self, draw, decision_key, sharpest))

    def draw(self, env: AuctionEnv, key: Array, count: int) -> Draw:
        """`count` profiles: types [B, N, T], each of weight 1/B. Where there are contexts they are seen, and nothing else is."""
        if env.contexts is not None:
            contexts_key, values_key = jax.random.split(key)
            seen = env.contexts.draw(contexts_key, count, self.agents, self.items)
            types = self.redraw(env, values_key, seen, (count,))
            return Draw(weight=jnp.full((count,), 1.0 / count, types.dtype), types=types, seen=seen)
        values_key, synergy_key = jax.random.split(key)
        types = env.prior.sample(values_key, count)
        if self.valuation == "combinatorial":
            types = jnp.concatenate([types, env.synergy.sample(synergy_key, count)], -1)
        if self.budgets:
            types = jnp.concatenate([types, env.budget.sample(jax.random.fold_in(key, 2), count)], -1)
        return Draw(weight=jnp.full((count,), 1.0 / count, types.dtype), types=types)

    def redraw(self, env: AuctionEnv, key: Array, seen: Tree, lead: tuple[int, ...]) -> Array:
        """Types [*lead, N, T] given contexts, whose own leading axes are the last of `lead`."""
        types = env.contexts.values(env.prior, key, seen, lead)
        if self.budgets:
            budgets = env.budget.sample(jax.random.fold_in(key, 2), int(np.prod(lead)))
            types = jnp.concatenate([types, budgets.reshape(*lead, self.agents, 1)], -1)
        return types

    def space(self, env: AuctionEnv, draw: Draw | None) -> Box:
        """The misreport box: the support of the prior, [N, T]; where there are contexts it is the support given those drawn, [B, N, T],
        or without a draw what bounds them all."""
        if env.contexts is not None:
            low, high = env.contexts.support(env.prior, None if draw is None else draw.seen)
            low, high = (jnp.broadcast_to(bound, (*bound.shape[:-2], self.agents, self.items)) for bound in (low, high))
        else:
            low, high = env.prior.support()
        if self.valuation == "combinatorial":
            synergy_low, synergy_high = env.synergy.support()
            low, high = jnp.concatenate([low, synergy_low], -1), jnp.concatenate([high, synergy_high], -1)
        if self.budgets:
            low, high = (
                jnp.concatenate([bound, jnp.broadcast_to(budget, (*bound.shape[:-1], 1))], -1)
                for bound, budget in zip((low, high), env.budget.support(), strict=True)
            )
        return Box(low=low, high=high)

    def scale(self, env: AuctionEnv) -> Array:
        """What an item is worth on average, the unit of temperatures, []."""
        return env.unit

    def recommended(self, env: AuctionEnv, draw: Draw) -> Array:
        """The truth, [B, N, T]."""
        return draw.types

    def values(self, types: Array) -> Array:
        """What each good is worth: types […, N, T] give […, N, M]."""
        if self.budgets:
            types = types[..., :-1]
        if self.valuation != "combinatorial":
            return types
        return jnp.concatenate([types[..., :2], types.sum(-1, keepdims=True)], -1)

    def affordable(self, reports: Array, decision: Decision) -> Decision:
        """The decision as it is where bidders can pay, by their reports; where one cannot, share and payment shrink alike until it can,
        so that a share costs what it did. Nobody gains by asking for less of what is worth its price: where nothing else depends on
        budgets, none is worth understating, nor overstating."""
        if not self.budgets:
            return decision
        budget = reports[..., -1]
        short = decision.payment > budget
        left = jnp.where(short, budget / jnp.where(short, decision.payment, 1.0), 1.0)
        return Decision(allocation=decision.allocation * left[..., None], payment=jnp.minimum(decision.payment, budget))

    def infeasibility(self, env: AuctionEnv, decision: Decision) -> Array:
        """By how much an allocation is more than there is, [], the largest of all profiles: any item given more than once, a negative
        share, a bidder with more than one thing it wants only one of."""
        given = decision.allocation
        excess = [(-given).max(), self._sold(given).max() - 1.0]
        if self.valuation != "additive":
            excess.append(given.sum(-1).max() - 1.0)
        return jnp.maximum(jnp.stack(excess).max(), 0.0)

    def given_twice(self, env: AuctionEnv, decision: Decision) -> Array:
        """How much more than once items are given on each profile, added up over items, […]: 0 where the decision is feasible."""
        return jax.nn.relu(self._sold(decision.allocation) - 1.0).sum(-1)

    def _sold(self, given: Array) -> Array:
        """The probability with which each item is given to anybody, […, items]: an item also goes with a bundle it is in."""
        if self.valuation != "combinatorial":
            return given.sum(-2)
        return given[..., :2].sum(-2) + given[..., 2:].sum(-2)

    def decide(self, env: AuctionEnv, rule: Rule, seen: Tree, action: Array) -> Decision:
        """Allocation and payments on reports […, N, T]. A rule that takes contexts too is told them; another does without.
        Raises ConfigError where the rule gives them in other shapes."""
        decision = rule(action) if seen is None else rule(*(action, *seen)[: rule.inputs])
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
        if not self.budgets:
            return received - decision.payment
        beyond = decision.payment - jnp.broadcast_to(draw.types[..., -1], received.shape)
        if env.overspent is None:
            return jnp.where(beyond > 0, RUIN, received - decision.payment)
        return received - decision.payment - env.overspent * jax.nn.relu(beyond)

    def weight(self, env: AuctionEnv, draw: Draw, decision: Decision) -> Array:
        """Every profile is an information set of its own, of the profile's weight: [B, 1]."""
        return draw.weight[..., None]

    def score(self, env: AuctionEnv, draw: Draw, decision: Decision, action: Array) -> Outcome:
        """The designer's value, its named parts, and the signed constraints profile by profile, [B] each."""
        return self.outcome(env, self.account(env, draw, decision))

    def account(self, env: AuctionEnv, draw: Draw, decision: Decision) -> objectives.Account:
        """What everybody received and paid, [B, N] each, and who got how much of each item, at the true types. Who gets a bundle gets the
        items in it."""
        values, given = self.values(draw.types), decision.allocation
        received = jnp.einsum("...nm,...nm->...n", given, values)
        combinatorial = self.valuation == "combinatorial"
        whole = {"additive": values.sum(-1), "unit_demand": largest(values), "combinatorial": values[..., -1]}[self.valuation]
        return objectives.Account(
            value=received, transfer=decision.payment, kept=jnp.einsum("...m,m->...", 1.0 - self._sold(given), env.outside),
            allocation=given[..., :2] + given[..., 2:] if combinatorial else given,
            elsewhere=jnp.einsum("...jm,...im->...ij", given, values) - decision.payment[..., None, :], whole=whole,
        )  # fmt: skip


def check(problem: Auction, env: AuctionEnv, config: Config) -> None:
    """Raise ConfigError where something for sale may be worth less than nothing: rules charge a share of the value of what they give,
    which protects from loss only where that is ≥ 0. So with budgets; and where no auction at all meets the constraints."""
    low, _ = (np.asarray(bound, np.float64) for bound in env.prior.support())
    if low.min() < 0:
        raise ConfigError(f"{config.source}: problem.prior reaches down to {low.min():g}; a value should be at least 0, as nobody has to "
                          "take an item: shift the prior, or cut it off at 0.")
    if env.budget is not None and (least := float(np.asarray(env.budget.support()[0]).min())) < 0:
        raise ConfigError(f"{config.source}: problem.budgets reaches down to {least:g}; a budget should be at least 0.")
    if problem.limits:
        for scenario in problem.scenarios(env):
            attainable.refuse_unattainable(problem, scenario, config)
    if env.preference is not None:
        preferences.refuse_unlearnable(problem, env, config)
    if env.synergy is None:
        return
    synergy, apart = np.asarray(env.synergy.support()[0], np.float64)[:, 0], low.sum(-1)
    bidder = int((synergy + apart).argmin())
    if synergy[bidder] + apart[bidder] < 0:
        raise ConfigError(f"{config.source}: problem.synergy reaches down to {synergy[bidder]:g}, where two items that are worth "
                          f"{apart[bidder]:g} one by one are worth {synergy[bidder] + apart[bidder]:g} together; it should be 0 at least.")


def build(model: Any, folder: Any) -> tuple[Auction, AuctionEnv]:
    """The auction a problem file describes and its numbers; `folder` is where relative data files are looked up."""
    weights = weights_of(model.objective)
    combinatorial = model.valuation == "combinatorial"
    limits, numbers = constraints.build(model.constraints)
    env = AuctionEnv(
        prior=model.prior.build(*model.listed(), folder),
        synergy=model.synergy.build(model.bidders, 1, folder) if combinatorial else None,
        weights=jnp.asarray(list(weights.values()), jnp.float32),
        outside=jnp.asarray(np.broadcast_to(np.asarray(model.outside_value), (model.items,)), jnp.float32),
        budget=None if model.budgets is None else model.budgets.build(model.bidders, 1, folder),
        overspent=None if model.budgets is None else jnp.asarray(model.overspent, jnp.float32),
        limits=numbers,
        contexts=None if model.contexts is None else model.contexts.build(),
    )
    auction = Auction(
        agents=model.bidders, items=model.items, valuation=model.valuation, objective=tuple(weights), budgets=model.budgets is not None,
        limits=limits,
    )  # fmt: skip
    average = env.prior.mean().mean() if env.contexts is None else auction.draw(env, jax.random.key(0), AVERAGED).types.mean()
    env = replace(env, unit=average)
    if model.preference is not None:
        env = replace(env, preference=preferences.build(model.preference, auction, env, folder))
    if model.population is None:
        return auction, env
    chosen = model.population
    return auction, replace(env, population=Population(
        share=jnp.asarray(chosen.share, jnp.float32), precision=chosen.precision / average, reports=chosen.reports))
