"""What a problem file may say about who is served of a costly service and who pays for it; no jax."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, ValidationInfo, model_validator

from icsap_jax.choice.prior_schema import check_numbers
from icsap_jax.config import Numbers, Objective, OneOf, PriorModel, Problem, RuleModel, fault
from icsap_jax.config.constraints import Constraint, check_constraints
from icsap_jax.config.known_objectives import check_agents
from icsap_jax.config.models import folder_of
from icsap_jax.config.objectives import register_objective

register_objective("served", "icsap_jax.choice.cost_sharing.problem:served")

BALANCED = "exactly what it costs is collected, on every profile, by construction"
RATIONAL, TRUTHFUL = "individually rational by construction", "strategyproof by construction"


class CostSharing(Problem):
    """A service that can be withheld from whom it is not meant for, and that costs something: a project that N agents may use once it is
    built, or one whose cost depends on how many are served. Agents know alone what being served is worth to them; the designer decides
    who is and what each of them pays (Moulin 1999; Moulin & Shenker 2001; Wang et al. 2021). A lottery serves whoever's probability is
    above one random number, the same for all."""

    kind: Literal["cost_sharing"] = "cost_sharing"
    builder: ClassVar[Any] = "icsap_jax.choice.cost_sharing.problem:build"
    check: ClassVar[Any] = "icsap_jax.choice.cost_sharing.problem:check"
    optimum: ClassVar[Any] = "icsap_jax.choice.cost_sharing.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.choice.cost_sharing.baselines:baselines"
    details: ClassVar[Any] = "icsap_jax.choice.cost_sharing.told:details"
    pictures: ClassVar[Any] = "icsap_jax.choice.cost_sharing.pictures:draw"
    table: ClassVar[Any] = "icsap_jax.choice.cost_sharing.told:Table"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.agents", "training.batch")
    tells: ClassVar[tuple[str, ...]] = ("allocation", "elsewhere", "whole")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "costnet"},
        "training": {
            "steps": 10000, "batch": 1024, "learning_rate": 3e-3, "decay": "cosine", "response": {"kind": "exchange", "reports": 32},
            "lagrangian": {"kind": "annealed", "multiplier": 2.0, "multiplier_end": 60.0},
        },
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "cost_sharing", "agents": 3, "cost": 1},
        {"kind": "cost_sharing", "agents": 2, "cost": [0.5, 0.8], "prior": {"kind": "beta", "a": 0.5, "b": 0.5}, "balance": "on_average",
         "objective": {"welfare": 1, "served": 0.2},
         "constraints": [{"kind": "at_most", "objective": "envy", "value": 0.6}]},
    ]

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """Shares of a project's cost are learned so that nobody gains by lying; where the cost depends on how many are served, by a
        network."""
        project = isinstance(problem.get("cost"), int | float)
        return {**cls.defaults, "rule": {"kind": "unanimous"}} if project else cls.defaults

    agents: int = Field(ge=1, description="N, how many would like to be served")
    cost: Numbers = Field(description="of the service: a number, however many are served; or [N], of serving one, two, … all")
    prior: OneOf[PriorModel] = Field(
        {"kind": "uniform"}, validate_default=True, description="of what being served is worth to each agent")  # type: ignore[assignment]
    objective: Objective = Field("welfare", description="a name, or weights by name; `welfare` is what being served is worth to those who "
                                                        "are, less the cost, and `served` how many are")
    balance: Literal["everywhere", "on_average"] = Field(
        "everywhere", description="where what is collected should be the cost: on every profile, or in expectation alone")
    constraints: list[OneOf[Constraint]] = Field([], description="what rules have to keep besides")

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> CostSharing:
        cost = self.cost.values
        if cost.shape not in {(), (self.agents,)}:
            raise fault((["cost"], f"has shape {list(cost.shape)}; it should be a number, or [{self.agents}]: of serving one agent, two, "
                                   f"… and all {self.agents}", self.cost))
        if (cost < 0).any():
            raise fault((["cost"], "should be at least 0: nobody is paid for serving", self.cost))
        if (np.diff(self.costs()) < 0).any():
            raise fault((["cost"], "should not fall as more are served", self.cost))
        check_numbers(self.prior, self.agents, folder_of(info))
        check_agents(self.objective, self.agents)
        check_constraints(self.constraints, self.agents)
        return self

    def costs(self) -> list[float]:
        """Of serving one agent, two, … all of them."""
        return np.broadcast_to(self.cost.values, (self.agents,)).tolist()

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: rows of reports through the network, three times, the menus of exchanged reports, parameters."""
        response = training.response.innermost()
        exchanged = (getattr(response, "reports", 0) or 0) + (getattr(response, "anywhere", 0) or 0)
        tried: int = getattr(response, "count", 0) or 0
        reports: int = getattr(response, "reports", 0) or 0
        rows = training.batch * exchanged // reports if reports else training.batch * (1 + self.agents * tried)
        widths = [self.agents, *getattr(rule, "hidden", [8 * self.agents]), 2 * self.agents]
        parameters = sum(a * b for a, b in pairwise(widths))
        menu = training.batch * exchanged
        return 4 * (3 * rows * sum(widths) + 4 * menu * self.agents + 4 * parameters * training.members)


