"""What a problem file may say about facilities on a line, and the rules that place them; no jax."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from math import comb
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, ValidationError, ValidationInfo, model_validator

from icsap_jax.choice.prior_schema import check_numbers
from icsap_jax.config import Constraint, Numbers, Objective, OneOf, PriorModel, Problem, RuleModel, fault, kinds
from icsap_jax.config.constraints import check_constraints
from icsap_jax.config.known_objectives import check_agents
from icsap_jax.config.models import folder_of
from icsap_jax.config.objectives import weights_of
from icsap_jax.config.reading import merge

MOST_PLACEMENTS = 2_000  # that a network may give chances to
MOST_IN_A_TABLE = 12  # agents whose coalitions a table of phantoms may list one by one: 4096 of them
STILL: dict[str, Any] = {"training": {"steps": 0, "response": {"kind": "truthful"}}}  # nothing is learned


class Facility(Problem):
    """N agents on a line, of whom each alone knows its ideal point, its peak; K facilities are placed by what they report, and an agent
    goes to the nearest. What an agent gets is `worth` less the distance (Moulin 1980; Procaccia & Tennenholtz 2009). There is no money.

    The designer's account counts each agent `weights` times, so that `welfare` is minus the weighted social cost, and `maximin` minus the
    largest weighted distance. Measures of inequality, and the geometric mean, need a `worth` that no distance exceeds."""

    kind: Literal["facility"] = "facility"
    builder: ClassVar[Any] = "icsap_jax.choice.facility.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.choice.facility.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.choice.facility.baselines:baselines"
    pictures: ClassVar[Any] = "icsap_jax.choice.facility.pictures:draw"
    table: ClassVar[Any] = "icsap_jax.choice.facility.table:Table"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.agents", "training.batch")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "facilitynet"},
        "training": {"steps": 3000, "batch": 480, "learning_rate": 3e-3, "decay": "cosine",
                     "response": {"kind": "exchange", "reports": 32, "anywhere": 0},
                     "lagrangian": {"kind": "annealed", "multiplier": 0.1, "multiplier_end": 5.0}},
        "evaluation": {},
    }
    tied_agents: ClassVar[dict[str, Any]] = {"training": {"batch": 128, "response": {"kind": "candidates", "count": 16, "steps": 0}}}
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "facility", "agents": 3, "facilities": 2},
        {"kind": "facility", "agents": 3, "facilities": 1, "weights": [2, 1, 1], "worth": 1.0, "objective": "maximin",
         "prior": {"kind": "beta", "a": 2, "b": 3},
         "constraints": [{"kind": "at_least", "objective": "welfare", "value": 2.0}]},
    ]

    agents: int = Field(ge=1, description="N, how many there are")
    facilities: int = Field(1, ge=1, description="K, how many are placed")
    prior: OneOf[PriorModel] = Field({"kind": "uniform"}, validate_default=True, description="of each agent's peak")
    weights: Numbers = Field(default_factory=lambda: Numbers(1.0), description="> 0, of agents to the designer: one for all, or [N]")
    worth: float = Field(0.0, ge=0, description="of a facility at one's peak")
    objective: Objective = Field("welfare", description="a name, or weights by name")
    constraints: list[OneOf[Constraint]] = Field([], description="what rules have to keep besides")

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> Facility:
        if self.facilities > self.agents:
            raise fault((["facilities"], f"is more than there are agents; it should be at most {self.agents}, one at everybody's peak",
                         self.facilities))
        if self.weights.shape not in ((), (1,), (self.agents,)):
            raise fault((["weights"], f"has shape {list(self.weights.shape)}; it should be a number, or one for each of {self.agents} "
                         "agents", None))
        if (self.weights.values <= 0).any():
            raise fault((["weights"], "should be above 0 for every agent", self.weights))
        check_numbers(self.prior, self.agents, folder_of(info))
        check_agents(self.objective, self.agents)
        check_constraints(self.constraints, self.agents)
        return self

    @property
    def alike(self) -> bool:
        """Whether all agents are as important."""
        return bool(np.ptp(self.importance) == 0)

    @property
    def importance(self) -> np.ndarray:
        """Each agent's weight, [N]."""
        return np.broadcast_to(np.asarray(self.weights, np.float64), (self.agents,))

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """Where the prior ties agents to each other, no one's peak can be drawn anew alone for an exchange of reports."""
        return merge(cls.defaults, cls.tied_agents) if ties_agents(problem) else cls.defaults

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: rows of reports through a network, forward and backward, and who goes where."""
        response, hidden = training.response.innermost(), list(getattr(rule, "hidden", [8]))
        reports, tried = getattr(response, "reports", 0) or 0, getattr(response, "count", 1) or 1
        rows = training.batch * 2 if reports else training.batch * (1 + self.agents * tried)
        served = training.batch * max(reports, tried) * self.agents * self.facilities * getattr(rule, "placements", lambda _: 1)(self)
        return 4 * 3 * (rows * (2 * sum(hidden) + 4 * self.agents * self.facilities) + 3 * served) * training.members


def ties_agents(problem: Mapping[str, Any]) -> bool:
    """Whether a prior, not yet checked, ties agents to each other; False where it is wrong, which is said later."""
    prior, agents = problem.get("prior"), problem.get("agents")
    if not isinstance(prior, Mapping) or not isinstance(agents, int) or agents < 1:
        return False
    chosen = kinds(PriorModel).get(str(prior.get("kind")))
    with suppress(ValidationError):
        return chosen is not None and chosen.model_validate(dict(prior)).ties_agents(agents, 1, Path())
    return False


class Strategyproof(RuleModel):
    """A rule under which every facility stands where a generalised median of the reports is, so that nobody gains by lying."""

    problems: ClassVar[tuple[str, ...]] = ("facility",)
    strategyproof: ClassVar[bool] = True
    statements: ClassVar[tuple[str, ...]] = ("strategyproof by construction",)

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing is learned."""
        return STILL


