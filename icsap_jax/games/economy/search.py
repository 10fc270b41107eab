"""The best schedule of brackets, searched for on people's exact replies.

What a schedule is worth is discontinuous where a type is indifferent between two brackets, and the best ones lie beside such places. So it
is told with ties against the designer, and searched without slopes: globally by differential evolution (Storn & Price 1997), hundreds of
schedules at once, and from the best of them by Nelder & Mead's simplex (1965). That is a search, and proves nothing; `mirrlees` bounds what
it can miss. Where thresholds are free and there are 2B − 1 brackets for B types, it can miss nothing: a bracket tangent to each type's
indifference curve at its income in the best mechanism, and one between neighbours that keeps the more skilled from earning less.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import differential_evolution, minimize

from icsap_jax.games.economy.exact import SAME, TIE, Exact

LOWEST, TOP = -1.0, 0.98  # rates among which the global search looks
REACH = (0.02, 1.3)  # and thresholds, as shares of the least and the largest income without a tax
MOST_NUMBERS = 7  # that the global search looks for: four brackets with their thresholds
GENERATIONS, POPULATION, SEEDS = 600, 12, 3
CLOSER = 1e-7  # relative changes at which the simplex stops
APART = 1e-4  # thresholds are at least this far apart, relatively
CALLS = 400  # evaluations of the simplex for each number it moves


def guarded(exact: Exact, rates: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The designer's value […] of schedules with rates […, K] and thresholds […, K − 1]: the least of what it is with each type at its
    best, with each alone at what is as good to it, and with all there."""
    income, tax = exact.candidates(rates, thresholds)
    utility = exact.utilities(income, tax)
    best = utility.argmax(-1)[..., None]

    def at(values: np.ndarray, place: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, place, -1)[..., 0]

    other = np.abs(income - np.take_along_axis(income, best, -1)) > SAME * exact.free[:, None]
    next_best = np.where(other, utility, -np.inf).argmax(-1)[..., None]
    tied = at(np.where(other, utility, -np.inf), next_best) >= at(utility, best) - TIE * exact.scale
    place = np.concatenate([np.eye(len(exact.free), dtype=bool), np.ones((1, len(exact.free)), bool), np.zeros((1, len(exact.free)), bool)])
    moved = place & tied[..., None, :]  # […, W, B]
    incomes = np.where(moved, at(income, next_best)[..., None, :], at(income, best)[..., None, :])
    taxes = np.where(moved, at(tax, next_best)[..., None, :], at(tax, best)[..., None, :])
    return exact.worth(incomes, taxes).min(-1)


class _Space:
    """Schedules as points of a box: rates, then logarithms of thresholds in any order unless those are given."""

    def __init__(self, exact: Exact, rule_model: Any):
        self.exact, self.count = exact, rule_model.brackets
        self.given = None if rule_model.thresholds is None else np.asarray(rule_model.thresholds, np.float64)
        self.least = rule_model.least_rate
        lowest = LOWEST if self.least is None else self.least
        ends = np.log([REACH[0] * exact.free.min(), REACH[1] * exact.free.max()])
        self.bounds = [(lowest, TOP)] * self.count + ([] if self.given is not None else [tuple(ends)] * (self.count - 1))

    def schedules(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rates [..., K], thresholds [..., K − 1]) of points [..., D]."""
        rates = np.minimum(points[..., : self.count], 1.0 - 1e-9)
        rates = rates if self.least is None else np.maximum(rates, self.least)
        if self.given is not None:
            return rates, np.broadcast_to(self.given, (*points.shape[:-1], self.count - 1))
        steps = APART * np.arange(self.count - 1)
        return rates, np.exp(np.sort(points[..., self.count :], -1) + steps)

    def point(self, rates: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """The point [D] of a schedule."""
        steps = APART * np.arange(self.count - 1)
        return rates.copy() if self.given is not None else np.concatenate([rates, np.log(thresholds) - steps])

    def worth(self, points: np.ndarray) -> np.ndarray:
        """[…] of points [..., D]; nothing is −∞."""
        return guarded(self.exact, *self.schedules(points))

    def climbed(self, point: np.ndarray) -> np.ndarray:
        """The best point that the simplex reaches, beginning anew from where it stops, with simplices of shrinking size."""
        for size in (0.1, 0.03, 0.01, 0.003):
            simplex = np.concatenate([point[None], point + size * np.eye(len(point))])
            found = minimize(
                lambda at: -float(self.worth(at)), point, method="Nelder-Mead",
                options={"initial_simplex": simplex, "maxfev": CALLS * len(point) // 4, "xatol": CLOSER, "fatol": CLOSER**2,
                         "adaptive": True},
            )  # fmt: skip
            point = found.x if -found.fun >= self.worth(point) else point
        return point


def improved(
    exact: Exact, rates: np.ndarray, thresholds: np.ndarray, rule_model: Any
) -> tuple[tuple[np.ndarray, np.ndarray], float, float]:
    """(the schedule that the simplex reaches from another, what that one was worth, what this one is)."""
    space = _Space(exact, rule_model)
    before = float(guarded(exact, rates, thresholds))
    point = space.climbed(space.point(rates, thresholds))
    return space.schedules(point), before, float(space.worth(point))


def searched(exact: Exact, rule_model: Any) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """(the best schedule that the search finds, its value): globally where that has few numbers to find, and else from the best schedule
    with one bracket less, of which each is split in turn, so that a further bracket is never worth less."""
    space = _Space(exact, rule_model)
    if space.given is not None or len(space.bounds) <= MOST_NUMBERS:
        point = space.climbed(_evolved(space))
        return space.schedules(point), float(space.worth(point))
    fewer = rule_model.model_copy(update={"brackets": rule_model.brackets - 1})
    (rates, thresholds), _ = searched(exact, fewer)
    ends = np.concatenate([[0.0], thresholds, [max(2.0 * thresholds[-1], exact.free.max())]])
    climbed = []
    for place in range(fewer.brackets):
        split = np.insert(thresholds, place, 0.5 * (ends[place] + ends[place + 1]))
        climbed.append(space.climbed(space.point(np.insert(rates, place, rates[place]), split)))
    point = max(climbed, key=lambda each: float(space.worth(each)))
    return space.schedules(point), float(space.worth(point))


def _evolved(space: _Space) -> np.ndarray:
    """The best point [D] of several runs of differential evolution."""
    found = [
        differential_evolution(
            lambda points: -space.worth(points.T), space.bounds, vectorized=True, updating="deferred", polish=False, rng=seed,
            maxiter=GENERATIONS, popsize=POPULATION, tol=0.0, init="sobol",
        ).x for seed in range(SEEDS)
    ]  # fmt: skip
    return max(found, key=lambda each: float(space.worth(each)))
