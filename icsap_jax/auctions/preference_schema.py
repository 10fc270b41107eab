"""What a problem file may say about which allocations of an auction people like: labels by a formula, or those that people gave. No jax
here.

After Peri, Curry, Dooley & Dickerson (2021), whose labels are thresholds, rankings, quotas and pass bands of a measure of the
allocation, or the answers of a survey.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from icsap_jax.auctions.data import read_labelled
from icsap_jax.config import ConfigError, Kind, Model, Objective, OneOf, fault
from icsap_jax.config.known_objectives import check_agents
from icsap_jax.config.objectives import weights_of


class Labels(Kind):
    """Which allocations people like."""

    def check(self, bidders: int, items: int, folder: Path) -> None:
        """Raise `fault` unless they fit this many bidders and items."""

    def worth(self) -> dict[str, float]:
        """Weights by name of the objectives that decide; none where people do."""
        return {}


class Measured(Labels):
    """Labels by the worth of an objective."""

    objective: Objective = Field(description="a name, or weights by name; {total_variation: -1} is the more the fairer")

    def check(self, bidders: int, items: int, folder: Path) -> None:
        """Categories name bidders that there are."""
        check_agents(self.objective, bidders)

    def worth(self) -> dict[str, float]:
        """See the base."""
        return weights_of(self.objective)


class Threshold(Measured):
    """An allocation is liked where an objective is neither below one value nor above another."""

    kind: Literal["threshold"] = "threshold"
    builder: ClassVar[Any] = "icsap_jax.auctions.preference:threshold"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "threshold", "objective": "total_variation", "at_most": 0.2}]
    at_least: float | None = Field(None, description="the least that is liked; null: any little")
    at_most: float | None = Field(None, description="the most that is liked; null: any much")

    @model_validator(mode="after")
    def _bounded(self) -> Threshold:
        if self.at_least is None and self.at_most is None:
            raise fault((["at_least"], "is missing, and so is at_most; give one of them, or all is liked", None))
        if self.at_least is not None and self.at_most is not None and self.at_least >= self.at_most:
            raise fault((["at_least"], f"should be below at_most, which is {self.at_most:g}", self.at_least))
        return self


class Ranking(Measured):
    """An allocation is liked where it is worth more than all but a share of random allocations, as pairwise comparisons with many of them
    tell: it wins so many as its place among them is high."""

    kind: Literal["ranking"] = "ranking"
    builder: ClassVar[Any] = "icsap_jax.auctions.preference:ranking"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "ranking", "objective": "entropy", "share": 0.25, "comparisons": 1000}]
    share: float = Field(0.25, gt=0, lt=1, description="of random allocations that are liked")
    comparisons: int = Field(20_000, ge=10, description="random allocations that each is compared with")


class PassBand(Measured):
    """An allocation is liked where its place among random allocations, by an objective, is in one of several bands: neither too little nor
    too much of it."""

    kind: Literal["pass_band"] = "pass_band"
    builder: ClassVar[Any] = "icsap_jax.auctions.preference:pass_band"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "pass_band", "objective": "entropy", "bands": [[0.2, 0.6]], "comparisons": 1000}]
    bands: list[tuple[float, float]] = Field(min_length=1, description="from which share of random allocations to which; 0 to 1")
    comparisons: int = Field(20_000, ge=10, description="random allocations that each is compared with")

    @field_validator("bands")
    @classmethod
    def _shares(cls, bands: list[tuple[float, float]]) -> list[tuple[float, float]]:
        for low, high in bands:
            if not 0 <= low < high <= 1:
                raise PydanticCustomError("bands", "should be pairs that rise, between 0 and 1, not {low} to {high}",
                                          {"low": f"{low:g}", "high": f"{high:g}"})  # fmt: skip
        return bands


class Quota(Labels):
    """An allocation is liked where of all that is given of each item every bidder gets its part: `share` of an even one at least."""

    kind: Literal["quota"] = "quota"
    builder: ClassVar[Any] = "icsap_jax.auctions.preference:quota"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "quota", "share": 0.4}]
    share: float = Field(0.4, gt=0, lt=1, description="of an even part; 1 would be an even split")

    def check(self, bidders: int, items: int, folder: Path) -> None:
        """Parts are of several bidders."""
        if bidders < 2:
            raise fault((["kind"], "parts an item among several bidders, and here is one", self.kind))

    def worth(self) -> dict[str, float]:
        """See the base."""
        return {"quota": 1.0}


class Labelled(Labels):
    """Allocations that people have seen, and whether they liked them: a row of a CSV file is N·M shares, bidder 1's of each item first,
    then 1 or 0. Any other allocation is taken to be liked where the nearest of these is (as Peri et al. 2021 do with their survey)."""

    kind: Literal["labelled"] = "labelled"
    builder: ClassVar[Any] = "icsap_jax.auctions.preference:from_file"
    examples: ClassVar[list[dict[str, Any]]] = []  # it needs a file of its own
    file: str = Field(description=".csv, .parquet or .npy, relative to the problem file")

    def check(self, bidders: int, items: int, folder: Path) -> None:
        """The file reads, and both answers are in it."""
        try:
            read_labelled(folder / self.file, bidders, items)
        except ConfigError as error:
            raise fault((["file"], f"cannot be used: {str(error).rstrip('.')}", self.file)) from None


class Preference(Model):
    """What people like of an auction's decisions, known from examples alone. A network learns it from random allocations, from the rule's
    own and from those that people have labelled; its score is added to the designer's objective while the rule is trained. The response
    is then `preferred`, around the one that the rule has otherwise, and results tell under `details.preference` which share of the rule's
    decisions is liked."""

    labels: OneOf[Labels] = Field(description="which allocations are liked")
    weight: float = Field(1.0, gt=0, description="of the mean score, which is between 0 and 1, in the unit of the objective")
    shown: Literal["allocation", "account"] = Field(
        "allocation", description="what people are shown, and the network sees: who gets what; or besides, in units of an item's mean "
                                  "value, what that is worth to each bidder and what it pays, without which labels by `welfare`, say, "
                                  "cannot be learned")
