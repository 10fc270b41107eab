"""What the classical rules leave agents with: nothing handed back (Vickrey 1961; Clarke 1971), Cavallo's rule, the one that is best on the
worst profile (Guo & Conitzer 2009), and the best linear one (Guo & Conitzer 2010). All are linear in the values by rank, so that their
expectations are exact where those of the values are. Beside them the best piecewise linear rule on a grid, for uniform values."""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.choice.redistribution.optimum import is_plain, linear_value, market, returned_bounds
from icsap_jax.choice.redistribution.problem import Redistribution, RedistributionEnv
from icsap_jax.choice.redistribution.programmes import handed_back_on_average
from icsap_jax.choice.redistribution.rules import cavallo_coefficients, worst_case_coefficients


def baselines(problem: Redistribution, env: RedistributionEnv, model: Any) -> dict[str, float]:
    """What agents are left with under each, by name; nothing where that is not all that is wanted."""
    if not is_plain(problem, env):
        return {}
    there = market(problem, env, model)
    lost = there.welfare - there.collected
    found = {"nothing_handed_back": lost}
    for name, of in (("cavallo", cavallo_coefficients), ("guo_conitzer", worst_case_coefficients)):
        coefficients = np.append(0.0, of(problem.agents, problem.units))
        found[name] = lost + handed_back_on_average(coefficients, there.means)
    if not problem.every:
        return found
    found["best_linear"] = linear_value(problem, env, model)
    reached, _ = returned_bounds(problem, env, model)
    return found if reached is None else {**found, "piecewise_linear": lost + reached}
