"""What a problem file may say about mechanisms over a Markov game whose agents report their rewards; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Numbers, Objective, Problem, RuleModel, fault
from icsap_jax.games.tables import Tables, faults, tables

MOST_PROFILES = 4096  # of types; all of them are enumerated


class MarkovMechanism(Problem):
    """Agents in a Markov game each know their own rewards, of which a number, their type, is private: rewards + type · scaled. They report
    it; the mechanism runs the joint policy of the largest total value for what was reported, and charges payments. The policy is given,
    the payments are the rule: Clarke's (each pays what its report costs the others: Vickrey 1961, Clarke 1971, Groves 1973) or learned.
    Nobody may be left with less than its reservation, and the mechanism may not pay out more than it takes."""

    kind: Literal["markov_mechanism"] = "markov_mechanism"
    builder: ClassVar[Any] = "icsap_jax.games.mechanism.problem:build"
    judge: ClassVar[Any] = "icsap_jax.games.mechanism.problem:judge"
    check: ClassVar[Any] = "icsap_jax.games.mechanism.optimum:check"
    optimum: ClassVar[Any] = "icsap_jax.games.mechanism.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.games.mechanism.optimum:baselines"
    details: ClassVar[Any] = "icsap_jax.games.mechanism.problem:details"
    listing: ClassVar[Any] = "icsap_jax.games.mechanism.problem:listing"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.types", "problem.rewards")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "payment_table"},
        "training": {"steps": 4000, "batch": 1, "learning_rate": 0.02, "decay": "cosine", "response": {"kind": "enumerate"},
                     "lagrangian": {"kind": "annealed", "multiplier": 10.0, "multiplier_end": 40.0, "share": 0.5}},
        "evaluation": {},
    }  # fmt: skip
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "markov_mechanism", "rewards": [[[[1, 1], [1, 0]]], [[[1, 1], [1, 0]]]],
         "scaled": [[[[0, 0], [1, 1]]], [[[0, 1], [0, 1]]]], "types": [0.5, 2.0]},
    ]

    rewards: Numbers = Field(description="of each agent whatever its type, [agents, states, A1, …, AN]")
    scaled: Numbers | None = Field(
        None, description="what is added to them for each unit of the agent's type; left out: types multiply the rewards")
    transitions: Numbers | None = Field(None, description="[states, A1, …, AN, states]; left out: a state stays for ever")
    start: Numbers | None = Field(None, description="probability of each state at the start; left out: the first state")
    discount: float = Field(0.0, ge=0, lt=1, description="of the next period, below 1; 0: there is one period only")
    types: Numbers = Field(description="the types an agent may have: [types], or [agents, types]")
    prior: Numbers | None = Field(None, description="their probabilities, of the same shape; agents are independent; null: all alike")
    reservation: float = Field(0.0, description="what each agent gets where it takes no part")
    objective: Objective = Field(
        default_factory=lambda: {"welfare": 1.0, "revenue": -1.0},
        description="a name, or weights by name; left out: welfare less the money that agents do not get back")
    agents: list[str] | None = Field(None, description="their names")
    states: list[str] | None = Field(None, description="their names")
    actions: list[str] | None = Field(None, description="their names, for all agents")

    def tables(self) -> Tables:
        """The game as float64 arrays. Raises a fault where they do not fit each other."""
        shape = self.rewards.shape
        if len(shape) < 3 or len(shape) != 2 + shape[0]:
            raise fault((["rewards"], f"has shape {list(shape)}; with {shape[0] if shape else 0} agents it should have an axis for the "
                                      "agents, one for the states and then one for the actions of each agent", None))
        count, places, sizes = shape[0], shape[1], shape[2:]
        for key, wanted in (("transitions", (places, *sizes, places)), ("start", (places,)), ("scaled", shape)):
            given = getattr(self, key)
            if given is not None and given.shape != wanted:
                text = f"has shape {list(given.shape)}; with rewards of shape {list(shape)} it should be {list(wanted)}"
                raise fault(([key], text, None))
        for key, length in (("agents", count), ("states", places), ("actions", max(sizes))):
            names = getattr(self, key)
            if names is not None and (len(names) != length or len(set(names)) != length):
                raise fault(([key], f"should be {length} different names", names))
        return tables(
            self.rewards.values, None if self.transitions is None else self.transitions.values,
            None if self.start is None else self.start.values, self.discount,
            agents=None if self.agents is None else tuple(self.agents), states=None if self.states is None else tuple(self.states),
            actions=None if self.actions is None else tuple(tuple(self.actions[:size]) for size in sizes),
        )  # fmt: skip

    def parts(self) -> np.ndarray:
        """An agent's rewards whatever its type, and what is added for each unit of it, [2, N, S, A1, …, AN]."""
        rewards = self.rewards.values
        return np.stack([np.zeros_like(rewards), rewards] if self.scaled is None else [rewards, self.scaled.values])

    def of_each(self, numbers: Numbers | None) -> np.ndarray:
        """Types, or their probabilities, of every agent, [N, T]."""
        count, kinds = self.rewards.shape[0], self.types.shape[-1]
        given = np.full(kinds, 1.0 / kinds) if numbers is None else numbers.values
        return np.broadcast_to(given, (count, kinds))

    @model_validator(mode="after")
    def _fits(self) -> MarkovMechanism:
        wrong = list(faults(self.tables()))
        if wrong:
            raise fault(*((keys, text, None) for keys, text in wrong))
        count, types = self.rewards.shape[0], self.types
        if types.ndim not in (1, 2) or types.shape[:-1] not in ((), (count,)):
            raise fault((["types"], f"has shape {list(types.shape)}; it should be a list, or one for each of {count} agents", None))
        if any(len(set(row)) != len(row) for row in self.of_each(types).tolist()):
            raise fault((["types"], "should be different from each other", types))
        if types.shape[-1] ** count > MOST_PROFILES:
            raise fault((["types"], f"makes {types.shape[-1] ** count:,} profiles of {count} agents; all are enumerated, and at most "
                                    f"{MOST_PROFILES:,} can be", None))
        if self.prior is not None:
            if self.prior.shape != types.shape:
                raise fault((["prior"], f"has shape {list(self.prior.shape)}; it should be {list(types.shape)} like types", None))
            if (self.prior.values < 0).any() or (abs(self.prior.values.sum(-1) - 1.0) > 1e-6).any():  # thirds have seven digits
                raise fault((["prior"], "should be probabilities ≥ 0 that sum to 1", self.prior))
        return self

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: every agent's every misreport at every profile, each a distribution over profiles."""
        count, kinds = self.rewards.shape[0], self.types.shape[-1]
        return 4 * 3 * count * kinds * kinds ** (2 * count) * training.members


