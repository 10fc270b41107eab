"""Models of the parts of a problem file that belong to the core: training, responses, multipliers, evaluation. No jax here."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from icsap_jax.config import Kind, Model, OneOf


class Response(Kind):
    """How the deviations of the agents are searched for during training."""

    def trusts(self) -> bool:
        """Whether it takes for granted that nobody gains by lying, and so is for rules of which that is true by construction alone."""
        return False

    def innermost(self) -> Response:
        """What searches for deviations: itself, unless it leaves that to another that stands inside."""
        return self


class Exchange(Response):
    """Reports serve as each other's misreports: every agent draws `reports` types against the same others, and each type may
    pretend to be any other or any of `anywhere` reports from the whole box; the best are then refined by `steps` gradient steps.
    Global, no cache, fresh profiles every step."""

    kind: Literal["exchange"] = "exchange"
    builder: ClassVar[str] = "icsap_jax.bilevel.responses:exchange"
    reports: int = Field(64, ge=2, description="types drawn for each agent against the same others")
    anywhere: int = Field(32, ge=0, description="further misreports from the whole box; 0 suits priors that fill it evenly")
    steps: int = Field(0, ge=0, description="gradient steps from the best report")
    step_size: float = Field(0.1, gt=0, description="of those steps, in units of the support's width")


class Ascent(Response):
    """The published search (Dütting et al. 2019): per profile, Adam ascent on the misreport from where it last stopped."""

    kind: Literal["ascent"] = "ascent"
    builder: ClassVar[str] = "icsap_jax.bilevel.responses:ascent"
    steps: int = Field(25, ge=1, description="Adam steps on the misreports in each training step")
    step_size: float = Field(0.1, gt=0, description="Adam step size, in the units of the types")
    pool: int | None = Field(5000, ge=1, description="batches whose misreports are remembered; null: fresh profiles, random starts")


class Candidates(Response):
    """Score random reports and scaled-down truths forward only, keep the best, refine it by gradient steps. With `steps: 0` misreports are
    sampled and nothing else: the sample-based regret that Dütting et al. 2019 set beside ascent, drawn anew in every step."""

    kind: Literal["candidates"] = "candidates"
    builder: ClassVar[str] = "icsap_jax.bilevel.responses:candidates"
    count: int = Field(16, ge=1, description="candidates scored for each agent and profile")
    steps: int = Field(5, ge=0, description="gradient steps from the best candidate")
    step_size: float = Field(0.1, gt=0, description="of those steps, in units of the support's width")


class Amortised(Response):
    """A learned misreporter (Rahme, Jelassi & Weinberg 2021): one network for all profiles and agents, which takes some steps of its own
    in each step of the rule and supplies one deviation for each of them. Cheap, and blind to what it has not learned."""

    kind: Literal["amortised"] = "amortised"
    builder: ClassVar[str] = "icsap_jax.bilevel.amortised:amortised"
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "amortised", "hidden": [8]}]
    hidden: list[Annotated[int, Field(ge=1)]] = Field([100, 100], description="width of each hidden layer of the misreporter")
    steps: int = Field(5, ge=1, description="Adam steps of the misreporter in each training step")
    step_size: float = Field(1e-3, gt=0, description="Adam's, of the misreporter")


class Enumerate(Response):
    """Every action of a finite problem is tried."""

    kind: Literal["enumerate"] = "enumerate"
    builder: ClassVar[str] = "icsap_jax.bilevel.responses:enumerate_actions"


class EveryReport(Response):
    """Agents report one of finitely many types: of some profiles every report of one agent of each kind, drawn at random, is decided. Each
    is at once a profile, weighed by how likely it is given the others', and a misreport for every other type: the gap is exact over that
    agent's types, and costs no more than the objective does. `batch` counts the reports."""

    kind: Literal["every_report"] = "every_report"
    builder: ClassVar[str] = "icsap_jax.bilevel.reports:every_report"


