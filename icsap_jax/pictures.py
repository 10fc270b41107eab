"""Pictures that every run has, whatever its domain: how training went, and how the incentive gaps are distributed.

An objective is never drawn without the gap, and every gap says how it was searched: the curves by the search used in training, the
named levels and the histogram by the strong search on fresh profiles.
"""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from icsap_jax.figures import ACCENT, COLOURS, INK, QUIET, name_levels, page

Lines = list[dict[str, Any]]


def training_curves(metrics_path: Path, result: dict[str, Any], output: Path) -> None:
    """Objective, gap of each agent and multipliers by training step, from `metrics.jsonl`, to the PNG `output`; the objective alone
    where agents did what is best for them all the time. The member that `result` is about is drawn thick, the others thin. Raises
    ConfigError where `output` cannot be written."""
    chosen = int(result.get("member") or 0)
    members = by_member([json.loads(line) for line in metrics_path.read_text(encoding="utf-8").splitlines()])
    name = result["objective"]["name"]
    if members and all(not column(lines, "gap").any() for lines in members.values()):
        _objective_alone(members, chosen, result, output)
        return
    with page(output, 8.0, 7.2, rows=3, sharex=True, height_ratios=(1.3, 1.3, 0.8)) as (figure, axes):
        objective, gap, multiplier = axes[:, 0]
        figure.suptitle(f"Training: {name} and incentive gap", x=0.02, ha="left")
        if not members:
            objective.text(0.0, 0.5, "No step was taken.", transform=objective.transAxes, color=QUIET)
            for axis in axes[:, 0]:
                axis.set_axis_off()
            return
        for place in sorted(members, key=lambda member: member == chosen):
            style = {"linewidth": 1.8, "zorder": 3} if place == chosen else {"linewidth": 0.7, "alpha": 0.45}
            steps = column(members[place], "step")[:, 0]
            objective.plot(steps, column(members[place], "objective"), color=COLOURS[0], **style)
            _one_line_an_agent(gap, steps, column(members[place], "gap"), style, named=place == chosen)
            _one_line_an_agent(multiplier, steps, column(members[place], "multiplier"), style, named=False)
        _finish_objective(objective, members, result)
        _finish_gap(gap, result)
        multiplier.set_title("Price of the gap in the loss (multiplier λ)")
        multiplier.set_ylim(bottom=0.0)
        multiplier.set_xlabel("training step")
        for axis in axes[:, 0]:
            axis.grid(axis="y")
        _seconds_above(objective, members.get(chosen) or next(iter(members.values())))


def _objective_alone(members: dict[int, Lines], chosen: int, result: dict[str, Any], output: Path) -> None:
    """The objective by training step, where there was no gap to price; the exact best response's gap in the title."""
    with page(output, 8.0, 3.8) as (figure, axes):
        axis = axes[0, 0]
        gap = result["incentive_gap"]["max"]
        title = f"Training: {result['objective']['name']}, agents doing what is best for them (largest gap {gap:.1g})"
        figure.suptitle(title, x=0.02, ha="left")
        for place in sorted(members, key=lambda member: member == chosen):
            style = {"linewidth": 1.8, "zorder": 3} if place == chosen else {"linewidth": 0.7, "alpha": 0.45}
            axis.plot(column(members[place], "step")[:, 0], column(members[place], "objective"), color=COLOURS[0], **style)
        _finish_objective(axis, members, result)
        axis.set_xlabel("training step")
        axis.grid(axis="y")
        _seconds_above(axis, members.get(chosen) or next(iter(members.values())))


def gap_histogram(result: dict[str, Any], output: Path) -> None:
    """How many profiles and agents have which gap, from `details.gap_histogram` of a result, to the PNG `output`; counts on a log
    axis, the mean and the largest marked. Raises ConfigError where `output` cannot be written."""
    gap, details = result["incentive_gap"], result["details"]
    edges, counts = (np.asarray(details["gap_histogram"][part], dtype=float) for part in ("edges", "counts"))
    with page(output, 7.2, 4.4) as (figure, axes):
        axis = axes[0, 0]
        profiles = f" on {details['gap_profiles']:,} fresh profiles" if details.get("gap_profiles") else ""
        figure.suptitle(f"What an agent could gain by deviating{profiles}", x=0.02, ha="left")
        axis.set_title(fill(f"searched by {gap['method']}", 84), color=QUIET, fontsize=9)
        shown = counts > 0
        # From 0.5, so that a bin with a single gap still shows on the log axis.
        axis.bar(edges[:-1][shown], counts[shown] - 0.5, np.diff(edges)[shown], bottom=0.5, align="edge", color=COLOURS[0],
                 edgecolor="white", linewidth=0.6)  # fmt: skip
        axis.set_yscale("log")
        axis.set_ylim(0.5, 4.0 * counts.max())
        axis.set_xlim(0.0, edges[-1] * 1.02)
        for value, word, side in ((gap["mean"], "mean", "left"), (gap["max"], "largest", "right")):
            axis.axvline(value, color=ACCENT, linewidth=1.4, linestyle=(0, (5, 3)))
            axis.annotate(f" {word} {value:.2g} ", (value, 0.97), xycoords=("data", "axes fraction"), color=ACCENT, ha=side,
                          va="top")  # fmt: skip
        axis.set_xlabel("incentive gap (regret), in units of utility")
        axis.set_ylabel("agents × profiles")
        axis.grid(axis="y")


