"""Priors under which values depend on each other: the triangle of Dütting et al. (2019, setting VI), and Gaussian copulas over
any coordinatewise marginals (Sklar 1959: every joint law is marginals and a copula).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jax.tree_util import register_dataclass

from icsap_jax.auctions.priors import marginals as exact
from icsap_jax.auctions.priors.base import Coordinatewise, Prior, distributions, leaf
from icsap_jax.auctions.priors.mixing import Columns, require_coordinatewise
from icsap_jax.bilevel.types import Array
from icsap_jax.config import ConfigError


@register_dataclass
@dataclass(frozen=True)
class Triangle(Prior):
    """Each bidder's two values are uniform on {v ≥ 0, v₁ + v₂ ≤ scale}; `scale` [N]. The misreport box is the square around it."""

    scale: Array

    def sample(self, key: Array, count: int) -> Array:
        u = jax.random.uniform(key, (count, *self.scale.shape, 2), self.scale.dtype)
        # A point above the diagonal is mirrored through the square's centre, which maps that half onto the triangle.
        folded = jnp.where(u.sum(-1, keepdims=True) > 1, 1 - u, u)
        return folded * self.scale[None, :, None]

    def _both(self, number: Array) -> Array:
        return jnp.stack([number, number], -1)

    def support(self) -> tuple[Array, Array]:
        return self._both(jnp.zeros_like(self.scale)), self._both(self.scale)

    def mean(self) -> Array:
        return self._both(self.scale / 3)

    def variance(self) -> Array:
        return self._both(self.scale**2 / 18)

    def marginals(self) -> list[list[Any]]:
        return distributions(exact.Slope, self._both(self.scale))


@register_dataclass
@dataclass(frozen=True)
class Copula(Prior):
    """Values F⁻¹(Φ(z)), z normal with correlation `root` rootᵀ [N·M, N·M], bidder by bidder; F the cdf of each coordinate's law in
    `marginals_of`. The correlation is that of the normal scores z, not of the values."""

    marginals_of: Coordinatewise
    root: Array
    independent_agents: bool = field(metadata={"static": True})

    def sample(self, key: Array, count: int) -> Array:
        low, _ = self.support()
        independent = jax.random.normal(key, (count, self.root.shape[0]), self.root.dtype)
        scores = jnp.matmul(independent, self.root.T, precision=jax.lax.Precision.HIGHEST)
        # Φ rounds to 1 from 5.3 standard deviations on, where an unbounded quantile would be infinite.
        u = jnp.minimum(ndtr(scores), 1 - jnp.finfo(self.root.dtype).epsneg)
        return jax.vmap(self.marginals_of.quantile)(u.reshape(count, *low.shape))

    def support(self) -> tuple[Array, Array]:
        return self.marginals_of.support()

    def mean(self) -> Array:
        return self.marginals_of.mean()

    def variance(self) -> Array:
        return self.marginals_of.variance()

    def tail(self) -> Array:
        return self.marginals_of.tail()

    def marginals(self) -> list[list[Any]]:
        return self.marginals_of.marginals()


def triangle(model: Any, agents: int, items: int, folder: Path) -> Triangle:
    """`triangle: {scale}`, over two items."""
    if items != 2:
        raise ConfigError(f"prior triangle: it is a law of two values, and this auction has {items} item{'s' * (items != 1)}.")
    return Triangle(leaf(np.full(agents, float(model.scale))))


def copula(model: Any, agents: int, items: int, folder: Path) -> Copula:
    """`copula: {correlation, marginals}`: a scalar correlates the items of each bidder, a matrix [N·M][N·M] any two values.
    `marginals` is one prior for all values or a list with one for each item."""
    several = isinstance(model.marginals, (list, tuple))
    if several:
        columns = tuple(each.build(agents, 1, folder) for each in model.marginals)
        for place, column in enumerate(columns):
            require_coordinatewise(column, f"copula.marginals.{place}")
        marginals = Columns(columns)
    else:
        marginals = model.marginals.build(agents, items, folder)
        require_coordinatewise(marginals, "copula.marginals")
    correlation = np.asarray(model.correlation, np.float64)
    if correlation.ndim == 0:
        within = np.full((items, items), float(correlation)) + (1 - float(correlation)) * np.eye(items)
        correlation = np.kron(np.eye(agents), within)
    return Copula(marginals, leaf(_square_root(correlation)), independent_agents=not model.ties_agents(agents, items, folder))


def _square_root(correlation: np.ndarray) -> np.ndarray:
    """A root R with R Rᵀ = correlation. Unlike Cholesky's it exists for perfectly correlated values too."""
    size, vectors = np.linalg.eigh((correlation + correlation.T) / 2)
    root = vectors * np.sqrt(np.maximum(size, 0))
    # Unit rows: rounding, or a matrix written with seven digits, must not change the marginals.
    return root / np.linalg.norm(root, axis=1, keepdims=True)
