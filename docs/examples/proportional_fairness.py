"""An objective of your own: proportional fairness (Kelly 1997), which counts a unit more for whoever has less."""

from __future__ import annotations

import jax.numpy as jnp

from icsap_jax import register_objective


def proportional_fairness(account):
    """Σ log(1 + utility), […]: utilities in the units of the values, above −1; 0 where nobody is left with anything."""
    return jnp.log1p(account.value - account.transfer).sum(-1)


register_objective("proportional_fairness", proportional_fairness)
