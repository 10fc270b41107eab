"""What a problem file may say about two-sided matching; no jax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainSerializer, PlainValidator, TypeAdapter, ValidationInfo, WithJsonSchema, model_validator

from icsap_jax.choice.matching.lists import LARGEST, every_list, observed
from icsap_jax.config import ConfigError, Constraint, Model, OneOf, Problem, RuleModel, fault
from icsap_jax.config.constraints import TotalVariation, check_constraints
from icsap_jax.config.known_objectives import check_agents
from icsap_jax.config.models import folder_of
from icsap_jax.config.objectives import Objective

STABILITY = "stability"
Side = Literal["workers", "firms"]
BY_CONSTRUCTION = ("individually rational by construction", "nobody is matched more than once by construction",
                   "whatever workers and firms are called, they are matched alike, by construction")  # fmt: skip


def _read(value: Any, info: ValidationInfo) -> dict[str, float]:
    """Weights by name: `stability` belongs to matching, every other name to whoever registered it."""
    if value == STABILITY:
        return {STABILITY: 1.0}
    others: Any = value
    own: dict[str, float] = {}
    if isinstance(value, Mapping) and STABILITY in value:
        own[STABILITY] = TypeAdapter(Annotated[float, Field(allow_inf_nan=False)]).validate_python(value[STABILITY])
        others = {name: weight for name, weight in value.items() if name != STABILITY}
        if not others:
            return own
    read = _OBJECTIVE.validate_python(others, context=info.context)
    return {**own, **({read: 1.0} if isinstance(read, str) else read)}


def _plain(value: dict[str, float]) -> Any:
    others = {name: weight for name, weight in value.items() if name != STABILITY}
    own = {name: weight for name, weight in value.items() if name == STABILITY}
    return {**own, **(_OBJECTIVE.dump_python(others) if others else {})}


_OBJECTIVE: TypeAdapter[Any] = TypeAdapter(Objective)
_SCHEMA = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]})
Aim = Annotated[dict[str, float], PlainValidator(_read), PlainSerializer(_plain), _SCHEMA]


class ObservedLists(Model):
    """Lists that were observed, each as likely as the others of its side."""

    file: str = Field(description="a CSV with a column `side`, worker or firm, and `list`, who is acceptable by number, the best first "
                                  "and blanks between them; relative to the problem file")


class Matching(Problem):
    """As many workers as firms, each of whom ranks those of the other side it accepts. Nobody pays; the designer gives each pair a
    probability of being matched."""

    kind: Literal["matching"] = "matching"
    builder: ClassVar[Any] = "icsap_jax.choice.matching.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.choice.matching.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.choice.matching.baselines:baselines"
    details: ClassVar[Any] = "icsap_jax.choice.matching.baselines:details"
    pictures: ClassVar[Any] = "icsap_jax.choice.matching.pictures:pictures"
    table: ClassVar[Any] = "icsap_jax.choice.matching.table:Table"
    memory_keys: ClassVar[tuple[str, ...]] = ("training.batch", "rule.width")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "matchingnet"},
        "training": {
            "steps": 4000, "batch": 2080, "learning_rate": 3e-3, "decay": "cosine", "warmup": 0.02, "clip": 1.0, "chunk": 100,
            "response": {"kind": "every_report"},
            "lagrangian": {"kind": "annealed", "multiplier": 0.02, "multiplier_end": 0.1, "share": 0.5}},
        "evaluation": {"profiles": 20480, "gap_profiles": 2048},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "matching", "agents": 2, "correlation": 0.5, "objective": {"stability": 1, "welfare": 0.1}},
    ]

    agents: int = Field(4, ge=1, description=f"on each side: as many workers as firms, at most {LARGEST}")
    truncation: float = Field(0.2, ge=0, le=1, description="the probability that an agent's list leaves partners out")
    correlation: float = Field(0.0, ge=0, le=1, description="the probability that an agent has the list which is common to its side")
    objective: Aim = Field(
        default_factory=lambda: {STABILITY: 1.0},
        description="stability, which is minus the stability violation, or weights by name of it and other objectives, of which each "
                    "agent receives what its partner is worth to it")
    constraints: list[OneOf[Constraint]] = Field(
        default_factory=list, description="what the rules have to keep besides, each with a multiplier of its own")
    preferences: ObservedLists | None = Field(
        None, description="where agents' lists come from, in place of `truncation`: null, any order is as likely as any other")

    @model_validator(mode="after")
    def _can_be_enumerated(self, info: ValidationInfo) -> Matching:
        if self.agents > LARGEST:
            raise fault((["agents"], f"should be at most {LARGEST}, where each has {len(every_list(LARGEST))} lists to report: every one "
                                     "is tried, and of 6 there are 1957", self.agents))
        check_agents(self.objective, 2 * self.agents)
        check_constraints(self.constraints, 2 * self.agents)
        for place, constraint in enumerate(self.constraints):
            if isinstance(constraint, TotalVariation):
                raise fault((["constraints", place, "kind"], "is about things that are given away, and here nothing is", "total_variation"))
        if self.preferences is not None:
            try:
                observed(folder_of(info) / self.preferences.file, self.agents)
            except ConfigError as error:
                raise fault((["preferences", "file"], f"cannot be used: {str(error).rstrip('.')}", self.preferences.file)) from None
        return self

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: the features of every pair in every layer, and every list against every other."""
        lists = len(every_list(self.agents))
        rows = max(training.batch, 2 * lists)
        features = getattr(rule, "width", 8) * (getattr(rule, "depth", 0) + 1) * 4
        return 4 * rows * (self.agents**2 * features + 3 * lists * self.agents) * training.members


