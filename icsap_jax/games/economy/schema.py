"""What a problem file may say about taxes on people who choose how much to earn; no jax."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from icsap_jax.config import Kind, Numbers, OneOf, Problem, RuleModel, fault


class SocialValue(Kind):
    """What the designer of a tax wants to be large. `build(free, share)`, of incomes without a tax and shares of the population, gives
    an object with `of(account, xp)`."""


class Utilitarian(SocialValue):
    """Mean utility. Without a public requirement the best tax is none."""

    kind: Literal["utilitarian"] = "utilitarian"
    builder: ClassVar[str] = "icsap_jax.games.economy.social:utilitarian"


class InverseIncome(SocialValue):
    """Mean utility with weights in inverse proportion to incomes as they are without a tax, of mean one. Weights that followed the
    incomes under a linear tax would be the same ones, since all incomes shrink alike."""

    kind: Literal["inverse_income"] = "inverse_income"
    builder: ClassVar[str] = "icsap_jax.games.economy.social:inverse_income"


class WelfareWeights(SocialValue):
    """Mean utility with given weights, one for each skill."""

    kind: Literal["weighted"] = "weighted"
    builder: ClassVar[str] = "icsap_jax.games.economy.social:weighted"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "weighted", "weights": [1.5, 0.5]}]
    weights: Numbers = Field(description="≥ 0, one for each skill")


class Maximin(SocialValue):
    """The utility of the worst off (Rawls 1971)."""

    kind: Literal["maximin"] = "maximin"
    builder: ClassVar[str] = "icsap_jax.games.economy.social:maximin"


class Isoelastic(SocialValue):
    """Behind a veil of ignorance, where one may turn out to be anybody: the utility which, had for sure, is worth as much as that
    lottery under Σ u^(1−η)/(1−η). η = 0 is the mean (Harsanyi 1953), η = infinite the worst off (Rawls 1971)."""

    kind: Literal["isoelastic"] = "isoelastic"
    builder: ClassVar[str] = "icsap_jax.games.economy.social:isoelastic"
    inequality_aversion: Annotated[float, Field(ge=0, le=100)] | Literal["infinite"] = Field(
        1.0, description="η: a number from 0 to 100, or infinite")


class Revenue(SocialValue):
    """What the tax takes in; the best linear tax is at the top of the Laffer curve."""

    kind: Literal["revenue"] = "revenue"
    builder: ClassVar[str] = "icsap_jax.games.economy.social:revenue"


class EqualityProductivity(SocialValue):
    """(1 − Gini of consumption) × mean income (Zheng et al. 2022), the Gini divided by the largest it can be with so many types."""

    kind: Literal["equality_productivity"] = "equality_productivity"
    builder: ClassVar[str] = "icsap_jax.games.economy.social:equality_productivity"


def _as_value(written: Any) -> Any:
    """A name alone is short for a kind with nothing else to say."""
    return {"kind": written} if isinstance(written, str) else written


class Economy(Problem):
    """People of several skills earn z = skill × labour at a cost of effort_cost · labour^labour_exponent, consume what the tax leaves
    them, and value consumption less that cost. Each type is many people, none of whom moves the rebate."""

    optimum: ClassVar[Any] = "icsap_jax.games.economy.optimum:linear"
    baselines: ClassVar[Any] = "icsap_jax.games.economy.optimum:baselines"
    pictures: ClassVar[Any] = "icsap_jax.games.economy.pictures:pictures"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.skills",)

    skills: Numbers = Field(description="what an hour of each type's labour earns, increasing")
    shares: Numbers | None = Field(None, description="of each type in the population; null: equal")
    effort_cost: float = Field(1.0, gt=0, description="k, where labour l costs k · l^d")
    labour_exponent: float = Field(2.0, gt=1, le=20, description="d, where labour l costs k · l^d; incomes have the elasticity 1/(d − 1)")
    objective: Annotated[OneOf[SocialValue], BeforeValidator(_as_value)] = Field(
        default_factory=Utilitarian, description="what the designer values: a name, or a kind with its numbers")
    requirement: float = Field(0.0, description="public spending per head, to be met from the tax before the rest is rebated evenly; a "
                                                "lump sum makes up for what is missing")  # fmt: skip

    @model_validator(mode="after")
    def _fits(self) -> Economy:
        if self.skills.ndim != 1 or (self.skills.values <= 0).any() or (np.diff(self.skills.values) <= 0).any():
            raise fault((["skills"], "should be a list of numbers above 0, each larger than the one before", self.skills))
        if self.skills.values[-1] / self.skills.values[0] > 1e3:
            raise fault((["skills"], "should lie within a factor of 1000 of each other", self.skills))
        if self.shares is not None:
            self._like_skills("shares", self.shares)
            if (self.shares.values <= 0).any() or abs(self.shares.values.sum() - 1.0) > 1e-6:  # thirds have seven digits
                raise fault((["shares"], "should be positive numbers that sum to 1; they sum to "
                                         f"{self.shares.values.sum():.6g}", self.shares))  # fmt: skip
        weights = getattr(self.objective, "weights", None)
        if weights is not None:
            self._like_skills("objective", weights, "weights")
            if (weights.values < 0).any() or not weights.values.any():
                raise fault((["objective", "weights"], "should be numbers ≥ 0, not all of them 0", weights))
        return self

    def _like_skills(self, key: str, given: Numbers, *below: str) -> None:
        if given.shape != self.skills.shape:
            text = f"has shape {list(given.shape)}; it should be {list(self.skills.shape)} like skills"
            raise fault(([key, *below], text, given))

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: every type in every bracket, or with every bundle, from every start."""
        types = len(self.skills)
        return 4 * 30 * types * (types + getattr(rule, "brackets", 1)) * getattr(rule, "starts_tried", 1) * training.members


