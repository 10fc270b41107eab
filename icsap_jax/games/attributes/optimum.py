"""The best levels under a budget, by water filling, in float64.

    maximise Σ w log(1 + s)   subject to   s ≥ 0, Σ s ≤ C

is solved by s_l = max(w_l/λ − 1, 0), where λ > 0 makes them add up to C. Attributes that nobody counts (w_l = 0) get nothing: for the
proxy that is everything it does not see (Zhuang & Hadfield-Menell 2020, "Consequences of misaligned AI").
"""

from __future__ import annotations

from typing import Any

import numpy as np


def levels(weights: np.ndarray, budget: float) -> np.ndarray:
    """The best levels [L] for weights [L] ≥ 0, not all 0."""
    falling = np.sort(weights)[::-1]
    for count in range(len(falling), 0, -1):  # the `count` largest weights are filled
        price = falling[:count].sum() / (budget + count)
        if falling[count - 1] > price:
            break
    return np.maximum(weights / price - 1.0, 0.0)


def counted(model: Any) -> dict[str, np.ndarray]:
    """What each objective gives each attribute as its weight, [L]."""
    weights = np.broadcast_to(np.asarray(model.weights, np.float64), (model.attributes,))
    return {"utility": weights, "proxy": np.where(np.arange(model.attributes) < model.seen, weights, 0.0)}


def worth(model: Any, at: np.ndarray) -> dict[str, float]:
    """Both objectives at levels [L]."""
    return {name: float(weights @ np.log1p(at)) for name, weights in counted(model).items()}


def optimum(problem: Any, env: Any, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}: the most that the objective can be."""
    value = worth(model, levels(counted(model)[model.objective], model.budget))[model.objective]
    return {"value": value, "method": "water filling", "source": "Zhuang & Hadfield-Menell 2020, logarithmic utility",
            "upper_bound": None}  # fmt: skip


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The objective where everything begins, and once the proxy, or the human's utility, is at its largest."""
    places = {"start": model.begun} | {f"{name}_maximised": levels(each, model.budget) for name, each in counted(model).items()}
    return {name: worth(model, at)[model.objective] for name, at in places.items()}