class Clarke(RuleModel):
    """Each agent pays what its report costs the others: the most that they could have without it, less what they have. Nothing is
    learned."""

    kind: Literal["clarke"] = "clarke"
    builder: ClassVar[Any] = "icsap_jax.games.mechanism.rules:clarke"
    problems: ClassVar[tuple[str, ...]] = ("markov_mechanism",)
    statements: ClassVar[tuple[str, ...]] = ("truth is a dominant strategy by construction", "no agent is ever paid by construction")
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "clarke"}]


class Groves(RuleModel):
    """Clarke's payments less a rebate to each agent that depends on what the others report alone, so that lying never pays. The rebates are
    learned."""

    kind: Literal["groves"] = "groves"
    builder: ClassVar[Any] = "icsap_jax.games.mechanism.rules:groves"
    optimum: ClassVar[Any] = "icsap_jax.games.mechanism.optimum:groves_optimum"
    problems: ClassVar[tuple[str, ...]] = ("markov_mechanism",)
    statements: ClassVar[tuple[str, ...]] = ("truth is a dominant strategy by construction",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "groves"}]


class PaymentTable(RuleModel):
    """A payment of each agent for each profile of reports, all learned from nothing."""

    kind: Literal["payment_table"] = "payment_table"
    builder: ClassVar[Any] = "icsap_jax.games.mechanism.rules:payment_table"
    problems: ClassVar[tuple[str, ...]] = ("markov_mechanism",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "payment_table"}]


class PaymentNetwork(RuleModel):
    """A network from the reports to everyone's payment."""

    kind: Literal["payment_network"] = "payment_network"
    builder: ClassVar[Any] = "icsap_jax.games.mechanism.rules:payment_network"
    problems: ClassVar[tuple[str, ...]] = ("markov_mechanism",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "payment_network", "hidden": [8]}]

    hidden: list[int] = Field(default_factory=lambda: [32, 32], min_length=1, description="widths of its hidden layers, each ≥ 1")

    @model_validator(mode="after")
    def _fits(self) -> PaymentNetwork:
        if min(self.hidden) < 1:
            raise fault((["hidden"], "should be widths of at least 1", self.hidden))
        return self
