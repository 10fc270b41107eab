"""What a sender gets of a continuous state by the usual ways of telling it. Exact, float64; ties are the sender's.

Besides telling all and nothing: *upper censorship*, which tells the state below a cut and pools it above (Kolotilin, Mylovanov &
Zapechelnyuk 2022), and *monotone partitions*, which tell only in which of several intervals the state lies. The cuts tried are the
ends of the grid's cells, and besides them those at which a pool at either end of the interval, or next to such a pool, has a mean at
which the receiver changes its mind: with up to three actions and values that do not depend on the state, no others are better.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from icsap_jax.persuasion.continuous.lines import Lines, lines_of
from icsap_jax.persuasion.continuous.optimum import quadratic_value

ROUNDING = 1e-12  # of means, in units of the interval
MANY = 200  # cuts beyond which no pools next to pools are looked for


def baselines(problem: Any, env: Any, model: Any) -> dict[str, float]:
    """The sender's expected utility under each, by name."""
    if model.receiver.lines is None:
        prior, given = model.prior.build(), model.sender.coefficients
        return {"full_disclosure": quadratic_value(given, prior, prior.second),
                "no_disclosure": quadratic_value(given, prior, prior.mean**2)}  # fmt: skip
    lines = lines_of(model)
    cuts = cuts_of(lines, model.grid)
    told = full_disclosure(lines)
    return {"full_disclosure": told, "no_disclosure": float(lines.value_at(lines.prior.mean)),
            "upper_censorship": upper_censorship(lines, cuts), "monotone_partition": monotone_partition(lines, cuts)}  # fmt: skip


def told_below(lines: Lines, cuts: np.ndarray) -> np.ndarray:
    """What the sender gets of the states below each of the cuts [C], increasing, if they are told: [C]."""
    ends = np.unique(np.concatenate([cuts, lines.intervals()[lines.usable()].ravel()]))
    middle = 0.5 * (ends[:-1] + ends[1:])
    gets, worth = (each[:, :1] + each[:, 1:] * middle for each in (lines.receiver, lines.sender))
    tied = gets >= gets.max(0) - ROUNDING * max(1.0, np.abs(gets).max())
    chosen = np.argmax(np.where(tied, worth, -np.inf), axis=0)
    mass, moment, _ = np.diff(lines.prior.below(ends), axis=1)
    each = lines.sender[chosen, 0] * mass + lines.sender[chosen, 1] * moment
    return np.append(0.0, each.cumsum())[np.searchsorted(ends, cuts)]


def full_disclosure(lines: Lines) -> float:
    """E of what the sender gets at the state itself."""
    return float(told_below(lines, np.array([lines.prior.low, lines.prior.high]))[1])


def pooled(lines: Lines, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """What the sender gets of the states between `start` and `end` [...] if they are pooled; 0 where there are none. A mean within
    rounding of where the receiver changes its mind is there."""
    mass, moment, _ = lines.prior.between(start, end)
    mean = np.where(mass > 0, moment / np.where(mass > 0, mass, 1.0), lines.prior.mean)
    nudge = 10 * ROUNDING * (lines.prior.high - lines.prior.low)
    best = np.max([lines.value_at(mean + move) for move in (-nudge, 0.0, nudge)], axis=0)
    return np.where(mass > 0, mass * best, 0.0)


def upper_censorship(lines: Lines, cuts: np.ndarray) -> float:
    """The best cut: told below, pooled above."""
    return float((told_below(lines, cuts) + pooled(lines, cuts, np.full_like(cuts, lines.prior.high))).max())


def monotone_partition(lines: Lines, cuts: np.ndarray) -> float:
    """The best division into as many intervals as there are actions: adjacent ones that induce one action may as well be one."""
    between = np.where(cuts[:, None] <= cuts[None], pooled(lines, cuts[:, None], cuts[None]), -np.inf)  # [start, end]
    best = between[0]
    for _ in range(len(lines.usable()) - 1):
        best = (best[:, None] + between).max(0)
    return float(best[-1])


def cuts_of(lines: Lines, cells: int) -> np.ndarray:
    """The cuts tried, increasing; see the module."""
    prior = lines.prior
    kinks = np.unique(lines.intervals()[lines.usable()])
    found = {prior.low, prior.high}
    for _ in range(2):
        fresh = [prior.start_of_pool(kink, end) for kink in kinks for end in found]
        fresh += [prior.end_of_pool(kink, start) for kink in kinks for start in found]
        found |= {cut for cut in fresh if cut is not None}
        if len(found) > MANY:
            break
    edges = np.linspace(prior.low, prior.high, cells + 1)
    return np.unique(np.concatenate([edges, kinks, sorted(found)]))
