"""Priors of bidders' values, as a problem file writes them; no jax.

Numbers are a scalar, one per item [M], one per bidder [N] (when N ≠ M), or bidders × items [N][M]. ([N][1] and [1][M] work
too, and tell bidders from items when N = M.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from icsap_jax.auctions.data import columns, held_rows, read_valuations
from icsap_jax.config import ConfigError, Numbers, OneOf, OneOrEach, PriorModel, fault
from icsap_jax.config.models import under


def bidders_by_items(values: np.ndarray, agents: int, items: int) -> np.ndarray:
    """Numbers with one axis for bidders and one for items, each of length 1 where nothing varies."""
    if values.shape == (agents,) and agents != items:
        return values[:, None]
    return values.reshape((1,) * (2 - values.ndim) + values.shape)


def _all_positive(numbers: Numbers) -> Numbers:
    if not (numbers.values > 0).all():
        raise PydanticCustomError("positive", "should be greater than 0")
    return numbers


Positive = Annotated[Numbers, AfterValidator(_all_positive)]


def _sums_to_one(numbers: Numbers) -> Numbers:
    """To 1e-6, so that thirds may be written with seven digits; builders divide by the sum."""
    if not (numbers.values >= 0).all() or numbers.ndim == 0 or not np.allclose(numbers.values.sum(-1), 1.0, rtol=0, atol=1e-6):
        raise PydanticCustomError("shares", "should be numbers ≥ 0 that sum to 1")
    return numbers


Shares = Annotated[Numbers, AfterValidator(_sums_to_one)]


class Elementwise(PriorModel):
    """All values are independent; each number of the prior is spread over bidders and items."""

    def check(self, agents: int, items: int, folder: Path) -> None:
        """Shapes fit the auction, and low is below high everywhere."""
        allowed = {(), (1,), (items,), (agents,), (agents, items), (agents, 1), (1, items), (1, 1)}
        each = f"[{items}] (one per item), " + (f"[{agents}] (one per bidder), " if agents not in (1, items) else "")
        tables = {name: getattr(self, name) for name in type(self).model_fields if isinstance(getattr(self, name), Numbers)}
        wrong = [name for name, numbers in tables.items() if numbers.shape not in allowed]
        if wrong:
            raise fault(*(([name], f"has shape {list(tables[name].shape)}; it should be a number, {each}or [{agents}][{items}] "
                           "(bidders × items)", tables[name]) for name in wrong))
        if {"low", "high"} <= set(tables):
            low_below_high(self, *(bidders_by_items(tables[name].values, agents, items) for name in ("low", "high")))


def low_below_high(prior: Any, low: np.ndarray, high: np.ndarray) -> None:
    """Raise `fault` where low ≥ high."""
    low, high = np.broadcast_arrays(low, high)
    wrong = np.argwhere(~(low < high))
    if len(wrong):
        place = tuple(wrong[0])
        raise fault((["low"], f"should be below high, but low is {low[place]:g} where high is {high[place]:g}", prior.low))


class Bounded(Elementwise):
    """An elementwise prior on [low, high]. Bounds that can be compared before N and M are known are."""

    low: Numbers = Field(0.0, description="the least value")
    high: Numbers = Field(1.0, description="the largest value")

    @model_validator(mode="after")
    def _order(self) -> Bounded:
        low, high = self.low.values, self.high.values
        if low.ndim == 0 or high.ndim == 0 or low.shape == high.shape:
            low_below_high(self, low, high)
        return self


class Uniform(Bounded):
    """Uniform on [low, high]."""

    kind: Literal["uniform"] = "uniform"
    builder: ClassVar[Any] = "icsap_jax.auctions.priors:uniform"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "uniform", "low": 0, "high": 1}, {"kind": "uniform", "low": 1, "high": 2}]


class Exponential(Elementwise):
    """Exponential with mean `scale`; misreports up to the .999 quantile."""

    kind: Literal["exponential"] = "exponential"
    builder: ClassVar[Any] = "icsap_jax.auctions.priors:exponential"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "exponential", "scale": 0.5}]
    scale: Positive = Field(1.0, description="the mean")


class Beta(Bounded):
    """Beta(a, b), stretched over [low, high]."""

    kind: Literal["beta"] = "beta"
    builder: ClassVar[Any] = "icsap_jax.auctions.priors:beta"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "beta", "a": 2, "b": 3}]
    a: Positive = Field(description="the shape that draws values up")
    b: Positive = Field(description="the shape that draws values down")


class TruncatedNormal(Bounded):
    """A normal with this mean and standard deviation *before* it is cut to [low, high]."""

    kind: Literal["truncated_normal"] = "truncated_normal"
    builder: ClassVar[Any] = "icsap_jax.auctions.priors:truncated_normal"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "truncated_normal", "mean": 0.5, "std": 0.2, "low": 0, "high": 1}]
    mean: Numbers = Field(description="of the whole normal")
    std: Positive = Field(description="of the whole normal")
    high: Numbers = Field(description="the largest value")  # no default: one would cut most normals off


class Triangle(PriorModel):
    """Uniform on {v ≥ 0, v₁ + v₂ ≤ scale}, two items."""

    kind: Literal["triangle"] = "triangle"
    builder: ClassVar[Any] = "icsap_jax.auctions.priors:triangle"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "triangle"}]
    marginal: ClassVar[bool] = False
    scale: float = Field(1.0, gt=0, description="the most that both values sum to")

    def check(self, agents: int, items: int, folder: Path) -> None:
        """Two items."""
        if items != 2:
            raise fault((["kind"], f"is a prior over two items, and this auction has {items}", self.kind))


class Discrete(PriorModel):
    """Finitely many values, independent over bidders and items: `values` [K] for all, [M][K] per item, or [N][M][K];
    `probabilities` likewise, or [K] for all."""

    kind: Literal["discrete"] = "discrete"
    builder: ClassVar[Any] = "icsap_jax.auctions.priors:discrete"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "discrete", "values": [1, 2, 4], "probabilities": [0.5, 0.25, 0.25]}]
    values: Numbers = Field(description="what a value can be")
    probabilities: Shares = Field(description="of those values, in their order")

    @model_validator(mode="after")
    def _match(self) -> Discrete:
        values, shares = self.values.shape, self.probabilities.shape
        if not values or shares not in (values, values[-1:]):
            raise fault((["probabilities"], f"has shape {list(shares)}; it should have one entry for each value, {list(values)}",
                         self.probabilities))
        return self

    def check(self, agents: int, items: int, folder: Path) -> None:
        """The axes before the last broadcast to bidders × items."""
        if self.values.shape[:-1] not in {(), (items,), (agents, items), (agents, 1), (1, items)}:
            count = self.values.shape[-1]
            raise fault((["values"], f"has shape {list(self.values.shape)}; it should be [{count}], [{items}][{count}] (per item) or "
                         f"[{agents}][{items}][{count}] (bidders × items)", self.values))


class Mixture(PriorModel):
    """A weighted mixture of priors: each value picks a part by itself, so a bidder's items stay independent."""

    kind: Literal["mixture"] = "mixture"
    builder: ClassVar[Any] = "icsap_jax.auctions.priors:mixture"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "mixture", "weights": [0.5, 0.5], "parts": [
        {"kind": "uniform", "low": 0, "high": 1}, {"kind": "uniform", "low": 2, "high": 3}]}]
    weights: Shares = Field(description="probability of each part")
    parts: list[OneOf[PriorModel]] = Field(min_length=1, description="priors to draw from")

    @model_validator(mode="after")
    def _match(self) -> Mixture:
        if self.weights.shape != (len(self.parts),):
            raise fault((["weights"], f"should have one entry for each of the {len(self.parts)} parts", self.weights))
        return self

    def check(self, agents: int, items: int, folder: Path) -> None:
        """Every part is a prior of single values, and fits."""
        for place, part in enumerate(self.parts):
            with under("parts", place):
                _check_marginal(part, "mixed value by value")
                part.check(agents, items, folder)


