"""What a problem file may say about recommending one of several independent actions; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from icsap_jax.config import Numbers, Problem, RuleModel, fault
from icsap_jax.persuasion.prior_schema import interior


class PersuasionActions(Problem):
    """A receiver picks one of n actions, each of which is of a type drawn independently from the same distribution; the sender sees the
    types and recommends an action (Dughmi & Xu 2016). By symmetry a rule matters only through how often what it recommends is of each
    type, so that n may be large."""

    kind: Literal["persuasion_actions"] = "persuasion_actions"
    builder: ClassVar[Any] = "icsap_jax.persuasion.actions.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.persuasion.actions.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.persuasion.actions.optimum:baselines"
    bound: ClassVar[Any] = "icsap_jax.persuasion.actions.optimum:bound"
    check: ClassVar[Any] = "icsap_jax.persuasion.actions.optimum:check"
    polish: ClassVar[Any] = "icsap_jax.persuasion.actions.polish:polish"
    details: ClassVar[Any] = "icsap_jax.persuasion.actions.polish:details"
    listing: ClassVar[Any] = "icsap_jax.persuasion.actions.polish:listing"
    pictures: ClassVar[Any] = "icsap_jax.persuasion.actions.pictures:pictures"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.probabilities",)
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "scores"},
        "training": {"steps": 2000, "batch": 1, "learning_rate": 0.05, "decay": "cosine", "response": {"kind": "enumerate"}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "persuasion_actions", "count": 4, "probabilities": [0.5, 0.3, 0.2], "receiver": [0, 0.5, 1], "sender": [0.6, 1, 0]}]

    count: int = Field(ge=2, description="how many actions there are")
    probabilities: Numbers = Field(description="how likely an action is of each type, above 0")
    receiver: Numbers = Field(description="what the receiver gets from an action of each type")
    sender: Numbers = Field(description="what the sender gets from it")
    obedience_margin: float = Field(5e-4, ge=0, description="by how much the recommended action beats every other, given which it is")
    types: list[str] | None = Field(None, description="names of the types")

    @model_validator(mode="after")
    def _fits(self) -> PersuasionActions:
        interior(self.probabilities, "probabilities", "type", self.types)
        shape = self.probabilities.shape
        for name in ("receiver", "sender"):
            if getattr(self, name).shape != shape:
                raise fault(([name], f"has shape {list(getattr(self, name).shape)}; it should be {list(shape)} like probabilities", None))
        if self.types is not None and (len(self.types) != shape[0] or len(set(self.types)) != shape[0]):
            raise fault((["types"], f"should be {shape[0]} different names", self.types))
        return self

    def called(self) -> list[str]:
        """What the types are called: the names given, or their numbers from 0."""
        return self.types or [str(place) for place in range(len(self.probabilities))]

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: the types' clocks at every node of the quadrature, forward and backward."""
        types = len(self.probabilities)
        return 4 * 10 * types * 100 * (types + 2) * training.members


class Scores(RuleModel):
    """A score for each type: an action is recommended with a probability in proportion to the exponential of its type's score, among the
    actions there are. Equal scores share evenly, and a lead of 20 is priority."""

    kind: Literal["scores"] = "scores"
    builder: ClassVar[Any] = "icsap_jax.persuasion.actions.problem:scores"
    problems: ClassVar[tuple[str, ...]] = ("persuasion_actions",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "scores"}]
