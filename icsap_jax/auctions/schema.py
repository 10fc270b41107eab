"""What a problem file may say about an auction. Its priors are in `prior_schema`, the rules that may run it in the folders of `rules/`.

Each model names its builder; nothing here imports jax.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationError, ValidationInfo, model_validator

from icsap_jax.auctions.context_schema import ContextModel, Discrete
from icsap_jax.auctions.preference_schema import Labelled, Preference
from icsap_jax.auctions.prior_schema import AnyOf, Uniform
from icsap_jax.config import Constraint, Model, Numbers, Objective, OneOf, PriorModel, Problem, RuleModel, fault, kinds
from icsap_jax.config.constraints import TotalVariation, check_constraints
from icsap_jax.config.known_objectives import check_agents
from icsap_jax.config.models import folder_of, under
from icsap_jax.config.reading import merge


class Population(Model):
    """Boundedly rational bidders: each bidder is one with probability `share`, and then picks, by logit, among some random reports and the
    truth. It counts what it would get if the others told the truth. The response is then `bounded`, around the one that the rule has
    otherwise."""

    share: float = Field(ge=0, le=1, description="of bidders that are boundedly rational")
    precision: float = Field(ge=0, description="of their choice, over the mean value of an item; 0: any report is as likely as another")
    reports: int = Field(8, ge=1, description="random reports that each of them thinks of besides the truth")


class Auction(Problem):
    """N bidders with private values for M items, from a known prior; the designer allocates and charges.

    `combinatorial` is over two items: a bidder's type is (v₁, v₂, C) and the pair is worth v₁ + v₂ + C, C from `synergy`
    (Dütting et al. 2019, section 5, settings IV and V). `revenue` is what bidders pay, and that alone; an item that stays unsold is worth
    `outside_value` to the designer, or to the public it acts for, which counts in `profit` (revenue and the value kept) and in
    `welfare` (values received and kept). With `budgets` a bidder's type ends with the most it can pay: no report helps that leads to a
    payment beyond it. Payments are expected ones: who is given a lottery is charged for it whatever it draws.

    With `contexts` the designer sees something of each bidder and item before anyone bids, and values are drawn given that: a bidder
    can only misreport within what its context allows (Duan et al. 2022). Of the rules `citransnet` and `amenunet` are told contexts,
    `gemnet` refuses them, and others do without.
    """

    kind: Literal["auction"] = "auction"
    builder: ClassVar[Any] = "icsap_jax.auctions.problem:build"
    check: ClassVar[Any] = "icsap_jax.auctions.problem:check"
    optimum: ClassVar[Any] = "icsap_jax.auctions.optimum:optimum"
    control: ClassVar[Any] = "icsap_jax.auctions.optimum:control"
    baselines: ClassVar[Any] = "icsap_jax.auctions.baselines:baselines"
    details: ClassVar[Any] = "icsap_jax.auctions.preference:details"
    pictures: ClassVar[Any] = "icsap_jax.auctions.pictures:draw"
    table: ClassVar[Any] = "icsap_jax.auctions.table:Table"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.bidders", "problem.items", "training.batch")
    tells: ClassVar[tuple[str, ...]] = ("allocation", "elsewhere", "whole")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "regretnet"},
        "training": {
            "steps": 20000,
            "batch": 1024,
            "learning_rate": 3e-3,
            "decay": "cosine",
            "response": {"kind": "exchange"},
            "lagrangian": {"kind": "annealed", "multiplier": 2.0, "multiplier_end": 150.0},
        },
        "evaluation": {},
    }
    many_items: ClassVar[dict[str, Any]] = {
        "training": {
            "batch": 512,
            "response": {"kind": "exchange", "reports": 32, "steps": 8},
            "lagrangian": {"kind": "annealed", "multiplier_end": 50.0},
        }
    }
    tied_bidders: ClassVar[dict[str, Any]] = {
        "training": {"batch": 128, "response": {"kind": "candidates", "count": 16, "steps": 5}},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "auction", "bidders": 1, "items": 2, "prior": {"kind": "uniform", "low": 0, "high": 1}},
        {"kind": "auction", "bidders": 2, "items": 2, "valuation": "unit_demand", "prior": {"kind": "uniform", "low": 2, "high": 3},
         "preference": {"labels": {"kind": "quota", "share": 0.4}}},
        {"kind": "auction", "bidders": 2, "items": 2, "valuation": "combinatorial", "prior": {"kind": "uniform", "low": 1, "high": 2}},
        {"kind": "auction", "bidders": 2, "items": 1, "prior": {"kind": "any_of", "parts": [
            {"kind": "uniform", "low": 0, "high": 1}, {"kind": "uniform", "low": 0.2, "high": 1}]}, "objective": "profit",
         "outside_value": 0.2, "budgets": {"kind": "uniform", "low": 0, "high": 1},
         "constraints": [{"kind": "at_least", "objective": "welfare", "value": 0.3}],
         "population": {"share": 0.3, "precision": 4, "reports": 3}},
    ]

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """With more than three items, reports drawn at random come nowhere near the best misreport: there they are refined, and the
        price of the gap ends lower. With few items refining gains nothing, and its unfinished climbs bias the gradient. Where bidders'
        values depend on each other, no bidder's can be redrawn alone for an exchange of reports, and the response is `candidates`."""
        items = problem.get("items")
        found = merge(cls.defaults, cls.many_items) if isinstance(items, int) and items > 3 else cls.defaults
        return merge(found, cls.tied_bidders) if ties_bidders(problem) else found

    @classmethod
    def completed(cls, defaults: dict[str, Any], problem: Mapping[str, Any]) -> dict[str, Any]:
        """Where some bidders are boundedly rational, where people prefer some decisions to others, and where any of several priors may be
        true, the response that the rule wants stands inside `bounded`, that inside `preferred`, and that inside `robust`."""
        prior, response = problem.get("prior"), defaults["training"]["response"]
        if problem.get("population") is not None:
            response = {"kind": "bounded", "inner": response}
        if problem.get("preference") is not None:
            response = {"kind": "preferred", "inner": response}
        if isinstance(prior, Mapping) and prior.get("kind") == "any_of":
            response = {"kind": "robust", "inner": response}
        return {**defaults, "training": {**defaults["training"], "response": response}}

    bidders: int = Field(ge=1, description="N, how many bid")
    items: int = Field(ge=1, description="M, how many are for sale, one of each")
    valuation: Literal["additive", "unit_demand", "combinatorial"] = Field(
        "additive", description="what a bundle is worth: the sum of its items, its best item, or v₁ + v₂ + C for the pair")
    prior: OneOf[PriorModel] = Field(description="of each bidder's values for the items")
    synergy: OneOf[PriorModel] | None = Field(None, description="of C, combinatorial only; null: uniform on [-1, 1]")
    objective: Objective = Field("revenue", description="a name, or weights by name")
    outside_value: Numbers = Field(0.0, description="of an item that stays unsold, to the designer: one for all, or [M]")  # type: ignore
    budgets: OneOf[PriorModel] | None = Field(None, description="of what each bidder can pay, private to it; null: nobody has a budget. "
                                                            "Served by the rules `regretnet` and `citransnet`")
    overspent: float = Field(10.0, gt=0, description="what a unit beyond one's budget costs while a rule is trained; judged, it is ruin")
    contexts: OneOf[ContextModel] | None = Field(None, description="what is publicly seen of bidders and items; null: nothing")
    constraints: list[OneOf[Constraint]] = Field([], description="what rules have to keep besides")
    population: Population | None = Field(None, description="boundedly rational bidders among the others; null: all are rational")
    preference: Preference | None = Field(None, description="what people like, known from examples alone; null: nobody was asked")

    @model_validator(mode="before")
    @classmethod
    def _default_synergy(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("valuation") == "combinatorial" and data.get("synergy") is None:
            return {**data, "synergy": Uniform(low=-1.0, high=1.0)}
        return data

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> Auction:
        combinatorial = self.valuation == "combinatorial"
        if combinatorial and self.items != 2:
            raise fault((["items"], "should be 2 when valuation is combinatorial", self.items))
        if self.synergy is not None and not combinatorial:
            raise fault((["synergy"], f"belongs to valuation: combinatorial, not {self.valuation}", self.synergy.kind_name()))
        if self.outside_value.shape not in {(), (1,), (self.items,)}:
            raise fault((["outside_value"], f"has shape {list(self.outside_value.shape)}; it should be a number or [{self.items}] (one per "
                         "item)", self.outside_value))
        check_agents(self.objective, self.bidders)
        check_constraints(self.constraints, self.bidders)
        for place, constraint in enumerate(self.constraints):
            if combinatorial and isinstance(constraint, TotalVariation) and constraint.by == "construction":
                raise fault((["constraints", place, "by"], "should be penalty where bundles are allocated, and not items", "construction"))
        if self.contexts is not None and combinatorial:
            raise fault((["contexts"], "belong to additive or unit-demand bidders, not to combinatorial ones", self.contexts.kind_name()))
        for name in ("synergy", "budgets"):
            if isinstance(getattr(self, name), AnyOf):
                raise fault(([name, "kind"], "should be one prior; only problem.prior can be any of several", "any_of"))
        if self.preference is not None:
            with under("preference"):
                if isinstance(self.preference.labels, Labelled) and self.preference.shown != "allocation":
                    raise fault((["shown"], "should be allocation where people have labelled those", self.preference.shown))
                with under("labels"):
                    self.preference.labels.check(self.bidders, self.items, folder_of(info))
        if self.contexts is not None and isinstance(self.prior, AnyOf):
            raise fault((["contexts"], "tell what the prior is, and here it is any of several; leave one of them out", None))
        if self.contexts is not None:
            self.contexts.check(self.prior, self.bidders, self.items, folder_of(info))
        else:
            with under("prior"):
                self.prior.check(self.bidders, self.items, folder_of(info))
        if self.synergy is not None:
            with under("synergy"):
                self.synergy.check(self.bidders, 1, folder_of(info))
        if self.budgets is not None:
            with under("budgets"):
                self.budgets.check(self.bidders, 1, folder_of(info))
        return self

    def listed(self) -> tuple[int, int]:
        """Of how many bidders and items the prior's numbers are: with discrete contexts of the kinds of them."""
        return (self.contexts.bidders, self.contexts.items) if isinstance(self.contexts, Discrete) else (self.bidders, self.items)

    def demands(self) -> tuple[str, ...]:
        """Budgets: a rule that knows nothing of them charges more than bidders have. Even lots, where construction has to keep them."""
        even = any(isinstance(each, TotalVariation) and each.by == "construction" for each in self.constraints)
        return (*(() if self.budgets is None else ("budgets",)), *(("even lots",) if even else ()))

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: rows of reports (the truth, and each bidder's deviations tried) through the networks, three
        times for the forward pass, its residuals and the gradients; the menus of exchanged reports; parameters with Adam's two
        moments and a gradient; and the remembered misreports of the published ascent."""
        response, hidden = training.response.innermost(), list(getattr(rule, "hidden", [100, 100]))
        inputs, outputs = self.bidders * (self.items + 1), 2 * (self.bidders + 1) * (self.items + 1)
        reports: int = getattr(response, "reports", 0) or 0
        exchanged = reports + (getattr(response, "anywhere", 0) or 0)
        tried: int = getattr(response, "count", 1) or 1
        rows = training.batch * exchanged // reports if reports else training.batch * (1 + self.bidders * tried)
        if self.population is not None:  # every report of every bidder, once to choose by and once to be judged
            rows += 2 * self.bidders * (1 + self.population.reports) * getattr(training.response, "profiles", training.batch)
        if self.preference is not None:  # the rule's own decisions, scored
            rows += getattr(training.response, "profiles", training.batch)
        menu = training.batch * self.bidders * exchanged
        layers = [inputs, *hidden, outputs]
        parameters = 2 * sum(a * b for a, b in pairwise(layers))
        pool = (getattr(response, "pool", None) or 0) * training.batch * inputs
        return 4 * (4 * menu + 3 * rows * (inputs + outputs + 2 * sum(hidden)) + 4 * parameters * training.members + pool)


def ties_bidders(problem: Mapping[str, Any]) -> bool:
    """Whether a prior or a synergy, not yet checked, ties bidders to each other; False where it is wrong, which is said later."""
    bidders, tied = problem.get("bidders"), False
    for prior, items in ((problem.get("prior"), problem.get("items")), (problem.get("synergy"), 1), (problem.get("budgets"), 1)):
        if isinstance(prior, Mapping) and isinstance(bidders, int) and isinstance(items, int) and min(bidders, items) > 0:
            chosen = kinds(PriorModel).get(str(prior.get("kind")))
            with suppress(ValidationError):
                read = None if chosen is None else chosen.model_validate(dict(prior))
                # Of several priors one is true, and whoever trains for the worst of them plays one at a time.
                laws = read.parts if isinstance(read, AnyOf) else [read]
                tied |= any(law is not None and law.ties_agents(bidders, items, Path()) for law in laws)
    return tied
