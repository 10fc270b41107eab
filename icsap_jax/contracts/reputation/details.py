"""What `result.json` tells about a rule for reputation, beyond what it is worth: the incentives, and what comes of them in each period."""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.contracts.reputation.exact import agent_value, as_written, final_reputation, of_model, slope_thresholds
from icsap_jax.contracts.reputation.suspension import best_plan


def details(problem: Any, env: Any, model: Any, rule_model: Any, rule: Any) -> dict[str, Any]:
    """The incentive for each action, what the agent does in each period, and what each side gets, in float64."""
    exact = of_model(model)
    incentive = as_written(rule_model, rule, exact)
    told: dict[str, Any] = {"incentive": short(incentive, model, "sa")}
    if exact.suspend_below is not None:
        return {**told, **best_plan(exact, incentive)}
    actions = exact.reply(incentive)
    everything = exact.seen.argmax(-1)[None, :, None] == actions
    return {
        **told,
        "actions": short(actions, model, "pst"),
        "agent_value": agent_value(exact, incentive, actions),
        "human_value": exact.expected(exact.value, actions),
        "paid": exact.expected(np.broadcast_to(incentive[:, None], exact.utility.shape), actions),
        "final_reputation": None if exact.horizon is None else final_reputation(exact, incentive, actions),
        "effective_weight_of_incentive": exact.period.tolist(),
        "slope_thresholds": [float(k) if np.isfinite(k) else None for k in slope_thresholds(exact)],
        "does_what_is_valued_most": bool(everything.all()),
    }


def short(table: np.ndarray, model: Any, axes: str) -> Any:
    """A table as lists, without the axes of states and types that the problem does not have."""
    absent = {"s": model.state_prior is None, "t": model.type_prior is None}
    return np.squeeze(table, tuple(place for place, axis in enumerate(axes) if absent.get(axis, False))).tolist()
