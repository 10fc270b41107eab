"""A learned signal of a continuous state made exactly obedient, and a proven bound by learned multipliers.

The table's programme (`bilevel/primal_dual`) has a message for each action and a state for each cell. It is solved from both sides: with
the margin its scheme is the polished table, and without it its multipliers give the price function of `continuous_lines`, whose
expectation is taken by the continuous prior: a bound for every signal, of whatever cells.

A network keeps its form. What training left of disobedience is taken out by moving the biases of its messages, by Newton's method,
until every mean is one at which the message is obeyed with the margin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.primal_dual import Programme, Solution, solve
from icsap_jax.bilevel.replies import TIE
from icsap_jax.bilevel.types import Rule
from icsap_jax.persuasion.continuous.lines import lines_of
from icsap_jax.persuasion.continuous.optimum import quadratic_best
from icsap_jax.persuasion.continuous.problem import MeanEnv, Quadratic, Steps, _ByTheMean
from icsap_jax.persuasion.continuous.rules import biased
from icsap_jax.persuasion.rules import NEVER, saying

NEGLIGIBLE = 1e-9  # probabilities that an interior method leaves where there should be none
ROUNDING = 1e-9  # by which a mean may miss its interval, in units of the state's
SAME = 1e-4  # means nearer than this, in units of the interval, tell a receiver the same
RARE = 1e-6  # the mass of a message that is not worth keeping
NEWTON_STEPS = 50


def obedient(problem: Steps, env: MeanEnv, model: Any, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """The best signal [G, Z] that is obeyed with `margin` to spare, and the multipliers [A, 2] of means not below and not above those
    at which each action is best. The units are the state's."""
    lines = lines_of(model)
    usable = lines.usable(margin)
    lo, hi = lines.intervals(margin)[usable].T
    mean, mass = np.asarray(env.mean), np.asarray(env.mass)
    with jax.enable_x64(True):
        programme = Programme(
            worth=jnp.asarray(lines.sender[usable, :1] + lines.sender[usable, 1:] * mean),
            obedience=jnp.asarray(np.stack([mean - lo[:, None], hi[:, None] - mean], axis=1)),
            link=jnp.eye(problem.cells), mass=jnp.asarray(mass),
        )  # fmt: skip
        found: Solution = jax.tree.map(np.asarray, solve(programme))
    signal, multipliers = np.zeros((problem.cells, problem.messages)), np.zeros((problem.messages, 2))
    signal[:, usable], multipliers[usable] = np.maximum(found.x.T / mass[:, None], 0.0), np.nan_to_num(found.multiplier)
    signal = np.where(signal > NEGLIGIBLE, signal, 0.0)
    return signal / signal.sum(1, keepdims=True), multipliers


def bound(problem: _ByTheMean, env: MeanEnv, model: Any, rule: Any = None) -> float:
    """What no signal of the continuous state exceeds: the expected price at the multipliers found, whatever they are. To a quadratic
    receiver the price of a state is what the sender gets there, where that is convex in the mean, and else its tangent at the prior
    mean."""
    if isinstance(problem, Quadratic):
        return quadratic_best(model.sender.coefficients, model.prior.build())
    lines = lines_of(model)
    return lines.bound(lines.prices(obedient(problem, env, model, 0.0)[1]))


@dataclass(frozen=True)
class Induced:
    """What a signal [G, Z] makes a receiver do: the `mass` and posterior `mean` of each message [Z], the prior's where it has no mass;
    the `action` [Z] of finitely many it then takes, ties for the sender, 0 where it takes the mean; and the sender's `value`, ties for
    it, and `against` it."""

    signal: np.ndarray
    mass: np.ndarray
    mean: np.ndarray
    action: np.ndarray
    value: float
    against: float


