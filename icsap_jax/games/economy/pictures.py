"""What a tax does: the schedule with everybody's place on it, the bundles of a mechanism, and how the best rate rises behind the veil."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.figures import ACCENT, COLOURS, QUIET, page
from icsap_jax.games.economy.exact import Exact, of_model
from icsap_jax.games.economy.judging import marginal, tax_due
from icsap_jax.games.economy.mechanism import TaxMechanism, bundles_of
from icsap_jax.games.economy.optimum import best_rate, veil
from icsap_jax.games.economy.rules import schedule_of

VEIL = 41  # inequality aversions at which the exact curve is drawn


def pictures(problem: Any, env: Any, rule: Rule, model: Any, folder: Path) -> None:
    """`tax.png`, or `bundles.png` of a mechanism, and behind a veil with one rate `veil.png`, under `folder`. Raises ConfigError where
    they cannot be written."""
    exact = of_model(model)
    if isinstance(problem, TaxMechanism):
        _bundles(exact, *bundles_of(problem, exact, rule), folder / "bundles.png")
        return
    rates, thresholds = schedule_of(rule)
    _schedule(exact, rates, thresholds, folder / "tax.png")
    if model.objective.kind == "isoelastic" and len(rates) == 1:
        aversion = model.objective.inequality_aversion
        _veil(exact, np.inf if aversion == "infinite" else float(aversion), float(rates[0]), folder / "veil.png")


def _schedule(exact: Exact, rates: np.ndarray, thresholds: np.ndarray, output: Path) -> None:
    income, tax, *_ = exact.both_ways(exact.tied(rates, thresholds))
    end = 1.1 * max(income.max(), exact.free.max())
    # Each kink twice, so that the rate is drawn as the step it is.
    at = np.unique(np.concatenate([np.linspace(0.0, end, 400), thresholds[thresholds < end], np.nextafter(thresholds, 0.0)]))
    with page(output, 8.0, 6.4, rows=2, sharex=True) as (figure, axes):
        figure.suptitle("The tax, and what each skill earns under it", x=0.02, ha="left")
        top, below = axes[:, 0]
        top.plot(at, tax_due(rates, thresholds, at), color=COLOURS[0], label="this tax")
        single = best_rate(exact)
        if single is not None:
            top.plot(at, single * at, color=QUIET, linewidth=1.2, linestyle=(0, (5, 3)), label=f"the best single rate, {single:.4f}")
            below.axhline(single, color=QUIET, linewidth=1.2, linestyle=(0, (5, 3)))
        below.plot(at, marginal(rates, thresholds, at), color=COLOURS[0])
        top.plot(income, tax, "o", color=ACCENT, markersize=7, label="a type's income")
        # A type on a kink stands between the rates below it and above it.
        reach = 1e-6 * exact.free
        around = np.stack([marginal(rates, thresholds, np.maximum(income - reach, 0.0)), marginal(rates, thresholds, income + reach)])
        below.vlines(income, *around, color=ACCENT, linewidth=1.2)
        below.plot(income, around.mean(0), "o", color=ACCENT, markersize=7)
        for place, (skill, z, t, middle) in enumerate(zip(exact.skills, income, tax, around.mean(0), strict=True)):
            aside = 8 if place % 2 else -14  # poor types' incomes lie close together
            for axis, height in ((top, t), (below, middle)):
                axis.annotate(f"skill {skill:g}", (z, height), xytext=(0, aside), textcoords="offset points", ha="center", fontsize=8)
        top.set_ylabel("tax, before the rebate")
        below.set_ylabel("marginal rate")
        below.set_xlabel("income")
        for axis in (top, below):
            axis.grid(axis="y")
            axis.margins(y=0.15)
        below.set_ylim(min(0.0, rates.min()) - 0.1, 1.1)
        top.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _bundles(exact: Exact, income: np.ndarray, consumption: np.ndarray, output: Path) -> None:
    end = 1.15 * max(income.max(), exact.free.max())
    at = np.linspace(0.0, end, 400)
    utility = consumption - exact.cost(income)
    with page(output, 8.0, 4.6) as (figure, axes):
        figure.suptitle("What each skill earns and consumes, and what it would find as good", x=0.02, ha="left")
        axis = axes[0, 0]
        axis.plot(at, at - exact.requirement, color=QUIET, linewidth=1.2, linestyle=(0, (5, 3)), label="what is earned, without a tax")
        top = 1.25 * max(consumption.max(), income.max())
        for place, (skill, free) in enumerate(zip(exact.skills, exact.free, strict=True)):
            curve = utility[place] + free / exact.exponent * (at / free) ** exact.exponent
            axis.plot(at[curve <= top], curve[curve <= top], color=COLOURS[place % len(COLOURS)], label=f"indifference of skill {skill:g}")
        axis.plot(income, consumption, "o", color=ACCENT, markersize=7, label="bundles")
        axis.set_xlabel("income")
        axis.set_ylabel("consumption")
        axis.grid(axis="y")
        axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _veil(exact: Exact, aversion: float, rate: float, output: Path) -> None:
    """η on the scale η/(1 + η), which has room for infinity."""
    place = np.linspace(0.0, 1.0, VEIL)
    with np.errstate(divide="ignore"):
        aversions = np.minimum(place / (1.0 - place), np.where(place < 1.0, 100.0, np.inf))
    with page(output, 6.4, 4.2) as (figure, axes):
        figure.suptitle("Behind the veil: the more one fears to be worst off, the higher the tax", x=0.02, ha="left")
        axis = axes[0, 0]
        axis.plot(place, veil(exact, aversions), color=COLOURS[0], label="the best single rate, exact")
        axis.plot([1.0 if np.isinf(aversion) else aversion / (1.0 + aversion)], [rate], "o", color=ACCENT, markersize=8, label="learned")
        marks = np.array([0.0, 0.5, 1.0, 2.0, 5.0, 20.0])
        axis.set_xticks([*(marks / (1.0 + marks)), 1.0], [*(f"{each:g}" for each in marks), "∞"])
        axis.set_xlabel("inequality aversion η, from Harsanyi (0) to Rawls (∞)")
        axis.set_ylabel("tax rate")
        axis.grid(axis="y")
        axis.legend(loc="lower right")
