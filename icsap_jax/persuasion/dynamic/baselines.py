"""What a sender over time gets without looking ahead, or without using the time: float64, ties for the sender."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from icsap_jax.exact.lp import solve
from icsap_jax.persuasion.dynamic.optimum import Game, best_alone, game
from icsap_jax.persuasion.tables import best_reply_value

REACHED = 1e-12  # a smaller probability is rounding
FEW = 3_000  # variables of a programme over plans for all periods that is solved in seconds


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The sender's expected utility over all periods when it says nothing, says all it knows in every period, sends in each the best
    scheme for that period alone, and, where there are few enough plans, when it speaks in the first period only."""
    given = game(model)
    found = {
        "no_disclosure": told_in_each_period(given, lambda belief: belief[:, None]),
        "full_disclosure": told_in_each_period(given, np.diag),
        "myopic_sender": myopic(given),
    }
    if len(given.prior) * given.receiver.shape[2] ** len(given.receiver) <= FEW:
        found["one_signal"] = one_signal(given)
    return found


def told_in_each_period(given: Game, split: Any) -> float:
    """The value where in each period `split` of the belief [S] somebody has who was told nothing is what is told: joint probabilities of
    states and signals [S, Z]."""
    total, belief = 0.0, given.prior
    for sender, receiver in zip(given.sender, given.receiver, strict=True):
        total += best_reply_value(split(belief), sender, receiver, "for")
        belief = belief @ given.transitions
    return total


def myopic(given: Game) -> float:
    """The value of the best scheme for each period alone, at every belief that the ones before it leave."""
    total, beliefs = 0.0, {tuple(given.prior): 1.0}
    for sender, receiver in zip(given.sender, given.receiver, strict=True):
        following: dict[tuple[float, ...], float] = {}
        for belief, probability in beliefs.items():
            best = best_alone(np.array(belief), sender, receiver)
            total += probability * best.value
            for joint in best.joint[0].T:
                if joint.sum() > REACHED:
                    # Beliefs equal but for rounding are one.
                    after = tuple(np.round(joint / joint.sum() @ given.transitions, 12))
                    following[after] = following.get(after, 0.0) + probability * float(joint.sum())
        beliefs = following
    return total


def one_signal(given: Game) -> float:
    """The value of the best scheme that speaks in the first period and then no more: a recommendation of what to do in every period, a
    programme over S·A^T joint probabilities."""
    horizon, states, actions = given.receiver.shape
    ahead = [np.linalg.matrix_power(given.transitions, period) for period in range(horizon)]
    sender, receiver = (np.stack([move @ table for move, table in zip(ahead, tables, strict=True)])
                        for tables in (given.sender, given.receiver))  # fmt: skip
    plans = np.stack(np.unravel_index(np.arange(actions**horizon), (actions,) * horizon), 1)  # [plans, T]
    worth = sum(sender[period][:, plans[:, period]] for period in range(horizon))  # [S, plans]
    gains = receiver[:, None] - np.swapaxes(receiver, 1, 2)[..., None]  # [T, done, S, other]
    blocks = np.concatenate([np.swapaxes(gains[period, plans[:, period]], 1, 2) for period in range(horizon)], 1)  # [plans, T·A, S]
    number = np.arange(states * len(plans)).reshape(states, -1).T  # [plans, S]
    columns = np.broadcast_to(number[:, None], blocks.shape)
    count = len(plans) * blocks.shape[1]
    disobeys = sparse.csr_matrix((blocks.ravel(), (np.repeat(np.arange(count), states), columns.ravel())), (count, number.size))
    splits = sparse.kron(sparse.eye(states), np.ones((1, len(plans)))).tocsr()
    return solve(worth.ravel(), at_most=(disobeys, np.zeros(count)), equal=(splits, given.prior), maximise=True).value