def by_member(lines: Lines) -> dict[int, Lines]:
    """The metrics lines of each member, in the order they were written."""
    found: dict[int, Lines] = {}
    for line in lines:
        found.setdefault(int(line.get("member", 0)), []).append(line)
    return found


def column(lines: Lines, name: str) -> np.ndarray:
    """One metric as [L, K] floats, K numbers a line (N for one with a number for each agent); what was not finite is NaN."""
    rows = [line[name] if isinstance(line[name], list) else [line[name]] for line in lines]
    return np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=float)


def _one_line_an_agent(axis: Any, steps: np.ndarray, values: np.ndarray, style: dict[str, Any], named: bool) -> None:
    """Values [L, N] on a log axis where zeros are left out; beyond as many agents as there are colours all share one."""
    agents = values.shape[1]
    for agent in range(agents):
        colour = COLOURS[agent] if agents <= len(COLOURS) else COLOURS[0]
        label = f"agent {agent + 1}" if named and 1 < agents <= len(COLOURS) else None
        axis.plot(steps, np.where(values[:, agent] > 0, values[:, agent], np.nan), color=colour, label=label, **style)


def _finish_objective(axis: Any, members: dict[int, Lines], result: dict[str, Any]) -> None:
    objective, optimum = result["objective"], (result.get("optimum") or {}).get("value")
    levels = [(objective["value"], f"fresh profiles\n{objective['value']:.4f}", ACCENT)]
    if optimum is not None:
        levels.append((optimum, f"exact optimum\n{optimum:.4f}", INK))
    # The first steps, from a random rule, would flatten everything after them.
    later = np.concatenate([column(lines, "objective")[len(lines) // 20 :, 0] for lines in members.values()])
    heights = np.array([*later[np.isfinite(later)], *(level[0] for level in levels)])
    room = 0.06 * max(np.ptp(heights), 1e-3 * abs(heights).max(), 1e-9)
    axis.set_ylim(heights.min() - room, heights.max() + room)
    kept = f" (thick: member {result.get('member', 0)}, the one kept)" if len(members) > 1 else ""
    axis.set_title(f"{str(objective['name']).capitalize()}, mean of the training batches{kept}")
    name_levels(axis, levels)


def _finish_gap(axis: Any, result: dict[str, Any]) -> None:
    mean = result["incentive_gap"]["mean"]
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axis.get_lines()])
    drawn = np.append(drawn[drawn > 0], [mean] * (mean > 0))
    axis.set_title("Incentive gap, by the search used in training")
    if len(drawn):
        axis.set_yscale("log")
        axis.set_ylim(drawn.min() / 1.5, drawn.max() * 1.5)
        if mean > 0:
            name_levels(axis, [(mean, f"strong search,\nmean {mean:.2g}", ACCENT)])
    if any(not line.get_label().startswith("_") for line in axis.get_lines()):
        axis.legend(frameon=False, loc="upper right", ncols=3, fontsize=9)


def _seconds_above(axis: Any, lines: Lines) -> None:
    """A second scale above the axes: seconds since training began, compilation included."""
    steps, seconds = (np.append(0.0, column(lines, name)[:, 0]) for name in ("step", "seconds"))
    axis.set_xlim(0.0, steps[-1])
    if np.any(np.diff(seconds) <= 0) or np.any(np.diff(steps) <= 0):
        return
    from matplotlib.ticker import MaxNLocator

    above = axis.secondary_xaxis("top", functions=(lambda x: np.interp(x, steps, seconds), lambda x: np.interp(x, seconds, steps)))
    # Compilation takes seconds and no steps, so the first round numbers fall almost together: only those apart are named.
    named: list[float] = []
    for second in MaxNLocator(6).tick_values(0.0, seconds[-1]):
        place = np.interp(second, seconds, steps) / steps[-1]
        if 0 < second <= seconds[-1] and place > 0.02 and (not named or place - np.interp(named[-1], seconds, steps) / steps[-1] > 0.06):
            named.append(float(second))
    above.set_xticks(named)
    above.set_xlabel("seconds since training began", color=QUIET, fontsize=9)
    above.spines["top"].set_visible(True)