def induced(problem: _ByTheMean, env: MeanEnv, rule: Rule) -> Induced:
    """By the exact best reply, float64."""
    with jax.enable_x64(True):
        signal = np.asarray(double(rule)(jnp.asarray(env.middle)))
    joint = np.asarray(env.mass)[:, None] * signal
    mass, state = joint.sum(0), np.asarray(env.mean)
    mean = np.where(mass > 0, state @ joint / np.where(mass > 0, mass, 1.0), env.mass @ state)
    if isinstance(problem, Quadratic):
        squared, crossed, state_squared, action, linear, constant = env.sender
        value = (squared + crossed) * (mass @ mean**2) + env.mass @ (state_squared * env.square + (action + linear) * state) + constant
        return Induced(signal, mass, mean, np.zeros(len(mass), int), float(value), float(value))
    gets, worth = (each[:, 0] + each[:, 1] * mean[:, None] for each in (env.receiver, env.sender))  # [Z, A]
    ends = env.receiver[:, :1] + env.receiver[:, 1:] * np.array([problem.low, problem.high])
    tied = gets >= gets.max(1, keepdims=True) - TIE * max(float(np.ptp(ends)), 1e-6)
    best, worst = np.where(tied, worth, -np.inf), np.where(tied, worth, np.inf)
    return Induced(signal, mass, mean, best.argmax(1), float(mass @ best.max(1)), float(mass @ worst.min(1)))


def polish(problem: _ByTheMean, env: MeanEnv, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The signal made exactly obedient, or as it was learned where that is worth more, ties against the sender. To a quadratic receiver
    nothing is to be obeyed: messages of a table that leave the same mean are made one, since they tell it the same."""
    table = rule_model.kind_name() == "grid_signal"
    if isinstance(problem, Quadratic):
        if not table:
            return rule, {}
        polished = merged(problem, env, rule)
    elif table:
        polished = saying(rule, obedient(problem, env, model, problem.margin)[0])
    else:
        polished = rebiased(problem, env, model, rule)
    before, after = induced(problem, env, rule), induced(problem, env, polished)
    kept = after.against >= before.against - ROUNDING * abs(before.against)
    return (polished if kept else rule), {"value_before_polish": before.value, "value_after_polish": (after if kept else before).value}


def merged(problem: Quadratic, env: MeanEnv, rule: Rule) -> Rule:
    """The table in which messages of nearly the same mean are one, the first of them."""
    found = induced(problem, env, rule)
    order = np.argsort(found.mean)
    first = np.append(True, np.diff(found.mean[order]) > SAME * (problem.high - problem.low))
    whole = np.zeros_like(found.signal)
    np.add.at(whole.T, order[first][first.cumsum() - 1], found.signal.T[order])
    return saying(rule, whole)


def rebiased(problem: Steps, env: MeanEnv, model: Any, rule: Rule) -> Rule:
    """A network with the biases of its messages moved as little as puts every mean where its message is obeyed with the margin; a
    message that is obeyed at no mean, or hardly ever sent, is sent no more."""
    lo, hi = lines_of(model).intervals(problem.margin).T
    ever = lo <= hi
    inside = np.minimum(ROUNDING * (problem.high - problem.low), np.where(ever, 0.5 * (hi - lo), 0.0))
    lo, hi = lo + inside, hi - inside
    mass, state = np.asarray(env.mass), np.asarray(env.mean)
    learned = induced(problem, env, rule).signal
    sent = np.flatnonzero(ever & (mass @ learned > RARE))
    bias = np.full(problem.messages, NEVER)
    bias[sent] = 0.0
    for _ in range(NEWTON_STEPS):
        said = learned[:, sent] * np.exp(bias[sent])
        said = said / np.maximum(said.sum(1, keepdims=True), np.finfo(float).tiny)
        joint = mass[:, None] * said
        mean = state @ joint / joint.sum(0)
        off = np.clip(mean, lo[sent], hi[sent]) - mean
        wrong = np.flatnonzero(off)
        if not len(wrong):
            break
        slope = -((joint * (state[:, None] - mean)).T @ said) / joint.sum(0)[:, None]
        bias[sent] += np.clip(np.linalg.lstsq(slope[wrong], off[wrong], rcond=1e-12)[0], -1.0, 1.0)
    return biased(rule, bias)
