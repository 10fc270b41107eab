"""Public contexts: what the designer sees of each bidder and each item, and what values are given that (Duan et al. 2022, section 3).

Contexts are drawn first, values given them; `seen` is the pair (of bidders [B, N] or [B, N, d], of items [B, M] or [B, M, d]). A
misreport is a value that a bidder of this context may have, so that the box of reports differs from profile to profile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_dataclass

from icsap_jax.auctions.priors.base import leaf
from icsap_jax.bilevel.types import Array
from icsap_jax.config import ConfigError

Seen = tuple[Array, Array]
Bounds = tuple[Array, Array]
Table = tuple[tuple[float, ...], ...]


@register_dataclass
@dataclass(frozen=True)
class Continuous:
    """Vectors of `dimension` numbers uniform on [`low`, `high`], [] each; a value is the prior's times sigmoid(x · y)."""

    low: Array
    high: Array
    dimension: int = field(metadata={"static": True})

    def draw(self, key: Array, count: int, agents: int, items: int) -> Seen:
        """Contexts of `count` auctions: [count, N, d] and [count, M, d]."""
        points = jax.random.uniform(key, (count, agents + items, self.dimension), self.low.dtype)
        points = self.low + (self.high - self.low) * points
        return points[:, :agents], points[:, agents:]

    def values(self, prior: Any, key: Array, seen: Seen, lead: tuple[int, ...]) -> Array:
        """Values [*lead, N, M] of bidders and items of these contexts, whose own leading axes are the last of `lead`."""
        worth = attraction(*seen)
        drawn = prior.sample(key, int(np.prod(lead))).reshape(*lead, *worth.shape[-2:])
        return drawn * _beside(worth, drawn)

    def support(self, prior: Any, seen: Seen | None) -> Bounds:
        """The least and the largest value given the contexts […, N, M], or whatever they are [N, M]."""
        low, high = prior.support()
        if seen is None:
            least, most = self.range()
            return low * least, high * most
        worth = attraction(*seen)
        return _beside(low, worth) * worth, _beside(high, worth) * worth

    def range(self) -> Bounds:
        """The least and the largest sigmoid(x · y) there can be, []."""
        ends = jnp.stack([self.low * self.low, self.low * self.high, self.high * self.high]) * self.dimension
        return jax.nn.sigmoid(jnp.where(self.low > 0, ends[0], jnp.where(self.high < 0, ends[2], ends[1]))), jax.nn.sigmoid(ends.max())

    def known(self, prior: Any) -> Known:
        """What the designer knows of values given contexts."""
        return Scaled(*_constants(*prior.support(), prior.mean()))

    def encoded(self) -> tuple[int, int] | None:
        """How many kinds of bidders and of items there are; None: contexts are vectors."""
        return None


@register_dataclass
@dataclass(frozen=True)
class Discrete:
    """Kinds of bidders and of items, all equally likely; the prior is of [kinds of bidders, kinds of items]."""

    bidders: int = field(metadata={"static": True})
    items: int = field(metadata={"static": True})

    def draw(self, key: Array, count: int, agents: int, items: int) -> Seen:
        """Contexts of `count` auctions: [count, N] and [count, M], whole numbers."""
        of_bidders, of_items = jax.random.split(key)
        return (jax.random.randint(of_bidders, (count, agents), 0, self.bidders),
                jax.random.randint(of_items, (count, items), 0, self.items))  # fmt: skip

    def values(self, prior: Any, key: Array, seen: Seen, lead: tuple[int, ...]) -> Array:
        """Values [*lead, N, M] of bidders and items of these contexts, whose own leading axes are the last of `lead`."""
        shape, rows, own = (*lead, seen[0].shape[-1], seen[1].shape[-1]), int(np.prod(lead)), seen[0].ndim - 1

        def row_by_row(numbers: Array) -> Array:
            of_pairs = at(numbers, seen)
            return jnp.broadcast_to(of_pairs, (*lead, *of_pairs.shape[own:])).reshape(rows, *of_pairs.shape[own:])

        shares = jax.random.uniform(key, shape, prior.mean().dtype).reshape(rows, *shape[-2:])
        return jax.vmap(lambda law, share: law.quantile(share))(jax.tree.map(row_by_row, prior), shares).reshape(shape)

    def support(self, prior: Any, seen: Seen | None) -> Bounds:
        """The least and the largest value given the contexts […, N, M], or whatever they are [1, 1]."""
        low, high = prior.support()
        return (low.min()[None, None], high.max()[None, None]) if seen is None else (at(low, seen), at(high, seen))

    def known(self, prior: Any) -> Known:
        """What the designer knows of values given contexts."""
        return Listed(*_constants(*prior.support(), prior.mean()))

    def encoded(self) -> tuple[int, int]:
        """How many kinds of bidders and of items there are."""
        return self.bidders, self.items


