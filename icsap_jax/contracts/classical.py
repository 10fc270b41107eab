"""What a contract is worth once the agent has chosen, and the contracts a principal would otherwise use.

`value_of` is the exact best response to given contracts; the others are baselines: the best share of the reward, no pay at all, and the
first best, in which actions are seen and no contract has to be incentive compatible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from icsap_jax.contracts.programmes import best_contract, insured_value
from icsap_jax.contracts.shapes import Terms
from icsap_jax.contracts.tables import Tables

_ROUNDING = 1e-9  # of the payoff range: the kinks of an upper envelope are computed no better


@dataclass(frozen=True)
class Reply:
    """What contracts lead to: the principal's `value`, each type's (contract, action) `choices` [T, 2], (−1, −1) for a type that stays
    out, each type's `agent_utility` [T], its reservation utility if it stays out, and the `expected_payment`."""

    value: float
    choices: np.ndarray
    agent_utility: np.ndarray
    expected_payment: float


@dataclass(frozen=True)
class BestLinear:
    """The best linear contract: its `value`, `contract` [K] = share·rewards + constant, and the `actions` [T] it leads to."""

    value: float
    share: float
    constant: float
    contract: np.ndarray
    actions: np.ndarray


def value_of(tables: Tables, contracts: np.ndarray, ties: Literal["for", "against"] = "for", tolerance: float = 1e-6) -> Reply:
    """What the contracts [C, K] bring when every type chooses the contract and action that are best for it.

    Choices within `tolerance`·`payoff_range` of the best are ties, broken for or against the principal. A type whose best is below its
    reservation utility, by more than that, stays out and the principal gets nothing from it.
    """
    if ties not in ("for", "against"):
        raise ValueError(f"ties is {ties!r}; it must be 'for' or 'against'.")
    contracts = np.atleast_2d(np.asarray(contracts, dtype=np.float64))
    if contracts.shape[1] != tables.outcomes or not np.all(np.isfinite(contracts)):
        raise ValueError(f"The contracts are {contracts.shape}; finite payments for {tables.outcomes} outcomes are needed.")
    with np.errstate(all="ignore"):
        received = tables.utility.of(contracts)
    if not np.all(np.isfinite(received)):
        raise ValueError(f"The contracts pay as little as {contracts.min():g}, of which this agent's utility is not defined.")
    paid = tables.outcome_probabilities @ contracts.T  # [T, A, C]
    utility = tables.outcome_probabilities @ received.T - tables.costs[..., None]
    worth = tables.expected_rewards[..., None] - tables.payment_cost * paid
    near = tolerance * payoff_range(tables)
    best = utility.max((1, 2))
    tied = utility >= best[:, None, None] - near
    favour = np.where(tied, worth if ties == "for" else -worth, -np.inf).reshape(tables.types, -1)
    action, contract = np.unravel_index(favour.argmax(1), utility.shape[1:])
    types, joins = np.arange(tables.types), best >= tables.reservation - near
    return Reply(
        value=float(tables.type_prior @ np.where(joins, worth[types, action, contract], 0.0)),
        choices=np.where(joins[:, None], np.stack([contract, action], axis=1), -1),
        agent_utility=np.where(joins, utility[types, action, contract], tables.reservation),
        expected_payment=float(tables.type_prior @ np.where(joins, paid[types, action, contract], 0.0)),
    )


def payoff_range(tables: Tables) -> float:
    """The larger of the ranges of expected rewards and of costs: what a tie is measured by. 1 where nothing differs."""
    return max(float(np.ptp(tables.expected_rewards)), float(np.ptp(tables.costs))) or 1.0


def zero_contract(tables: Tables) -> Reply:
    """Nothing is ever paid."""
    return value_of(tables, np.zeros((1, tables.outcomes)))


def first_best(tables: Tables) -> float:
    """Types and actions are seen: each is paid the sure sum that makes up for its cost and its reservation utility, no less than 0
    under limited liability. −∞ where no sum is enough for some type."""
    return float(np.sum(np.where(tables.type_prior > 0.0, tables.type_prior * insured_value(tables).max(1), 0.0)))


def best_linear(tables: Tables) -> BestLinear:
    """The best share ≥ 0 of the reward, with a constant on top without limited liability, in which every type takes part.

    For a risk-neutral agent under limited liability the actions taken change only where its utility's upper envelope over shares has a
    kink, and between kinks a lower share is better: only kinks, and the shares where a type begins to take part, are tried. Otherwise
    the profiles of actions are enumerated. Raises `exact.lp.Infeasible` where a type never takes part.
    """
    best = None
    if tables.utility.linear and tables.limited_liability and tables.rewards.min() >= 0.0:
        for share in _shares(tables):
            reply = value_of(tables, share * tables.rewards, tolerance=_ROUNDING)
            # Of shares worth the same the lowest.
            if np.all(reply.choices >= 0) and (best is None or reply.value > best.value + _ROUNDING * payoff_range(tables)):
                best = BestLinear(reply.value, float(share), 0.0, share * tables.rewards, reply.choices[:, 1])
    if best is not None:
        return best
    found = best_contract(tables, Terms(shape="linear"))
    contract = found.contracts[0]
    low, high = tables.rewards.argmin(), tables.rewards.argmax()
    share = (contract[high] - contract[low]) / (tables.rewards[high] - tables.rewards[low]) if high != low else 0.0
    return BestLinear(found.value, float(share), float(contract[low] - share * tables.rewards[low]), contract, found.actions)


def _shares(tables: Tables) -> np.ndarray:
    """Every share at which a type changes its action or begins to take part; 0 too."""
    shares = [0.0]
    for reward, cost, reservation in zip(tables.expected_rewards, tables.costs, tables.reservation, strict=True):
        share, action = 0.0, np.lexsort((-reward, cost))[0]
        while True:
            with np.errstate(divide="ignore", invalid="ignore"):
                kinks = np.where(reward > reward[action], (cost - cost[action]) / (reward - reward[action]), np.inf)
                joins = (cost + reservation) / reward
            shares.extend(joins[(reward > 0.0) & (joins > 0.0)] if share == 0.0 else [])
            following = kinks.min()
            if not np.isfinite(following):
                break
            share, action = following, np.flatnonzero(kinks == following)[np.argmax(reward[kinks == following])]
            shares.append(share)
    return np.unique(np.maximum(shares, 0.0))
