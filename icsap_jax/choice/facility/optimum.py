"""What is exactly known of facilities on a line, in float64; nothing is learned.

One facility, and the sum of weighted distances: the weighted median of the reports is the first best and strategyproof (Moulin 1980), so
that it is the optimum. Since min_y Σ w_i|x_i − y| = ∫ min(weight left of t, weight right of t) dt, its expectation under independent
peaks is an integral over t of one over who lives left of t.

More facilities, or other objectives: what incentives cost is not known. The first best, which nobody's incentives allow for, bounds it:
agents who go to the same facility are neighbours, so that the best split of the sorted peaks into K groups is found by a dynamic programme
(Wang & Song 2011), with the weighted median, or the weighted centre, of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from icsap_jax.choice.facility.problem import Facility, FacilityEnv, ends, peaks_drawn

PROFILES = 100_000  # on which first bests are averaged
NODES = 2_000  # Gauss–Legendre nodes on the line, in panels of ten


def optimum(problem: Facility, env: FacilityEnv, model: Any) -> dict[str, Any]:
    """{"value", "method", "source", "upper_bound"}; also "std_error" where it is a mean over a sample."""
    if problem.limits:
        return {"method": "not known with constraints"}
    of = objective_of(problem)
    if of == "welfare" and problem.facilities == 1 and problem.independent(env) and _described(env):
        value = scaled(problem, env, model, -least_cost(problem, env, model.importance))
        return {"value": value, "method": "the weighted median, by quadrature", "source": "Moulin 1980", "upper_bound": value}
    best = first_bests(problem, env, model)
    if best is None:
        return {"method": "not known for this objective"}
    mean, error = float(best.mean()), float(best.std() / np.sqrt(len(best)))
    told = f"without incentives, on {len(best)} profiles, standard error {error:.1g}"
    if of == "welfare" and problem.facilities == 1:
        method = f"the weighted median, on {len(best)} profiles, standard error {error:.1g}"
        return {"value": mean, "method": method, "source": "Moulin 1980", "upper_bound": mean}
    return {"value": None, "method": f"the first best, {told}", "source": "neighbours share a facility", "upper_bound": mean}


def objective_of(problem: Facility) -> str | None:
    """The one objective, where there is one."""
    return str(problem.objective[0]) if len(problem.objective) == 1 else None


def scaled(problem: Facility, env: FacilityEnv, model: Any, value: float) -> float:
    """What a welfare at a worth of 0 comes to in the designer's units."""
    return float(np.asarray(env.weights, np.float64)[0]) * (value + model.worth * float(model.importance.sum()))


def first_bests(problem: Facility, env: FacilityEnv, model: Any) -> np.ndarray | None:
    """The designer's largest value on each of many profiles, [B], were peaks known; None for an objective of which that is not known."""
    of, importance, weight = objective_of(problem), model.importance, float(np.asarray(env.weights, np.float64)[0])
    if weight <= 0 or of not in ("welfare", "utility", "maximin") or (of == "maximin" and model.worth and np.ptp(importance)):
        return None
    peaks = peaks_drawn(problem, env, PROFILES)
    if of == "maximin":
        return weight * (model.worth * importance.min() - grouped(peaks, importance, problem.facilities, centre_cost, np.maximum))
    return weight * (model.worth * importance.sum() - grouped(peaks, importance, problem.facilities, median_cost, np.add))


def grouped(peaks: np.ndarray, importance: np.ndarray, facilities: int, cost: Callable, join: Callable) -> np.ndarray:
    """The least cost [B] of serving peaks [B, N] by K facilities: the best split of the sorted peaks into groups of neighbours, whose costs
    [B] are `cost(peaks, weights)` and put together by `join`, a sum or the largest."""
    order = np.argsort(peaks, -1)
    peaks, weights = np.take_along_axis(peaks, order, -1), np.broadcast_to(importance, peaks.shape)[np.arange(len(peaks))[:, None], order]
    agents = peaks.shape[1]
    alone = {(low, high): cost(peaks[:, low:high], weights[:, low:high]) for low in range(agents) for high in range(low + 1, agents + 1)}
    best = {high: alone[0, high] for high in range(1, agents + 1)}
    for served in range(2, facilities + 1):
        best = {high: np.min([join(best[low], alone[low, high]) for low in range(served - 1, high)], 0)
                for high in range(served, agents + 1)}  # fmt: skip
    return best[agents]


def median_cost(peaks: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """min_y Σ w_i|x_i − y| of sorted peaks [B, G]: ∫ min(weight left, weight right), piece by piece."""
    left = np.cumsum(weights, -1)
    return (np.minimum(left, left[:, -1:] - left)[:, :-1] * np.diff(peaks, axis=-1)).sum(-1)


def centre_cost(peaks: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """min_y max_i w_i|x_i − y| of sorted peaks [B, G]: the pair for which w_i w_j/(w_i + w_j)·|x_i − x_j| is largest."""
    worst = np.zeros(len(peaks))
    for low in range(peaks.shape[1]):
        for high in range(low + 1, peaks.shape[1]):
            pull = weights[:, low] * weights[:, high] / (weights[:, low] + weights[:, high])
            worst = np.maximum(worst, pull * (peaks[:, high] - peaks[:, low]))
    return worst


def _described(env: FacilityEnv) -> bool:
    """Whether the prior tells each agent's distribution."""
    return hasattr(env.prior, "marginals")


def least_cost(problem: Facility, env: FacilityEnv, importance: np.ndarray) -> float:
    """E min_y Σ w_i|x_i − y| for independent peaks: ∫ Σ_S P(S lives left of t) min(w(S), w(N∖S)) dt. Sums of weights that agree are
    counted once, so that equal weights take N + 1 of them and not 2^N."""
    low, high = ends(problem, env)
    nodes, masses = np.polynomial.legendre.leggauss(10)
    edges = np.linspace(low, high, NODES // 10 + 1)
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    at = (middle[:, None] + half[:, None] * nodes).ravel()
    mass = (half[:, None] * masses).ravel()
    chances: dict[float, np.ndarray] = {0.0: np.ones_like(at)}
    for (law,), weight in zip(env.prior.marginals(), importance, strict=True):
        below = np.asarray(law.cdf(at), np.float64)
        grown: dict[float, np.ndarray] = {}
        for total, chance in chances.items():
            for added, share in ((0.0, 1.0 - below), (float(weight), below)):
                key = round(total + added, 9)
                grown[key] = grown.get(key, 0.0) + chance * share
        chances = grown
    whole = float(importance.sum())
    return float(sum(mass @ chance * min(total, whole - total) for total, chance in chances.items()))
