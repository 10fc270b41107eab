"""What a problem file may say about the distribution of a state on an interval; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Kind, Numbers, fault


class StatePrior(Kind):
    """How the state is distributed over an interval. `build()` gives an object with `low`, `high` and its moments up to any point."""

    low: float = Field(0.0, description="the lowest state")
    high: float = Field(1.0, description="the highest state")

    @model_validator(mode="after")
    def _order(self) -> StatePrior:
        if not self.low < self.high:
            raise fault((["low"], f"should be below high, which is {self.high:g}", self.low))
        return self


class Uniform(StatePrior):
    """Uniform on [low, high]."""

    kind: Literal["uniform"] = "uniform"
    builder: ClassVar[Any] = "icsap_jax.persuasion.continuous.prior:uniform"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "uniform", "low": 0, "high": 1}]


class Beta(StatePrior):
    """Beta(a, b), stretched to [low, high]."""

    kind: Literal["beta"] = "beta"
    builder: ClassVar[Any] = "icsap_jax.persuasion.continuous.prior:beta"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "beta", "a": 2, "b": 3}]
    a: float = Field(gt=0, description="the first shape: large where the state is mostly high")
    b: float = Field(gt=0, description="the second shape: large where it is mostly low")


class TruncatedNormal(StatePrior):
    """Normal, cut off outside [low, high]."""

    kind: Literal["truncated_normal"] = "truncated_normal"
    builder: ClassVar[Any] = "icsap_jax.persuasion.continuous.prior:truncated_normal"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "truncated_normal", "mean": 0.5, "std": 0.2}]
    mean: float = Field(description="before it is cut off")
    std: float = Field(gt=0, description="before it is cut off")


class Histogram(StatePrior):
    """A table of a density: its height in each of several cells of one width from low to high; heights need not sum to one."""

    kind: Literal["histogram"] = "histogram"
    builder: ClassVar[Any] = "icsap_jax.persuasion.continuous.prior:histogram"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "histogram", "heights": [1, 2, 1]}]
    heights: Numbers = Field(description="the density in each cell, lowest states first, > 0")

    @model_validator(mode="after")
    def _interior(self) -> Histogram:
        heights = self.heights.values
        if heights.ndim != 1:
            raise fault((["heights"], "should be a list of numbers > 0, the lowest states' first", self.heights))
        ends = np.linspace(self.low, self.high, len(heights) + 1)
        for place in np.flatnonzero(heights <= 0):
            text = f"should be > 0: the prior must be interior, and has no mass on states from {ends[place]:g} to {ends[place + 1]:g}"
            raise fault((["heights", int(place)], text, float(heights[place])))
        return self
