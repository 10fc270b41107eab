"""Screening menus that are incentive compatible by construction, how they are told, and how they answer a table.

A quantity that rises with the agent's strength x is implementable, and by revenue equivalence its transfers are settled once the worst
type gets its reservation utility: the agent's rent is ∫ q up to x. So a rule is nothing but a rising quantity, a sum of steps ≥ 0, and
the pooling that ironing asks for is steps of 0. Over an interval each step is a ramp across one panel, a hard sigmoid: a monotone network
of one layer, with rents in closed form. Steps are squares, which can reach 0 and leave it; where they sum to more than one they are
scaled down, so that no type is given more than the best type's efficient quantity. That loses nothing.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.contracts.screening.optimum import market, solve
from icsap_jax.contracts.screening.problem import PANELS, Decision, Interval, ScreeningEnv, Types

START = 0.8  # of the largest quantity, which the best type is given at first
SPREAD = 0.1  # of the first steps: members start apart
SHOWN = 33  # types of an interval that are told


class _Steps(nnx.Module):
    """Steps [P] ≥ 0 that sum to no more than one, and the problem they are for."""

    def __init__(self, problem: Types | Interval, count: int, rngs: nnx.Rngs):
        self.problem = problem
        noise = 1.0 + SPREAD * jax.random.normal(rngs.params(), (count,))
        self.roots = nnx.Param(jnp.sqrt(START / count) * noise)

    def steps(self) -> Array:
        """The steps, as shares of the largest quantity."""
        squares = self.roots[...] ** 2
        return squares / jnp.maximum(squares.sum(), 1.0)

    def charged(self, strength: Array, quantity: Array, rent: Array) -> Decision:
        """The decision that leaves each strength this rent over the reservation utility."""
        money = strength * quantity - rent - self.problem.least_utility
        return Decision(quantity=quantity, transfer=self.problem.sign * money)


class StepMenu(_Steps):
    """A step at each of finitely many types. Called with their places [R], worst first."""

    def __call__(self, places: Array) -> Decision:
        problem = self.problem
        quantity = problem.top * jnp.cumsum(self.steps())
        strength = jnp.asarray(problem.strengths, quantity.dtype)
        rent = jnp.append(jnp.zeros_like(quantity[:1]), jnp.cumsum(jnp.diff(strength) * quantity[:-1]))
        return jax.tree.map(lambda leaf: leaf[places], self.charged(strength, quantity, rent))


class RampMenu(_Steps):
    """A step at the worst type, and a ramp across each panel of the interval. Called with reports […, 1, 1]."""

    def __call__(self, reports: Array) -> Decision:
        problem, steps = self.problem, self.steps()
        worst, best = problem.strengths
        panel = (best - worst) / PANELS
        strength = problem.sign * reports.reshape(-1)
        place = (strength - worst) / panel
        beyond = place[:, None] - jnp.arange(PANELS, dtype=place.dtype)[None]  # panels past the start of each ramp
        climbed = jnp.clip(beyond, 0.0, 1.0)
        quantity = problem.top * (steps[0] + climbed @ steps[1:])
        area = climbed**2 / 2 + jax.nn.relu(beyond - 1.0)  # ∫ of a ramp, in panels
        rent = problem.top * panel * (steps[0] * place + area @ steps[1:])
        decision = self.charged(strength, quantity, rent)
        return jax.tree.map(lambda leaf: leaf.reshape(reports.shape[:-1]), decision)


def menu(model: Any, problem: Types | Interval, env: ScreeningEnv, key: Array) -> Rule:
    """A menu whose quantities rise evenly, before training."""
    rngs = nnx.Rngs(key)
    if isinstance(problem, Types):
        return Rule.of(StepMenu(problem, len(problem.strengths), rngs))
    return Rule.of(RampMenu(problem, PANELS + 1, rngs))


def listing(problem: Types | Interval, env: ScreeningEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, float]]:
    """The menu as rows, type by type: type, quantity, transfer, and the agent's utility."""
    with jax.enable_x64(True):
        rule = rule.astype(jnp.float64)
        if isinstance(problem, Types):
            strength = np.asarray(problem.strengths)
            decision = rule(jnp.arange(len(strength)))
        else:
            strength = np.linspace(*problem.strengths, SHOWN)
            decision = rule(jnp.asarray(problem.sign * strength).reshape(-1, 1, 1))
    quantity, transfer = (np.asarray(leaf).reshape(-1) for leaf in (decision.quantity, decision.transfer))
    utility = strength * quantity - problem.sign * transfer
    names = ("type", "quantity", "transfer", "agent_utility")
    rows = zip(problem.sign * strength, quantity, transfer, utility, strict=True)
    return sorted((dict(zip(names, map(float, row), strict=True)) for row in rows), key=lambda row: row["type"])


def details(problem: Types | Interval, env: ScreeningEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """The menu, what the agent expects over its reservation utility, and what it would under the best menu."""
    with jax.enable_x64(True):
        draw, rule64 = problem.draw(env, None, 1), rule.astype(jnp.float64)
        truth = problem.recommended(env, draw)
        rent = problem.utility(env, draw, problem.decide(env, rule64, None, truth), truth)[:, 0]
        expected = float(draw.weight @ rent)
    return {
        "menu": listing(problem, env, model, rule_model, rule),
        "expected_rent": expected,
        "optimal_expected_rent": solve(market(model)).expected_rent,
    }


class Table:
    """`icsap apply`: a column of types in; the quantity and the transfer of each out."""

    columns = ("type",)
    output_columns = ("quantity", "transfer")

    def __init__(self, problem: Types | Interval, env: ScreeningEnv):
        self.problem = problem
        self.types = problem.sign * np.asarray(problem.strengths)

    def inputs(self, numbers: np.ndarray, refuse: Any) -> tuple[np.ndarray]:
        """What the rule is asked about types [R, 1]. Raises `refuse(row, column, text)` for one that is not of the problem."""
        given = numbers[:, 0]
        if isinstance(self.problem, Types):
            places = np.abs(given[:, None] - self.types).argmin(1)
            # float32 tells types apart no better than this.
            wrong = np.flatnonzero(np.abs(given - self.types[places]) > 1e-6 * np.abs(self.types).max())
            answer, known = places.astype(np.int32), f"one of the {len(self.types)} types of the problem"
        else:
            answer, ends = given.astype(np.float32).reshape(-1, 1, 1), np.sort(self.types).astype(np.float32)
            wrong = np.flatnonzero((answer[:, 0, 0] < ends[0]) | (answer[:, 0, 0] > ends[1]))
            known = f"in the interval of types [{ends[0]:g}, {ends[1]:g}]"
        if len(wrong):
            raise refuse(int(wrong[0]), "type", f"the type {given[wrong[0]]:g} is not {known}")
        return (answer,)

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """The output columns [R, 2], float64."""
        return np.stack([answers[name].reshape(-1).astype(np.float64) for name in self.output_columns], 1)