class Median(Strategyproof):
    """One facility at the median peak, the lower of two: the first best where all agents weigh the same and their utilities are added up
    (Moulin 1980)."""

    kind: Literal["median"] = "median"
    builder: ClassVar[Any] = "icsap_jax.choice.facility.rules:median"
    serves: ClassVar[str] = "one facility"

    def unfit(self, problem: Problem) -> str | None:
        """It knows of one facility."""
        return None if problem.facilities == 1 else f"places one facility, not {problem.facilities}"  # type: ignore[attr-defined]


class Percentile(Strategyproof):
    """Facilities at percentiles of the peaks: at share p, the one with ⌊p(N − 1)⌋ others at or below it (Sui, Boutilier & Sandholm
    2013)."""

    kind: Literal["percentile"] = "percentile"
    builder: ClassVar[Any] = "icsap_jax.choice.facility.rules:percentile"

    percentiles: list[Annotated[float, Field(ge=0, le=1)]] | None = Field(
        None, description="one for each facility; null: the best ones on a large sample, all of them tried")

    def unfit(self, problem: Problem) -> str | None:
        """One percentile for each facility."""
        count: int = problem.facilities  # type: ignore[attr-defined]
        if self.percentiles is None or len(self.percentiles) == count:
            return None
        return f"has {len(self.percentiles)} percentiles, and there should be one for each facility, {count}"


class Dictators(Strategyproof):
    """Facilities at the peaks of agents who are named beforehand."""

    kind: Literal["dictators"] = "dictators"
    builder: ClassVar[Any] = "icsap_jax.choice.facility.rules:dictators"

    agents: list[Annotated[int, Field(ge=0)]] | None = Field(
        None, description="one for each facility, counted from 0; null: the best ones on a large sample")

    def unfit(self, problem: Problem) -> str | None:
        """One agent that there is for each facility."""
        count, there = problem.facilities, problem.agents  # type: ignore[attr-defined]
        if self.agents is None:
            return None
        if len(self.agents) != count:
            return f"names {len(self.agents)} agents, and there should be one for each facility, {count}"
        absent = [agent for agent in self.agents if agent >= there]
        return f"names agent {absent[0]}; agents are counted from 0 and the last is {there - 1}" if absent else None


class FixedPlaces(Strategyproof):
    """Facilities where they always stand, whatever is reported; where that is, is learned."""

    kind: Literal["fixed_places"] = "fixed_places"
    builder: ClassVar[Any] = "icsap_jax.choice.facility.rules:fixed_places"

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """A few numbers, which any step moves."""
        return {"training": {"steps": 2000, "batch": 512, "learning_rate": 0.02, "response": {"kind": "truthful"}}}