@dataclass(frozen=True)
class Asked:
    """What a rule that heeds contexts is asked with: reports […, N, types], and of `items` items and of as many bidders as report vectors
    of `dimension` numbers, or kinds where that is None; `seen`: whether there are contexts at all."""

    types: int
    items: int
    seen: bool
    dimension: int | None

    @classmethod
    def by(cls, contexts: Continuous | Discrete | None, items: int, types: int) -> Asked:
        """Where these are the contexts, None: there are none."""
        return cls(types, items, contexts is not None, contexts.dimension if isinstance(contexts, Continuous) else None)

    def require(self, reports: Array, bidders: Array | None, items: Array | None) -> None:
        """Raise ConfigError where something is missing or of another shape; numbers are not looked at. Contexts may have fewer leading
        axes than reports, for all of which they then hold."""
        found = {"reports": reports, "bidders": bidders, "items": items}
        given = {name: np.shape(each) for name, each in found.items() if each is not None}
        agents = given["reports"][-2] if len(given["reports"]) > 1 else "N"
        each = () if self.dimension is None else (self.dimension,)
        wanted = {"reports": (agents, self.types), "bidders": (agents, *each), "items": (self.items, *each)}
        wanted = wanted if self.seen else {"reports": wanted["reports"]}
        lead = given["reports"][:-2]
        fits = given.keys() == wanted.keys() and all(
            shape[len(shape) - len(wanted[name]):] == wanted[name] and _within(shape[: len(shape) - len(wanted[name])], lead)
            for name, shape in given.items()
        )
        if not fits:
            reports_, *public = (f"{name} {_axes(('B', *shape))}" for name, shape in wanted.items())
            kinds = ", kinds counted from 0" if self.dimension is None else ""
            beside = f"contexts beside {reports_}: {' and '.join(public)}{kinds}" if public else f"{reports_} and nothing else"
            got = ", ".join(f"{name} {_axes(shape)}" for name, shape in given.items())
            raise ConfigError(f"rule: needs {beside}; it was given {got}{'' if len(given) > 1 else ' alone'}.")


@dataclass(frozen=True)
class Known:
    """The least, the largest and the mean value given contexts, as constants that a rule may hold; `low`, `high` and `mean` are tables.
    Called with what is seen and a type of number, it gives the three, […, N, M] each."""

    low: Table
    high: Table
    mean: Table


@dataclass(frozen=True)
class Scaled(Known):
    """The prior's tables [N, M], times sigmoid(x · y)."""

    def __call__(self, seen: Seen, dtype: Any) -> tuple[Array, Array, Array]:
        worth = attraction(*seen).astype(dtype)
        low, high, mean = (_beside(jnp.asarray(table, dtype), worth) * worth for table in (self.low, self.high, self.mean))
        return low, high, mean


@dataclass(frozen=True)
class Listed(Known):
    """Tables [kinds of bidders, kinds of items]."""

    def __call__(self, seen: Seen, dtype: Any) -> tuple[Array, Array, Array]:
        low, high, mean = (at(jnp.asarray(table, dtype), seen) for table in (self.low, self.high, self.mean))
        return low, high, mean


def attraction(bidders: Array, items: Array) -> Array:
    """sigmoid(x · y) of vectors […, N, d] and […, M, d], [… , N, M]."""
    return jax.nn.sigmoid(jnp.einsum("...nd,...md->...nm", bidders, items, precision=jax.lax.Precision.HIGHEST))


def at(table: Array, seen: Seen) -> Array:
    """Of numbers [kinds of bidders, kinds of items, …] those of these bidders and items, [… , N, M, …]."""
    bidders, items = seen
    return table[bidders[..., :, None], items[..., None, :]]


def _within(shape: tuple, lead: tuple) -> bool:
    """Whether leading axes are the last of `lead`, or 1."""
    return len(shape) <= len(lead) and all(own in (of_reports, 1) for own, of_reports in zip(shape[::-1], lead[::-1], strict=False))


def _axes(shape: tuple) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _beside(numbers: Array, other: Array) -> Array:
    return numbers.reshape((1,) * (other.ndim - numbers.ndim) + numbers.shape)


def _constants(*numbers: Array) -> list[Table]:
    return [tuple(map(tuple, np.asarray(each, np.float64).tolist())) for each in numbers]


def continuous(model: Any) -> Continuous:
    """From its model in a problem file."""
    return Continuous(leaf(np.asarray(model.low)), leaf(np.asarray(model.high)), model.dimension)


def discrete(model: Any) -> Discrete:
    """From its model in a problem file."""
    return Discrete(model.bidders, model.items)
