"""Taxes as tables and lists: an income in, the tax on it and what is left out; a skill in, its bundle out.

Consumption holds the even rebate that the tax pays for, given what the problem's types earn under it. It is told of the tax as it was
learned, in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.games.economy.exact import Exact, of_model
from icsap_jax.games.economy.judging import marginal, tax_due
from icsap_jax.games.economy.mechanism import Offer, bundles_of
from icsap_jax.games.economy.rules import schedule_of

Refuse = Callable[[int, str, str], Exception]


class IncomeTable:
    """`icsap apply` for a schedule: a column of incomes in; the tax, the marginal rate and the consumption of each out."""

    columns = ("income",)
    output_columns = ("tax", "marginal_rate", "consumption")

    def __init__(self, problem: Any, env: Any):
        exponent = float(env.exponent)
        self.exact = Exact(skills=np.asarray(env.free), share=np.asarray(env.share), free=np.asarray(env.free), exponent=exponent,
                           requirement=float(env.requirement), social=env.social)  # fmt: skip

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray]:
        """Nothing that depends on the rows. Raises `refuse` for an income below 0."""
        wrong = np.flatnonzero(numbers[:, 0] < 0)
        if len(wrong):
            raise refuse(int(wrong[0]), "income", f"{numbers[wrong[0], 0]:g} should be 0 or more")
        return (np.zeros(0, np.float32),)

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """[R, 3] for incomes [R, 1]."""
        rates, thresholds = (answers[name].astype(np.float64) for name in ("rates", "thresholds"))
        income = numbers[:, 0]
        tax = tax_due(rates, thresholds, income)
        rebate = float(rebate_of(self.exact, rates, thresholds))
        return np.stack([tax, marginal(rates, thresholds, income), income - tax + rebate], 1)


class BundleTable:
    """`icsap apply` for a direct mechanism: a column of types by number, from 0; income, tax and consumption of each out."""

    columns = ("type",)
    output_columns = ("income", "tax", "consumption")

    def __init__(self, problem: Any, env: Any):
        self.problem, self.env = problem, env
        self.sizes = {"type": problem.types}

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[np.ndarray]:
        """Nothing that depends on the rows."""
        return (np.zeros(0, np.float32),)

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """[R, 3] for types [R, 1]."""
        with jax.enable_x64(True):
            offer = Offer(**{name: np.asarray(answers[name], np.float64) for name in ("steps", "places")})
            found = self.problem.decide(self.env, lambda seen: offer, None, None)
        income, consumption = (np.asarray(each)[numbers[:, 0].astype(int)] for each in (found.income, found.consumption))
        return np.stack([income, income - consumption, consumption], 1)


def rebate_of(exact: Exact, rates: np.ndarray, thresholds: np.ndarray) -> float:
    """What everybody is given back, ties broken for the designer."""
    _, tax, *_ = exact.both_ways(exact.tied(rates, thresholds))
    return float(exact.share @ tax - exact.requirement)


def brackets(problem: Any, env: Any, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The schedule as rows: where a bracket begins and ends (empty for the last), its rate, the tax where it begins, and the rebate."""
    rates, thresholds = schedule_of(rule)
    low = np.concatenate([[0.0], thresholds])
    due, rebate = tax_due(rates, thresholds, low), rebate_of(of_model(model), rates, thresholds)
    ends = [*thresholds.tolist(), None]
    return [
        {"from": float(begin), "to": end, "rate": float(rate), "tax_at_start": float(tax), "rebate": rebate}
        for begin, end, rate, tax in zip(low, ends, rates, due, strict=True)
    ]  # fmt: skip


def bundles(problem: Any, env: Any, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The bundles as rows: skill, income, tax, consumption and utility."""
    exact = of_model(model)
    income, consumption = bundles_of(problem, exact, rule)
    columns = (exact.skills, income, income - consumption, consumption, consumption - exact.cost(income))
    names = ("skill", "income", "tax", "consumption", "utility")
    return [dict(zip(names, map(float, row), strict=True)) for row in zip(*columns, strict=True)]
