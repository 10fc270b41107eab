"""The exact best revenue of an auction, where it is known: our database of answers. float64, nothing learned.

    one item, independent bidders          Myerson 1981, ironed (myerson.py); other aims, floors and ceilings (aims.py)
    any items, additive, welfare alone     each to who values it most
    one bidder, two items                  closed-form menus (menus.py)
    one additive bidder, U[0, c] items     straight-jacket auction, up to six items (straightjacket.py)
    one bidder, few discrete types         linear programme (discrete.py)
    one item, two like bidders, budgets    linear programmes on grids (che_gale.py)
    one item, one bidder, any of several priors    linear programme over random prices (maximin.py)
    even lots                              the bundle alone, or a linear programme (fair.py)

Problems are recognised by their marginals and not by the name of a file. Where the optimum is not known, `value` is None and
proven bounds are given instead: `lower_bound`, what a named simple rule earns, and `upper_bound`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from icsap_jax.auctions import aims, che_gale, contextual, discrete, fair, maximin, menus, straightjacket
from icsap_jax.auctions.baselines import bundle_myerson, independent_items, is_revenue, judged, myerson_payments
from icsap_jax.auctions.myerson import fingerprint, highest_value, optimal_revenue, revenue_curve, revenue_curves
from icsap_jax.auctions.pricing import item_pricing
from icsap_jax.auctions.sums import distribution_of_sum

# Prices of the best 1 … 10 of ten items i.i.d. U[0, 1], found by search; 3.476 on 2 000 000 profiles of their own.
TEN_ITEM_PRICES = (0.913, 1.709, 2.385, 2.838, 3.297, 3.641, 3.805, 3.922, 3.960, 3.963)
TEN_ITEM_REVENUE = 3.476
NEARLY_EVEN = 0.4  # a limit below which revenue goes with the bundle's rather than with that of the best auction without limits


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"} and, where the value is None, perhaps "lower_bound": revenue per auction."""
    env = judged(env)
    if env.population is not None:
        return _unknown("not known where bidders are boundedly rational: they may pay more than what they get is worth to them")
    if len(problem.scenarios(env)) > 1:
        return _worst_case(problem, env, model)
    if env.contexts is not None:
        return _given_contexts(problem, env, model)
    if problem.budgets:
        return _budgets(problem, env)
    if fair.only_even(problem, env):
        return fair.optimum(problem, env, model, optimum(*fair.without(problem, env), model), known_menu(env, model))
    if not is_revenue(problem, env):
        return _other_aims(problem, env)
    if not env.prior.independent_agents:
        return _unknown("no formula: bidders' values are correlated")
    if model.items == 1:
        revenue = optimal_revenue(revenue_curves([bidder[0] for bidder in env.prior.marginals()]))
        return _exact(revenue, "ironed virtual values, by quadrature", "Myerson 1981")
    known = known_menu(env, model)
    if known is not None:
        return _exact(known.revenue, known.method, known.source)
    if model.bidders == 1:
        answer = _one_bidder(env, model)
        if answer is not None:
            return answer
    return _bounds(problem, env, model)


