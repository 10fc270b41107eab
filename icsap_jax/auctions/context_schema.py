"""What a problem file may say of public contexts: what the designer sees of bidders and items before anyone bids. No jax here.

A context decides what values are likely, and is no secret: a bidder cannot lie about it, and the rules may depend on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from icsap_jax.auctions.prior_schema import Elementwise
from icsap_jax.config import Kind, Numbers, PriorModel, fault
from icsap_jax.config.models import under

Count = Annotated[int, Field(ge=1)]


class ContextModel(Kind):
    """What is seen of each bidder and of each item."""

    def check(self, prior: PriorModel, bidders: int, items: int, folder: Path) -> None:
        """Raise `fault` unless the prior says what values are given the contexts. Its keys are below `prior`."""
        with under("prior"):
            prior.check(bidders, items, folder)


class Continuous(ContextModel):
    """Vectors x of bidders and y of items, each number of which is uniform on [low, high]. A bidder's value for an item is what the
    prior says times sigmoid(x · y): with a prior uniform on [0, 1], uniform on [0, sigmoid(x · y)] (Duan et al. 2022, settings G to I).
    """

    kind: Literal["continuous"] = "continuous"
    builder: ClassVar[Any] = "icsap_jax.auctions.contexts:continuous"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "continuous", "dimension": 3}]
    dimension: Count = Field(10, description="numbers in a context")
    low: float = Field(-1.0, description="the least of them")
    high: float = Field(1.0, description="the largest")

    @model_validator(mode="after")
    def _order(self) -> Continuous:
        if self.low >= self.high:
            raise fault((["low"], f"should be below high, which is {self.high:g}", self.low))
        return self


class Discrete(ContextModel):
    """Each bidder is of one of so many kinds, and each item too, all equally likely. The prior is then one for each pair of kinds: its
    numbers are single ones or [bidder kinds][item kinds], not [bidders][items] (Duan et al. 2022, settings D to F)."""

    kind: Literal["discrete"] = "discrete"
    builder: ClassVar[Any] = "icsap_jax.auctions.contexts:discrete"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "discrete", "bidders": 3, "items": 2}]
    bidders: Count = Field(10, description="kinds of bidders, called 0, 1, … in tables")
    items: Count = Field(10, description="kinds of items")

    def check(self, prior: PriorModel, bidders: int, items: int, folder: Path) -> None:
        """A prior of single values, with a number for each pair of contexts or one for all."""
        with under("prior"):
            if not isinstance(prior, Elementwise):
                known = ", ".join(sorted(cls.kind_name() or "" for cls in _elementwise(Elementwise)))
                raise fault((["kind"], f"says nothing of single pairs of contexts; with discrete contexts it can be {known}",
                             prior.kind_name()))
            tables = {name: getattr(prior, name) for name in type(prior).model_fields if isinstance(getattr(prior, name), Numbers)}
            for name, numbers in tables.items():
                if numbers.shape not in {(), (self.bidders, self.items)}:
                    raise fault(([name], f"has shape {list(numbers.shape)}; with these contexts it should be a number or "
                                 f"[{self.bidders}][{self.items}] (kinds of bidders × kinds of items)", numbers))
            prior.check(self.bidders, self.items, folder)


def _elementwise(base: type[PriorModel]) -> list[type[PriorModel]]:
    found = [cls for cls in base.__subclasses__() if cls.kind_name() and cls.__module__.startswith("icsap_jax.")]
    return found + [deeper for cls in base.__subclasses__() for deeper in _elementwise(cls)]
