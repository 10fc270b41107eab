"""The cake's path to cut-and-choose: over the chance that the cutter picks first, what the designer values, what both players get and where
the cake is cut, exactly; and on it the way that training took, where the run left a record of it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.division.cut.optimum import Tastes, best_and_worst, tastes_of, turning_points, value
from icsap_jax.division.cut.problem import CutAndChoose, CutEnv, chance_of
from icsap_jax.figures import ACCENT, COLOURS, INK, QUIET, page

BESIDE = 1e-6  # of the chance where a plan changes: what is drawn there
MOST = 60  # intervals between turning points that are drawn each for itself


def pictures(problem: CutAndChoose, env: CutEnv, rule: Rule, model: Any, folder: Path) -> None:
    """`path.png` under `folder`. Raises ConfigError where it cannot be written."""
    tastes, learned = tastes_of(model), chance_of(rule)
    chance, best, worst = sweep(tastes, problem.looks_at)
    path = walked(folder.parent / "metrics.jsonl")
    with page(folder / "path.png", 8.0, 8.4, rows=3, sharex=True) as (figure, axes):
        figure.suptitle("The chance of picking first, and what it leads to", x=0.02, ha="left")
        objective, shares, cuts = axes[:, 0]
        objective.plot(chance, best[:, 0], color=INK, label="exact cutter")
        if np.nanmax(np.abs(best[:, 0] - worst[:, 0])) > BESIDE:
            objective.plot(chance, worst[:, 0], color=INK, linewidth=1.0, linestyle=(0, (2, 2)),
                           label="the same, ties against the designer")  # fmt: skip
        objective.set_title(f"Objective: {problem.objective[0]}")
        for place, name in enumerate(("cutter", "chooser")):
            shares.plot(chance, best[:, 1 + place], color=COLOURS[place], label=f"{name} expects")
        shares.set_title("What the two expect, of a cake worth 1 to each")
        cuts.plot(chance, best[:, 3], color=INK, label="exact cut")
        cuts.set_title("Where the cake is cut")
        cuts.set_ylim(-0.05, 1.05)
        cuts.set_xlabel("probability that the cutter picks first")
        if len(path):
            objective.plot(path[:, 0], path[:, 1], ".-", color=COLOURS[3], linewidth=0.8, label="training, with a quantal cutter")
            for place in (0, 1):
                shares.plot(path[:, 0], path[:, 2 + place], ".", color=COLOURS[place], alpha=0.6)
            objective.plot(*path[0, :2], "o", color=COLOURS[3], markersize=9, fillstyle="none")
            objective.annotate("first steps", path[0, :2], xytext=(-8, -13), textcoords="offset points", ha="right", fontsize=9,
                               color=QUIET)  # fmt: skip
        for axis in axes[:, 0]:
            axis.axvline(learned, color=ACCENT, linewidth=1.2, linestyle=(0, (5, 3)), label="learned")
            axis.set_xlim(-0.02, 1.02)
            axis.grid(axis="y")
            axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def sweep(tastes: Tastes, objective: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chances [R], and at the best and the worst equilibrium what F is there, what both players expect, and the cut, [R, 4] each; not a
    number between intervals of the chance, where the cutter changes its plan."""
    turns = turning_points(tastes)
    turns = turns if len(turns) <= MOST else np.linspace(0.0, 1.0, MOST)
    chance: list[float] = []
    for low, high in pairwise(turns):
        chance += [low + BESIDE * (low > 0), *np.linspace(low, high, 5)[1:-1], high - BESIDE * (high < 1), float("nan")]
    rows = [[seen(tastes, objective, each, place) for each in chance] for place in (0, 1)]
    return np.array(chance), np.array(rows[0]), np.array(rows[1])


def seen(tastes: Tastes, objective: str, chance: float, place: int) -> list[float]:
    """F, both players' expected utilities and the cut at the best equilibrium (place 0) or the worst (1)."""
    if np.isnan(chance):
        return [float("nan")] * 4
    plan = best_and_worst(tastes, objective, chance)[place]
    return [float(value(objective, chance, plan.first, plan.second)), *plan.expected(chance).tolist(), plan.cut]


def walked(metrics: Path) -> np.ndarray:
    """The way of the first member that `metrics.jsonl` tells of, [lines, 4]: chance, objective, what the cutter and the chooser expect;
    none where there is no such file."""
    if not metrics.exists():
        return np.zeros((0, 4))
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    names = ("cutter_first", "objective", "cutter", "chooser")
    rows = [[line[name] for name in names] for line in lines if line["member"] == 0 and all(line.get(name) is not None for name in names)]
    return np.array(rows, dtype=float).reshape(-1, len(names))
