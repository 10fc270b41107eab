"""What a scheme for a Markov process recommends: for every state a map of how likely each action is recommended for each outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.figures import INK, colours_from_white, page
from icsap_jax.persuasion.dynamic.details import called
from icsap_jax.persuasion.markov.details import decided
from icsap_jax.persuasion.markov.problem import MarkovEnv, MarkovPersuasion

MOST = 6  # states, or steps, that one picture has room for
WRITTEN = 0.005  # a smaller probability is left blank


def pictures(problem: MarkovPersuasion, env: MarkovEnv, rule: Rule, model: Any, folder: Path) -> None:
    """`recommendations.png` under `folder`: a row of maps for each step, a column for each state. Raises ConfigError where it cannot be
    written."""
    decision, _ = decided(problem, env, rule)
    states, outcomes, actions = (called(getattr(model, axis), getattr(problem, axis)) for axis in ("states", "outcomes", "actions"))
    rows, columns = min(problem.layers, MOST), min(problem.states, MOST)
    wide, high = max(2.4, 0.8 * problem.actions + 1.0), max(1.7, 0.45 * problem.outcomes + 1.1)
    size, grid = (wide * columns + 1.6, high * rows + 1.0), {"rows": rows, "columns": columns}
    with page(folder / "recommendations.png", *size, **grid, sharey=True) as (figure, axes):
        figure.suptitle("How likely each action is recommended for each outcome", x=0.02, ha="left")
        for layer in range(rows):
            for state in range(columns):
                axis, table = axes[layer, state], decision.signal[layer, state]
                image = axis.imshow(table, vmin=0, vmax=1, cmap=colours_from_white("Blues"), aspect="auto")
                for outcome, action in np.argwhere(table > WRITTEN):
                    axis.text(action, outcome, f"{table[outcome, action]:.2f}", ha="center", va="center", color=INK, fontsize=8.5)
                step = f"step {layer + 1}, " if problem.horizon else ""
                axis.set_title(f"{step}state {states[state]}, reached {decision.occupancy[layer, state] * problem.layers:.0%}")
                axis.set_xticks(range(problem.actions), actions)
                axis.set_yticks(range(problem.outcomes), outcomes)
                axis.tick_params(length=0)
                for spine in axis.spines.values():
                    spine.set_visible(False)
        for axis in axes[-1]:
            axis.set_xlabel("recommended action")
        for axis in axes[:, 0]:
            axis.set_ylabel("outcome")
        figure.colorbar(image, ax=list(axes.ravel()), shrink=0.8, label="probability").outline.set_visible(False)
