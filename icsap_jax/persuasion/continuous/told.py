"""A signal of a continuous state, told: its messages in a result, its cells as a list, its answers to a table of states.

A table's column `state` holds numbers of the state's interval. The message of a row is drawn from its cell's probabilities, the rows
of one seed in the order they come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.persuasion.continuous.lines import lines_of
from icsap_jax.persuasion.continuous.polish import Induced, induced, obedient
from icsap_jax.persuasion.continuous.problem import MeanEnv, Steps, _ByTheMean, build
from icsap_jax.persuasion.continuous.rules import GridSignal
from icsap_jax.persuasion.rules import saying

Refuse = Callable[[int, str, str], Exception]
FINER = 10  # cells of the grid are cut into so many, to judge a network between them


def message_names(problem: _ByTheMean, model: Any) -> list[str]:
    """Messages are called by what they recommend, or by their numbers from 0."""
    return model.names() if isinstance(problem, Steps) else list(map(str, range(problem.messages)))


def details(problem: _ByTheMean, env: MeanEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """The messages that are sent, with mass, posterior mean and what the receiver then does; with finite actions the price function that
    proves the bound, as the lines whose maximum it is, and what the best signal would be worth without any margin, ties both ways; of a
    network what it is worth where it is asked about ten times as many cells."""
    found, names = induced(problem, env, rule), message_names(problem, model)
    finite = isinstance(problem, Steps)
    told: dict[str, Any] = {"signals": [
        {"signal": names[z], "mass": float(found.mass[z]), "posterior_mean": float(found.mean[z]),
         "action": names[found.action[z]] if finite else float(found.mean[z])}
        for z in np.flatnonzero(found.mass > 1e-9)
    ]}  # fmt: skip
    if finite:
        signal, multipliers = obedient(problem, env, model, 0.0)
        lines, prices = lines_of(model), lines_of(model).prices(multipliers)
        told["price_function"] = [{"intercept": float(prices[a, 0]), "slope": float(prices[a, 1])}
                                  for a in np.flatnonzero(lines.shares_of(prices)[:, 0])]  # fmt: skip
        blank = Rule.of(GridSignal(jnp.zeros(signal.shape), problem.low, problem.high))
        told["without_margin"] = both_ways(induced(problem, env, saying(blank, signal)))
    if rule_model.kind_name() == "state_network":
        finer, finer_env = build(model.model_copy(update={"grid": FINER * model.grid}), None)
        told["between_cells"] = {"cells": finer.cells, **both_ways(induced(finer, finer_env, rule))}
    return told


def both_ways(found: Induced) -> dict[str, float]:
    """The sender's value, ties for it and against it."""
    return {"value": found.value, "adversarial_ties": found.against}


def listing(problem: _ByTheMean, env: MeanEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The signal as rows: a cell's ends, and the probability of each message in it."""
    signal, names = induced(problem, env, rule).signal, message_names(problem, model)
    ends = np.linspace(problem.low, problem.high, problem.cells + 1)
    return [{"state_from": float(ends[g]), "state_to": float(ends[g + 1]), **dict(zip(names, map(float, signal[g]), strict=True))}
            for g in range(problem.cells)]  # fmt: skip


class StateTable:
    """The columns of a signal: a state in; the message drawn, each message's probability, and the posterior mean after it out."""

    def __init__(self, problem: _ByTheMean, env: MeanEnv):
        self.problem, self.env = problem, env
        self.random = np.random.default_rng(0)
        self.columns = ["state"]
        self.output_columns = ["signal", *(f"probability_{z}" for z in range(problem.messages)), "posterior_mean"]

    def seed(self, seed: int) -> None:
        """Draw by this seed."""
        self.random = np.random.default_rng(seed)

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray]:
        """The middle of every cell, [G] float32, whatever the rows. Raises `refuse(row, column, text)` for a state outside the interval."""
        low, high = self.problem.low, self.problem.high
        outside = np.flatnonzero((numbers[:, 0] < low) | (numbers[:, 0] > high))
        if len(outside):
            raise refuse(int(outside[0]), "state", f"{numbers[outside[0], 0]:g} should be a number from {low:g} to {high:g}")
        return (np.asarray(self.env.middle, np.float32),)

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """[R, 1 + Z + 1], of states [R, 1]: those of one cell have the same probabilities."""
        signal = answers["decision"].astype(np.float64)
        signal /= signal.sum(1, keepdims=True)
        joint = np.asarray(self.env.mass)[:, None] * signal
        mean = np.asarray(self.env.mean) @ joint / np.maximum(joint.sum(0), np.finfo(float).tiny)
        place = (numbers[:, 0] - self.problem.low) / (self.problem.high - self.problem.low) * self.problem.cells
        rows = signal[np.clip(place.astype(int), 0, self.problem.cells - 1)]
        drawn = (self.random.random(len(rows))[:, None] >= rows.cumsum(1)[:, :-1]).sum(1)
        return np.column_stack([drawn, rows, mean[drawn]])