class GeneralisedMedian(Strategyproof):
    """Every facility at a generalised median of its own, min_S max(a_S, max_{i ∈ S} peak_i) over coalitions S of agents, where the phantoms
    a_S are learned and fall as coalitions grow (Moulin 1980; Golowich, Narasimhan & Parkes 2018).

    For one facility these are all the strategyproof rules there are. For several every such rule is strategyproof, and others are too.
    Phantoms are listed for each coalition, or for each size of one (`size`, which treats agents alike), or given by a network that falls
    in every agent's membership (`network`)."""

    kind: Literal["generalised_median"] = "generalised_median"
    builder: ClassVar[Any] = "icsap_jax.choice.facility.medians:generalised_median"
    starts: ClassVar[Any] = "icsap_jax.choice.facility.medians:starts"
    listing: ClassVar[Any] = "icsap_jax.choice.facility.medians:listing"
    examples: ClassVar[list[dict[str, Any]]] = [{"starts_kept": 2, "starts_tried": 8}]

    phantoms: Literal["coalition", "size", "network"] = Field("coalition", description="what there is one of for each facility")
    groups: int = Field(4, ge=1, description="of a network, of which the largest counts; in each the smallest of its linear functions does")
    units: int = Field(4, ge=1, description="linear functions in each group of a network")
    starts_tried: int = Field(512, ge=1, description="random committees and percentiles that are tried before training")
    starts_kept: int = Field(8, ge=1, description="the best of those, from which training starts side by side")

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """The objective has a slope in phantoms as it is: nothing has to be softened, and nobody's lies be searched."""
        return {"training": {"steps": 4000, "batch": 512, "learning_rate": 0.01, "response": {"kind": "truthful"}}}

    def unfit(self, problem: Problem) -> str | None:
        """A table of coalitions has to be short."""
        count: int = problem.agents  # type: ignore[attr-defined]
        if self.phantoms == "coalition" and count > MOST_IN_A_TABLE:
            return f"lists a phantom for each coalition, of which {count} agents have 2^{count}; write rule.phantoms=network"
        return None


class FacilityNet(RuleModel):
    """A network places the facilities by lot, and lies that pay have a price while it is trained (after RegretNet-nm, Golowich,
    Narasimhan & Parkes 2018, whose network gives places). It gives chances to all placements at K of the reported peaks, sorted, where
    agents are not alike also one by one, and where asked also at the middles between two. It begins near the first best, under which lies
    pay."""

    kind: Literal["facilitynet"] = "facilitynet"
    builder: ClassVar[Any] = "icsap_jax.choice.facility.network:facilitynet"
    problems: ClassVar[tuple[str, ...]] = ("facility",)
    statements: ClassVar[tuple[str, ...]] = ("no facility outside the support by construction",)
    examples: ClassVar[list[dict[str, Any]]] = [{"hidden": [8]}]

    hidden: list[Annotated[int, Field(ge=1)]] = Field([64, 64], description="width of each hidden layer")
    activation: Literal["tanh", "relu", "silu"] = Field("tanh", description="of the hidden layers")
    anonymous: bool | None = Field(None, description="whether reports are sorted, so that who made one does not count; null: where weights "
                                                     "are alike")
    between: bool | None = Field(None, description="whether facilities may stand in the middle of two reports; null: where the objective "
                                                   "is not the welfare alone")
    keenness: float = Field(30.0, gt=0, description="at first, of the lot for what is best were reports true: the logit of a value of the "
                                                    "line's length; learned")

    def unfit(self, problem: Problem) -> str | None:
        """Placements are listed one by one."""
        count = self.placements(problem)
        fits = count <= MOST_PLACEMENTS
        return None if fits else f"lists every placement, of which there are {count:,}, and at most {MOST_PLACEMENTS:,} can be"

    def placements(self, problem: Any) -> int:
        """How many there are of a problem's facilities at the points that this rule knows."""
        alike = problem.alike if self.anonymous is None else self.anonymous
        between = list(weights_of(problem.objective)) != ["welfare"] if self.between is None else self.between
        points = comb(problem.agents + 1, 2) if between else problem.agents
        return comb(points + (0 if alike else problem.agents), problem.facilities)
