"""What a scheme over time does: with two states the sender's value over beliefs in every period and the beliefs the scheme leads to;
with more what it recommends in each state in every period."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.figures import ACCENT, COLOURS, INK, QUIET, colours_from_white, page
from icsap_jax.persuasion.dynamic.details import TOUCHED, called, decided
from icsap_jax.persuasion.dynamic.optimum import Envelope, Game, envelopes, game, obeyed_between
from icsap_jax.persuasion.dynamic.problem import Decision, DynamicEnv, DynamicPersuasion

MOST = 6  # periods that one picture has room for


def pictures(problem: DynamicPersuasion, env: DynamicEnv, rule: Rule, model: Any, folder: Path) -> None:
    """`beliefs.png` for two states, `recommendations.png` for more, under `folder`. Raises ConfigError where it cannot be written."""
    decision, _ = decided(problem, env, rule)
    shown = min(problem.horizon, MOST)
    rows, columns = -(-shown // 3), min(shown, 3)
    grid: dict[str, Any] = {"rows": rows, "columns": columns}
    first = f", the first {shown} of {problem.horizon} periods" if shown < problem.horizon else ""
    if problem.states == 2:
        with page(folder / "beliefs.png", 3.6 * columns + 0.6, 3.2 * rows + 1.2, **grid, sharex=True) as (figure, axes):
            figure.suptitle(f"What the sender can still have at each belief, and the beliefs its scheme leads to{first}", x=0.02, ha="left")
            _beliefs(figure, axes.ravel(), problem, decision, game(model), model, shown)
        return
    with page(folder / "recommendations.png", 2.9 * columns + 1.2, 2.6 * rows + 1.0, **grid, sharey=True) as (figure, axes):
        figure.suptitle(f"How likely each action is recommended in each state{first}", x=0.02, ha="left")
        _recommendations(figure, axes.ravel(), problem, decision, model, shown)


def _beliefs(figure: Any, axes: np.ndarray, problem: DynamicPersuasion, decision: Decision, given: Game, model: Any, shown: int) -> None:
    """For each period: what each action brings where it is obeyed, the envelope, the beliefs at the period's beginning (rings) and after
    the recommendations (discs, as large as they are likely)."""
    values = envelopes(given)
    states, actions = called(model.states, 2), called(model.actions, problem.actions)
    for number, axis in enumerate(axes[:shown]):
        following = values[number + 1] if number + 1 < problem.horizon else Envelope(np.array([0.0, 1.0]), np.zeros(2))
        come, stay = given.transitions[:, 1]

        def named(name: str, number: int = number) -> str | None:
            return None if number else name  # one legend serves all periods

        for action in range(problem.actions):
            low, high = obeyed_between(given.advantage[number, action])
            if low <= high:
                at = np.linspace(low, high, 200)
                now = (1 - at) * given.sender[number, 0, action] + at * given.sender[number, 1, action]
                later = following(come + (stay - come) * at)
                axis.plot(at, now + later, color=COLOURS[action % len(COLOURS)], label=named(actions[action]))
        axis.plot(values[number].beliefs, values[number].values, color=INK, linewidth=1.1, linestyle=(0, (4, 2)),
                  label=named("can be had"))  # fmt: skip
        period = problem.tree.periods[number]
        before, mass = decision.joint[period].sum(2), decision.joint[period].sum((1, 2))
        reached = mass > TOUCHED
        start = before[reached, 1] / mass[reached]
        axis.plot(start, values[number](start), "o", fillstyle="none", color=QUIET, markersize=9, label=named("belief before"))
        likely = decision.joint[period].sum(1)
        history, action = np.nonzero(likely > TOUCHED)
        after = decision.posterior[period][history, action, 1]
        axis.scatter(after, values[number](after), s=20 + 160 * likely[history, action], color=ACCENT, alpha=0.7, zorder=3, linewidths=0,
                     label=named("belief after"))  # fmt: skip
        axis.set_title(f"period {number + 1}")
        axis.set_xlabel(f"belief in {states[1]}" if model.states else "belief in the second state")
        axis.grid(axis="y")
    axes[0].set_ylabel("sender's value from here on")
    for axis in axes[shown:]:
        axis.axis("off")
    figure.legend(loc="outside lower center", ncols=min(6, problem.actions + 3), frameon=False)


def _recommendations(figure: Any, axes: np.ndarray, problem: DynamicPersuasion, decision: Decision, model: Any, shown: int) -> None:
    """For each period a map of how likely each action is recommended given the state."""
    for number, axis in enumerate(axes[:shown]):
        joint = decision.joint[problem.tree.periods[number]].sum(0)
        mass = joint.sum(1, keepdims=True)
        share = np.where(mass > 0, joint / np.where(mass > 0, mass, 1.0), 0.0)
        image = axis.imshow(share, vmin=0, vmax=1, cmap=colours_from_white("Blues"), aspect="auto")
        axis.set_title(f"period {number + 1}")
        axis.set_xticks(range(problem.actions), called(model.actions, problem.actions))
        axis.set_yticks(range(problem.states), called(model.states, problem.states))
        axis.set_xlabel("recommended action")
    axes[0].set_ylabel("state")
    for axis in axes[shown:]:
        axis.axis("off")
    figure.colorbar(image, ax=list(axes), shrink=0.8, label="probability").outline.set_visible(False)
