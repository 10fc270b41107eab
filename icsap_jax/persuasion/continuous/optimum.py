"""The exact best signal of a continuous state, in float64, for receivers who act on its posterior mean.

*One threshold*: pool the states above a cut whose mean is the threshold (Kamenica & Gentzkow 2011; Gentzkow & Kamenica 2016).

*Finitely many actions*: the dual of Dworczak & Martini (2019) is a convex function of two multipliers for each action (`continuous_lines`),
minimised by columns: at given multipliers the states divide into intervals, one for each action; the best obedient mixture of the
divisions met so far is a linear programme of a few rows, whose duals are the next multipliers. The mixture is a signal, and worth
what the programme says; the price function at its duals proves what none can exceed. Both are exact for the continuous state, and meet.

*A quadratic receiver* takes the mean x, and the sender expects κ E x² + terms that no signal changes, κ being the coefficient of a²
plus that of a·ω: all is told where κ > 0, nothing where κ < 0. For the lobbyist of Kamenica & Gentzkow (2011)
κ = 2α − 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from icsap_jax.exact.lp import solve
from icsap_jax.persuasion.continuous.lines import Lines, lines_of
from icsap_jax.persuasion.continuous.prior import Prior

ROUNDS = 400
NEAR = 0.8  # how near the best multipliers so far the second column of a round is looked for
CLOSE = 1e-11  # where columns stop: between value and bound, as a share of the range of what is at stake


@dataclass(frozen=True)
class Best:
    """The `value` that a signal reaches, the `bound` that none exceeds, and the lines [A, 2] of the price function that proves it."""

    value: float
    bound: float
    prices: np.ndarray


def threshold(lines: Lines) -> Best | None:
    """In closed form, where there are two actions of values that do not depend on the state, and the sender wants the one that the
    receiver takes at high means; None elsewhere."""
    order = np.argsort(lines.receiver[:, 1])
    receiver, sender = lines.receiver[order], lines.sender[order]
    if len(order) != 2 or sender[:, 1].any() or sender[1, 0] < sender[0, 0] or receiver[0, 1] == receiver[1, 1]:
        return None
    prior, (low, high) = lines.prior, sender[:, 0]
    at = (receiver[0, 0] - receiver[1, 0]) / (receiver[1, 1] - receiver[0, 1])
    if prior.mean >= at:
        prices = np.array([[low, 0.0], [high, 0.0]])
    elif at >= prior.high:
        prices = np.array([[low, 0.0], [low, 0.0]])
    else:
        cut = prior.start_of_pool(at, prior.high)
        assert cut is not None  # the mean of all is below the threshold, and that of the highest above it
        slope = (high - low) / (at - cut)
        prices = np.array([[low, 0.0], [low - slope * cut, slope]])
    value = lines.bound(prices)  # the price is the value at both means of the signal, and linear on each pool
    return Best(value, value, prices[np.argsort(order)])


def columns(lines: Lines) -> Best:
    """By divisions of the states into intervals, one at a time."""
    actions = lines.usable()
    lo, hi = lines.intervals()[actions].T
    stake = max(float(np.ptp(lines.value_at(np.linspace(lines.prior.low, lines.prior.high, 201)))), 1e-9)
    width = lines.prior.high - lines.prior.low
    taken = [_nothing_told(lines)[actions], lines.shares_of(lines.receiver)[actions]]
    value, bound, best = -np.inf, np.inf, np.zeros((len(lines.sender), 2))
    for _ in range(ROUNDS):
        mass, moment = np.stack(taken, axis=-1)[:, 0], np.stack(taken, axis=-1)[:, 1]  # [A, columns]
        obeys = np.concatenate([moment - lo[:, None] * mass, hi[:, None] * mass - moment]) / width
        worth = lines.sender[actions, 0] @ mass + lines.sender[actions, 1] @ moment
        found = solve(worth / stake, at_most=(-obeys, np.zeros(len(obeys))), equal=(np.ones((1, len(taken))), [1.0]), maximise=True,
                      tolerance=1e-10)  # fmt: skip
        value, dual = stake * found.value, np.zeros_like(best)
        dual[actions] = found.duals_at_most.reshape(2, -1).T * stake / width
        # Duals of a few columns leap about; near the best multipliers so far the next column tells more.
        for tried in (dual, NEAR * best + (1.0 - NEAR) * dual):
            prices = lines.prices(tried)
            taken.append(lines.shares_of(prices)[actions])
            if lines.bound(prices) < bound:
                bound, best = lines.bound(prices), tried
        if bound - value <= CLOSE * stake:
            break
    return Best(value, bound, lines.prices(best))


def _nothing_told(lines: Lines) -> np.ndarray:
    """All states under the receiver's best action at the prior mean, [A, 2]."""
    mean = lines.prior.mean
    gets = lines.receiver @ [1.0, mean]
    worth = np.where(gets >= gets.max() - 1e-12 * max(1.0, np.abs(gets).max()), lines.sender @ [1.0, mean], -np.inf)
    taken = np.zeros((len(gets), 2))
    taken[np.argmax(worth)] = 1.0, mean
    return taken


def best_signal(lines: Lines) -> Best:
    """Of finite actions: in closed form where there is one."""
    return threshold(lines) or columns(lines)


def quadratic_value(coefficients: np.ndarray, prior: Prior, spread: float) -> float:
    """What the sender of a quadratic receiver expects when posterior means have the mean square `spread`: coefficients [6]."""
    squared, crossed, state_squared, action, state, constant = coefficients
    return float((squared + crossed) * spread + state_squared * prior.second + (action + state) * prior.mean + constant)


def quadratic_best(coefficients: np.ndarray, prior: Prior) -> float:
    """The most of these: everything told, or nothing."""
    return max(quadratic_value(coefficients, prior, spread) for spread in (prior.second, prior.mean**2))


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}, for the continuous state and without any margin."""
    if model.receiver.lines is None:
        value = quadratic_best(model.sender.coefficients, model.prior.build())
        return {"value": value, "method": "closed form: all is told, or nothing", "source": "Kamenica & Gentzkow 2011, the lobbyist",
                "upper_bound": value}  # fmt: skip
    lines = lines_of(model)
    pooled = threshold(lines)
    best = pooled or columns(lines)
    method = "closed form: the highest states are pooled" if pooled else "divisions into intervals, and a convex price function"
    source = "Kamenica & Gentzkow 2011" if pooled else "Dworczak & Martini 2019; Arieli, Babichenko, Smorodinsky & Yamashita 2023"
    return {"value": best.value, "method": method, "source": source, "upper_bound": best.bound}
