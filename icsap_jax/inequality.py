"""How unequal some numbers are, for numpy and jax alike, so that what is learned and what is exact are one formula.

The inequality-averse mean is the equally distributed equivalent of Atkinson (1970): the number which, if everybody had it, would be worth
as much as what they have,

    (Σ f u^{1−η})^{1/(1−η)},   exp Σ f log u at η = 1,   min u as η → ∞,   Σ f u at η = 0.

It orders what people have as the isoelastic sum Σ f u^{1−η}/(1−η) does, whose sign and unit change with η.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

Array = Any  # of numpy or of jax
LEAST = 1e-6  # as a share of the largest number, what counts as positive
STEEPEST = 1e6  # slope of the equivalent where numbers are not positive


def lowest(values: Array, xp: Any) -> Array:
    """The least along the last axis, […]: the entry at the argmin, whose slope is one entry's even where several tie."""
    return xp.take_along_axis(values, xp.argmin(values, -1)[..., None], -1)[..., 0]


def gini(values: Array, share: Array, xp: Any) -> Array:
    """Half the mean absolute difference over the mean, divided by what it is at most, 1 − Σ f² (one has all, in the limit of a small
    one), of values […, N] whose shares of the population are f [N]: between 0 and 1 for positive values; with n equal shares n/(n − 1)
    times the usual one, as in Zheng et al. (2022)."""
    apart = xp.abs(values[..., :, None] - values[..., None, :]) @ share @ share
    most = xp.maximum(1.0 - share @ share, 1e-12)
    return 0.5 * apart / (xp.maximum(values @ share, 1e-12) * most)


def equally_distributed(values: Array, share: Array, aversion: float, xp: Any) -> Array:
    """The equally distributed equivalent, […], at inequality aversion η ≥ 0. Of numbers that are not positive there is none: below a
    millionth of the largest it goes on in a straight line, as steep as there, so that nobody is ever pushed there for others' sake."""
    unit = _constant(xp.maximum(xp.abs(values).max(-1, keepdims=True), 1e-30), xp)
    relative = values / unit
    level = _level(xp.maximum(relative, LEAST), share, aversion, xp)
    steep = xp.minimum((LEAST / level) ** -min(aversion, 1.0), STEEPEST)
    return unit[..., 0] * (level + steep * (xp.minimum(relative - LEAST, 0.0) @ share))


def _level(relative: Array, share: Array, aversion: float, xp: Any) -> Array:
    """The same of positive numbers of size one."""
    if aversion == 1.0:
        return xp.exp(xp.log(relative) @ share)
    least = _constant(relative.min(-1, keepdims=True), xp)  # high powers of small numbers leave the range of numbers
    power = 1.0 - aversion
    return least[..., 0] * ((relative / least) ** power @ share) ** (1.0 / power)


def geometric_mean(values: Array, xp: Any) -> Array:
    """(Π u)^(1/N), […], of u […, N]; nothing where somebody has nothing."""
    something = values > 0
    logs = xp.log(xp.where(something, values, 1.0))  # the logarithm of 0 would have no slope that is a number
    return xp.where(something.all(-1), xp.exp(logs.mean(-1)), 0.0)


def _constant(values: Array, xp: Any) -> Array:
    """Numbers that only set a scale, and so have no slope."""
    return values if xp is np else jax.lax.stop_gradient(values)