class MatchingNet(RuleModel):
    """A network under which it does not matter what anybody is called, and nobody gets whom it does not accept. It begins between the two
    stable matchings of deferred acceptance, and learns where to leave them so that less is gained by lying. Some of the time dictators may
    decide instead, to whom nobody gains by lying."""

    kind: Literal["matchingnet"] = "matchingnet"
    builder: ClassVar[Any] = "icsap_jax.choice.matching.rules:matchingnet"
    problems: ClassVar[tuple[str, ...]] = ("matching",)
    statements: ClassVar[tuple[str, ...]] = BY_CONSTRUCTION
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "matchingnet", "width": 4, "depth": 1}]
    width: int = Field(32, ge=1, description="features of each pair of a worker and a firm")
    depth: int = Field(4, ge=1, description="layers")
    dictators: float = Field(0.0, ge=0, lt=1, description="how likely serial dictators of either side who ask for consent are to decide")


class Classical(RuleModel):
    """A rule without parameters."""

    builder: ClassVar[Any] = "icsap_jax.choice.matching.classical:rule"
    problems: ClassVar[tuple[str, ...]] = ("matching",)

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """There is nothing to learn."""
        return {"training": {"steps": 0}}


class DeferredAcceptance(Classical):
    """Gale & Shapley 1962: stable, and nobody on the side that proposes gains by lying."""

    kind: Literal["deferred_acceptance"] = "deferred_acceptance"
    statements: ClassVar[tuple[str, ...]] = ("stable by construction", "nobody who proposes gains by lying, by construction")
    proposing: Side = Field("workers", description="the side that proposes")


class GuardedDeferredAcceptance(Classical):
    """Deferred acceptance by halves, in which workers and firms propose; who gets more by a short list than it would by a whole one stays
    alone in that half, and where one side has fewer agents it proposes in both. What is gained by lying is a fifth of what it is under
    deferred acceptance, with little that is unstable."""

    kind: Literal["guarded_deferred_acceptance"] = "guarded_deferred_acceptance"
    builder: ClassVar[Any] = "icsap_jax.choice.matching.guarded:rule"
    statements: ClassVar[tuple[str, ...]] = BY_CONSTRUCTION


class TopTradingCycles(Classical):
    """Everybody points to whom it likes best of who is left, and cycles trade. The other side may get partners it does not accept."""

    kind: Literal["top_trading_cycles"] = "top_trading_cycles"
    proposing: Side = Field("workers", description="the side that decides when a cycle ends in somebody who accepts nobody left")


class RandomSerialDictatorship(Classical):
    """In a random order agents pick the best who is left, and nobody gains by lying. Unasked, some get partners they do not accept; with
    consent nobody does, and who refuses the first who picks it stays single."""

    kind: Literal["random_serial_dictatorship"] = "random_serial_dictatorship"
    statements: ClassVar[tuple[str, ...]] = ("nobody gains by lying, by construction",)
    proposing: Literal["workers", "firms", "both"] = Field("workers", description="who picks")
    consent: bool = Field(False, description="ask who is picked; who refuses stays single, so that refusing is of no use")

    def unfit(self, problem: Problem) -> str | None:
        """All orders of both sides are gone through."""
        if self.proposing == "both" and problem.agents > 4:  # type: ignore[attr-defined]
            return "goes through all orders of all agents, which for more than 4 on a side are more than 3 million, where proposing is both"
        return None
