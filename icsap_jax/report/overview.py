"""A whole sweep in two pictures: what every member is worth against the gap it leaves, and how they were trained.

The page draws the same for itself, to be clicked on; these are for papers, slides and machines without a browser.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from icsap_jax.figures import ACCENT, COLOURS, INK, QUIET, name_levels, page
from icsap_jax.report.fronts import by_interest, problem_of
from icsap_jax.report.gathered import NOT_FINITE, Gathered

NO_GAP = 1e-9  # what rounding leaves: drawn at the left edge, where a log axis has no zero
SHOWN = len(COLOURS)  # curves that are told apart


def scatter(found: Gathered, output: Path) -> None:
    """Objective against mean gap of every judged member, the Pareto front of each problem, the selected member, and the exact optimum or
    a bound on it where it is one for all, to the PNG `output`. Raises ConfigError where that cannot be written."""
    judged = [place for place, count in enumerate(found.dominated) if count is not None]
    rows = [found.rows[place] for place in judged]
    name = objective_name(found)
    with page(output, 8.0, 5.0) as (figure, axes):
        axis = axes[0, 0]
        figure.suptitle(f"{name.capitalize()} and what agents gain by deviating: {len(rows)} of {found.planned} "
                        f"{'members' if found.planned > 1 else 'member'}", x=0.02, ha="left")  # fmt: skip
        axis.set_ylabel(name)
        if not rows:
            axis.text(0.0, 0.5, "No member was judged.", transform=axis.transAxes, color=QUIET)
            axis.set_axis_off()
            return
        gaps = _on_a_log_axis(axis, [row["gap_mean"] for row in rows])
        objectives = np.array([row["objective"] for row in rows])
        errors = np.array([row["objective_std_error"] or 0.0 for row in rows])
        front = np.array([found.dominated[place] == 0 for place in judged])
        if len(rows) <= 100:
            axis.errorbar(gaps, objectives, errors, fmt="none", ecolor=QUIET, elinewidth=0.7, zorder=1.8)
        broken = np.array([row["status"] == NOT_FINITE for row in rows])
        for those, style in ((~front & ~broken, {"label": "other members"}), (broken & ~front, {"marker": "X", "label": NOT_FINITE})):
            if those.any():
                axis.scatter(gaps[those], objectives[those], s=26, facecolor="white", edgecolor=QUIET, zorder=2, **style)
        axis.scatter(gaps[front], objectives[front], s=36, marker="D", color=COLOURS[0], zorder=3,
                     label="Pareto front: none is better in both")  # fmt: skip
        for problem in dict.fromkeys(problem_of(row) for row in rows):
            _staircase(axis, gaps, objectives, front & np.array([problem_of(row) == problem for row in rows]))
        if found.selected in judged:
            place = judged.index(found.selected)
            axis.scatter(gaps[[place]], objectives[[place]], s=150, marker="*", color=ACCENT, zorder=4, label="selected")
        axis.grid(axis="y")
        figure.legend(loc="outside lower left", frameon=False, fontsize=9, ncols=4)
        _optimum(axis, found)


def _on_a_log_axis(axis: Any, gaps: list[float]) -> np.ndarray:
    """Where gaps [R] are drawn, on an axis that this makes logarithmic: those that are none stand at a marked left edge."""
    axis.set_xlabel("mean incentive gap (regret), by the strong search")
    values = np.asarray(gaps, dtype=float)
    some = values[values > NO_GAP]
    axis.set_xscale("log")
    low, high = (some.min(), some.max()) if len(some) else (1e-6, 1e-3)
    if len(some) == len(values):
        axis.set_xlim(low / 1.6, high * 1.6)
        return values
    edge = 10.0 ** np.floor(np.log10(low)) / 4
    axis.set_xlim(edge / 1.6, high * 1.6)
    axis.axvline(edge * 1.8, color=QUIET, linewidth=0.8)
    axis.annotate("no\ngap", (edge, -0.02), xycoords=("data", "axes fraction"), ha="center", va="top", color=QUIET, fontsize=9,
                  annotation_clip=False)  # fmt: skip
    ticks = [10.0**power for power in range(round(np.log10(edge * 4)), int(np.ceil(np.log10(high * 1.6))))]
    axis.set_xticks(ticks if len(some) else [])
    axis.minorticks_off()
    return np.where(values > NO_GAP, values, edge)


def _staircase(axis: Any, gaps: np.ndarray, objectives: np.ndarray, front: np.ndarray) -> None:
    """The most that is to be had at each gap or less."""
    order = np.lexsort((objectives[front], gaps[front]))
    if len(order):
        right = axis.get_xlim()[1]
        heights = np.maximum.accumulate(objectives[front][order])
        axis.step([*gaps[front][order], right], [*heights, heights[-1]], where="post", color=COLOURS[0], linewidth=1.2, zorder=1.9)


def _optimum(axis: Any, found: Gathered) -> None:
    """The exact best, or a bound on it, where it is the same for all."""
    level = optimum(found)
    if level is not None:
        value, words = level
        low, high = axis.get_ylim()
        axis.set_ylim(min(low, value - 0.06 * (high - low)), max(high, value + 0.06 * (high - low)))
        told = found.members[0].result.get("optimum") or {}
        lines = [words.partition(", ")[0], f"{value:.4f}", fill(told.get("source") or told.get("method") or "", 22)]
        name_levels(axis, [(value, "\n".join(line for line in lines if line), INK)])


def curves(found: Gathered, output: Path) -> None:
    """Objective and gap by training step, to the PNG `output`: the members looked at first told apart, the others thin behind them. Raises
    ConfigError where that cannot be written."""
    named = by_interest(found.rows)[:SHOWN] or list(range(min(SHOWN, len(found.rows))))
    behind = [place for place in range(len(found.rows)) if place not in named]
    name = objective_name(found)
    with page(output, 8.0, 6.2, rows=2, sharex=True) as (figure, axes):
        figure.suptitle(f"Training: {name} and incentive gap", x=0.02, ha="left")
        heights = []
        for place in [*behind, *named]:
            curve = found.members[place].curve
            steps, objective, gap = (np.array([np.nan if each is None else each for each in part], dtype=float)
                                     for part in (curve.steps, curve.objective, curve.gap))  # fmt: skip
            style: dict[str, Any] = {"color": QUIET, "linewidth": 0.5, "alpha": 0.35}
            if place in named:
                label = found.rows[place]["id"] + (" (selected)" if place == found.selected else "")
                style = {"color": COLOURS[named.index(place)], "linewidth": 1.6, "label": label, "zorder": 3}
            axes[0, 0].plot(steps, objective, **style)
            axes[1, 0].plot(steps, np.where(gap > 0, gap, np.nan), **style)
            heights.append(objective[len(objective) // 20 :])  # the first steps, from a random rule, would flatten the rest
        low, high = _range(np.concatenate(heights))
        axes[0, 0].set_ylim(low, high)
        axes[0, 0].set_title(f"{name.capitalize()}, mean of the training batches")
        axes[1, 0].set_title("Incentive gap, mean over agents, by the search used in training")
        if any((np.nan_to_num(line.get_ydata()) > 0).any() for line in axes[1, 0].get_lines()):
            axes[1, 0].set_yscale("log")
        axes[1, 0].set_xlabel("training step")
        for axis in axes[:, 0]:
            axis.grid(axis="y")
        _optimum(axes[0, 0], found)
        if len(found.rows) > 1 and named:
            figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower left", frameon=False, fontsize=8.5, ncols=2)


def _range(values: np.ndarray) -> tuple[float, float]:
    """From the least to the most of what is finite, with some room."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    room = 0.06 * max(high - low, 1e-3 * max(abs(low), abs(high)), 1e-9)
    return low - room, high + room


def objective_name(found: Gathered) -> str:
    """What is maximised; "objective" where members maximise different things."""
    names = {row["objective_name"] for row in found.rows}
    return str(names.pop()) if len(names) == 1 else "objective"


def optimum(found: Gathered) -> tuple[float, str] | None:
    """The exact best value, or else an upper bound on it, and what it is and who says so; None where there is none, or not one for all."""
    for key, words in (("optimum", "exact optimum"), ("optimum_upper_bound", "upper bound on the optimum")):
        values = {row[key] for row in found.rows}
        if len(values) == 1 and (value := values.pop()) is not None:
            told = found.members[0].result.get("optimum") or {}
            source = ", ".join(text for text in (told.get("source"), told.get("method")) if text)
            return value, f"{words}, {source}" if source else words
    return None
