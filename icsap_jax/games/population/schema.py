"""What a problem file may say about learners and imitators; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from icsap_jax.config import Problem, RuleModel


class Population(Problem):
    """Learners pay to find out what is right; imitators copy somebody and are right as long as enough others learn. Everybody may
    choose, so that in the end both kinds earn the same, and imitation has made nobody better off (Rogers 1988; Boyd & Richerson 1995). The
    designer, who wants the mean fitness to be large, pays the learners a subsidy, raised evenly from all."""

    kind: Literal["population"] = "population"
    builder: ClassVar[Any] = "icsap_jax.games.population.problem:build"
    judge: ClassVar[Any] = "icsap_jax.games.population.judge:judge"
    optimum: ClassVar[Any] = "icsap_jax.games.population.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.games.population.optimum:baselines"
    details: ClassVar[Any] = "icsap_jax.games.population.judge:details"
    listing: ClassVar[Any] = "icsap_jax.games.population.judge:listing"
    pictures: ClassVar[Any] = "icsap_jax.games.population.pictures:pictures"
    memory_keys: ClassVar[tuple[str, ...]] = ("training.members",)
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "learning_subsidy"},
        "training": {"steps": 1500, "batch": 1, "learning_rate": 0.01, "decay": "cosine", "chunk": 100,
                     "response": {"kind": "equilibrium", "temperature": 0.1, "temperature_end": 1e-5, "share": 0.5}},
        "evaluation": {},
    }  # fmt: skip
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "population", "models": 2, "switching": 0.05, "learning_cost": 0.5}]

    models: int = Field(1, ge=1, description="n: how many an imitator looks at")
    switching: float = Field(gt=0, lt=0.5, description="γ: the probability that from one generation to the next what is right changes")
    learning_cost: float = Field(gt=0, description="C: what it costs to learn")
    benefit: float = Field(1.0, gt=0, description="D: who is right has this much more than the base, who is wrong this much less")
    base: float = Field(0.0, description="W₀: the fitness that does not depend on any of this")


class LearningSubsidy(RuleModel):
    """So much for every learner, paid by all evenly; where it is negative, a tax on learning, handed out evenly."""

    kind: Literal["learning_subsidy"] = "learning_subsidy"
    builder: ClassVar[Any] = "icsap_jax.games.population.problem:learning_subsidy"
    problems: ClassVar[tuple[str, ...]] = ("population",)
    statements: ClassVar[tuple[str, ...]] = ("what learners are paid is raised from all by construction",)
    examples: ClassVar[list[dict[str, Any]]] = [{}]
