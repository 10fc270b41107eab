"""What a signal says, and why no other says it better: the price of a state over what the sender gets at each posterior mean, with the
means that were learned on it, and below which message is sent in which state (Dworczak & Martini 2019, figures 2 and 3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.figures import ACCENT, COLOURS, INK, QUIET, page
from icsap_jax.persuasion.continuous.lines import lines_of
from icsap_jax.persuasion.continuous.optimum import best_signal
from icsap_jax.persuasion.continuous.polish import induced
from icsap_jax.persuasion.continuous.problem import MeanEnv, Steps, _ByTheMean
from icsap_jax.persuasion.continuous.told import message_names

POINTS = 2001
SEEN = 1e-3  # messages of less mass are not drawn


def pictures(problem: _ByTheMean, env: MeanEnv, rule: Rule, model: Any, folder: Path) -> None:
    """`signal.png` under `folder`. Raises ConfigError where it cannot be written."""
    found = induced(problem, env, rule)
    mass = found.mass
    sent = np.flatnonzero(mass > SEEN)
    sent = sent[np.argsort(found.mean[sent])]
    colours = {int(z): colour for z, colour in zip(sent, shades(len(sent)), strict=True)}
    states = np.linspace(problem.low, problem.high, POINTS)
    value, price = (_of_steps if isinstance(problem, Steps) else _of_quadratic)(model, states)
    names = message_names(problem, model)
    with page(folder / "signal.png", 8.0, 6.6, rows=2, sharex=True, height_ratios=(1.35, 1.0)) as (figure, axes):
        figure.suptitle("What the signal makes the receiver believe, and what it says in which state", x=0.02, ha="left")
        above, below = axes[:, 0]
        above.plot(states, price, color=QUIET, linewidth=1.4, linestyle=(0, (5, 3)), label="price p(ω), convex")
        _stepwise(above, states, value)
        for z in sent:
            at = float(found.mean[z])
            height = float(np.interp(at, states, value)) if not isinstance(problem, Steps) else float(lines_of(model).value_at(at))
            above.scatter([at], [height], s=30 + 420 * mass[z], color=colours[int(z)], edgecolor=INK, linewidth=0.8, zorder=4)
            if len(sent) <= len(COLOURS):
                above.annotate(f"mean {at:.3f}\nmass {mass[z]:.3f}", (at, height), xytext=(-10, 12), textcoords="offset points",
                               ha="right", va="bottom", fontsize=9, color=INK)  # fmt: skip
        above.scatter([], [], s=90, color="white", edgecolor=INK, label="a message: area by its mass")
        above.set_ylabel("sender's expected utility")
        above.margins(y=0.16)
        above.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
        above.grid(axis="y")
        ends = np.linspace(problem.low, problem.high, problem.cells + 1)
        floor = np.zeros(problem.cells)
        for z in sent:
            top = floor + found.signal[:, z]
            label = (f"“{names[z]}”" if isinstance(problem, Steps) else f"message {names[z]}") if len(sent) <= len(COLOURS) else None
            below.stairs(top, ends, baseline=floor, fill=True, color=colours[int(z)], label=label)
            floor = top
        below.set_ylim(0.0, 1.0)
        below.set_xlim(problem.low, problem.high)
        below.set_ylabel("probability of each message")
        below.set_xlabel("state ω; above, posterior mean")
        if len(sent) <= len(COLOURS):
            below.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)


def shades(count: int) -> list[Any]:
    """A colour for each message, by its mean: the house's own while they last, and then even steps of one map."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    from matplotlib import colormaps

    return list(colormaps["viridis"](np.linspace(0.1, 0.95, count)))


def _stepwise(axis: Any, states: np.ndarray, value: np.ndarray) -> None:
    """A curve drawn without lines across its jumps."""
    jump = np.abs(np.diff(value)) > 20 * np.ptp(value) / len(states) + 1e-12
    broken = np.insert(value.astype(float), np.flatnonzero(jump) + 1, np.nan)
    along = np.insert(states, np.flatnonzero(jump) + 1, states[np.flatnonzero(jump) + 1])
    axis.plot(along, broken, color=ACCENT, linewidth=2.2, label="value at a posterior mean")


def _of_steps(model: Any, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lines = lines_of(model)
    return lines.value_at(states), lines.price_at(best_signal(lines).prices, states)


def _of_quadratic(model: Any, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the sender expects at each mean, but for the state's own variance; its price is itself where it is convex, else its tangent
    at the prior mean."""
    squared, crossed, state_squared, action, state, constant = model.sender.coefficients
    curve, mean = squared + crossed, model.prior.build().mean
    rest = state_squared * model.prior.build().second + state * mean + constant
    value = curve * states**2 + action * states + rest
    tangent = curve * mean**2 + action * mean + rest + (2 * curve * mean + action) * (states - mean)
    return value, value if curve > 0 else tangent
