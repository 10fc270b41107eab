"""What a problem file may ask of rules besides the objective: constraints that they have to keep, in any domain that tells an account of
who got what (`objectives.Account`). No jax here.

A constraint's builder gives (what is static of it, its numbers). The static part has a `name`, says whether it is `on_average` or holds on
every profile, and is `signed(numbers, account)`: satisfied when ≤ 0, on the mean or everywhere. Each has a multiplier of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from icsap_jax.config.known_objectives import Categories, check_agents, check_categories
from icsap_jax.config.models import Kind, fault, under
from icsap_jax.config.objectives import Objective, weights_of


class Constraint(Kind):
    """Something that rules have to keep."""

    def title(self) -> str:
        """What it is called in results: its kind, unless there may be several of it."""
        return str(self.kind_name())

    def check(self, agents: int) -> None:
        """Raise `fault` unless it fits a problem of so many agents."""

    def on_average(self) -> bool:
        """Whether it is on the expectation, and not on every profile."""
        return False


class Bound(Constraint):
    """A bound on an objective."""

    objective: Objective = Field(description="a name, or weights by name")
    value: float = Field(description="the bound")
    holds: Literal["on_average", "everywhere"] = Field("on_average", description="what is bounded: the mean, or the value on every profile")

    def title(self) -> str:
        """Its kind and the objective."""
        terms = [name if weight == 1 else f"{weight:g} {name}" for name, weight in weights_of(self.objective).items()]
        everywhere = "" if self.on_average() else " everywhere"
        return f"{self.kind_name()} {' + '.join(terms)}{everywhere}"

    def check(self, agents: int) -> None:
        """Its categories name agents that there are."""
        check_agents(self.objective, agents)

    def on_average(self) -> bool:
        """As it says."""
        return self.holds == "on_average"


class AtLeast(Bound):
    """An objective may not fall below a value: welfare, say, subject to a revenue."""

    kind: Literal["at_least"] = "at_least"
    builder: ClassVar[Any] = "icsap_jax.constraints:at_least"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "at_least", "objective": "revenue", "value": 0.4}]


class AtMost(Bound):
    """An objective may not exceed a value: what agents keep altogether (`utility`), say, or the `envy` among them."""

    kind: Literal["at_most"] = "at_most"
    builder: ClassVar[Any] = "icsap_jax.constraints:at_most"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "at_most", "objective": "revenue", "value": 0.3}]


class TotalVariation(Constraint):
    """On every profile, any two things are given away alike within each category of agents: Σ_{i ∈ C_k} |z_ij − z_ij′| ≤ d_k for every pair
    of things j, j′ (Kuo et al. 2020). At a limit of 0 all things are given away together; for lots that can be given, 1 for one agent, or
    2 for more, asks for nothing.

    `penalty` prices what is missed while a rule is trained, as the paper does; `construction` draws every lot towards its average over
    things as far as is needed, so that the constraint holds whatever was learned. Rules that know how heed `even lots`."""

    kind: Literal["total_variation"] = "total_variation"
    builder: ClassVar[Any] = "icsap_jax.constraints:variation"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "total_variation", "limit": 0.1}]

    limit: float | list[float] = Field(description="d: for all categories, or one for each")
    categories: Categories | None = Field(None, description="C: lists of agents, counted from 0; null: all of them as one")
    by: Literal["penalty", "construction"] = Field("penalty", description="how it is kept")

    def limits(self) -> list[float]:
        """d_k of each category."""
        return list(self.limit) if isinstance(self.limit, list) else [self.limit] * len(self.categories or [[]])

    @model_validator(mode="after")
    def _fits(self) -> TotalVariation:
        for place, limit in enumerate(self.limits()):
            if limit < 0:
                keys: Sequence[str | int] = ["limit", place] if isinstance(self.limit, list) else ["limit"]
                raise fault((keys, "should be at least 0", limit))
        wanted = len(self.categories or [[]])
        if len(self.limits()) != wanted:
            raise fault((["limit"], f"has {len(self.limits())} numbers; it should have one for each category: {wanted}", self.limit))
        return self

    def check(self, agents: int) -> None:
        """Its categories name agents that there are."""
        check_categories(self.categories or [], agents)


def check_constraints(constraints: Sequence[Constraint], agents: int) -> None:
    """Raise `fault` unless each fits so many agents and no two are called the same."""
    titles = [constraint.title() for constraint in constraints]
    for place, constraint in enumerate(constraints):
        if constraint.title() in titles[:place]:
            first = titles.index(constraint.title())
            raise fault((["constraints", place], f"asks for the same as constraint {first}; leave out one of them", titles[place]))
        with under("constraints", place):
            constraint.check(agents)
