"""What no rule exceeds whose payments cover the cost.

*First best*: values are known, and whoever should be served is. With values in falling order, serving the k highest is worth
Σ_{j≤k} v₍ⱼ₎ − c_k, and the best k, or nobody, bounds `welfare`. Where the cost is covered on every profile by agents who need not take
part, those who are served value it at no less than it costs: that bounds how many are `served`, by the best lottery over how many
(`most_served`). Both are means over the profiles of `choice/profiles.py`.

A lone agent is served first-best by a price that is the cost. For more agents the best strategyproof rule that balances is not known in
general (Wang et al. 2021 have it for some priors), so that there is a bound and no value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.choice.cost_sharing.problem import CostEnv, CostSharing
from icsap_jax.choice.profiles import POWER, spread


def first_best(values: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """What serving the best set is worth on each profile, [B], of values [B, N] at costs [N]."""
    worth = np.cumsum(-np.sort(-values, axis=1), axis=1) - costs
    return np.maximum(worth.max(1), 0.0)


def most_served(values: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """The largest expected number that a lottery can serve whose expected cost those who are served value it at, [B]. A lottery mixes
    0 … N served, k of them worth w_k = Σ_{j≤k} v₍ⱼ₎ − c_k; the best mixes the largest number there is, N, with whichever k gives most for
    what N lacks."""
    agents = values.shape[1]
    worth = np.pad(np.cumsum(-np.sort(-values, axis=1), axis=1) - costs, ((0, 0), (1, 0)))
    found = np.where(worth >= 0, np.arange(agents + 1), 0).max(1).astype(float)
    for low in range(agents + 1):
        for high in range(low + 1, agents + 1):
            spare, lack = worth[:, low], -worth[:, high]
            share = np.where((spare > 0) & (lack > 0), spare / np.where(spare + lack > 0, spare + lack, 1.0), 0.0)
            found = np.where(share > 0, np.maximum(found, low + share * (high - low)), found)
    return found


def optimum(problem: CostSharing, env: CostEnv, model: Any) -> dict[str, Any] | None:
    """{"value", "method", "source", "upper_bound"}; None where the objective is another, or more is asked of rules."""
    if problem.limits or len(problem.objective) > 1 or not np.allclose(np.asarray(env.weights), 1.0):
        return None
    values, costs, aim = spread(env.prior, model.prior.kind), np.array(model.costs()), problem.objective[0]
    if aim == "welfare" or (aim == "utility" and problem.every):
        bound = float(first_best(values, costs).mean())
        alone = problem.agents == 1
        return {"value": bound if alone else None, "method": "a price that is the cost" if alone else "first best: a bound",
                "source": f"mean over 2^{POWER} profiles", "upper_bound": bound}  # fmt: skip
    if aim == "served" and problem.every:
        return {"value": None, "method": "as many as value it at what it costs: a bound", "source": f"mean over 2^{POWER} profiles",
                "upper_bound": float(most_served(values, costs).mean())}  # fmt: skip
    return None
