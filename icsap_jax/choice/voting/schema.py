"""What a problem file may say about votes, and the rules that count them; no jax."""

from __future__ import annotations

from collections.abc import Mapping
from math import factorial
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Constraint, Numbers, Objective, OneOf, Problem, RuleModel, fault
from icsap_jax.config.constraints import check_constraints
from icsap_jax.config.known_objectives import check_agents

MOST_ALTERNATIVES = 5  # every order of them is a vote that may be cast: 120
ENUMERATED = 50_000  # profiles of orders, beyond which they are sampled
COMPARED = 30_000_000  # numbers in all the ballots of all deviations of all profiles, beyond which they are sampled
COUNTED: dict[str, Any] = {"training": {"steps": 0}}  # nothing is learned


class Voting(Problem):
    """N voters and M alternatives. A voter orders them strictly, and gets what its `utilities` say for the rank of the one that is chosen;
    it may cast any of the M! orders. A rule gives every alternative a probability. There is no money.

    Where there are few profiles of orders all are gone through, each with its probability; else they are sampled."""

    kind: Literal["voting"] = "voting"
    builder: ClassVar[Any] = "icsap_jax.choice.voting.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.choice.voting.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.choice.voting.baselines:baselines"
    details: ClassVar[Any] = "icsap_jax.choice.voting.told:details"
    pictures: ClassVar[Any] = "icsap_jax.choice.voting.pictures:draw"
    table: ClassVar[Any] = "icsap_jax.choice.voting.table:Table"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.voters", "problem.alternatives", "training.batch")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "votingnet"},
        "training": {"steps": 3000, "batch": 256, "learning_rate": 5e-3, "decay": "cosine", "response": {"kind": "enumerate"},
                     "lagrangian": {"kind": "annealed", "multiplier": 1.0, "multiplier_end": 30.0}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "voting", "voters": 3, "alternatives": 3},
        {"kind": "voting", "voters": 2, "alternatives": 3, "objective": "maximin", "utilities": [1, 0.8, 0],
         "probabilities": [0.3, 0.1, 0.2, 0.1, 0.2, 0.1], "constraints": [{"kind": "at_least", "objective": "welfare", "value": 1.0}]},
    ]

    voters: int = Field(ge=1, description="N, how many vote")
    alternatives: int = Field(ge=2, description="M, among how many")
    utilities: Numbers | None = Field(None, description="[M], falling: what a voter gets from its first choice, its second, …; null: "
                                                        "evenly from 1 to 0")
    probabilities: Numbers | None = Field(
        None, description="of the M! orders, listed as permutations of the alternatives are in a dictionary: [M!], drawn alone for each "
                          "voter; [N, M!], one law for each; or [M!, …, M!], of all voters' orders together; null: all are as likely")
    objective: Objective = Field("welfare", description="a name, or weights by name, of expected utilities")
    constraints: list[OneOf[Constraint]] = Field([], description="what rules have to keep besides")

    @model_validator(mode="after")
    def _fits(self) -> Voting:
        if self.alternatives > MOST_ALTERNATIVES:
            raise fault((["alternatives"], f"should be at most {MOST_ALTERNATIVES}: every order of them is a vote that may be cast, and of "
                         f"{self.alternatives} there are {factorial(self.alternatives):,}", self.alternatives))
        self._check_utilities()
        if self.probabilities is not None:
            self._check_probabilities(self.probabilities)
        check_agents(self.objective, self.voters)
        check_constraints(self.constraints, self.voters)
        return self

    def _check_utilities(self) -> None:
        count = self.alternatives
        if self.utilities is None:
            return
        if self.utilities.shape != (count,):
            raise fault((["utilities"], f"has shape {list(self.utilities.shape)}; it should be [{count}], one for each rank", None))
        if (np.diff(self.utilities.values) > 0).any() or np.ptp(self.utilities.values) == 0:
            raise fault((["utilities"], "should fall from the first choice to the last", self.utilities))

    def _check_probabilities(self, given: Numbers) -> None:
        orders = self.orders
        shapes = {(orders,): "for each voter", (self.voters, orders): "for each voter", (orders,) * self.voters: "of everything"}
        if given.shape not in shapes:
            raise fault((["probabilities"], f"has shape {list(given.shape)}; it should be [{orders}], one for each order, "
                         f"[{self.voters}, {orders}], or [{', '.join([str(orders)] * self.voters)}]", None))
        total = given.values.sum(-1) if given.shape == (self.voters, orders) else given.values.sum()
        if (given.values < 0).any() or not np.allclose(total, 1.0, rtol=0, atol=1e-6):
            raise fault((["probabilities"], "should be numbers ≥ 0 that sum to 1", None))
        if self.joint is not None and not self.enumerated:
            raise fault((["probabilities"], "should be a law for each voter: there are too many profiles to go through all of them", None))

    @property
    def orders(self) -> int:
        """M!, how many votes there are to be cast."""
        return factorial(self.alternatives)

    @property
    def enumerated(self) -> bool:
        """Whether all profiles are gone through."""
        profiles = self.orders**self.voters
        return profiles <= ENUMERATED and profiles * (self.voters * self.orders) ** 2 <= COMPARED

    @property
    def ladder(self) -> np.ndarray:
        """What each rank is worth, [M]."""
        return np.linspace(1.0, 0.0, self.alternatives) if self.utilities is None else np.asarray(self.utilities, np.float64)

    @property
    def joint(self) -> np.ndarray | None:
        """The probability of each profile, [M!, …, M!], where it is given so."""
        given = self.probabilities
        if given is None or given.shape in ((self.orders,), (self.voters, self.orders)):
            return None
        return given.values / given.values.sum()

    @property
    def laws(self) -> np.ndarray:
        """Each voter's probability of each order, [N, M!]; of profiles given together their marginals."""
        if self.probabilities is None:
            return np.full((self.voters, self.orders), 1.0 / self.orders)
        if self.joint is not None:
            axes = range(self.voters)
            return np.stack([self.joint.sum(tuple(axis for axis in axes if axis != voter)) for voter in axes])
        given = self.probabilities.values / self.probabilities.values.sum(-1, keepdims=True)
        return np.broadcast_to(given, (self.voters, self.orders))

    @property
    def alike(self) -> bool:
        """Whether voters may change places: their orders are drawn alone, by one law."""
        return self.joint is None and bool(np.ptp(self.laws, axis=0).max() == 0)

    @property
    def impartial(self) -> bool:
        """Whether alternatives may change places too."""
        return self.alike and bool(np.ptp(self.laws) == 0)

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: every vote that anybody may cast instead, on every profile."""
        profiles = self.orders**self.voters if self.enumerated else training.batch
        wide = max([self.alternatives, *getattr(rule, "hidden", [])]) * (1 if self.enumerated else self.orders)
        return 4 * 3 * profiles * self.voters * self.orders * (self.voters * self.orders + wide) * training.members


class Counted(RuleModel):
    """A rule that counts votes as it always has."""

    problems: ClassVar[tuple[str, ...]] = ("voting",)

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing is learned."""
        return COUNTED


