"""What a problem file may say of learned auctions of one item. No jax here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from icsap_jax.config import RuleModel


class MyersonNet(RuleModel):
    """One item goes to the highest positive virtual value, an increasing function of the bid that is learned for each bidder; the
    winner pays the least bid that wins (Dütting et al. 2019, appendix on MyersonNet)."""

    kind: Literal["myersonnet"] = "myersonnet"
    builder: ClassVar[Any] = "icsap_jax.auctions.rules.single.myersonnet:myersonnet"
    problems: ClassVar[tuple[str, ...]] = ("auction",)
    statements: ClassVar[tuple[str, ...]] = (
        "feasible allocations by construction", "individually rational by construction", "strategyproof by construction",
    )
    serves: ClassVar[str] = "one item"
    strategyproof: ClassVar[bool] = True
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.bidders", "rule.groups", "rule.lines", "training.batch")
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "myersonnet", "groups": 2, "lines": 3}]

    groups: int = Field(5, ge=1, description="groups of lines; the virtual value is the least of the groups' upper envelopes")
    lines: int = Field(10, ge=1, description="rising lines in each group")

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """See the class."""
        return {"training": {
            "steps": 2000, "batch": 1024, "learning_rate": 0.02, "decay": "cosine",
            "response": {"kind": "truthful", "temperature": 0.1, "temperature_end": 0.005, "share": 0.8},
        }}

    def unfit(self, problem: Any) -> str | None:
        """More than one item."""
        return None if problem.items == 1 else f"sells {self.serves}, and here are {problem.items}"

    def memory(self, problem: Any, training: Any) -> int:
        """Bytes: every line at every bid and at every price, three times with what is kept to differentiate them; prices are
        at four quantiles."""
        lines = problem.bidders * self.groups * self.lines
        return 4 * training.members * (lines * (15 * training.batch + 8) + training.batch * problem.bidders**2 * 3)
