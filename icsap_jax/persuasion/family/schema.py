"""What a problem file may say about a distribution of persuasion games, for one network that answers them all; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from icsap_jax.config import Kind, OneOf, Problem, RuleModel, fault


class GameGenerator(Kind):
    """A distribution of persuasion games. `build()` gives an object like those in persuasion/family/problem.py."""


class Uniform(GameGenerator):
    """Utilities of both are U[0, 1] in every state under every action, and the prior is Dirichlet(1): any as likely as any other."""

    kind: Literal["uniform"] = "uniform"
    builder: ClassVar[Any] = "icsap_jax.persuasion.family.problem:uniform"


class StateIndependent(GameGenerator):
    """The same, of senders who care for the action alone."""

    kind: Literal["state_independent"] = "state_independent"
    builder: ClassVar[Any] = "icsap_jax.persuasion.family.problem:state_independent"


class PersuasionFamily(Problem):
    """Persuasion games drawn at random: the sender sees the game, prior and utilities of both, and answers with a scheme of
    recommendations (Kamenica & Gentzkow 2011, for a population of games)."""

    kind: Literal["persuasion_family"] = "persuasion_family"
    builder: ClassVar[Any] = "icsap_jax.persuasion.family.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.persuasion.family.evaluation:optimum"
    bound: ClassVar[Any] = "icsap_jax.persuasion.family.evaluation:proven"
    baselines: ClassVar[Any] = "icsap_jax.persuasion.family.evaluation:baselines"
    polish: ClassVar[Any] = "icsap_jax.persuasion.family.evaluation:settle"
    details: ClassVar[Any] = "icsap_jax.persuasion.family.evaluation:details"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.mask_max", "training.batch", "rule.width")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "signal_network"},
        "training": {"steps": 6000, "batch": 128, "learning_rate": 0.003, "decay": "cosine", "warmup": 0.02, "clip": 5.0,
                     "response": {"kind": "enumerate"},
                     "lagrangian": {"kind": "annealed", "multiplier": 3.0, "multiplier_end": 3.0}},
        "evaluation": {"gap_profiles": 1000},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "persuasion_family", "sizes": [[2, 4], [3, 2]], "mask_max": [4, 4], "generator": {"kind": "state_independent"}},
    ]

    sizes: list[list[int]] = Field(description="[states, actions] of the games, drawn evenly")
    generator: OneOf[GameGenerator] = Field(default_factory=Uniform, description="the distribution of games of one size")
    mask_max: list[int] | None = Field(
        None, description="[states, actions] of the tables, into which smaller games are filled; null: the largest of sizes")

    @model_validator(mode="after")
    def _fits(self) -> PersuasionFamily:
        if not self.sizes:
            raise fault((["sizes"], "should have at least one [states, actions]", self.sizes))
        for place, size in enumerate(self.sizes):
            if len(size) != 2 or min(size) < 2:
                raise fault((["sizes", place], "should be [states, actions], both at least 2", size))
        if self.mask_max is None:
            return self
        if len(self.mask_max) != 2 or min(self.mask_max) < 1:
            raise fault((["mask_max"], "should be [states, actions], both positive", self.mask_max))
        for place, size in enumerate(self.sizes):
            if size[0] > self.mask_max[0] or size[1] > self.mask_max[1]:
                raise fault((["sizes", place], f"is larger than mask_max, which is {self.mask_max}", size))
        return self

    @property
    def largest(self) -> tuple[int, int]:
        """(states, actions) of the tables."""
        states, actions = self.mask_max or (max(size[0] for size in self.sizes), max(size[1] for size in self.sizes))
        return states, actions

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: what the network holds of every cell and pair, forward and backward."""
        states, actions = self.largest
        width, rounds = (getattr(rule, name, 4) for name in ("width", "rounds"))
        nodes = actions * (states + actions) * rounds * (width * 8 + 60) + 4 * actions**3
        return 4 * training.batch * training.members * nodes


class SignalNetwork(RuleModel):
    """One network for games of any size: it computes a scheme and the multipliers that price obedience together, in rounds. What the
    receiver would not obey is taken back and the state told instead, so that what is left is obeyed whatever the weights; of the
    schemes of the last rounds, full disclosure and none the best is offered. States and actions in any order and any units of utility give
    the same."""

    kind: Literal["signal_network"] = "signal_network"
    builder: ClassVar[Any] = "icsap_jax.persuasion.family.rules:settled"
    starts: ClassVar[Any] = "icsap_jax.persuasion.family.rules:proposing"
    problems: ClassVar[tuple[str, ...]] = ("persuasion_family",)
    statements: ClassVar[tuple[str, ...]] = (
        "obeyed, whatever the weights, by construction",
        "never worse than full or no disclosure, but for exact ties, by construction",
    )
    examples: ClassVar[list[dict[str, Any]]] = [{"width": 8, "pair_width": 4, "rounds": 2}]

    width: int = Field(32, ge=1, description="numbers kept for each state and action")
    pair_width: int = Field(16, ge=1, description="numbers kept for each action and deviation")
    rounds: int = Field(4, ge=1, description="times states, actions and pairs tell each other what they know")
    margin: float = Field(
        1e-4, ge=0, description="by which a recommended action beats every other, as a share of what acting blindly loses the receiver")
