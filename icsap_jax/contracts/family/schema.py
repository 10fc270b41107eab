"""What a problem file may say about a distribution of hidden-action problems, for one network that solves them all; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from icsap_jax.config import Kind, OneOf, Problem, RuleModel, fault


class Generator(Kind):
    """A distribution of hidden-action problems. `build()` gives an object like those in contracts/family.py."""


class OrderedSoftmax(Generator):
    """F is the softmax of `scale` times normal draws, row by row, sorted by what actions bring if `order`; rewards are 0 and sorted
    U[0, 10]; a part `correlation` of a cost rises with what the action brings, the rest is independent; the first action is free."""

    kind: Literal["ordered_softmax"] = "ordered_softmax"
    builder: ClassVar[Any] = "icsap_jax.contracts.family.problem:ordered_softmax"
    scale: float = Field(2.0, gt=0, description="how sharply actions differ in the outcomes they lead to")
    correlation: float = Field(0.2, ge=0, le=1, description="share of the costs that goes with what actions bring")
    order: bool = Field(True, description="actions that bring more come later, the free one brings least")


class ContractFamily(Problem):
    """Hidden-action problems drawn at random, each with a risk-neutral agent under limited liability: the principal sees the problem,
    outcome probabilities, costs and rewards, and answers with a contract (Grossman & Hart 1983, for a population of problems)."""

    kind: Literal["contract_family"] = "contract_family"
    builder: ClassVar[Any] = "icsap_jax.contracts.family.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.contracts.family.evaluation:optimum"
    baselines: ClassVar[Any] = "icsap_jax.contracts.family.evaluation:baselines"
    polish: ClassVar[Any] = "icsap_jax.contracts.family.evaluation:settle"
    details: ClassVar[Any] = "icsap_jax.contracts.family.evaluation:details"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.mask_max", "training.batch", "rule.width")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "contract_network"},
        "training": {"steps": 6000, "batch": 128, "learning_rate": 0.002, "decay": "cosine", "clip": 5.0,
                     "response": {"kind": "enumerate"},
                     "lagrangian": {"kind": "annealed", "multiplier": 3.0, "multiplier_end": 3.0}},
        "evaluation": {"gap_profiles": 1000},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "contract_family", "sizes": [[3, 3]], "generator": {"kind": "ordered_softmax"}},
        {"kind": "contract_family", "sizes": [[2, 4], [4, 3]], "mask_max": [5, 4],
         "generator": {"kind": "ordered_softmax", "order": False}},
    ]

    sizes: list[list[int]] = Field(description="[actions, outcomes] of the problems, drawn evenly")
    generator: OneOf[Generator] = Field(default_factory=OrderedSoftmax, description="the distribution of problems of one size")
    mask_max: list[int] | None = Field(
        None, description="[actions, outcomes] of the tables, into which smaller problems are filled; null: the largest of sizes")

    @model_validator(mode="after")
    def _fits(self) -> ContractFamily:
        if not self.sizes:
            raise fault((["sizes"], "should have at least one [actions, outcomes]", self.sizes))
        for place, size in enumerate(self.sizes):
            if len(size) != 2 or min(size) < 2:
                raise fault((["sizes", place], "should be [actions, outcomes], both at least 2", size))
        if self.mask_max is None:
            return self
        if len(self.mask_max) != 2 or min(self.mask_max) < 1:
            raise fault((["mask_max"], "should be [actions, outcomes], both positive", self.mask_max))
        for place, size in enumerate(self.sizes):
            if size[0] > self.mask_max[0] or size[1] > self.mask_max[1]:
                raise fault((["sizes", place], f"is larger than mask_max, which is {self.mask_max}", size))
        return self

    @property
    def largest(self) -> tuple[int, int]:
        """(actions, outcomes) of the tables."""
        actions, outcomes = self.mask_max or (max(size[0] for size in self.sizes), max(size[1] for size in self.sizes))
        return actions, outcomes

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: what the network holds of every target's outcomes and rivals, forward and backward."""
        actions, outcomes = self.largest
        targets, width, rounds = (getattr(rule, name, 4) for name in ("targets", "width", "rounds"))
        nodes = targets * (actions + outcomes) * width * rounds * 8 + targets * actions * outcomes * 4 + 4 * actions**3
        return 4 * training.batch * training.members * nodes


class ContractNetwork(RuleModel):
    """One network for problems of any size: for each of the most promising actions it gives the proportions of the payments that should
    induce it; their size is then the least that does, exactly. Of these contracts, the linear ones and those that pay the one outcome
    that tells most of an action, the best is offered. Actions and outcomes in any order and any unit of money give the same."""

    kind: Literal["contract_network"] = "contract_network"
    builder: ClassVar[Any] = "icsap_jax.contracts.family.rules:settled"
    starts: ClassVar[Any] = "icsap_jax.contracts.family.rules:proposing"
    problems: ClassVar[tuple[str, ...]] = ("contract_family",)
    statements: ClassVar[tuple[str, ...]] = ("never worse than the best linear contract, but for the margin, by construction",)
    examples: ClassVar[list[dict[str, Any]]] = [{"width": 8, "rounds": 2, "targets": 2}]

    width: int = Field(24, ge=1, description="numbers kept for each outcome and each rival action of a target")
    rounds: int = Field(4, ge=1, description="times outcomes and rivals tell each other what they know")
    targets: int = Field(3, ge=1, description="actions for which a contract is designed: those of the largest reward less cost")
    margin: float = Field(
        2e-5, ge=0, description="by which the induced action beats every other, as a share of the most any action brings")
