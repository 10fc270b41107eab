"""A learned scheme for a Markov process made exactly obedient, and the bound that proves how good any can be: the primal-dual method in
every state at once, where what follows is part of what an action is worth; backwards from the last step, or by policy iteration. With
the margin for the scheme, without one for the multipliers, whose bound holds however they were found."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.primal_dual import Programme, solve
from icsap_jax.bilevel.types import Rule
from icsap_jax.persuasion.markov.details import decided
from icsap_jax.persuasion.markov.optimum import followed, replied, upper_bound
from icsap_jax.persuasion.markov.problem import MarkovEnv, MarkovPersuasion, tables
from icsap_jax.persuasion.rules import saying

NEVER = 1e-7  # a smaller share of a state's mass is what the method stops short by, and is not said at all
ROUNDS, STILL = 50, 1e-9  # policy iterations, and the change of values, as a share of their size, at which they end


def polish(problem: MarkovPersuasion, env: MarkovEnv, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The scheme of the primal-dual method where it is worth more than the learned one under ties against the sender, and the two values;
    without the margin, what the method's scheme is worth under ties for and against."""
    given = tables(model)

    def worth(signal: np.ndarray) -> tuple[float, float]:
        return replied(given, problem.horizon, signal, "for"), replied(given, problem.horizon, signal, "against")

    learned = worth(decided(problem, env, rule)[0].signal)
    exact = schemes(given, problem.horizon, problem.margin)[0]
    polished, free = worth(exact), worth(schemes(given, problem.horizon, 0.0)[0])
    better = polished[1] >= learned[1]
    told = {"value_before_polish": learned[0], "value_after_polish": polished[0] if better else learned[0],
            "adversarial_ties_before_polish": learned[1],
            "without_margin": {"value": free[0], "adversarial_ties": free[1]}}  # fmt: skip
    return saying(rule, exact.reshape(-1, exact.shape[-1])) if better else rule, told


def schemes(given: MarkovEnv, horizon: int | None, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """(signal [L, S, O, A], multipliers [L, S, A, A] ≥ 0 on (recommended, deviation)) of the best scheme obeyed with `margin` to spare."""
    ahead = np.zeros(len(given.start))
    if horizon is not None:
        layers = []
        for _ in range(horizon):
            signal, obedience = stages(given, ahead, margin)
            ahead = (given.state_prior[..., None] * signal * (given.sender + given.transitions @ ahead)).sum((1, 2))
            layers.insert(0, (signal, obedience))
        return np.stack([each for each, _ in layers]), np.stack([each for _, each in layers])
    for _ in range(ROUNDS):
        signal, obedience = stages(given, ahead, margin)
        before, ahead = ahead, followed(given, None, signal[None], given.sender)
        if np.abs(ahead - before).max() <= STILL * max(1.0, np.abs(ahead).max()):
            break
    return signal[None], obedience[None]


_side_by_side = jax.jit(jax.vmap(solve))


def stages(given: MarkovEnv, ahead: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """(signal [S, O, A], multipliers [S, A, A]) of every state's game when `ahead` [S] is the worth of the next state."""
    states, outcomes, actions = given.receiver.shape
    worth = np.swapaxes(given.sender + given.discount * given.transitions @ ahead, 1, 2)
    gets = np.swapaxes(given.receiver, 1, 2)
    others = ~np.eye(actions, dtype=bool)[None, :, :, None]
    obedience = np.where(others, gets[:, :, None] - gets[:, None] - margin, 0.0)  # [S, A, A, O]
    link = np.broadcast_to(np.eye(outcomes), (states, outcomes, outcomes))
    with jax.enable_x64(True):
        found = _side_by_side(Programme(*map(jnp.asarray, (worth, obedience, link, given.state_prior))))
        x, multipliers = np.asarray(found.x), np.asarray(found.multiplier)
    made = x.sum(2, keepdims=True)
    joint = np.where((made <= NEVER) | ((x <= NEVER * made) & (x <= NEVER * given.state_prior[:, None])), 0.0, x)
    return np.swapaxes(joint / joint.sum(1, keepdims=True), 1, 2), multipliers * others[..., 0]


def bound(problem: MarkovPersuasion, env: MarkovEnv, model: Any, rule: Any = None) -> float | None:
    """What no obedient scheme exceeds, proved by the multipliers of the primal-dual method: no other number of its enters."""
    given = tables(model)
    return upper_bound(given, problem.horizon, schemes(given, problem.horizon, 0.0)[1])