class Copula(PriorModel):
    """Values correlated by a Gaussian copula over any marginals. `correlation` (of the normals behind the values): a scalar between
    every two items of the same bidder, or a matrix [N·M][N·M], bidder by bidder, which may also correlate bidders."""

    kind: Literal["copula"] = "copula"
    builder: ClassVar[Any] = "icsap_jax.auctions.priors:copula"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "copula", "correlation": 0.5, "marginals": {"kind": "uniform"}}]
    marginal: ClassVar[bool] = False
    correlation: Numbers = Field(description="between -1 and 1, or a matrix of them")
    marginals: OneOrEach[PriorModel] = Field(description="one for all values, or a list with one per item")

    def check(self, agents: int, items: int, folder: Path) -> None:
        """Marginals of single values that fit, and a correlation that exists."""
        several = isinstance(self.marginals, list)
        parts: list[Any] = self.marginals if isinstance(self.marginals, list) else [self.marginals]
        if several and len(parts) != items:
            raise fault((["marginals"], f"is a list of {len(parts)}; it should have one entry for each of the {items} items", None))
        for place, part in enumerate(parts):
            with under("marginals", *([place] if several else [])):
                _check_marginal(part, "joined by a copula")
                part.check(agents, 1 if several else items, folder)
        with under("correlation"):
            self._check_correlation(agents, items)

    def ties_agents(self, agents: int, items: int, folder: Path) -> bool:
        """Where the matrix correlates values of different bidders."""
        matrix, other = self.correlation.values, np.kron(1 - np.eye(agents), np.ones((items, items))) > 0
        return matrix.shape == other.shape and bool(matrix[other].any())

    def _check_correlation(self, agents: int, items: int) -> None:
        matrix, size = self.correlation.values, agents * items
        if matrix.ndim == 0:
            least = -1.0 / (items - 1) if items > 1 else -1.0
            if not least <= matrix <= 1.0:
                raise fault(([], f"should lie between {least:g} and 1 to be a correlation between {items} items", self.correlation))
            return
        if matrix.shape != (size, size):
            raise fault(([], f"has shape {list(matrix.shape)}; it should be a number or [{size}][{size}] (bidders · items)", None))
        # 1e-6: a matrix written with seven digits is still the one that was meant.
        if not np.allclose(matrix, matrix.T, rtol=0, atol=1e-6) or not np.allclose(np.diag(matrix), 1.0, rtol=0, atol=1e-6):
            raise fault(([], "should be symmetric with ones on its diagonal", self.correlation))
        least = np.linalg.eigvalsh(matrix).min()
        if least < -1e-6:
            raise fault(([], f"should be positive semidefinite, but its smallest eigenvalue is {least:.3g}", self.correlation))


