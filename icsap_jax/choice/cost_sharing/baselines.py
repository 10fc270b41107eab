"""What the rules with nothing to learn are worth, by whatever objective: equal shares (Moulin 1994) and a fixed order (Moulin 1999), where
they are strategyproof. Means over the same profiles as the bound is."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.types import Draw
from icsap_jax.choice.cost_sharing import schema
from icsap_jax.choice.cost_sharing.problem import CostEnv, CostSharing
from icsap_jax.choice.profiles import spread


def baselines(problem: CostSharing, env: CostEnv, model: Any) -> dict[str, float]:
    """The designer's value under each that fits the costs, by name."""
    values = spread(env.prior, model.prior.kind)[..., None]
    found: dict[str, float] = {}
    for kind in (schema.Serial(), schema.Sequential()):
        if kind.unfit(model) is None:
            rule = kind.build(problem, env, jax.random.key(0))
            with jax.enable_x64(True):
                env64 = jax.tree.map(jnp.asarray, double(env))
                draw = Draw(weight=jnp.full((len(values),), 1.0 / len(values)), types=jnp.asarray(values))
                decision = problem.decide(env64, rule, None, draw.types)
                found[str(kind.kind)] = float(np.asarray(problem.score(env64, draw, decision, draw.types).value).mean())
    return found
