"""The best incentives through reputation, in float64, and what other incentives are worth.

Given what the agent is to do in every situation, the cheapest incentives that make it do so are a linear programme: the agent's
comparisons are linear in g, and so is what g costs. The optimum is the best over all plans that some g could induce. In one state and
for one type, as w_s falls the agent moves to actions with ever lower g and never back, so each action has a run of periods to itself;
plans are products of such runs. They are tried from the one that promises most (what it is worth with the least incentive) until no
other promises more than was found. A table g(a, ω) is solved state by state; f(v) ties the states together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, permutations, product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.contracts.reputation.exact import Exact, Terms, as_written, of_model, proportional
from icsap_jax.exact.lp import Infeasible, solve

MOST_PLANS = 100_000  # listed
MOST_PROGRAMMES = 4_000  # solved: some ten seconds
SOURCE = "Zhang et al. 2024, equations 13–18, with the payment charged"
UNKNOWN = {"value": None, "method": None, "source": SOURCE, "upper_bound": None}


@dataclass(frozen=True)
class Form:
    """Incentives as numbers to be found: g = `into` y, [S·A, J] times [J], each y ≥ the least, and `rising` whether y may not fall."""

    into: np.ndarray
    rising: bool


def table_form(exact: Exact) -> Form:
    """One number for each action in each state."""
    return Form(into=np.eye(exact.seen.size), rising=False)


def value_form(exact: Exact, monotone: bool) -> Form:
    """One number for each value there is."""
    values, place = np.unique(exact.seen, return_inverse=True)
    return Form(into=np.eye(len(values))[place.ravel()], rising=monotone)


def cheapest(exact: Exact, form: Form, plan: np.ndarray) -> tuple[float, np.ndarray]:
    """(F, y) of the cheapest incentives under which the agent does `plan` [P, S, T]. Raises `Infeasible` where none make it."""
    periods, states, types, actions = *plan.shape, exact.seen.shape[1]
    p, s, t, other = (axis.ravel() for axis in np.indices((periods, states, types, actions)))
    own = plan[p, s, t]
    kept = own != other
    p, s, t, other, own = (each[kept] for each in (p, s, t, other, own))
    rows = exact.period[p][:, None] * (form.into[s * actions + other] - form.into[s * actions + own])
    limits = exact.utility[s, t, own] - exact.utility[s, t, other]
    if form.rising:
        steps = np.eye(form.into.shape[1])
        rows, limits = np.vstack([rows, steps[:-1] - steps[1:]]), np.append(limits, np.zeros(len(steps) - 1))
    p, s, t = (axis.ravel() for axis in np.indices(plan.shape))
    paid = exact.scale * exact.mass.ravel() @ form.into[s * actions + plan.ravel()]
    found = solve(paid, at_most=(rows, limits) if len(rows) else None, bounds=(exact.least, None), tolerance=1e-10)
    return exact.expected(exact.value, plan) - exact.cost * found.value, found.x


def runs(periods: int, actions: int) -> np.ndarray:
    """[plans, P] every way to give each of some actions a run of periods."""
    found = []
    for count in range(1, min(periods, actions) + 1):
        for cuts in combinations(range(1, periods), count - 1):
            lengths = np.diff([0, *cuts, periods])
            found += [np.repeat(order, lengths) for order in permutations(range(actions), count)]
    return np.array(found)


def runs_count(periods: int, actions: int) -> float:
    """How many `runs` would list, before anything is listed."""
    total, chosen, orders = 0.0, 1.0, float(actions)
    for count in range(1, min(periods, actions) + 1):
        total += chosen * orders
        chosen, orders = chosen * (periods - count) / count, orders * (actions - count)
    return total


def promising_plans(exact: Exact) -> Iterator[tuple[float, np.ndarray]] | None:
    """(what it is worth at the least incentive, plan [P, S, T]), the most promising first; None where there are too many."""
    periods, states, types = exact.mass.shape
    if runs_count(periods, exact.seen.shape[1]) ** (states * types) > MOST_PLANS:
        return None
    one = runs(periods, exact.seen.shape[1])
    # What each run is worth in each state for each type, [S·T, runs].
    gains = exact.value - exact.cost * exact.least
    worth = np.array([[exact.scale * exact.mass[:, s, t] @ gains[s, t][run] for run in one] for s in range(states) for t in range(types)])
    picks = np.array(list(product(range(len(one)), repeat=states * types)))
    promised = worth[np.arange(states * types), picks].sum(1)
    return ((float(promised[place]), one[picks[place]].T.reshape(periods, states, types)) for place in np.argsort(-promised))


def best(exact: Exact, form: Form) -> tuple[float, np.ndarray] | None:
    """(F, g [S, A]) of the best incentives of a form; None where they were too many to try."""
    plans, found = promising_plans(exact), None
    if plans is None:
        return None
    for number, (promised, plan) in enumerate(plans):
        if found is not None and promised <= found[0]:
            return found
        if number == MOST_PROGRAMMES:
            return None
        try:
            value, numbers = cheapest(exact, form, plan)
        except Infeasible:
            continue
        if found is None or value > found[0]:
            found = value, (form.into @ numbers).reshape(exact.seen.shape)
    return found


def best_table(exact: Exact) -> tuple[float, np.ndarray] | None:
    """(F, g [S, A]) without restriction: what is paid in one state plays no part in another."""
    found = [best(_alone(exact, state), table_form(_alone(exact, state))) for state in range(len(exact.seen))]
    if any(each is None for each in found):
        return None
    return sum(each[0] for each in found), np.vstack([each[1] for each in found])


def _alone(exact: Exact, state: int) -> Exact:
    one = slice(state, state + 1)
    return replace(exact, utility=exact.utility[one], value=exact.value[one], seen=exact.seen[one], mass=exact.mass[:, one],
                   state_prior=exact.state_prior[one])  # fmt: skip


def slope_candidates(exact: Exact, monotone: bool) -> np.ndarray:
    """The slopes k at which the agent may be indifferent between two actions, or an incentive reaches the least, and 0; rising. In
    between, F is linear in k, so a best k is one of them."""
    seen, least = exact.seen, exact.least
    found = [np.zeros(1)]
    levels = [(seen, np.zeros_like(seen))]
    if least is not None:
        levels.append((np.zeros_like(seen), np.full_like(seen, least)))
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append((least / seen).ravel())
    lost = exact.utility[..., :, None] - exact.utility[..., None, :]  # [S, T, A, A]: what an agent that leaves a for b gives up
    for (rise, base), (other_rise, other_base) in product(levels, levels):
        steep = (other_rise[:, None, :] - rise[:, :, None])[:, None]
        flat = (other_base[:, None, :] - base[:, :, None])[:, None]
        for weight in exact.period:
            with np.errstate(divide="ignore", invalid="ignore"):
                found.append(((lost / weight - flat) / steep).ravel())
    slopes = np.unique(np.concatenate(found))
    slopes = slopes[np.isfinite(slopes)]
    return slopes[slopes >= 0] if monotone else slopes


def best_slope(exact: Exact, monotone: bool) -> tuple[float, float]:
    """(F, k) of the best g = k·v."""
    slopes = slope_candidates(exact, monotone)
    worth = [exact.worth(proportional(exact, slope)) for slope in slopes]
    place = int(np.argmax(worth))
    return float(worth[place]), float(slopes[place])


def first_best(exact: Exact) -> float:
    """With the agent doing as told for the least incentive: no incentives get the human more. ∞ where there is no least."""
    if exact.least is None:
        return np.inf
    return float(exact.scale * (exact.mass * (exact.value - exact.cost * exact.least).max(-1)).sum())


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """Of all incentives g(a, ω): {"value", "method", "source", "upper_bound"}; only a bound where plans are too many to try."""
    exact = of_model(model)
    bound = _number(first_best(exact)) if exact.suspend_below is None else None
    if exact.suspend_below is not None or exact.least is None:
        return {**UNKNOWN, "upper_bound": bound}
    found = best_table(exact)
    if found is None:
        return {**UNKNOWN, "upper_bound": bound}
    return {**UNKNOWN, "value": found[0], "method": "linear programme for each plan of the agent", "upper_bound": bound}


def optimum_of_value(problem: Any, env: Any, model: Any, rule_model: Any) -> dict[str, Any]:
    """Of all incentives that are f(v), in the form of the rule (a network comes as near as one likes to any); bounded by what a table
    can do."""
    exact, general = of_model(model), optimum(problem, env, model)
    bound = general["value"] if general["value"] is not None else general["upper_bound"]
    if exact.suspend_below is not None:
        return {**UNKNOWN, "upper_bound": bound}
    if rule_model.form == "linear":
        if rule_model.slope is not None:
            return {**UNKNOWN, "value": exact.worth(proportional(exact, rule_model.slope)), "method": "the slope is fixed"}
        return {**UNKNOWN, "value": best_slope(exact, rule_model.monotone)[0], "method": "every slope at which the agent is indifferent",
                "upper_bound": bound}
    found = best(exact, value_form(exact, rule_model.monotone)) if exact.least is not None else None
    method = "linear programme for each plan of the agent"
    return {**UNKNOWN, "upper_bound": bound, **({"value": found[0], "method": method} if found else {})}


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """What the human gets with the least incentive for everything (none where there is no least), when the agent does as told for
    that, in proportion to value with the best slope, and without the restriction to f(v); each where it is known."""
    exact = of_model(model)
    if exact.suspend_below is not None:
        return {}
    idle = np.full_like(exact.seen, exact.least or 0.0)
    found = {"no_incentive": exact.worth(idle), "first_best": first_best(exact)}
    if exact.least is None:
        return {"no_incentive": found["no_incentive"]}
    found["best_in_proportion"] = best_slope(exact, True)[0]
    table = best_table(exact)
    return {**found, **({"best_table": table[0]} if table else {})}


def polish(problem: Any, env: Any, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The rule with the cheapest incentives for what the agent does under it, and F before and after. A network stays as it is."""
    exact = of_model(model)
    fixed = getattr(rule_model, "fixed", None) is not None or getattr(rule_model, "slope", None) is not None
    form = getattr(rule_model, "form", "table")
    if exact.suspend_below is not None or fixed or form == "network":
        return rule, {}
    incentive = as_written(rule_model, rule, exact)
    before = exact.worth(incentive)
    better = _nearest_slope(exact, rule_model, rule) if form == "linear" else _cheaper(exact, rule_model, rule, exact.reply(incentive))
    after = exact.worth(as_written(rule_model, better, exact))
    told = {"value_before_polish": before, "value_after_polish": max(before, after)}
    return (better if after > before else rule), told