def _worst_case(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """Any of several priors may be true. No rule is worth more in the worst case than the best one where any of them is known to be."""
    scenarios = problem.scenarios(env)
    if problem.agents == 1 and problem.items == 1 and is_revenue(problem, env):
        found = maximin.random_price([scenario.prior.marginals()[0][0] for scenario in scenarios])
        drawn: dict[str, float] = {}
        for price, chance in zip(found.prices, found.chances, strict=True):
            drawn[f"{price:.4g}"] = drawn.get(f"{price:.4g}", 0.0) + chance
        prices = ", ".join(f"{price} ({100 * chance:.3g} %)" for price, chance in drawn.items())
        return {**_exact(found.value, f"linear programme over prices drawn at random: {prices}", "HiGHS"), "upper_bound": found.most}
    alone = [
        optimum(problem, replace(env, prior=scenario.prior.part), model.model_copy(update={"prior": part}))["upper_bound"]
        for scenario, part in zip(scenarios, model.prior.parts, strict=True)
    ]  # fmt: skip
    known = [bound for bound in alone if bound is not None]
    return _unknown("not known; at most what is best for one of the priors", min(known) if known else None)


def _given_contexts(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """One item: Myerson's auction for the laws that the contexts tell. Several: sold apart, and the surplus."""
    if not is_revenue(problem, env) or not env.prior.independent_agents:
        return _unknown("not known with contexts, but for the revenue from independent bidders")
    if model.items > 1 and model.valuation == "unit_demand":
        return _unknown("not known with contexts for unit-demand bidders", contextual.surplus(env, model).value)
    apart = contextual.sold_apart(env, model)
    if model.items == 1:
        error = f", to a standard error of {apart.std_error:.1g}" if apart.std_error else ""
        return _exact(apart.value, f"ironed virtual values given the contexts, averaged over them{error}", "Myerson 1981")
    return _unknown("not known; between Myerson's auctions of each item given the contexts and the whole surplus",
                    contextual.surplus(env, model).value, apart.value)  # fmt: skip


def _budgets(problem: Any, env: Any) -> dict[str, Any]:
    """Bidders who cannot pay what they value. Without budgets no less would be earned, whatever they are: values do not depend on them."""
    wanted = replace(problem, budgets=False)
    if not is_revenue(wanted, env) or not problem.independent(env):
        return _unknown("not known with budgets, but for the revenue from independent bidders")
    bidders = env.prior.marginals()
    laws = [(fingerprint(values[0]), fingerprint(budget[0])) for values, budget in zip(bidders, env.budget.marginals(), strict=True)]
    if problem.items > 1:
        return _unknown("not known with budgets for more than one item")
    unconstrained = optimal_revenue(revenue_curves([values[0] for values in bidders]))
    if problem.agents > 2 or len(set(laws)) > 1:
        return _unknown("not known with budgets; below the best revenue without them", unconstrained)
    found = che_gale.revenue(bidders[0][0], env.budget.marginals()[0][0], problem.agents)
    method = ("linear programmes on grids, extrapolated; on the finest "
              + (f"between {found.lower:.5f} and {found.upper:.5f}" if found.lower is not None else f"at most {found.upper:.5f}"))
    return {"value": found.value, "method": method, "source": "the problem of Che & Gale 2000", "upper_bound": unconstrained}


def _other_aims(problem: Any, env: Any) -> dict[str, Any]:
    """Revenue, welfare and kept value weighed against each other or held to bounds. `dual`: the price of each constraint, by name."""
    if not env.prior.independent_agents:
        return _unknown("no formula: bidders' values are correlated")
    above = aims.surplus(problem, env)
    try:
        found = aims.apart(problem, env)
    except aims.Unattainable:
        return _unknown("not known; selling items one by one does not meet the constraints", above)
    if found is None:
        return _unknown("no formula for these aims", above)
    prices = dict(zip((limit.name for limit in problem.limits), found.dual.tolist(), strict=True))
    aim = aims.aim_of(problem, env)
    if problem.items == 1 or (not prices and aim is not None and aim[0] == 0 and (aim[1:] >= 0).all()):
        answer = _exact(found.value, "ironed weighted virtual values, by quadrature", "after Myerson 1981")
        return {**answer, "dual": prices} if prices else answer
    return _unknown("not known; between selling items one by one and the whole surplus", above, found.value)


def menu(problem: Any, env: Any, model: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """The optimal menu for one bidder and two items, (allocations [K, 2], prices [K]) with nothing at 0 first; None if not known."""
    known = known_menu(env, model) if is_revenue(problem, env) else None
    return None if known is None else (known.allocations, known.prices)


def control(problem: Any, env: Any, model: Any) -> tuple[Any, float] | None:
    """A control variate for the revenue of a learned rule: what the exact optimum charges each profile [B, N, M], as a function to
    [B], and its exact expectation. The two revenues move together, so their difference is known far better than either is. With contexts
    it is what Myerson's auctions charge item by item, as a function of values and contexts."""
    if fair.only_even(problem, env):
        found = fair.control(judged(env), model), control(*fair.without(problem, env), model)
        near, far = found if fair.strictest(problem, env).max() < NEARLY_EVEN else found[::-1]
        return near or far
    if not is_revenue(problem, env):
        return None
    if env.contexts is not None:
        if not env.prior.independent_agents or (model.items > 1 and model.valuation != "additive"):
            return None
        return (lambda types, seen=None: contextual.charged(judged(env), types, seen)), contextual.sold_apart(judged(env), model).value
    if model.items == 1 and env.prior.independent_agents:
        curves = revenue_curves([bidder[0] for bidder in judged(env).prior.marginals()])
        return lambda types, seen=None: myerson_payments(curves, np.asarray(types[:, :, 0], np.float64)), optimal_revenue(curves)
    known = known_menu(env, model)
    if known is None:
        return None

    def charged(types: np.ndarray, seen: Any = None) -> np.ndarray:
        return known.prices[np.argmax(types[:, 0] @ known.allocations.T - known.prices, axis=1)]

    return charged, known.revenue


def known_menu(env: Any, model: Any) -> menus.Menu | None:
    """The closed-form menu that fits this prior and valuation, if there is one."""
    if model.bidders != 1 or model.items != 2 or model.valuation == "combinatorial" or env.contexts is not None:
        return None
    if model.prior.kind == "triangle":
        return menus.additive_triangle(float(model.prior.scale)) if model.valuation == "additive" else None
    ends = _uniform_box(env, model)
    if ends is None:
        return None
    low, high = ends
    if model.valuation == "additive":
        return menus.additive_rectangle(low, high)
    same = np.allclose([low[0], high[0]], [low[1], high[1]], rtol=1e-6)
    return menus.unit_demand_square(float(low[0]), float(high[0])) if same else None


def _uniform_box(env: Any, model: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """(low [M], high [M]) of a lone bidder whose values are independent and uniform; else None."""
    if not independent_items(env, model):
        return None
    ends = [menus.uniform_ends(marginal) for marginal in env.prior.marginals()[0]]
    if any(pair is None for pair in ends):
        return None
    low, high = np.array(ends, dtype=np.float64).T
    return low, high


def _one_bidder(env: Any, model: Any) -> dict[str, Any] | None:
    if model.valuation == "combinatorial":
        return None
    unit_demand = model.valuation == "unit_demand"
    box = _uniform_box(env, model)
    if box is not None and not unit_demand and np.all(box[0] == 0) and np.allclose(box[1], box[1][0], rtol=1e-6):
        side = float(box[1][0])
        if model.items <= straightjacket.MOST_ITEMS:
            revenue = side * straightjacket.size_pricing_revenue(straightjacket.prices(model.items))
            return _exact(revenue, "straight-jacket auction: closed-form prices by the number of items",
                          "Giannakopoulos & Koutsoupias 2018")
        if model.items == len(TEN_ITEM_PRICES):
            return _unknown("prices for the best 1 to 10 items", highest_value_sum(env), side * TEN_ITEM_REVENUE)
    if box is not None and model.items == 2:
        marginals = env.prior.marginals()[0]
        bundle = optimal_revenue([revenue_curve(distribution_of_sum(marginals))])
        simple = item_pricing(marginals)[0] if unit_demand else max(simple_revenue(env, model), bundle)
        method = "no formula; between one-price rules and a linear programme on averages over cells"
        return _unknown(method, discrete.uniform_bound(*box, unit_demand), simple)
    types = discrete.product_types(env.prior.marginals()[0]) if independent_items(env, model) else None
    if types is not None:
        return _exact(discrete.optimal_revenue(*types, unit_demand), "linear programme over all types", "HiGHS")
    return None


def _bounds(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """Not known: the better of item-wise and bundle Myerson below, the whole surplus above."""
    if model.valuation == "additive":
        lower = max(simple_revenue(env, model), bundle_myerson(problem, env, model).value)
        method = "not known; between the better of item-wise and bundle Myerson and the whole surplus"
        return _unknown(method, highest_value_sum(env), lower)
    if model.valuation == "unit_demand":
        return _unknown("not known; between the best single item sold alone and the whole surplus", highest_value_sum(env),
                        simple_revenue(env, model))
    return _unknown("not known")


def simple_revenue(env: Any, model: Any) -> float:
    """What Myerson's auctions earn item by item: summed for additive bidders, the best single one for unit demand."""
    bidders = env.prior.marginals()
    each = [optimal_revenue(revenue_curves([bidder[j] for bidder in bidders])) for j in range(model.items)]
    return float(max(each) if model.valuation == "unit_demand" else sum(each))


def highest_value_sum(env: Any) -> float:
    """The expected highest value of each item, summed: no auction earns more from additive or unit-demand bidders."""
    bidders = env.prior.marginals()
    return float(sum(highest_value([bidder[j] for bidder in bidders]) for j in range(len(bidders[0]))))


def _exact(value: float, method: str, source: str) -> dict[str, Any]:
    return {"value": value, "method": method, "source": source, "upper_bound": value}


def _unknown(method: str, upper_bound: float | None = None, lower_bound: float | None = None) -> dict[str, Any]:
    answer = {"value": None, "method": method, "source": None, "upper_bound": upper_bound}
    return answer if lower_bound is None else {**answer, "lower_bound": lower_bound}