class Unanimous(RuleModel):
    """Every set of agents has shares of its cost, which never fall as the set shrinks. Whoever is asked for more than it is worth to it
    drops out, until nobody does: the largest set that is unanimous (Moulin 1999). With such shares no agent, and no group of agents, gains
    by lying."""

    problems: ClassVar[tuple[str, ...]] = ("cost_sharing",)
    strategyproof: ClassVar[bool] = True
    statements: ClassVar[tuple[str, ...]] = (TRUTHFUL, RATIONAL, BALANCED)


class Untaught(Unanimous):
    """One with nothing to learn."""

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """No steps."""
        return {"training": {"steps": 0, "response": {"kind": "truthful"}}}


class Serial(Untaught):
    """Equal shares: the largest set all of whose members would pay an equal part of its cost is served (Moulin 1994; the Shapley value of
    costs that depend on the number alone)."""

    kind: Literal["serial"] = "serial"
    builder: ClassVar[Any] = "icsap_jax.choice.cost_sharing.rules:serial"
    serves: ClassVar[str] = "costs that never rise for each of those served as more are"

    def unfit(self, problem: Any) -> str | None:
        """Shares that would fall as others leave."""
        each = np.array(problem.costs()) / np.arange(1, problem.agents + 1)
        if (np.diff(each) <= ROUNDING).all():
            return None
        return "asks for less of each as others leave, as cost divided by the number served rises with it here, so that lies would pay"


class Sequential(Untaught):
    """In a fixed order each agent pays what serving it costs beyond those before it (Moulin 1999): who comes first pays for a project, as
    long as it does not drop out."""

    kind: Literal["sequential"] = "sequential"
    builder: ClassVar[Any] = "icsap_jax.choice.cost_sharing.rules:sequential"
    serves: ClassVar[str] = "costs that rise by less with each further agent"

    order: list[Annotated[int, Field(ge=0)]] | None = Field(None, description="agents counted from 0; null: as they are numbered")

    def unfit(self, problem: Any) -> str | None:
        """Shares that would fall as others leave, or an order of other agents."""
        if self.order is not None and sorted(self.order) != list(range(problem.agents)):
            return f"should name each of the {problem.agents} agents once in its order, counted from 0"
        if (np.diff(problem.costs(), n=2, prepend=0.0) <= ROUNDING).all():
            return None
        return "asks for less of later agents as earlier ones leave, as another one served adds more to the cost here than the one before"


class Learned(Unanimous):
    """Learned shares of a project whose cost is the same however many use it: an average, with learned weights, of `parts` ways to share in
    proportion to weights of agents. Shares in proportion to weights never fall as a set shrinks, and so do not their averages. Equal shares
    and every order are among them, or their limits."""

    kind: Literal["unanimous"] = "unanimous"
    builder: ClassVar[Any] = "icsap_jax.choice.cost_sharing.rules:unanimous"
    starts: ClassVar[Any] = "icsap_jax.choice.cost_sharing.rules:starts"
    polish: ClassVar[Any] = "icsap_jax.choice.cost_sharing.polish:polish"
    serves: ClassVar[str] = "a cost that is the same however many are served"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "unanimous", "parts": 2, "tried": 2}]

    parts: int = Field(4, ge=1, description="ways of sharing that are averaged")
    tried: int = Field(32, ge=1, description="rules that climb side by side, the first of them from nearly equal shares; the best is kept")

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """Few numbers and many starts. Agents drop out nearly as sharply as they will: where they do so softly at first, all starts end in
        one basin, and not in the best (two peaks, three agents: 1.25 served, and 1.31 so)."""
        return {"training": {
            "steps": 1000, "batch": 1024, "learning_rate": 0.03, "decay": "cosine",
            "response": {"kind": "truthful", "temperature": 0.02, "temperature_end": 0.015},
        }, "evaluation": {"gap_profiles": 4000}}

    def unfit(self, problem: Any) -> str | None:
        """A cost that depends on how many are served."""
        return None if np.ptp(problem.costs()) == 0 else f"shares {self.serves}, and here it depends on how many are"


class CostNet(RuleModel):
    """A network of all reports gives the probabilities of being served and what each pays, a share of what it says it gets; lies that pay
    and a budget that does not balance have a price while it is trained."""

    kind: Literal["costnet"] = "costnet"
    builder: ClassVar[Any] = "icsap_jax.choice.cost_sharing.rules:costnet"
    problems: ClassVar[tuple[str, ...]] = ("cost_sharing",)
    statements: ClassVar[tuple[str, ...]] = (RATIONAL,)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "costnet", "hidden": [8]}]
    memory_keys: ClassVar[tuple[str, ...]] = ("rule.hidden", "training.batch")

    hidden: list[Annotated[int, Field(ge=1)]] = Field([64, 64], description="width of each hidden layer")


ROUNDING = 1e-9  # of sums and quotients of a few costs