class Plurality(Counted):
    """Whoever is first for most voters; of several the first by the alphabet."""

    kind: Literal["plurality"] = "plurality"
    builder: ClassVar[Any] = "icsap_jax.choice.voting.rules:plurality"


class Borda(Counted):
    """Whoever has most points, M − 1 for being first, M − 2 for being second, …; of several the first by the alphabet (Borda 1784)."""

    kind: Literal["borda"] = "borda"
    builder: ClassVar[Any] = "icsap_jax.choice.voting.rules:borda"


class Positional(Counted):
    """Whoever has most points, given by `scores` for being first, second, …; of several the first by the alphabet. Where no scores are
    given they are learned, with a lottery: the softmax of points."""

    kind: Literal["positional"] = "positional"
    builder: ClassVar[Any] = "icsap_jax.choice.voting.rules:positional"
    examples: ClassVar[list[dict[str, Any]]] = [{}, {"scores": [2.0, 1.0, 0.0]}]

    scores: list[float] | None = Field(None, description="[M], for each rank; null: learned")

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """There may be something to learn."""
        return {"training": {"steps": 1000, "learning_rate": 0.02}}

    def unfit(self, problem: Problem) -> str | None:
        """A score for each rank."""
        wanted: int = problem.alternatives  # type: ignore[attr-defined]
        if self.scores is None or len(self.scores) == wanted:
            return None
        return f"has {len(self.scores)} scores, and there should be one for each rank, {wanted}"


class Copeland(Counted):
    """Whoever wins most majorities against one other, a tie counting half, so that who beats everybody is chosen (Condorcet 1785; Copeland
    1951); of several the first by the alphabet."""

    kind: Literal["copeland"] = "copeland"
    builder: ClassVar[Any] = "icsap_jax.choice.voting.rules:copeland"


class StrategyproofVote(Counted):
    """A rule under which nobody gains by casting another order than its own, whatever its utilities."""

    strategyproof: ClassVar[bool] = True
    trained_by: ClassVar[str] = "enumerate"
    statements: ClassVar[tuple[str, ...]] = ("strategyproof by construction",)


class Dictator(StrategyproofVote):
    """What one voter has first."""

    kind: Literal["dictator"] = "dictator"
    builder: ClassVar[Any] = "icsap_jax.choice.voting.rules:dictator"

    voter: int = Field(0, ge=0, description="who, counted from 0")

    def unfit(self, problem: Problem) -> str | None:
        """A voter that there is."""
        there: int = problem.voters  # type: ignore[attr-defined]
        if self.voter < there:
            return None
        return f"names voter {self.voter}; voters are counted from 0 and the last is {there - 1}"


class RandomDictator(StrategyproofVote):
    """What a voter drawn by lot has first (Gibbard 1977)."""

    kind: Literal["random_dictator"] = "random_dictator"
    builder: ClassVar[Any] = "icsap_jax.choice.voting.rules:random_dictator"


class PointVoting(StrategyproofVote):
    """Each alternative with a probability in proportion to its points, which fall with its rank and are learned (Barberà 1979). A voter's
    order moves its own share of the probability alone, and its truth orders that best: so nobody gains by another."""

    kind: Literal["point_voting"] = "point_voting"
    builder: ClassVar[Any] = "icsap_jax.choice.voting.rules:point_voting"

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """A few numbers."""
        return {"training": {"steps": 1000, "learning_rate": 0.02}}


class VotingNet(RuleModel):
    """A network gives a lottery over alternatives, and lies that pay have a price while it is trained. It sees how often each order was
    cast, so that it treats voters alike, and its answers are averaged over all ways to rename alternatives, so that it treats those alike:
    what is lost by that is nothing where the orders are drawn so."""

    kind: Literal["votingnet"] = "votingnet"
    builder: ClassVar[Any] = "icsap_jax.choice.voting.network:votingnet"
    problems: ClassVar[tuple[str, ...]] = ("voting",)
    statements: ClassVar[tuple[str, ...]] = ("a lottery by construction",)
    examples: ClassVar[list[dict[str, Any]]] = [{"hidden": [8]}]

    hidden: list[int] = Field([64, 64], description="width of each hidden layer")
    anonymous: bool | None = Field(None, description="whether it treats voters alike; null: where one law draws all their orders")
    neutral: bool | None = Field(None, description="whether it treats alternatives alike; null: where all orders are as likely")