class IncomeTax(Economy):
    """An income tax announced before people choose what to earn: the designer sees incomes, not skills. What is taken beyond the
    requirement is given back evenly."""

    kind: Literal["tax"] = "tax"
    builder: ClassVar[str] = "icsap_jax.games.economy.problem:build"
    check: ClassVar[Any] = "icsap_jax.games.economy.rules:check"
    judge: ClassVar[Any] = "icsap_jax.games.economy.judging:judge"
    polish: ClassVar[Any] = "icsap_jax.games.economy.rules:polish"
    details: ClassVar[Any] = "icsap_jax.games.economy.judging:details"
    table: ClassVar[Any] = "icsap_jax.games.economy.table:IncomeTable"
    listing: ClassVar[Any] = "icsap_jax.games.economy.table:brackets"
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "linear_tax"},
        "training": {"steps": 2000, "batch": 1, "learning_rate": 0.05, "decay": "cosine",
                     "response": {"kind": "equilibrium", "temperature": 0.5, "temperature_end": 1e-3}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "tax", "skills": [1.0, 2.0], "objective": "maximin"},
        {"kind": "tax", "skills": [1.0, 2.0, 4.0], "shares": [0.5, 0.3, 0.2], "labour_exponent": 3.0, "requirement": 0.05,
         "objective": {"kind": "isoelastic", "inequality_aversion": 2.0}},
    ]


