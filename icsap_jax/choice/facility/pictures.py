"""How facilities move as one agent's report does, and what is paid for fewer lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.choice.facility.problem import Facility, FacilityEnv, ends, peaks_drawn
from icsap_jax.figures import COLOURS, INK, QUIET, page

REPORTS = 401
SHOWN = 3  # profiles of the others
SEEN = 0.01  # the chance from which on a placement is drawn


def draw(problem: Facility, env: FacilityEnv, rule: Rule, model: Any, folder: Path) -> list[Path]:
    """`places.png` in `folder`: for some profiles of the others, where facilities stand by what agent 1 reports. Raises ConfigError where
    it cannot be written."""
    low, high = ends(problem, env)
    own = np.linspace(low, high, REPORTS)
    others = peaks_drawn(problem, env, 64)[:SHOWN]
    asked = np.repeat(others[:, None], REPORTS, 1)
    asked[..., 0] = own
    placed = jax.tree.map(np.asarray, jax.jit(lambda reports: rule(reports))(asked[..., None].astype(np.float32)))
    output = folder / "places.png"
    with page(output, 3.4 * SHOWN + 0.6, 3.9, columns=SHOWN, sharey=True) as (figure, axes):
        figure.suptitle("Where facilities stand, by what agent 1 reports", x=0.012, ha="left")
        for axis, profile, where, chance in zip(axes[0], others, placed.places, placed.chance, strict=True):
            for peak in profile[1:]:
                axis.axhline(peak, color=QUIET, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
            axis.plot(own, own, color=INK, linewidth=0.8, zorder=1)
            for placement in np.flatnonzero(chance.max(0) > SEEN):
                for place in range(problem.facilities):
                    # Drawn as points, whose size is the chance: places leap.
                    colour = COLOURS[place % len(COLOURS)]
                    axis.scatter(own, where[:, placement, place], s=6.0 * chance[:, placement], color=colour, linewidth=0)
            axis.set_xlabel("report of agent 1")
            axis.set_xlim(low, high)
            axis.set_ylim(low, high)
        axes[0, 0].set_ylabel("place")
        figure.supxlabel("dashed: the others' peaks; thin: its own report; the larger a point, the likelier", x=0.012, ha="left",
                         fontsize=9.5, color=QUIET)  # fmt: skip
    return [output]