class Cooling(Response):
    """A response with a temperature that falls geometrically while a rule is trained (`equilibrium.annealed`)."""

    temperature: float = Field(1.0, gt=0, description="at the start")
    temperature_end: float = Field(0.02, gt=0, description="at the end")
    share: float = Field(0.8, gt=0, le=1, description="of training over which it falls")
    spread: float = Field(1.0, gt=0, le=1, description="the first temperature of a rule's last start, as a share of its first start's")


class Truthful(Cooling):
    """Nothing is searched: for rules under which nobody gains by lying, whatever the parameters. Where such a rule picks from a list,
    it picks by softmax at a temperature that falls geometrically while it is trained; in use it picks the best."""

    kind: Literal["truthful"] = "truthful"
    builder: ClassVar[str] = "icsap_jax.bilevel.truthful:truthful"
    temperature: float = Field(0.1, gt=0, description="at the start, in the problem's own unit of payoffs: in an auction the mean value "
                                                      "of an item")
    temperature_end: float = Field(0.002, gt=0, description="at the end")

    def trusts(self) -> bool:
        """Always."""
        return True


class Compatible(Truthful):
    """As `truthful`, for rules such as `gemnet`, under which each agent is served by itself, so that together they may be promised an item
    twice: what is given twice has a price, as the agents' gaps have."""

    kind: Literal["compatible"] = "compatible"
    builder: ClassVar[str] = "icsap_jax.bilevel.compatible:compatible"


class Logit(Cooling):
    """Agents whose reaction the objective depends on: softmax(utility / temperature) over finitely many actions, the temperature
    falling geometrically over training. What is reported is the exact best response."""

    kind: Literal["logit"] = "logit"
    builder: ClassVar[str] = "icsap_jax.bilevel.replies:logit"
    temperature: float = Field(1.0, gt=0, description="at the start, in the agent's payoffs, or in the problem's own unit of them")
    temperature_end: float = Field(0.01, gt=0, description="at the end")


class Stationary(Response):
    """Agents whose reaction the objective depends on and who choose a number: it solves their first-order condition, by Newton's
    method, and is differentiated by the implicit function theorem. What is reported is checked by the strong search."""

    kind: Literal["stationary"] = "stationary"
    builder: ClassVar[str] = "icsap_jax.bilevel.stationary:stationary"
    newton_steps: int = Field(40, ge=1, description="at most")
    closed_form: bool = Field(False, description="use the problem's own formula for what the agent does, where it has one")


class Equilibrium(Cooling):
    """Agents who come to rest with each other: the smoothed equilibrium of a game, a market, a population, found by Newton's method from
    the last step's and differentiated by the implicit function theorem, its temperature falling geometrically over training. What is
    reported is the exact equilibrium, with the exact gain of whoever would leave it."""

    kind: Literal["equilibrium"] = "equilibrium"
    builder: ClassVar[str] = "icsap_jax.bilevel.equilibrium:equilibrium"
    temperature: float = Field(1.0, gt=0, description="at the start, in the agents' payoffs of one period")
    temperature_end: float = Field(0.02, gt=0, description="at the end")
    newton_steps: int = Field(30, ge=1, description="at most, in each step of training")


class Learning(Response):
    """Agents who learn: so many steps of their own, from even play, through all of which the objective is differentiated."""

    kind: Literal["learning"] = "learning"
    builder: ClassVar[str] = "icsap_jax.bilevel.equilibrium:learning"
    rounds: int = Field(50, ge=1, description="of the agents' learning, before the objective is scored")
    step_size: float = Field(1.0, gt=0, description="of each of them")


class Robust(Response):
    """For the worst of several scenarios, such as the parts of a prior of kind `any_of`: all are played in every step, and weighed by
    nature, who leans to where the rule is worth least; `inner` finds deviations in each."""

    kind: Literal["robust"] = "robust"
    builder: ClassVar[str] = "icsap_jax.bilevel.robust:robust"
    examples: ClassVar[list[dict[str, Any]]] = [{"inner": {"kind": "candidates", "count": 4, "steps": 1}}]
    inner: OneOf[Response] = Field(default_factory=Candidates, description="how deviations are searched for in each scenario")
    temperature: float = Field(0.003, gt=0, description="of nature's choice, in the problem's own unit of payoffs, in an auction the mean "
                                                        "value of an item: a scenario worth this much more than the worst weighs 1/e of it")
    forget: float = Field(0.01, gt=0, le=1, description="share by which a step's values replace those remembered")

    def trusts(self) -> bool:
        """As what stands inside."""
        return self.inner.trusts()

    def innermost(self) -> Response:
        """As what stands inside."""
        return self.inner.innermost()


