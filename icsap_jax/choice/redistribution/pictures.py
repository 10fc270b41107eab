"""What a rule hands back of what is collected, profile by profile and beside other rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.choice.redistribution.baselines import baselines
from icsap_jax.choice.redistribution.optimum import market
from icsap_jax.choice.redistribution.problem import Redistribution, RedistributionEnv
from icsap_jax.figures import ACCENT, INK, QUIET, page

SHOWN = 3_000  # profiles as points


def draw(problem: Redistribution, env: RedistributionEnv, rule: Rule, model: Any, folder: Path) -> list[Path]:
    """redistribution.png under `folder`. Raises ConfigError where it cannot be written."""
    output = folder / "redistribution.png"
    decision = rule(env.prior.sample(jax.random.key(0), SHOWN))
    handed = np.asarray(decision.rebate, np.float64).sum(-1)
    collected = np.asarray(decision.payment, np.float64).sum(-1) + handed
    there, left = market(problem, env, model), baselines(problem, env, model)
    others = {name.replace("_", "\n"): 1 - (there.welfare - each) / there.collected for name, each in left.items()}
    shares = {**others, "this\nrule": float(handed.sum() / collected.sum())}
    with page(output, 9.0, 4.0, columns=2) as (figure, axes):
        units = "one unit" if problem.units == 1 else f"{problem.units} units"
        figure.suptitle(f"What is handed back of what {problem.agents} agents pay for {units}", x=0.012, ha="left")
        left_axis, right_axis = axes[0]
        left_axis.plot(collected, handed, ".", color=ACCENT, markersize=2, alpha=0.5)
        ends = [0.0, float(collected.max())]
        left_axis.plot(ends, ends, color=INK, linewidth=1.0)
        left_axis.set_title("profile by profile; above the line is a deficit")
        left_axis.set_xlabel("collected")
        left_axis.set_ylabel("handed back")
        right_axis.bar(list(shares), list(shares.values()), 0.6, color=[*[QUIET] * len(others), ACCENT])
        for place, share in enumerate(shares.values()):
            right_axis.text(place, share, f"{share:.3f}", ha="center", va="bottom", fontsize=9)
        right_axis.set_title("share of what is collected, on average")
        right_axis.set_ylim(0, 1.1)
    return [output]
