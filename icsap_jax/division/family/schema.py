"""What a problem file may say about cakes drawn at random, for one rule that divides them all; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from icsap_jax.config import Problem, RuleModel
from icsap_jax.division.schema import Wish


class CakeFamily(Problem):
    """Cakes drawn at random, of so many pieces and for so many agents: each agent's tastes are drawn alone, at contrast 1 evenly
    from all there are, and the whole cake is worth 1 to everybody. Agents are asked for their tastes, and may say something else."""

    kind: Literal["cake_family"] = "cake_family"
    builder: ClassVar[Any] = "icsap_jax.division.family.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.division.family.evaluation:optimum"
    baselines: ClassVar[Any] = "icsap_jax.division.family.evaluation:baselines"
    judge: ClassVar[Any] = "icsap_jax.division.family.evaluation:judge"
    table: ClassVar[Any] = "icsap_jax.division.family.table:DivisionTable"
    memory_keys: ClassVar[tuple[str, ...]] = ("training.batch", "rule.width", "problem.agents", "problem.pieces")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "division_rule"},
        "training": {"steps": 4000, "batch": 256, "learning_rate": 0.003, "decay": "cosine", "clip": 1.0,
                     "response": {"kind": "exchange", "reports": 8, "anywhere": 0},
                     "lagrangian": {"kind": "annealed", "multiplier": 1e-6, "multiplier_end": 1e-6}},
        "evaluation": {"gap_profiles": 100, "item_grid": 21, "starts": 4, "steps": 50},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "cake_family", "agents": 3, "pieces": 2, "objective": "nash_welfare", "contrast": 2.0},
    ]

    agents: int = Field(ge=2, description="who share each cake")
    pieces: int = Field(ge=2, description="of each cake")
    contrast: float = Field(1.0, gt=0, description="how much tastes differ: they are in proportion to exponential draws raised to this "
                                                   "power; at 1 all tastes are as likely, near 0 all pieces are liked alike")  # fmt: skip
    objective: Wish = Field(
        "maximin", description="the sum of what agents get; the least of it; its geometric mean; or minus the largest difference in it")

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: what the network holds of every agent's every piece, forward and backward."""
        width, rounds = (getattr(rule, name, 4) for name in ("width", "rounds"))
        return 4 * training.batch * training.members * self.agents * self.pieces * width * rounds * 12


class DivisionRule(RuleModel):
    """A network that divides any cake: agents and pieces in any order give the same, as do tastes in any units. It divides in rounds, each
    of which sees what the division so far is worth to everybody."""

    kind: Literal["division_rule"] = "division_rule"
    builder: ClassVar[Any] = "icsap_jax.division.family.rules:division_rule"
    problems: ClassVar[tuple[str, ...]] = ("cake_family",)
    statements: ClassVar[tuple[str, ...]] = (
        "all of the cake is given away by construction", "the names of agents and pieces do not matter by construction")
    examples: ClassVar[list[dict[str, Any]]] = [{"width": 4, "rounds": 2}]

    width: int = Field(24, ge=1, description="numbers kept for each agent's opinion of each piece")
    rounds: int = Field(4, ge=1, description="times the division is corrected")