class Bounded(Response):
    """For agents some of whom are boundedly rational, as `problem.population` tells: the objective under what they report, its slope
    through the chances of their choices; the gap of the others is found by `inner`."""

    kind: Literal["bounded"] = "bounded"
    builder: ClassVar[str] = "icsap_jax.bilevel.bounded:bounded"
    examples: ClassVar[list[dict[str, Any]]] = [{"inner": {"kind": "candidates", "count": 4, "steps": 1}, "profiles": 8}]
    inner: OneOf[Response] = Field(default_factory=Candidates, description="how deviations are searched for")
    profiles: int = Field(256, ge=1, description="on which the objective is measured in each step")

    @field_validator("inner")
    @classmethod
    def _one_world(cls, inner: Response) -> Response:
        if isinstance(inner, Robust):
            raise PydanticCustomError("nesting", "should not be robust; write robust outside, with bounded as its inner")
        if isinstance(inner, Preferred):
            raise PydanticCustomError("nesting", "should not be preferred; write preferred outside, with bounded as its inner")
        return inner

    def trusts(self) -> bool:
        """As what stands inside."""
        return self.inner.trusts()

    def innermost(self) -> Response:
        """As what stands inside."""
        return self.inner.innermost()


class Preferred(Response):
    """For what people like of a rule's decisions, known from examples, as `problem.preference` tells: a network learns it while the rule is
    trained, from the rule's own decisions among others, and its score is part of the objective. Gaps are found by `inner`."""

    kind: Literal["preferred"] = "preferred"
    builder: ClassVar[str] = "icsap_jax.bilevel.preferred:preferred"
    examples: ClassVar[list[dict[str, Any]]] = [
        {"inner": {"kind": "candidates", "count": 4, "steps": 1}, "profiles": 8, "hidden": [8]}]
    inner: OneOf[Response] = Field(default_factory=Candidates, description="how deviations are searched for")
    hidden: list[Annotated[int, Field(ge=1)]] = Field([100, 100], description="width of each hidden layer of the preference network")
    updates: int = Field(1, ge=1, description="Adam steps of the network in each training step")
    step_size: float = Field(1e-3, gt=0, description="Adam's, of the network")
    profiles: int = Field(256, ge=1, description="on which the rule is scored in each step; as many decisions of each kind are learned")

    @field_validator("inner")
    @classmethod
    def _one_world(cls, inner: Response) -> Response:
        if isinstance(inner, Robust):
            raise PydanticCustomError("nesting", "should not be robust; write robust outside, with preferred as its inner")
        if isinstance(inner, Preferred):
            raise PydanticCustomError("nesting", "should not be preferred once more; write what searches for deviations")
        return inner

    def trusts(self) -> bool:
        """As what stands inside."""
        return self.inner.trusts()

    def innermost(self) -> Response:
        """As what stands inside."""
        return self.inner.innermost()


class Lagrangian(Kind):
    """How incentive gaps are priced in the training loss, and by `dual_penalty` and `dual_rate` constraints on averages."""

    dual_penalty: float = Field(10.0, gt=0, description="ρ of constraints on averages, whose multipliers are prices")
    dual_rate: float = Field(0.01, gt=0, le=1, description="share of ρ·average by which those move in a step")


class Augmented(Lagrangian):
    """λ·gap + ρ/2·gap², λ ← λ + ρ·gap (Dütting et al. 2019, section 4). ρ grows geometrically over the *fraction* of training
    done, from `penalty` to `penalty_end`, or by `penalty_increment` every `penalty_every` steps as published."""

    kind: Literal["augmented"] = "augmented"
    builder: ClassVar[str] = "icsap_jax.bilevel.lagrangian:augmented"
    multiplier: float = Field(5.0, ge=0, description="λ at the start, one for each agent")
    multiplier_every: int = Field(100, ge=1, description="steps between updates of λ")
    penalty: float = Field(1.0, gt=0, description="ρ at the start")
    penalty_end: float | None = Field(None, gt=0, description="ρ at the end; null: the published stepwise growth")
    penalty_increment: float = Field(1.0, ge=0, description="added to ρ every penalty_every steps (published growth)")
    penalty_every: int = Field(10000, ge=1, description="steps between those additions")