class TaxMechanism(Economy):
    """The same economy with a direct mechanism (Mirrlees 1971, with finitely many types): each person reports a skill and is given an
    income to earn and a consumption. Nothing that sees only incomes can do better."""

    kind: Literal["tax_mechanism"] = "tax_mechanism"
    builder: ClassVar[str] = "icsap_jax.games.economy.mechanism:build"
    check: ClassVar[Any] = "icsap_jax.games.economy.mirrlees:check"
    optimum: ClassVar[Any] = "icsap_jax.games.economy.mirrlees:optimum"
    judge: ClassVar[Any] = "icsap_jax.games.economy.mechanism:judge"
    details: ClassVar[Any] = "icsap_jax.games.economy.mechanism:details"
    table: ClassVar[Any] = "icsap_jax.games.economy.table:BundleTable"
    listing: ClassVar[Any] = "icsap_jax.games.economy.table:bundles"
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "mirrlees"},
        "training": {"steps": 3000, "batch": 1, "learning_rate": 0.05, "decay": "cosine", "response": {"kind": "enumerate"}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "tax_mechanism", "skills": [1.0, 2.0], "objective": {"kind": "weighted", "weights": [1.5, 0.5]}},
    ]

    margin: float = Field(2e-4, ge=0, le=0.1, description="by how much the truth should beat other reports while training, as a share of "
                                                          "mean utility without a tax; the best has ties")  # fmt: skip

    @model_validator(mode="after")
    def _has_a_best(self) -> TaxMechanism:
        if isinstance(self.objective, (Revenue, EqualityProductivity)):
            raise fault((["objective"], "should be of utilities, such as utilitarian or maximin: a mechanism that nobody may leave could "
                                        "make everybody earn, or pay, however much", self.objective.kind))  # fmt: skip
        return self


class LinearTax(RuleModel):
    """One rate on every income; negative: a subsidy."""

    kind: Literal["linear_tax"] = "linear_tax"
    builder: ClassVar[str] = "icsap_jax.games.economy.rules:linear_tax"
    problems: ClassVar[tuple[str, ...]] = ("tax",)
    optimum: ClassVar[Any] = "icsap_jax.games.economy.optimum:linear"
    statements: ClassVar[tuple[str, ...]] = ("rate below one by construction",)
    rate: float = Field(0.25, lt=1, description="where training begins")


class BracketedTax(RuleModel):
    """A rate for each bracket of income, above thresholds that are given or learned. Rates need not rise. Trained from several starts,
    and then improved by a local search on people's exact replies."""

    kind: Literal["bracketed_tax"] = "bracketed_tax"
    builder: ClassVar[str] = "icsap_jax.games.economy.rules:bracketed_tax"
    starts: ClassVar[Any] = "icsap_jax.games.economy.rules:bracketed_taxes"
    problems: ClassVar[tuple[str, ...]] = ("tax",)
    optimum: ClassVar[Any] = "icsap_jax.games.economy.optimum:bracketed"
    statements: ClassVar[tuple[str, ...]] = ("rates below one by construction", "nothing is paid on no income by construction")
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "bracketed_tax", "brackets": 3, "starts_tried": 4}]

    brackets: int = Field(4, ge=2, le=50, description="how many")
    thresholds: Numbers | None = Field(None, description="where brackets end, increasing incomes above 0, one fewer; null: learned")
    least_rate: float | None = Field(0.0, lt=1, description="no rate is below this one; null: rates may be subsidies of any size")
    starts_tried: int = Field(64, ge=1, le=1000, description="schedules trained side by side, of which the best is kept")

    @model_validator(mode="after")
    def _fits(self) -> BracketedTax:
        given = self.thresholds
        if given is not None:
            if given.shape != (self.brackets - 1,):
                raise fault((["thresholds"], f"has shape {list(given.shape)}; {self.brackets} brackets have [{self.brackets - 1}]", given))
            if (given.values <= 0).any() or (np.diff(given.values) <= 0).any():
                raise fault((["thresholds"], "should be incomes above 0, each larger than the one before", given))
        return self


class MirrleesMenu(RuleModel):
    """An income and a consumption for each skill, such that no type would rather have another's: incomes rise with skill, and between
    neighbours utility rises by what single crossing allows, anywhere between the two incentive constraints. The budget balances."""

    kind: Literal["mirrlees"] = "mirrlees"
    builder: ClassVar[str] = "icsap_jax.games.economy.mechanism:menu"
    problems: ClassVar[tuple[str, ...]] = ("tax_mechanism",)
    statements: ClassVar[tuple[str, ...]] = ("incentive compatible by construction", "the budget balances by construction")