def _check_marginal(prior: PriorModel, purpose: str) -> None:
    if not type(prior).marginal:
        raise fault((["kind"], f"ties a bidder's values together, so it cannot be {purpose}", prior.kind_name()))


class Empirical(PriorModel):
    """Observed valuations, resampled: rows of M values (bidders are then independent draws) or of N·M (whole profiles). The share
    `holdout` of the rows is kept for evaluation."""

    kind: Literal["empirical"] = "empirical"
    builder: ClassVar[Any] = "icsap_jax.auctions.priors:empirical"
    examples: ClassVar[list[dict[str, Any]]] = []  # it needs a file of its own
    marginal: ClassVar[bool] = False
    file: str = Field(description=".csv, .parquet or .npy, relative to the problem file")
    holdout: float = Field(0.2, gt=0, lt=1, description="share of the rows used only for evaluation")

    def check(self, agents: int, items: int, folder: Path) -> None:
        """The file reads, with a row for each part."""
        try:
            rows = len(read_valuations(folder / self.file, agents, items))
        except ConfigError as error:
            raise fault((["file"], f"cannot be used: {str(error).rstrip('.')}", self.file)) from None
        if held_rows(rows, self.holdout) is None:
            raise fault((["holdout"], f"leaves no row to train on or none to evaluate on, out of {rows}", self.holdout))

    def ties_agents(self, agents: int, items: int, folder: Path) -> bool:
        """Where the rows are whole profiles."""
        return agents > 1 and columns(folder / self.file) == agents * items


class AnyOf(PriorModel):
    """Any of several priors may be the true one, and rules are judged by the worst of them (robust design). Reports may be whatever any
    of them allows. `robust` is then the response unless the file says otherwise; with any other, all count as equally likely."""

    kind: Literal["any_of"] = "any_of"
    builder: ClassVar[Any] = "icsap_jax.auctions.priors:any_of"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "any_of", "parts": [
        {"kind": "uniform", "low": 0, "high": 1}, {"kind": "beta", "a": 3, "b": 2}]}]
    marginal: ClassVar[bool] = False
    parts: list[OneOf[PriorModel]] = Field(min_length=2, description="priors, any of which may be true")

    def check(self, agents: int, items: int, folder: Path) -> None:
        """Every part fits, and is one prior."""
        for place, part in enumerate(self.parts):
            with under("parts", place):
                if isinstance(part, AnyOf):
                    raise fault((["kind"], "is a set of priors inside another; write its parts beside the others", part.kind))
                part.check(agents, items, folder)

    def ties_agents(self, agents: int, items: int, folder: Path) -> bool:
        """At even odds one bidder's values tell which part is true, and so of the others'."""
        return agents > 1