class Budget(Lagrangian):
    """A multiplier steered so that the gap meets a budget (Ivanov et al. 2022, section 4): no penalty to set by hand."""

    kind: Literal["budget"] = "budget"
    builder: ClassVar[str] = "icsap_jax.bilevel.lagrangian:budget"
    target: float = Field(1e-3, gt=0, description="gap wanted at the end, as a share of the objective")
    target_start: float = Field(1e-2, gt=0, description="gap allowed at the start; it shrinks geometrically over training")
    multiplier: float = Field(1.0, gt=0, description="multiplier at the start")
    rate: float = Field(0.01, gt=0, description="how fast the multiplier's logarithm follows the gap's distance to the budget")


class Annealed(Lagrangian):
    """λ·gap with λ rising geometrically from `multiplier` to `multiplier_end` over the first `share` of training, then constant.

    What to end with follows from the gap wanted: a designer who pays for a gap R gives up about (√P − √R)² of an objective P, so
    that the two balance where λ ≈ √(P/R). For a gap of 0.0003 on an objective of 0.55 that is 43."""

    kind: Literal["annealed"] = "annealed"
    builder: ClassVar[str] = "icsap_jax.bilevel.lagrangian:annealed"
    multiplier: float = Field(5.0, gt=0, description="λ at the start, for each agent")
    multiplier_end: float = Field(50.0, gt=0, description="λ at the end")
    share: float = Field(0.8, gt=0, le=1, description="of training over which λ rises; the rest settles at its end")


class ALGnet(Lagrangian):
    """−(√P − √R) + R, R the gaps added up (Rahme, Jelassi & Weinberg 2021): nothing to set. Its square, (√P − √R)², is what a rule
    without a gap could gain; that is proved for one agent, or for the Bayesian gap of several."""

    kind: Literal["algnet"] = "algnet"
    builder: ClassVar[str] = "icsap_jax.bilevel.lagrangian:root_difference"


class Training(Model):
    """The outer loop."""

    steps: int = Field(20000, ge=0, description="gradient steps on the rule")
    batch: int = Field(128, ge=1, description="profiles drawn each step")
    members: int = Field(1, ge=1, description="independent runs, seeds fold_in(seed, 0…), trained together")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's, at its peak")
    decay: Literal["constant", "cosine"] = Field("constant", description="of the learning rate over training")
    warmup: float = Field(0.0, ge=0, le=1, description="share of training over which the learning rate rises from 0")
    clip: float | None = Field(None, gt=0, description="global gradient norm above which updates are scaled down")
    chunk: int = Field(500, ge=1, description="steps between metrics lines; one compiled scan")
    checkpoint_every: float = Field(30.0, ge=0, description="seconds between checkpoints")
    response: OneOf[Response] = Field(default_factory=Candidates, description="how profitable deviations are searched for")
    lagrangian: OneOf[Lagrangian] = Field(default_factory=Augmented, description="what an incentive gap costs")


class Evaluation(Model):
    """The strong search, in float64 on fresh profiles."""

    seed: int = Field(1_000_003, ge=0, description="of the evaluation profiles, never used in training")
    profiles: int = Field(100_000, ge=1, description="profiles for the objective")
    gap_profiles: int = Field(1_000, ge=1, description="profiles on which deviations are searched")
    starts: int = Field(16, ge=1, description="best grid points refined by ascent, for each agent and profile")
    steps: int = Field(100, ge=0, description="ascent steps of the refinement")
    joint_grid: int | None = Field(None, ge=2, description="reports per item in the joint grid; null: 201 for one agent and ≤ 2 items")
    item_grid: int = Field(101, ge=2, description="reports per item, one item at a time")
