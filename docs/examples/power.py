"""A prior of your own: values on [0, 1] of which a share v^exponent lies below v, independently for every bidder and item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from jax import Array
from jax.tree_util import register_dataclass
from pydantic import Field
from scipy import stats

from icsap_jax import PriorModel
from icsap_jax.auctions.priors.base import Coordinatewise, distributions, leaf, per_coordinate


@register_dataclass
@dataclass(frozen=True)
class Power(Coordinatewise):
    """What is drawn from; `exponent` [N, M]. Training draws by `quantile`, exact answers come from `marginals`."""

    exponent: Array

    def quantile(self, u):
        return u ** (1 / self.exponent)

    def cdf(self, values):
        return jnp.clip(values, 0, 1) ** self.exponent

    def support(self):
        return jnp.zeros_like(self.exponent), jnp.ones_like(self.exponent)

    def mean(self):
        return self.exponent / (self.exponent + 1)

    def variance(self):
        return self.exponent / (self.exponent + 2) - self.mean() ** 2

    def marginals(self):
        return distributions(stats.powerlaw, self.exponent)


def build(model, agents, items, folder):
    """The prior a problem file asks for."""
    return Power(leaf(per_coordinate(model.exponent, agents, items)))


class PowerPrior(PriorModel):
    """What a problem file may say: `prior: {kind: power, exponent: 2}`."""

    kind: Literal["power"] = "power"
    builder = build
    exponent: float = Field(2.0, gt=0, description="1 is uniform; the larger, the keener the bidders")
