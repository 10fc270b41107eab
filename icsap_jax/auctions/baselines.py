"""The classical rules a designer would otherwise use, and what they earn: the numbers a learned auction is printed beside.

    second_price, vcg     efficient, no reserve (Vickrey 1961; Clarke 1971; Groves 1973)
    item_myerson          each item sold alone by Myerson's auction, or where revenue is not the only aim by what is best for it (aims.py)
    bundle_myerson        all items as one, by Myerson's auction on the sums of values
    item_price            one unit-demand bidder offered each item at a price
    affine_maximiser      two bidders, two items: the best weights and boosts found (affine.py)

Values are exact, or by quadrature to about 1e-6, wherever bidders and items are independent; otherwise they are means over
profiles that are the same at every call (common random numbers), with a standard error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from icsap_jax.auctions import affine, aims, contextual, maximin
from icsap_jax.auctions.myerson import atoms, optimal_revenue, revenue_curve, revenue_curves, second_price_revenue
from icsap_jax.auctions.pricing import item_pricing
from icsap_jax.auctions.priors.base import decimal
from icsap_jax.auctions.sums import distribution_of_sum, empirical, triangle_sum
from icsap_jax.constraints import Variation

SEED = 7_919
PROFILES = 100_000
_SEARCHED = 20_000  # profiles on which weights and boosts are searched
_LARGEST_MENU = 400  # allocations; beyond it VCG is solved profile by profile
_ASSIGNED = 2_000  # profiles then


@dataclass(frozen=True)
class Measured:
    """A revenue and its standard error, 0 where it is exact or by quadrature."""

    value: float
    std_error: float = 0.0


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """What each classical rule that applies is worth to the designer, by name."""
    return {name: result.value for name, result in measured(problem, env, model).items()}


def measured(problem: Any, env: Any, model: Any) -> dict[str, Measured]:
    """What each classical rule is worth, revenue where that is the aim, with its standard error, by name."""
    env = judged(env)
    if env.population is not None:  # what these rules are worth is known where all bidders are rational
        return {}
    if len(problem.scenarios(env)) > 1:
        return _worst_case(problem, env, model)
    if env.contexts is not None:
        return _given_contexts(problem, env, model)
    if problem.limits and all(isinstance(limit, Variation) for limit in problem.limits):
        return _even(problem, env, model)
    if not is_revenue(problem, env):
        return _other_aims(problem, env)
    rules = _additive if model.valuation == "additive" or model.items == 1 else _exclusive
    results = rules(problem, env, model)
    if model.bidders == 2 and model.items == 2:
        results["affine_maximiser"] = best_affine_maximiser(problem, env, model)
    return results


def judged(env: Any) -> Any:
    """The environment a rule is evaluated in: an empirical prior's held-out rows."""
    return replace(env, prior=env.prior.held_out())


def is_revenue(problem: Any, env: Any) -> bool:
    """Whether the designer wants revenue and nothing else, from bidders who can pay what they value and are
    rational."""
    nothing_kept = not np.asarray(env.outside).any()
    named = tuple(problem.objective) == ("revenue",) or (tuple(problem.objective) == ("profit",) and nothing_kept)
    plain = not problem.budgets and not problem.limits and env.population is None
    return named and bool(np.allclose(np.asarray(env.weights), 1.0)) and plain


def independent_items(env: Any, model: Any) -> bool:
    """Whether each bidder's values are independent of each other, so that marginals tell everything about it."""
    from icsap_jax.auctions.priors import Coordinatewise

    return model.items == 1 or isinstance(env.prior, Coordinatewise)


def sampled_values(problem: Any, env: Any, count: int, seed: int = SEED) -> np.ndarray:
    """`count` profiles of the values of all goods, float64 [B, N, G]; the same at every call."""
    import jax

    types = problem.draw(env, jax.random.key(seed), count).types
    return np.asarray(problem.values(types), dtype=np.float64)


def best_affine_maximiser(problem: Any, env: Any, model: Any) -> Measured:
    """The best affine maximiser found over all deterministic allocations, judged on profiles it was not searched on."""
    menu = affine.allocations(model.bidders, model.items, model.valuation)
    weights, boosts = affine.search(sampled_values(problem, env, _SEARCHED, SEED + 1), menu, model.valuation)
    fresh = sampled_values(problem, env, PROFILES)
    return _mean(affine.revenue(affine.worth(fresh, menu), weights, boosts))


def _additive(problem: Any, env: Any, model: Any) -> dict[str, Measured]:
    results: dict[str, Measured] = {}
    bidders, items = env.prior.marginals(), range(model.items)
    efficient = "second_price" if model.items == 1 else "vcg"
    if not env.prior.independent_agents:  # then Myerson's auctions are not defined by marginals
        if model.bidders > 1:
            results[efficient] = _mean(np.sort(sampled_values(problem, env, PROFILES), axis=1)[:, -2].sum(-1))
        return results
    columns = [[bidder[j] for bidder in bidders] for j in items]
    if model.bidders > 1:
        results[efficient] = Measured(sum(second_price_revenue(column) for column in columns))
    results["item_myerson"] = Measured(sum(optimal_revenue(revenue_curves(column)) for column in columns))
    if model.items > 1:
        results["bundle_myerson"] = bundle_myerson(problem, env, model)
    return results


def _worst_case(problem: Any, env: Any, model: Any) -> dict[str, Measured]:
    """Rules that need not know the prior, under the one of several that is worst for them; for one bidder and one item the best price."""
    scenarios = problem.scenarios(env)
    if problem.agents == 1:
        if problem.items > 1 or not is_revenue(problem, env):
            return {}
        return {"posted_price": Measured(maximin.random_price([each.prior.marginals()[0][0] for each in scenarios]).posted_value)}
    found = [
        measured(problem, replace(env, prior=scenario.prior.part), model.model_copy(update={"prior": part}))
        for scenario, part in zip(scenarios, model.prior.parts, strict=True)
    ]  # fmt: skip
    efficient = [name for name in ("second_price", "vcg") if all(name in each for each in found)]
    return {name: min((each[name] for each in found), key=lambda one: one.value) for name in efficient}


