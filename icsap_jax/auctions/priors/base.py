"""What every prior answers, and the large family of priors whose N·M values are independent of each other.

N bidders, M items. A prior is a frozen dataclass registered as a pytree. Its leaves hold its numbers as [N, M] (or [N, M, K])
arrays, float32 unless cast; what is drawn has the dtype of the leaves. Its methods work under jit, vmap and scan, except
`marginals`, which reads concrete numbers.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.auctions.prior_schema import bidders_by_items
from icsap_jax.bilevel.types import Array
from icsap_jax.config import ConfigError

TAIL = 1e-3  # an unbounded prior's misreports stop at its 1 − TAIL quantile


class Prior:
    """The law of the valuations [N, M]. `independent_agents`: bidders' values are independent of each other, so that one
    bidder's can be redrawn while the others' stay."""

    independent_agents: ClassVar[bool] = True

    def sample(self, key: Array, count: int) -> Array:
        """`count` profiles, [count, N, M]. Never truncated: a share `tail()` of an unbounded prior lies above `support()`."""
        raise NotImplementedError

    def support(self) -> tuple[Array, Array]:
        """The misreport box: lowest and highest value, [N, M] each; of an unbounded prior, up to the .999 quantile."""
        raise NotImplementedError

    def mean(self) -> Array:
        """[N, M]."""
        raise NotImplementedError

    def variance(self) -> Array:
        """[N, M]."""
        raise NotImplementedError

    def tail(self) -> Array:
        """The probability of a value above the box, [N, M]."""
        return jnp.zeros_like(self.support()[1])

    def held_out(self) -> Prior:
        """The prior to evaluate on: this one, unless it was estimated from data."""
        return self

    def marginals(self) -> list[list[Any]]:
        """The law of each value, N lists of M float64 distributions like scipy.stats' frozen ones: cdf, pdf, ppf, mean(), var(),
        support(). Never truncated. numpy and scipy only."""
        raise NotImplementedError


class Coordinatewise(Prior):
    """A prior whose N·M values are independent, each given by its quantile function. These can be marginals of a copula and parts
    of a mixture. `quantile` and `cdf` see one profile; vmap them over more."""

    def quantile(self, u: Array) -> Array:
        """The generalised inverse of `cdf` at u in [0, 1), [N, M] → [N, M]."""
        raise NotImplementedError

    def cdf(self, values: Array) -> Array:
        """The probability of at most `values`, [N, M] → [N, M]."""
        raise NotImplementedError

    def sample(self, key: Array, count: int) -> Array:
        low, _ = self.support()
        return jax.vmap(self.quantile)(jax.random.uniform(key, (count, *low.shape), low.dtype))


def per_coordinate(value: Any, agents: int, items: int) -> np.ndarray:
    """A number, [M] per item, [N] per bidder (where N ≠ M) or [N, M] → float64 [N, M]. Raises ConfigError for another shape."""
    numbers = np.asarray(value, np.float64)
    try:
        return np.broadcast_to(bidders_by_items(numbers, agents, items), (agents, items))
    except ValueError:
        raise ConfigError(f"prior: {value!r} has shape {list(numbers.shape)}; it should be a number, [{items}] (per item), "
                          f"[{agents}] (per bidder) or [{agents}][{items}].") from None


def leaf(numbers: np.ndarray) -> Array:
    """float64 numbers as a leaf to train with."""
    return jnp.asarray(numbers, jnp.float32)


def decimal(numbers: Array) -> np.ndarray:
    """A leaf as the float64 decimals its problem file named: a float32 prints as the shortest decimal that rounds to it, so 0.1
    comes back as 0.1 and not as 0.10000000149; exact answers are then exact for the file and not for its rounding."""
    return np.asarray(numbers).astype(str).astype(np.float64)


def distributions(make: Any, *numbers: Array) -> list[list[Any]]:
    """`make` applied to each coordinate's numbers: N lists of M distributions."""
    tables = [decimal(each) for each in numbers]
    agents, items = tables[0].shape[:2]
    return [[make(*(table[n, m] for table in tables)) for m in range(items)] for n in range(agents)]
