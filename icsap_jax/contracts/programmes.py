"""The cheapest contract that makes given actions best, and the best contract of all: one programme for each profile of actions.

For given actions a_k of the types, incentives are linear in the utilities w = u(t) that contracts give (Grossman & Hart 1983):

    F[k, a_k]·w_c(k) − c[k, a_k]  ≥  F[k, b]·w_c − c[k, b] + margin     for every other contract c and action b      (incentives)
    F[k, a_k]·w_c(k) − c[k, a_k]  ≥  reservation[k]                                                                (participation)

so that the least expected payment is a linear programme for a risk-neutral agent and a separable convex one for a risk-averse agent. A
profile's value cannot exceed what each type would bring alone; profiles are tried in the order of that bound, and not beyond.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from icsap_jax.contracts import affine
from icsap_jax.contracts.infeasibility import why_infeasible
from icsap_jax.contracts.shapes import UNRESTRICTED, Piece, Terms, pieces
from icsap_jax.contracts.tables import Tables
from icsap_jax.exact import convex, lp

MOST_PROFILES = 5000  # tried, at a few milliseconds each
_MOST_LISTED = 1_000_000  # a bound for each is a few bytes
_ROUNDING = 1e-9  # relative: bounds within it of the best value cannot be told from it


@dataclass(frozen=True)
class Implementation:
    """The cheapest contracts that implement `actions` [T]: payments `contracts` [C, K] (C = T in a menu, else 1), what the principal
    pays in expectation, what each type gets `agent_utility` [T], and a `lower_bound` on the payment of any other."""

    actions: np.ndarray
    contracts: np.ndarray
    expected_payment: float
    agent_utility: np.ndarray
    lower_bound: float


@dataclass(frozen=True)
class ActionValue:
    """One action of a problem without types: whether it can be implemented and, if so, the least pay and what is left."""

    action: int
    implementable: bool
    min_pay: float | None
    principal_utility: float | None


@dataclass(frozen=True)
class Best:
    """The best contracts [C, K]: their `value` to the principal, the actions [T] they implement, each type's utility [T], the expected
    payment, and an `upper_bound` on the value of any others."""

    value: float
    contracts: np.ndarray
    actions: np.ndarray
    agent_utility: np.ndarray
    expected_payment: float
    upper_bound: float


def least_pay(tables: Tables, terms: Terms, actions: Sequence[int] | np.ndarray, menu: bool = False) -> Implementation:
    """The cheapest contracts under which every type k prefers its own contract and actions[k] to every other choice by the margin.

    In a menu type k's own is contract k, so a margin also holds between contracts, and two types cannot then share one. Raises
    `exact.lp.Infeasible` where no allowed contracts do it.
    """
    actions = np.asarray(actions, dtype=int)
    if actions.shape != (tables.types,) or np.any(actions < 0) or np.any(actions >= tables.actions):
        raise ValueError(f"The actions are {actions.tolist()}; {tables.types} numbers from 0 to {tables.actions - 1} are needed.")
    if terms.shape == "linear" and not tables.utility.linear:
        contracts = affine.cheapest(tables, terms, actions, menu)
        return _implementation(tables, contracts, actions, -np.inf)
    found, lowest = None, np.inf
    for chosen in _combinations(tables, terms, menu):
        try:
            contracts, bound = _cheapest(tables, chosen, actions, terms.margin)
        except lp.Infeasible:
            continue
        one = _implementation(tables, contracts, actions, bound)
        lowest = min(lowest, bound)
        found = one if found is None or one.expected_payment < found.expected_payment else found
    if found is None:
        raise lp.Infeasible(f"No allowed contract makes the actions {actions.tolist()} best for the types.")
    return replace(found, lower_bound=lowest)


def best_contract(tables: Tables, terms: Terms = UNRESTRICTED, menu: bool = False) -> Best:
    """The best of all allowed contracts; a menu has one for each type. Ties are broken for the principal.

    Raises `exact.lp.Infeasible` where nothing can be implemented, with a sentence that says which constraint is in the way, and
    ValueError where there are too many profiles of actions to try.
    """
    found, value, upper = None, -np.inf, -np.inf
    for bound, actions in _profiles(tables, terms):
        if bound <= value + _ROUNDING * max(1.0, abs(value)):
            upper = max(upper, bound)
            break
        try:
            one = least_pay(tables, terms, actions, menu)
        except lp.Infeasible:
            continue
        reward = gross(tables, actions)
        worth = reward - tables.payment_cost * one.expected_payment
        upper = max(upper, min(bound, reward - tables.payment_cost * one.lower_bound), worth)
        if worth > value:
            found, value = one, worth
    if found is None:
        raise lp.Infeasible(why_infeasible(tables, terms, lambda other, others: implementable(other, others, menu)))
    return Best(value, found.contracts, found.actions, found.agent_utility, found.expected_payment, upper)


def every_action(tables: Tables, terms: Terms = UNRESTRICTED) -> list[ActionValue]:
    """Each action of a problem without types: implementable or not, its least pay, what is left to the principal."""
    if tables.types != 1:
        raise ValueError(f"There are {tables.types} types; actions can be priced one by one only where there is one.")
    priced = []
    for action in range(tables.actions):
        try:
            pay = least_pay(tables, terms, [action]).expected_payment
        except lp.Infeasible:
            priced.append(ActionValue(action, False, None, None))
        else:
            priced.append(ActionValue(action, True, pay, float(tables.expected_rewards[0, action]) - tables.payment_cost * pay))
    return priced


def gross(tables: Tables, actions: np.ndarray) -> float:
    """The expected reward if type k takes actions[k]."""
    return float(tables.type_prior @ tables.expected_rewards[np.arange(tables.types), actions])


def alone(tables: Tables, k: int) -> Tables:
    """The problem of a principal who knows that the type is k."""
    return replace(
        tables, outcome_probabilities=tables.outcome_probabilities[[k]], costs=tables.costs[[k]],
        type_prior=np.ones(1), reservation=tables.reservation[[k]],
    )  # fmt: skip


def insured_value(tables: Tables) -> np.ndarray:
    """[T, A] what each action of each type would bring if it could be seen and were paid for with a sure sum; −∞ where no payment is
    enough. No contract does better, because u is concave."""
    low = float(tables.utility.of(0.0)) if tables.limited_liability else tables.utility.lowest
    needed = np.maximum(tables.costs + tables.reservation[:, None], low)
    reachable = needed < tables.utility.highest
    sure = tables.utility.pay(np.where(reachable, needed, 0.0))
    return np.where(reachable, tables.expected_rewards - tables.payment_cost * sure, -np.inf)


def implementable(tables: Tables, terms: Terms, menu: bool) -> bool:
    """Whether any profile of actions can be implemented."""
    for _, actions in _profiles(tables, terms):
        try:
            least_pay(tables, terms, actions, menu)
        except lp.Infeasible:
            continue
        except lp.Unbounded:
            return True
        return True
    return False


def _profiles(tables: Tables, terms: Terms) -> Iterator[tuple[float, np.ndarray]]:
    """(upper bound on its value, actions [T]) for every profile that might be implemented, the highest bound first."""
    bounds = insured_value(tables)
    if tables.types > 1:
        for k, action in np.argwhere(bounds > -np.inf):
            try:
                least = least_pay(alone(tables, k), terms, [action]).lower_bound
            except lp.Infeasible:
                bounds[k, action] = -np.inf
            else:
                known = tables.expected_rewards[k, action] - tables.payment_cost * least
                bounds[k, action] = min(known, bounds[k, action])
    possible = [np.flatnonzero(row > -np.inf) for row in bounds]
    count = float(np.prod([float(len(one)) for one in possible]))
    advice = "Use fewer types or actions, or the randomised menu, which is one linear programme."
    if count > _MOST_LISTED:
        raise ValueError(f"{tables.types} types with {tables.actions} actions make {count:.3g} profiles of actions: too many. {advice}")
    profiles = np.stack(np.meshgrid(*possible, indexing="ij"), axis=-1).reshape(-1, tables.types)
    values = sum(tables.type_prior[k] * bounds[k, profiles[:, k]] for k in range(tables.types))
    for tried, row in enumerate(np.argsort(-values, kind="stable")):
        if tried == MOST_PROFILES:
            raise ValueError(f"The best of {count:.0f} profiles of actions was not found among the {tried} most promising. {advice}")
        yield float(values[row]), profiles[row]


def _combinations(tables: Tables, terms: Terms, menu: bool) -> Iterator[tuple[Piece, ...]]:
    """Every choice of a piece for each contract."""
    every, count = pieces(tables, terms), tables.types if menu else 1
    if len(every) ** count > MOST_PROFILES:
        raise ValueError(f"{len(every)} thresholds for each of {count} contracts are too many: {len(every) ** count} combinations.")
    return itertools.product(every, repeat=count)


def _cheapest(tables: Tables, chosen: Sequence[Piece], actions: np.ndarray, margin: float) -> tuple[np.ndarray, float]:
    """Contracts [C, K] in payments, one from each piece, and a lower bound on the expected payment."""
    rows, right = _incentives(tables, chosen, actions, margin)
    sizes = [piece.basis.shape[1] for piece in chosen]
    starts = np.cumsum([0, *sizes])
    weights = np.zeros(starts[-1])
    for k, action in enumerate(actions):
        c = k if len(chosen) > 1 else 0
        weights[starts[c] : starts[c + 1]] += tables.type_prior[k] * tables.outcome_probabilities[k, action] @ chosen[c].basis
    bounds = [pair for piece in chosen for pair in piece.bounds]
    utility = tables.utility
    if utility.linear:
        solution = lp.solve(weights, at_most=(rows, right), bounds=bounds)
        bound = solution.value
    else:
        # An outcome that never follows costs nothing, so nothing keeps its pay finite but this.
        highest = utility.highest - 1e-6 * abs(utility.highest) if np.isfinite(utility.highest) else None
        bounds = [
            (low, highest) if weight == 0.0 and highest is not None and (high is None or high > highest) else (low, high)
            for weight, (low, high) in zip(weights, bounds, strict=True)
        ]
        solution = convex.minimise(weights, utility.pay, utility.slope_of_pay, at_most=(rows, right), bounds=bounds)
        bound = solution.lower_bound
    parts = [piece.basis @ solution.x[start : start + size] for piece, start, size in zip(chosen, starts, sizes, strict=False)]
    return np.maximum(utility.pay(np.array(parts)), tables.least_payment), bound


def _incentives(tables: Tables, chosen: Sequence[Piece], actions: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and right-hand side over all contracts' variables: shape, participation and incentives."""
    sizes = [piece.basis.shape[1] for piece in chosen]
    starts = np.cumsum([0, *sizes])
    count = tables.actions
    rows, right = [], []
    for c, piece in enumerate(chosen):
        block = np.zeros((len(piece.rows), starts[-1]))
        block[:, starts[c] : starts[c + 1]] = piece.rows
        rows.append(block)
        right.append(piece.right)
    for k, action in enumerate(actions):
        mine = k if len(chosen) > 1 else 0
        own = np.zeros(starts[-1])
        own[starts[mine] : starts[mine + 1]] = tables.outcome_probabilities[k, action] @ chosen[mine].basis
        rows.append(-own[None])
        right.append(np.array([-tables.reservation[k] - tables.costs[k, action]]))
        for c, piece in enumerate(chosen):
            other = np.delete(np.arange(count), action) if c == mine else np.arange(count)
            block = np.zeros((len(other), starts[-1]))
            block[:, starts[c] : starts[c + 1]] = tables.outcome_probabilities[k, other] @ piece.basis
            rows.append(block - own)
            right.append(tables.costs[k, other] - tables.costs[k, action] - margin)
    return np.concatenate(rows), np.concatenate(right)


def _implementation(tables: Tables, contracts: np.ndarray, actions: np.ndarray, bound: float) -> Implementation:
    types = np.arange(tables.types)
    own = tables.outcome_probabilities[types, actions]
    paid = contracts if len(contracts) > 1 else np.broadcast_to(contracts, (tables.types, tables.outcomes))
    utility = (own * tables.utility.of(paid)).sum(1) - tables.costs[types, actions]
    return Implementation(actions, contracts, float(tables.type_prior @ (own * paid).sum(1)), utility, float(bound))