def _cheaper(exact: Exact, rule_model: Any, rule: Rule, plan: np.ndarray) -> Rule:
    """The rule whose numbers are those of the programme."""
    table = not hasattr(rule_model, "form")
    form = table_form(exact) if table else value_form(exact, rule_model.monotone)
    try:
        numbers = cheapest(exact, form, plan)[1]
    except Infeasible:  # the agent is indifferent only to within rounding
        return rule
    above = (numbers - exact.least) / _unit(exact)
    above = above.reshape(exact.seen.shape) if table else np.diff(above, prepend=0.0) if rule_model.monotone else above
    return _with(rule, inverse_softplus(above))


def _nearest_slope(exact: Exact, rule_model: Any, rule: Rule) -> Rule:
    """The rule at the better of the two indifferences on either side of its slope."""
    reach = max(abs(exact.seen).max(), 1e-300)
    unit = _unit(exact) / reach
    raw = float(jax.tree.leaves(rule)[0])
    slope = unit * (np.logaddexp(0.0, raw) if rule_model.monotone else raw)
    slopes = slope_candidates(exact, rule_model.monotone)
    place = int(np.searchsorted(slopes, slope))
    near = max(slopes[max(place - 1, 0) : place + 1], key=lambda k: exact.worth(proportional(exact, k)))
    return _with(rule, inverse_softplus(np.asarray(near / unit)) if rule_model.monotone else np.asarray(near / unit))


def _unit(exact: Exact) -> float:
    return Terms.of(exact).unit


def _with(rule: Rule, raw: np.ndarray) -> Rule:
    """The rule with its one parameter replaced, in the precision it has."""
    return jax.tree.map(lambda leaf: jnp.asarray(raw, leaf.dtype).reshape(leaf.shape), rule)


def inverse_softplus(numbers: np.ndarray) -> np.ndarray:
    """What softplus of is `numbers` ≥ 0; for 0 something of which it is 1e-20."""
    numbers = np.maximum(numbers, 1e-20)
    return numbers + np.log(-np.expm1(-numbers))


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
