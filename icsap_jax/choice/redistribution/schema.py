"""What a problem file may say about handing back what an efficient allocation collects; no jax."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, model_validator

from icsap_jax.choice.prior_schema import check_numbers
from icsap_jax.config import Objective, OneOf, PriorModel, Problem, RuleModel, fault
from icsap_jax.config.constraints import Constraint, check_constraints
from icsap_jax.config.known_objectives import check_agents
from icsap_jax.config.models import folder_of

EFFICIENT = "the units go to those who value them most by construction"
TRUTHFUL = "strategyproof by construction"
RATIONAL = "individually rational by construction"
NO_DEFICIT = "never hands back more than was collected, by construction"


class Redistribution(Problem):
    """M like units for N agents who want one each, and nobody who ought to keep their payments. The M who value a unit most get one and pay
    the (M + 1)-th highest value, as in Vickrey's auction; what they pay is handed back. What agent i is handed back depends on the others'
    reports alone, so that telling the truth stays dominant whatever the rule (Cavallo 2006; Guo & Conitzer 2009). What cannot be handed
    back is lost to the agents."""

    kind: Literal["redistribution"] = "redistribution"
    builder: ClassVar[Any] = "icsap_jax.choice.redistribution.problem:build"
    check: ClassVar[Any] = "icsap_jax.choice.redistribution.problem:check"
    optimum: ClassVar[Any] = "icsap_jax.choice.redistribution.optimum:optimum"
    control: ClassVar[Any] = "icsap_jax.choice.redistribution.optimum:control"
    baselines: ClassVar[Any] = "icsap_jax.choice.redistribution.baselines:baselines"
    details: ClassVar[Any] = "icsap_jax.choice.redistribution.told:details"
    pictures: ClassVar[Any] = "icsap_jax.choice.redistribution.pictures:draw"
    table: ClassVar[Any] = "icsap_jax.choice.redistribution.told:Table"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.agents", "training.batch")
    tells: ClassVar[tuple[str, ...]] = ("allocation", "elsewhere", "whole")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "redistributionnet"},
        "training": {
            "steps": 6000, "batch": 1024, "learning_rate": 3e-3, "decay": "cosine", "warmup": 0.02, "response": {"kind": "truthful"},
            "lagrangian": {"kind": "annealed", "multiplier": 2.0, "multiplier_end": 60.0},
        },
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "redistribution", "agents": 4},
        {"kind": "redistribution", "agents": 3, "units": 2, "prior": {"kind": "uniform", "low": 1, "high": 2}, "participation": False,
         "no_deficit": "on_average", "objective": {"utility": 1, "maximin": 0.5},
         "constraints": [{"kind": "at_most", "objective": "envy", "value": 0.5, "holds": "everywhere"}]},
    ]

    agents: int = Field(ge=2, description="N, how many want a unit")
    units: int = Field(1, ge=1, description="M, how many there are, fewer than agents")
    prior: OneOf[PriorModel] = Field(
        {"kind": "uniform"}, validate_default=True, description="of each agent's value for a unit")  # type: ignore[assignment]
    objective: Objective = Field("utility", description="a name, or weights by name; `utility` is what agents are left with, and so grows "
                                                        "by what is handed back")
    no_deficit: Literal["everywhere", "on_average"] = Field(
        "everywhere", description="where no more is handed back than was collected: on every profile, or in expectation alone")
    participation: bool = Field(True, description="nobody may be asked for money who gets no unit, so that taking part never costs; false: "
                                                  "rules may hand back less than nothing")
    constraints: list[OneOf[Constraint]] = Field([], description="what rules have to keep besides")

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> Redistribution:
        if self.units >= self.agents:
            raise fault((["units"], f"should be fewer than the {self.agents} agents: with one for everybody nobody pays, and there is "
                                    "nothing to hand back", self.units))
        check_numbers(self.prior, self.agents, folder_of(info))
        check_agents(self.objective, self.agents)
        check_constraints(self.constraints, self.agents)
        return self

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: a row for each agent and profile through the network, three times, and parameters with Adam's."""
        widths = [self.agents, *getattr(rule, "hidden", []), 1]
        rows = training.batch * self.agents
        parameters = sum(a * b for a, b in pairwise(widths))
        return 4 * (3 * rows * (sum(widths) + self.agents) + 4 * parameters * training.members)


class RebateModel(RuleModel):
    """A rule that says what an agent is handed back, by the others' reports."""

    problems: ClassVar[tuple[str, ...]] = ("redistribution",)
    strategyproof: ClassVar[bool] = True
    statements: ClassVar[tuple[str, ...]] = (EFFICIENT, TRUTHFUL)


class Classical(RebateModel):
    """A rule with nothing to learn."""

    statements: ClassVar[tuple[str, ...]] = (EFFICIENT, TRUTHFUL, RATIONAL, NO_DEFICIT)

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """No steps."""
        return {"training": {"steps": 0}}


class Cavallo(Classical):
    """Everybody is handed back an N-th of what the others' auction would have collected (Bailey 1997; Cavallo 2006)."""

    kind: Literal["cavallo"] = "cavallo"
    builder: ClassVar[Any] = "icsap_jax.choice.redistribution.rules:cavallo"


class GuoConitzer(Classical):
    """The rule, linear in the others' values by rank, whose share handed back is largest on the worst profile (Guo & Conitzer 2009; Moulin
    2009)."""

    kind: Literal["guo_conitzer"] = "guo_conitzer"
    builder: ClassVar[Any] = "icsap_jax.choice.redistribution.rules:guo_conitzer"


class Linear(RebateModel):
    """A constant and a learned multiple of each of the others' values by rank (Guo & Conitzer 2010 find the best such rule by linear
    programming: `icsap optimum`)."""

    kind: Literal["linear_rebate"] = "linear_rebate"
    builder: ClassVar[Any] = "icsap_jax.choice.redistribution.rules:linear_rebate"
    optimum: ClassVar[Any] = "icsap_jax.choice.redistribution.optimum:best_of_linear"

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """Few numbers, which a higher price on deficits does not hold back."""
        return {"training": {"steps": 4000, "learning_rate": 0.01, "lagrangian": {"multiplier_end": 200.0}}}


class RedistributionNet(RebateModel):
    """A network of the others' values by rank, so that no agent counts for more than another. Where nobody may lose by taking part, it
    hands back nothing at the least."""

    kind: Literal["redistributionnet"] = "redistributionnet"
    statements: ClassVar[tuple[str, ...]] = (EFFICIENT, TRUTHFUL, f"{RATIONAL}, where the problem asks for participation")
    builder: ClassVar[Any] = "icsap_jax.choice.redistribution.rules:redistributionnet"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "redistributionnet", "hidden": [8]}]
    memory_keys: ClassVar[tuple[str, ...]] = ("rule.hidden", "training.batch")

    hidden: list[Annotated[int, Field(ge=1)]] = Field([64, 64], description="width of each hidden layer")
