"""What every prior over finitely many states must be: interior, since a belief that starts at zero stays there; no jax."""

from __future__ import annotations

import numpy as np

from icsap_jax.config import Numbers, fault

ROUNDING = 1e-6  # thirds may be written with seven digits


def interior(prior: Numbers, key: str = "prior", of: str = "state", names: list[str] | None = None) -> None:
    """Raise `fault` at `key` unless it is a list of positive numbers that sum to 1, one for each `of`; a zero is named."""
    values = prior.values
    if values.ndim != 1 or len(values) < 1:
        raise fault(([key], f"should be a list of numbers > 0 that sum to 1, one for each {of}", prior))
    for place in np.flatnonzero(values <= 0):
        called = f"{of} '{names[place]}'" if names and len(names) == len(values) else f"{of} {place}"
        text = f"should be > 0: {key} must be interior, and {called} could never occur; leave it out of all tables"
        raise fault(([key, int(place)], text, float(values[place])))
    if abs(values.sum() - 1.0) > ROUNDING:
        raise fault(([key], f"should sum to 1, one probability for each {of}; it sums to {values.sum():.6g}", prior))