def _given_contexts(problem: Any, env: Any, model: Any) -> dict[str, Measured]:
    """Rules that know the contexts: the efficient one, and Myerson's auction of each item."""
    if not is_revenue(problem, env) or not env.prior.independent_agents:
        return {}
    additive = model.valuation == "additive" or model.items == 1
    results: dict[str, Measured] = {}
    if model.bidders > 1 and additive:
        second = np.sort(sampled_values(problem, env, PROFILES), axis=1)[:, -2].sum(-1)
        results["second_price" if model.items == 1 else "vcg"] = _mean(second)
    elif model.bidders > 1:
        results["vcg"] = _vcg(problem, env, model)
    if additive:
        apart = contextual.sold_apart(env, model)
        results["item_myerson"] = Measured(apart.value, apart.std_error)
    return results


def _even(problem: Any, env: Any, model: Any) -> dict[str, Measured]:
    """Where items have to be given away alike: the bundle is, whatever the limits."""
    wanted = is_revenue(replace(problem, limits=()), replace(env, limits=())) and model.valuation == "additive"
    return {"bundle_myerson": bundle_myerson(problem, env, model)} if wanted else {}


def _other_aims(problem: Any, env: Any) -> dict[str, Measured]:
    """What is best item by item for other aims than revenue, and what giving each item to who values it most is worth, where that meets
    the constraints."""
    try:
        found = aims.apart(problem, env)
    except aims.Unattainable:
        return {}
    if found is None:
        return {}
    results = {"item_myerson": Measured(found.value)}
    account = aims.sold_apart(aims.items_of(env.prior.marginals(), decimal(env.outside)), np.array([0.0, 1.0, 1.0]))
    aim, (limits, bounds) = aims.aim_of(problem, env), aims.limits_of(problem, env)
    if (limits @ account <= bounds).all():
        results["second_price" if problem.items == 1 else "vcg"] = Measured(float(aim @ account))
    return results


def bundle_myerson(problem: Any, env: Any, model: Any) -> Measured:
    """All items sold as one to independent bidders. Where a bidder's values are correlated, its sum's law is estimated from one half
    of a sample, and the auction designed for it is run on the other half."""
    if independent_items(env, model):
        sums = [distribution_of_sum(bidder) for bidder in env.prior.marginals()]
        return Measured(optimal_revenue(revenue_curves(sums)))
    if model.prior.kind == "triangle":
        return Measured(optimal_revenue([revenue_curve(triangle_sum(float(model.prior.scale)))] * model.bidders))
    totals = sampled_values(problem, env, 2 * PROFILES).sum(-1)
    curves = [revenue_curve(empirical(column)) for column in totals[:PROFILES].T]
    return _mean(myerson_payments(curves, totals[PROFILES:]))


def myerson_payments(curves: list, values: np.ndarray) -> np.ndarray:
    """The payment made in Myerson's auction of one item, profile by profile: values [B, N] give [B].

    The winner has the largest positive virtual value, the first of those that tie, and pays the least value with which it would
    still have won.
    """
    virtual = np.stack([curve.virtual(values[:, i]) for i, curve in enumerate(curves)], axis=1)
    winner = virtual.argmax(1)
    payment = np.zeros(len(values))
    for i, curve in enumerate(curves):
        earlier, later = virtual[:, :i].max(1, initial=0.0), virtual[:, i + 1 :].max(1, initial=-np.inf)
        won = (winner == i) & (virtual[:, i] > 0)
        # Slopes fall with the quantile: the winning types are the cells before `last`, and its corner is the least of them.
        last = np.minimum(np.searchsorted(-curve.slope, -earlier, side="left"), np.searchsorted(-curve.slope, -later, side="right"))
        payment[won] = curve.price[last[won]]
    return payment


def _exclusive(problem: Any, env: Any, model: Any) -> dict[str, Measured]:
    """Unit-demand and combinatorial bidders."""
    results: dict[str, Measured] = {}
    if model.bidders > 1:
        results["vcg"] = _vcg(problem, env, model)
    elif model.valuation == "unit_demand" and independent_items(env, model):
        marginals = env.prior.marginals()[0]
        if all(atoms(marginal) is None for marginal in marginals):
            results["item_price"] = Measured(item_pricing(marginals)[0])
    return results


def _vcg(problem: Any, env: Any, model: Any) -> Measured:
    if (model.bidders + 1) ** model.items <= _LARGEST_MENU:
        menu = affine.allocations(model.bidders, model.items, model.valuation)
        return _mean(affine.vcg_revenue(sampled_values(problem, env, PROFILES), menu))
    return _mean(np.array([_assignment_vcg(values) for values in sampled_values(problem, env, _ASSIGNED)]))


def _assignment_vcg(values: np.ndarray) -> float:
    """VCG's revenue from unit-demand bidders with values [N, M] ≥ 0: what each winner's presence costs the others."""
    rows, columns = linear_sum_assignment(values, maximize=True)
    welfare = values[rows, columns].sum()
    total = 0.0
    for row, column in zip(rows, columns, strict=True):
        others = np.delete(values, row, axis=0)
        alone = others[linear_sum_assignment(others, maximize=True)].sum()
        total += alone - (welfare - values[row, column])
    return float(total)


def _mean(samples: np.ndarray) -> Measured:
    return Measured(float(samples.mean()), float(samples.std(ddof=1) / np.sqrt(len(samples))))
