"""What a rule that shares costs does with agent 1: whether it is served and what it pays as its value rises, at a few values of the others;
and what is collected beside what serving costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.choice.cost_sharing.problem import CostEnv, CostSharing, expected_cost
from icsap_jax.figures import ACCENT, COLOURS, INK, page

SHOWN, SIDE = 3_000, 201  # profiles as points; reports along a curve
LEVELS = (0.25, 0.5, 0.75, 0.95)  # of the others' support at which their values are held


def draw(problem: CostSharing, env: CostEnv, rule: Rule, model: Any, folder: Path) -> list[Path]:
    """cost_sharing.png under `folder`. Raises ConfigError where it cannot be written."""
    output = folder / "cost_sharing.png"
    low, high = (np.asarray(bound)[:, 0] for bound in env.prior.support())
    decision = rule(env.prior.sample(jax.random.key(0), SHOWN))
    cost = np.asarray(expected_cost(env.costs, decision.allocation[..., 0]))
    own = np.linspace(low[0], high[0], SIDE)
    with page(output, 11.0, 3.8, columns=3) as (figure, axes):
        figure.suptitle(f"A service shared by {problem.agents}", x=0.012, ha="left")
        for level, colour in zip(LEVELS[: len(LEVELS) if problem.agents > 1 else 1], COLOURS, strict=False):
            reports = np.repeat((low + level * (high - low))[None], SIDE, 0).astype(np.float32)
            reports[:, 0] = own
            there = rule(reports[..., None])
            label = f"others at {level:g} of the way" if problem.agents > 1 else None
            axes[0, 0].plot(own, np.asarray(there.allocation)[:, 0, 0], color=colour, label=label)
            axes[0, 1].plot(own, np.asarray(there.payment)[:, 0], color=colour)
        for axis, title in zip(axes[0], ("agent 1: probability of being served", "agent 1: payment"), strict=False):
            axis.set_title(title)
            axis.set_xlabel("what it is worth to agent 1")
        if problem.agents > 1:
            axes[0, 0].legend(fontsize=8)
        axes[0, 2].plot(cost, np.asarray(decision.payment).sum(-1), ".", color=ACCENT, markersize=2, alpha=0.5)
        axes[0, 2].plot([0.0, float(cost.max())], [0.0, float(cost.max())], color=INK, linewidth=1.0)
        axes[0, 2].set_title("profile by profile; on the line the budget balances")
        axes[0, 2].set_xlabel("cost")
        axes[0, 2].set_ylabel("collected")
    return [output]
