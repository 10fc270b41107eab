"""What bidders' values are drawn from: one builder for each `kind` of prior a problem file can name.

`builder(model, agents, items, folder)` gives a Prior (base.py), a pytree whose leaves are the prior's numbers, so that vmap runs
over a family of priors. families.py: one coordinate at a time, by inverse cdf; mixing.py: discrete values and mixtures; joint.py:
triangle and Gaussian copula; observed.py: rows of a data file; any_of.py: a set of priors, any of which may be true; marginals.py: the
same laws in float64 for exact answers.
"""

from __future__ import annotations

from icsap_jax.auctions.priors.any_of import AnyOf, any_of
from icsap_jax.auctions.priors.base import Coordinatewise, Prior
from icsap_jax.auctions.priors.families import beta, exponential, truncated_normal, uniform
from icsap_jax.auctions.priors.joint import copula, triangle
from icsap_jax.auctions.priors.mixing import discrete, mixture
from icsap_jax.auctions.priors.observed import empirical

__all__ = [
    "AnyOf", "Coordinatewise", "Prior", "any_of", "beta", "copula", "discrete", "empirical", "exponential", "mixture", "triangle",
    "truncated_normal", "uniform",
]
