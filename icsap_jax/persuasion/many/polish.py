"""The learned recommendations made exactly obedient, and the bound that learned multipliers prove; no linear programme is solved.

Both come from the primal-dual method of the core, in float64: with the margin its primal side is a rule that is obeyed strictly,
whatever rounding does; without, its dual side are multipliers, at which the bound's formula is evaluated. Any multipliers ≥ 0 would be
valid there, so that nothing about the method needs to be trusted. To learn them receivers are taken to forgive a hair, a tenth of what
counts as a tie: signals that are obeyed at one belief alone would leave the method no interior.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.deviations import Reaction, double, reaction
from icsap_jax.bilevel.primal_dual import Programme, solve
from icsap_jax.bilevel.replies import TIE
from icsap_jax.bilevel.types import Rule
from icsap_jax.persuasion.many.games import Game, game
from icsap_jax.persuasion.rules import saying

HAIR = 0.1 * TIE  # of the range of payoffs
DUST = 1e-6  # signals less likely than this are what an interior method leaves of those that should not be sent


def programme(given: Game, margin: float) -> Programme:
    """The game as the core solves it: on a public channel a block of states for each signal, each obeyed by itself; else one block."""
    states, signals = given.sender.shape
    rows = given.worth - margin * given.chance  # [S, R, C]
    if given.separate:
        return Programme(given.sender.T, rows.transpose(1, 2, 0), np.eye(states), given.prior)
    together = np.zeros((given.rows, states, signals))
    at = np.broadcast_to(np.arange(signals)[:, None], given.row.shape)
    np.add.at(together, (given.row[None], np.arange(states)[:, None, None], at[None]), rows)
    link = np.kron(np.eye(states), np.ones(signals))
    return Programme(given.sender.reshape(1, -1), together.reshape(1, given.rows, -1), link, given.prior)


def primal_dual(given: Game, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """(a rule's joint probability [S, R] that is obeyed up to the method's accuracy, multipliers [K] ≥ 0)."""
    with jax.enable_x64(True):
        found = solve(jax.tree.map(jnp.asarray, programme(given, margin)))
        x, multipliers = np.asarray(found.x), np.asarray(found.multiplier).ravel()
    joint = x.T if given.separate else x.reshape(given.sender.shape)
    return _swept(given.prior, joint), np.maximum(np.where(np.isfinite(multipliers), multipliers, 0.0), 0.0)


def _swept(prior: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """A joint probability [S, R] without the signals that are hardly ever sent, and with the prior for its sums."""
    joint = np.where((joint.sum(0) > DUST) & (joint > DUST * DUST), joint, 0.0)
    return joint * (prior / joint.sum(1))[:, None]


def bound(problem: Any, env: Any, model: Any, rule: Any = None) -> float:
    """An upper bound on what any obeyed rule gives the sender, by learned multipliers, evaluated in float64."""
    given = game(model)
    return given.bound(primal_dual(given, -HAIR * given.size)[1])


def judged(problem: Any, env: Any, rule: Rule) -> Reaction:
    """What the receivers do about a rule, exactly, as numpy arrays."""
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jnp.asarray, (double(env), double(rule)))
        return jax.tree.map(np.asarray, reaction(problem, env, rule, problem.draw(env, None, 1)))


def polish(problem: Any, env: Any, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The best rule that is obeyed with the margin, or the learned one where that is obeyed too and worth more, ties against the sender;
    and what the two are worth like that."""
    given = game(model)
    exact = saying(rule, primal_dual(given, problem.margin)[0] / given.prior[:, None])
    return obeyed_best(problem, env, rule, exact)


def obeyed_best(problem: Any, env: Any, learned: Rule, exact: Rule) -> tuple[Rule, dict[str, Any]]:
    """Of two rules the one that is worth more, ties against the sender, but the learned one only where all obey it: what receivers do
    about a rule that they do not obey is no better known than it is. And both values, the latter of the rule that is kept."""
    before, after = judged(problem, env, learned), judged(problem, env, exact)
    values = [float(each.reply.adversarial_value) for each in (before, after)]
    obeyed = not (before.weight * before.gap > 0).any()
    keep = not np.isfinite(values[1]) or (obeyed and values[0] > values[1])
    told = {"value_before_polish": values[0], "value_after_polish": values[0] if keep else values[1]}
    return (Rule(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), learned.params), learned.graph) if keep else exact), told


def without_margin(problem: Any, env: Any, model: Any, rule: Rule) -> dict[str, float]:
    """What the best rule with no margin is worth, ties for the sender and against it."""
    given = game(model)
    reply = judged(problem, env, saying(rule, primal_dual(given, 0.0)[0] / given.prior[:, None])).reply
    return {"value": float(reply.value), "adversarial_ties": float(reply.adversarial_value)}
