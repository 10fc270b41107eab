"""Whether what an auction has to keep can be kept at all: asked before anything is trained for it.

Whatever the auction, its expected account (payments P, values received V, value kept K, as in `aims`) lies within a few planes. Bidders who
enter freely pay no more than what they get is worth to them, P ≤ V. Items are worth no more than to who values them most, V and V + K.
Every rule of this package charges a share of reported values, a price of a menu, or what a bidder's presence costs the others, none of
which is negative, so that P ≥ 0; a plugin's may pay bidders, and nothing is said then of how far. A constraint that is missed by the best
point between the planes, a linear programme of three numbers, is missed by every auction. Of one item and independent bidders who have
no budgets the accounts themselves are known, and `aims` finds the best of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from icsap_jax.auctions import aims, contextual, optimum
from icsap_jax.auctions.baselines import independent_items
from icsap_jax.auctions.myerson import highest_value_at_most
from icsap_jax.auctions.priors.base import decimal
from icsap_jax.config import Config, ConfigError
from icsap_jax.constraints import Bound
from icsap_jax.exact import lp

ROUNDING = 1e-6  # of a value: far above the errors of quadrature, far below what anybody asks for by mistake
ERRORS = 5.0  # standard errors that are left to a mean over contexts


@dataclass(frozen=True)
class Reach:
    """What is known of the accounts of all auctions: `planes` [L, 3]·account ≤ `bounds` [L]. Of one `item` that is only what is asked
    besides: its accounts are those of its auctions, and exact."""

    planes: np.ndarray
    bounds: np.ndarray
    item: aims.Item | None = None

    def most(self, weights: np.ndarray) -> float | None:
        """No auction comes to more of weights [3]·account; None where there is no end to it."""
        if self.item is not None:
            found = aims.best([self.item], weights, self.planes, self.bounds)
            return None if found is None else found.value
        try:
            return lp.solve(weights, at_most=(self.planes, self.bounds), bounds=(None, None), maximise=True).value
        except lp.Unbounded:
            return None

    def meets(self, weights: np.ndarray, least: np.ndarray) -> bool:
        """Whether an account may have weights [K, 3]·account ≥ least [K], all at once."""
        planes, bounds = np.concatenate([self.planes, -weights]), np.concatenate([self.bounds, -least])
        try:
            if self.item is not None:
                aims.best([self.item], np.zeros(3), planes, bounds)
            else:
                lp.solve(np.zeros(3), at_most=(planes, bounds), bounds=(None, None))
        except (aims.Unattainable, lp.Infeasible):
            return False
        return True


@dataclass(frozen=True)
class Asked:
    """The constraint at `place`: weights [3]·account ≥ `least`, or, where it is not `linear`, no less than that."""

    place: int
    limit: Bound
    value: float
    weights: np.ndarray
    linear: bool

    @property
    def least(self) -> float:
        """Of weights·account, with what rounding may do left to it."""
        return -self.limit.sign * self.value - ROUNDING * abs(self.value)


def refuse_unattainable(problem: Any, env: Any, config: Config) -> None:
    """Raise ConfigError where it is known that no auction, or no rule of this package, meets the constraints."""
    unpaid = type(config.rule).__module__.startswith("icsap_jax.")
    asked, worth = _asked(problem, env), _worth(problem, env, config.problem)
    reach = _reach(problem, env, config.problem, worth, unpaid)
    for each in asked:
        most = reach.most(each.weights)
        if most is not None and most < each.least - ROUNDING * abs(most):
            raise ConfigError(f"{config.source}: {_missed(each, most, worth[0], unpaid, reach.item is not None and each.linear)}")
    if len(asked) > 1 and not reach.meets(np.stack([each.weights for each in asked]), np.array([each.least for each in asked])):
        named = " and ".join(f"'{each.limit.name}' {each.value:g}" for each in asked)
        freely = "any auction that bidders enter freely" + (" and that pays nobody, as no rule here does" if unpaid else "")
        raise ConfigError(f"{config.source}: problem.constraints: {named} can each be met, but not together by {freely}; ask for less of "
                          "one of them.")


def _missed(asked: Asked, most: float, worth: float, unpaid: bool, exact: bool) -> str:
    """A constraint that nothing meets, as a sentence."""
    nobody = "no rule here, as none pays bidders" if unpaid and asked.weights[0] < 0 else "no auction that bidders enter freely"
    said = f"problem.constraints.{asked.place}.value = {asked.value:g}: '{asked.limit.name}' can be met by {nobody}"
    most = round(most, 12) + 0.0  # what rounding leaves of nothing is not worth printing, nor is −0
    if asked.limit.sign > 0:
        return f"{said}; it is at least {0.0 - most:.5g}; write more."
    if exact and asked.weights[0] >= 0:
        return f"{said}; the most that any reaches is {most:.6g}; write less."
    if np.isclose(most, worth):
        return f"{said}; all they value is worth {most:.5g}; write less."
    return f"{said}; it is at most {most:.5g}; write less."


def _asked(problem: Any, env: Any) -> list[Asked]:
    """The bounds on objectives of which something is known: on average, or on every profile and so on average too."""
    found = []
    for place, (limit, numbers) in enumerate(zip(problem.limits, env.limits, strict=True)):
        if isinstance(limit, Bound):
            signed = dict(zip(limit.objective, -limit.sign * decimal(numbers["weights"]), strict=True))
            weights = _at_best(signed, problem.agents)
            if weights is not None:
                linear = aims.counted(signed) is not None
                found.append(Asked(place, limit, float(decimal(numbers["value"])), weights, linear))
    return found


def _at_best(weights: dict[str, float], agents: int) -> np.ndarray | None:
    """Weights [3] of the account by which a weighted sum of objectives is never underrated; None where there are none. Who has least has
    no more than the average, and differences count as less than nothing."""
    account = np.zeros(3)
    for name, weight in weights.items():
        linear = aims.counted({name: weight})
        if linear is not None:
            account += linear
        elif getattr(name, "owner", "") or weight < 0 or name not in ("maximin", "equality"):
            return None
        elif name == "maximin":
            account += weight * np.array([-1.0, 1.0, 0.0]) / agents
    return account


def _reach(problem: Any, env: Any, model: Any, worth: tuple[float, float], unpaid: bool) -> Reach:
    nothing_paid = [([-1.0, 0.0, 0.0], 0.0)] if unpaid else []
    rational = env.population is None
    if problem.items == 1 and problem.independent(env) and rational and not problem.budgets and env.contexts is None:
        (item,) = aims.items_of(env.prior.marginals(), decimal(env.outside))
        return Reach(*_planes(nothing_paid), item)
    outside = decimal(env.outside)
    known = [
        *nothing_paid, ([0.0, -1.0, 0.0], 0.0), ([0.0, 1.0, 0.0], worth[0]), ([0.0, 1.0, 1.0], worth[1]),
        ([0.0, 0.0, 1.0], np.maximum(outside, 0.0).sum()), ([0.0, 0.0, -1.0], np.maximum(-outside, 0.0).sum()),
    ]  # fmt: skip
    if rational:  # whoever overstates its values by mistake may pay more than they are
        known.append(([1.0, -1.0, 0.0], 0.0))
        known += [([1.0, 0.0, 0.0], most) for most in _most_paid(problem, env, model)]
    return Reach(*_planes(known))


def _planes(known: Sequence[tuple[list[float], float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([plane for plane, _ in known]).reshape(-1, 3), np.array([float(bound) for _, bound in known])


def _worth(problem: Any, env: Any, model: Any) -> tuple[float, float]:
    """The most that all items are worth to bidders, on average; and to bidders and the designer, if they are with who values them most."""
    outside = float(np.maximum(decimal(env.outside), 0.0).sum())
    if env.contexts is not None:
        if not env.prior.independent_agents:
            worth = float(np.asarray(problem.space(env, None).high, np.float64)[:, : problem.items].max(0).sum())
            return worth, worth + outside
        mean = contextual.surplus(env, model)
        return (worth := mean.value + ERRORS * mean.std_error), worth + outside
    bidders = env.prior.marginals()
    if env.prior.independent_agents and env.synergy is None:
        items = aims.items_of(bidders, decimal(env.outside))
        sold, sold_or_kept = (aims.sold_apart(items, np.array([0.0, 1.0, kept])) for kept in (0.0, 1.0))
        return float(sold[1]), float(sold_or_kept[1:].sum())
    worth = sum(highest_value_at_most([bidder[j] for bidder in bidders]) for j in range(problem.items))
    if env.synergy is not None:  # of the only pair there is
        worth += highest_value_at_most([bidder[0] for bidder in env.synergy.marginals()])
    return worth, worth + outside


def _most_paid(problem: Any, env: Any, model: Any) -> list[float]:
    """What is known besides of the most that bidders pay, on average: all their budgets, and of one bidder the best revenue."""
    known = [] if env.budget is None else [float(np.asarray(env.budget.mean(), np.float64).sum())]
    alone = problem.agents == 1 and problem.valuation != "combinatorial" and env.contexts is None
    if alone and (independent_items(env, model) or model.prior.kind == "triangle"):
        revenue = replace(problem, objective=("revenue",), limits=(), budgets=False)
        numbers = replace(env, weights=jnp.ones(1), limits=(), budget=None, overspent=None)
        bound = optimum.optimum(revenue, numbers, model)["upper_bound"]
        known += [] if bound is None else [bound]
    return known
