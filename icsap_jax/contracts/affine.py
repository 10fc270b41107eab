"""Linear contracts for a risk-averse agent: a share of the reward, plus a constant without limited liability.

What such a contract gives is not linear in the share, so nothing convex helps: the cheapest one is searched for, over a grid of shares
and constants that reaches over many orders of magnitude and is then refined around its best points.
"""

from __future__ import annotations

import numpy as np

from icsap_jax.contracts.shapes import Terms
from icsap_jax.contracts.tables import Tables
from icsap_jax.exact.lp import Infeasible

_SHARES, _CONSTANTS, _FINER, _ROUNDS, _KEPT = 1200, 120, 33, 24, 4
_SLACK = 1e-10  # relative to costs: what rounding may take from a constraint that binds


def cheapest(tables: Tables, terms: Terms, actions: np.ndarray, menu: bool) -> np.ndarray:
    """The cheapest linear contract [1, K] under which every type k takes actions[k]. Raises `Infeasible` where the search finds none,
    and ValueError for a menu of several."""
    if menu and tables.types > 1:
        raise ValueError("Menus of linear contracts for a risk-averse agent are not computed: ask for a single contract or another shape.")
    # A share is measured against the rewards, over the range in which it can matter.
    scale = max(np.abs(tables.rewards).max(), 1e-12)
    shares = np.concatenate([[0.0], np.geomspace(1e-6, 1e3, _SHARES) * max(1.0, scale) / scale])
    extra = np.zeros(1) if tables.limited_liability else np.concatenate([[0.0], np.geomspace(1e-6, 1e3, _CONSTANTS) * max(1.0, scale)])
    pay = _pay(tables, terms, actions, shares, extra)
    if not np.isfinite(pay).any():
        raise Infeasible(f"No linear contract that was tried makes the actions {actions.tolist()} best for the types.")
    found = []
    for place in np.argsort(pay, axis=None)[:_KEPT]:
        if np.isfinite(pay.flat[place]):
            found.append(_refined(tables, terms, actions, shares, extra, *np.unravel_index(place, pay.shape)))
    _, share, more = min(found)
    return (share * tables.rewards + _constants(tables, actions, np.array([share])) + more)[None]


def _refined(
    tables: Tables, terms: Terms, actions: np.ndarray, shares: np.ndarray, extra: np.ndarray, i: int, j: int
) -> tuple[float, float, float]:
    """(pay, share, extra) after looking again, ever closer, between the neighbours of a point of the grid."""
    pay = np.inf
    for _ in range(_ROUNDS):
        shares = np.unique(np.append(np.linspace(shares[max(i - 1, 0)], shares[min(i + 1, len(shares) - 1)], _FINER), shares[i]))
        if len(extra) > 1:
            extra = np.unique(np.append(np.linspace(extra[max(j - 1, 0)], extra[min(j + 1, len(extra) - 1)], _FINER), extra[j]))
        grid = _pay(tables, terms, actions, shares, extra)
        i, j = np.unravel_index(np.argmin(grid), grid.shape)
        pay = grid[i, j]
        if len(shares) == 1:
            break
    return float(pay), float(shares[i]), float(extra[j])


def _constants(tables: Tables, actions: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """[shares] the smallest constant with which every type takes part; 0 under limited liability."""
    if tables.limited_liability:
        return np.zeros(len(shares))
    types = np.arange(tables.types)
    own, needed = tables.outcome_probabilities[types, actions], tables.reservation + tables.costs[types, actions]
    paid = shares[:, None] * tables.rewards
    low = np.full(len(shares), -1e6) if np.isinf(tables.least_payment) else tables.least_payment - paid.min(1)
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = low, np.maximum(low, 0.0) + 1e6
        for _ in range(100):  # halving 10⁶ down to rounding
            middle = 0.5 * (low + high)
            enough = np.all(tables.utility.of(middle[:, None] + paid) @ own.T >= needed, axis=1)
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high


def _pay(tables: Tables, terms: Terms, actions: np.ndarray, shares: np.ndarray, extra: np.ndarray) -> np.ndarray:
    """[shares, extra] the expected payment; ∞ where the contract is not allowed or does not implement the actions."""
    types = np.arange(tables.types)
    constants = _constants(tables, actions, shares)[:, None] + extra
    paid = constants[..., None] + shares[:, None, None] * tables.rewards
    allowed = paid.min(-1) >= tables.least_payment - _SLACK
    if terms.budget is not None:
        allowed &= paid.max(-1) <= terms.budget + _SLACK
    with np.errstate(over="ignore", invalid="ignore"):
        utility = np.einsum("seo,tao->seta", tables.utility.of(np.maximum(paid, tables.least_payment)), tables.outcome_probabilities)
        utility = utility - tables.costs
        own = utility[:, :, types, actions]
        others = np.where(np.arange(tables.actions) == actions[:, None], -np.inf, utility + terms.margin).max(-1)
        slack = _SLACK * (1.0 + np.abs(tables.costs).max())
        allowed &= np.all((own >= others - slack) & (own >= tables.reservation - slack), axis=-1)
    average = np.einsum("t,to,seo->se", tables.type_prior, tables.outcome_probabilities[types, actions], paid)
    return np.where(allowed, average, np.inf)
