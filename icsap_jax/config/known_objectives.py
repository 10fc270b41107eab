"""The objectives of the package, which stand in `icsap_jax/objectives.py`, by name, and the options that some of them have. No jax here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from icsap_jax.config.models import Model, fault
from icsap_jax.config.objectives import register_objective

Categories = list[Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]]
"""Lists of agents, counted from 0."""


class InequalityAversion(Model):
    """How averse to inequality `isoelastic` is."""

    aversion: float = Field(1.0, ge=0, description="0: not at all, the mean; 1: the geometric mean; the larger, the nearer to the least")


class Within(Model):
    """Within whom `total_variation` compares."""

    categories: Categories | None = Field(None, description="lists of agents, counted from 0; null: all of them as one")


for _name in ("revenue", "welfare", "utility", "maximin", "equality", "profit", "nash_welfare", "gini", "equality_productivity"):
    register_objective(_name, f"icsap_jax.objectives:{_name}")
for _name, _part in (("envy", "elsewhere"), ("proportionality", "whole"), ("entropy", "allocation"), ("quota", "allocation")):
    register_objective(_name, f"icsap_jax.objectives:{_name}", looks_at=(_part,))
register_objective("isoelastic", "icsap_jax.objectives:isoelastic", InequalityAversion)
register_objective("total_variation", "icsap_jax.objectives:total_variation", Within, looks_at=("allocation",))


def check_agents(objective: Any, agents: int, key: str = "objective") -> None:
    """Raise `fault` where a category of an objective that was read from a problem file names an agent that there is not."""
    for name in [objective] if isinstance(objective, str) else objective:
        options = getattr(name, "options", {})
        if options.get("categories") is not None:
            check_categories(options["categories"], agents, (key, getattr(name, "base", name), "categories"))


def check_categories(categories: Sequence[Sequence[int]], agents: int, keys: Sequence[str | int] = ("categories",)) -> None:
    """Raise `fault` where a category names an agent twice, or one that there is not."""
    for place, members in enumerate(categories):
        for agent in members:
            if agent >= agents:
                raise fault(([*keys, place], f"names agent {agent}; agents are counted from 0 and the last is {agents - 1}", list(members)))
        if len(set(members)) < len(members):
            raise fault(([*keys, place], "names an agent twice", list(members)))
