"""What may stand in the `sweep:` section of a problem file beside the keys that vary. No jax here.

    sweep:
      training.learning_rate: {from: 1e-4, to: 1e-2, count: 5, scale: log}
      problem.prior.high: [1, 2]
      zip:
        - {rule.hidden: [[50], [100]], training.batch: [64, 128]}
      seeds: 4
      select: {gap: 1e-3}

Every dotted key takes a list of values or a range, and every combination is a member; keys in one mapping of `zip` move together.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from icsap_jax.config import Model
from icsap_jax.config.models import fault


class Range(Model):
    """Evenly spaced numbers, both ends with them, or where numbers are drawn the interval they are drawn from."""

    model_config = ConfigDict(**Model.model_config, populate_by_name=True)

    first: float = Field(alias="from", description="the first number")
    last: float = Field(alias="to", description="the last")
    count: int | None = Field(None, ge=1, description="how many")
    step: float | None = Field(None, gt=0, description="how far apart, in place of a count")
    scale: Literal["linear", "log"] = Field("linear", description="log: evenly spaced in the logarithm")
    whole: bool = Field(False, description="rounded to whole numbers")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        """By the names that are written in a file."""
        known = [field.alias or name for name, field in cls.model_fields.items()]
        unknown = [key for key in data if key not in known]
        if unknown:
            raise fault(([unknown[0]], f"is not a key of a range; those are {', '.join(known)}", data[unknown[0]]))
        return data

    @model_validator(mode="after")
    def _makes_sense(self) -> Range:
        if self.count is not None and self.step is not None:
            raise fault((["step"], "and count are both given; leave one out", self.step))
        if self.last < self.first:
            raise fault((["to"], f"should be at least from, {self.first:g}", self.last))
        if self.scale == "log" and self.first <= 0:
            raise fault((["from"], "should be above 0 where the scale is log", self.first))
        if self.scale == "log" and self.step is not None:
            raise fault((["step"], "is for a linear scale; give a count", self.step))
        return self

    def values(self) -> list[float | int] | None:
        """The numbers; None where neither a count nor a step says how many."""
        if self.step is not None:
            count = int((self.last - self.first) / self.step * (1 + 1e-12)) + 1
            return [self._written(self.first + self.step * place) for place in range(count)]
        if self.count is None:
            return None
        spaced = np.geomspace if self.scale == "log" else np.linspace
        return [self._written(value) for value in spaced(self.first, self.last, self.count)]

    def drawn(self, generator: np.random.Generator) -> float | int:
        """One of its numbers, or where they are not counted any number between its ends."""
        values = self.values()
        if values is not None:
            return values[int(generator.integers(len(values)))]
        share = generator.uniform()
        if self.scale == "log":
            return self._drawn(self.first * (self.last / self.first) ** share)
        return self._drawn(self.first + (self.last - self.first) * share)

    def _drawn(self, value: float) -> float | int:
        """To four digits, so that a person can say it again."""
        return self._written(min(max(float(f"{value:.4g}"), self.first), self.last))

    def _written(self, value: float) -> float | int:
        """As a person would write it: without what rounding leaves behind the twelfth digit."""
        return round(value) if self.whole else float(f"{value:.12g}")


class Select(Model):
    """Which member is the best: the highest objective among those whose mean gap, by the strong evaluation, is at most `gap`."""

    gap: float = Field(1e-3, ge=0, description="largest mean incentive gap allowed, in units of utility")


class Halving(Model):
    """Successive halving (Jamieson & Talwalkar 2016), in its stopping form (Li et al. 2020): a member that has come to a rung goes on only
    if it is among the best share `keep` of those that came there so far, by the training objective once training's gaps are paid for; its
    place goes to the next in line."""

    first: int = Field(ge=1, description="steps to the first rung; each further rung is 1/keep times as far")
    keep: float = Field(0.5, gt=0, lt=1, description="share that goes on from a rung")
    places: int = Field(16, ge=2, description="members trained side by side")


class Options(Model):
    """The keys of `sweep:` that name no place in the problem file."""

    RESERVED: ClassVar[tuple[str, ...]] = ("zip", "seeds", "draws", "draw_seed", "together", "select", "halving")

    zip: list[dict[str, Any]] = Field(default_factory=list, description="mappings of keys that move together, each to a list or a range")
    seeds: Annotated[int, Field(ge=1)] | list[Annotated[int, Field(ge=0)]] | None = Field(None, description="how many, or which")
    draws: int | None = Field(None, ge=1, description="in place of every combination: as many, drawn at random")
    draw_seed: int = Field(0, ge=0, description="of those draws")
    together: int | None = Field(None, ge=1, description="members trained side by side; null: as many as memory holds, on a CPU 8 at most")
    select: Select = Field(default_factory=Select, description="which member is exported as the best")
    halving: Halving | None = Field(None, description="stop what falls behind early")
