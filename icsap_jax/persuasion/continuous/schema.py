"""What a problem file may say about persuasion with a continuous state; no jax.

The state lies in an interval and receivers care for its posterior mean alone. Where it is a vector and normal, see `persuasion/gaussian`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from icsap_jax.config import Kind, Numbers, OneOf, Problem, RuleModel, fault
from icsap_jax.persuasion.continuous.prior_schema import StatePrior, Uniform


class MeanReceiver(Kind):
    """A receiver for whom only the posterior mean of the state matters. `lines` [A, 2]: what each of finitely many actions brings it,
    intercept + slope · state; None where it chooses a number."""

    @property
    def lines(self) -> np.ndarray | None:
        return None

    @property
    def usual(self) -> np.ndarray | None:
        """What each action is worth to a sender of whom nothing else is said, [A]; None where it must be said."""
        return None


class Threshold(MeanReceiver):
    """Acts when the posterior mean is at least `at`. Several thresholds are several receivers, or types of one, in such shares: the
    actions are then how many of them act, those of the lowest thresholds first."""

    kind: Literal["threshold"] = "threshold"
    builder: ClassVar[Any] = None
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "threshold", "at": 0.75}]
    at: Numbers = Field(description="the lowest mean at which it acts: a number, or several, increasing")
    shares: Numbers | None = Field(None, description="of the receivers with each threshold; null: all alike")

    @model_validator(mode="after")
    def _fits(self) -> Threshold:
        at = np.atleast_1d(self.at.values)
        if self.at.ndim > 1 or (np.diff(at) <= 0).any():
            raise fault((["at"], "should be a number, or several in increasing order", self.at))
        if self.shares is not None:
            shares = self.shares.values
            if shares.shape != at.shape or (shares <= 0).any() or abs(shares.sum() - 1.0) > 1e-6:  # thirds have seven digits
                raise fault((["shares"], f"should be {len(at)} numbers > 0 that sum to 1, one for each threshold", self.shares))
        return self

    @property
    def _shares(self) -> np.ndarray:
        count = self.at.values.size
        shares = np.ones(count) if self.shares is None else self.shares.values
        return shares / shares.sum()

    @property
    def lines(self) -> np.ndarray:
        """[A, 2]: all who act get what the state is above their threshold."""
        each = np.stack([-self._shares * np.atleast_1d(self.at.values), self._shares], axis=1)
        return np.vstack([np.zeros(2), each.cumsum(0)])

    @property
    def usual(self) -> np.ndarray:
        """The share that acts, [A]."""
        return np.append(0.0, self._shares.cumsum())


class MeanSteps(MeanReceiver):
    """Chooses among finitely many actions, each worth intercept + slope · state to it: by the posterior mean, in steps."""

    kind: Literal["mean_steps"] = "mean_steps"
    builder: ClassVar[Any] = None
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "mean_steps", "utilities": [[0, 0], [-0.6, 1], [-1.45, 2]]}]
    utilities: Numbers = Field(description="[intercept, slope] for each action, [A, 2]")

    @model_validator(mode="after")
    def _fits(self) -> MeanSteps:
        if self.utilities.ndim != 2 or self.utilities.shape[1] != 2:
            raise fault((["utilities"], f"has shape {list(self.utilities.shape)}; it should have a row [intercept, slope] for each action",
                         None))  # fmt: skip
        return self

    @property
    def lines(self) -> np.ndarray:
        return self.utilities.values


class Quadratic(MeanReceiver):
    """Chooses a number a and loses (a − state)², so that it takes the posterior mean."""

    kind: Literal["quadratic"] = "quadratic"
    builder: ClassVar[Any] = None
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "quadratic"}]


class StateSender(Kind):
    """What the sender gets. `coefficients` [6] of a², a·ω, ω², a, ω and 1, where the receiver takes a number a; None where its actions
    are finite."""

    @property
    def coefficients(self) -> np.ndarray | None:
        return None


class PerAction(StateSender):
    """A value for each of finitely many actions, [A]; or [intercept, slope] for each, [A, 2], where it depends on the state."""

    kind: Literal["per_action"] = "per_action"
    builder: ClassVar[Any] = None
    examples: ClassVar[list[dict[str, Any]]] = [{"values": [0, 1, 2]}]
    values: Numbers = Field(description="[A], or [A, 2] with an intercept and a slope in the state for each action")


class Lobbying(StateSender):
    """Loses (a − alpha·ω − (1 − alpha)·target)²: it would have the receiver do something between the state and a target of its own
    (the lobbyist of Kamenica & Gentzkow 2011)."""

    kind: Literal["lobbying"] = "lobbying"
    builder: ClassVar[Any] = None
    examples: ClassVar[list[dict[str, Any]]] = [{"alpha": 0.25, "target": 1.2}]
    alpha: float = Field(ge=0, le=1, description="the weight of the state in what it wants")
    target: float = Field(description="ω*, what it wants whatever the state")

    @property
    def coefficients(self) -> np.ndarray:
        kept = (1.0 - self.alpha) * self.target
        return np.array([-1.0, 2 * self.alpha, -self.alpha**2, 2 * kept, -2 * self.alpha * kept, -kept**2])


class QuadraticSender(StateSender):
    """A quadratic in the receiver's action a and the state ω."""

    kind: Literal["quadratic"] = "quadratic"
    builder: ClassVar[Any] = None
    examples: ClassVar[list[dict[str, Any]]] = [{"action_squared": -1.0, "action_state": 3.0}]
    action_squared: float = Field(0.0, description="coefficient of a²")
    action_state: float = Field(0.0, description="of a·ω")
    state_squared: float = Field(0.0, description="of ω²")
    action: float = Field(0.0, description="of a")
    state: float = Field(0.0, description="of ω")

    @property
    def coefficients(self) -> np.ndarray:
        return np.array([self.action_squared, self.action_state, self.state_squared, self.action, self.state, 0.0])


def _as_sender(written: Any) -> Any:
    """Plain numbers, or a file of them, are short for values of the actions."""
    if written is None or isinstance(written, StateSender) or (isinstance(written, Mapping) and set(written) != {"file"}):
        return written
    return {"kind": "per_action", "values": written}


class PersuasionContinuous(Problem):
    """The state lies in an interval and the receiver acts on its posterior mean. A sender commits to a signal: which of finitely many
    messages to send in which state. Where the receiver's actions are finite, messages recommend them, and following one must be best
    by at least `obedience_margin`, given the recommendation (Kamenica & Gentzkow 2011; Dworczak & Martini 2019). A signal is the same
    throughout each of `grid` cells, and its means are exact, so that what is found holds for the continuous state."""

    kind: Literal["persuasion_continuous"] = "persuasion_continuous"
    builder: ClassVar[Any] = "icsap_jax.persuasion.continuous.problem:build"
    check: ClassVar[Any] = "icsap_jax.persuasion.continuous.problem:check"
    optimum: ClassVar[Any] = "icsap_jax.persuasion.continuous.optimum:optimum"
    bound: ClassVar[Any] = "icsap_jax.persuasion.continuous.polish:bound"
    baselines: ClassVar[Any] = "icsap_jax.persuasion.continuous.baselines:baselines"
    polish: ClassVar[Any] = "icsap_jax.persuasion.continuous.polish:polish"
    details: ClassVar[Any] = "icsap_jax.persuasion.continuous.told:details"
    listing: ClassVar[Any] = "icsap_jax.persuasion.continuous.told:listing"
    table: ClassVar[Any] = "icsap_jax.persuasion.continuous.told:StateTable"
    pictures: ClassVar[Any] = "icsap_jax.persuasion.continuous.pictures:pictures"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.grid", "problem.receiver")
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "grid_signal"},
        # Obedience may cost the receiver little and be worth much to the sender: its price must be able to become large.
        "training": {"steps": 4000, "batch": 1, "learning_rate": 0.02, "decay": "cosine", "response": {"kind": "enumerate"},
                     "lagrangian": {"kind": "augmented", "penalty": 10.0, "penalty_end": 10000.0}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "persuasion_continuous", "receiver": {"kind": "threshold", "at": 0.75}, "grid": 20},
        {"kind": "persuasion_continuous", "receiver": {"kind": "quadratic"}, "sender": {"kind": "lobbying", "alpha": 0.25, "target": 1.2},
         "signals": 4, "grid": 20},
    ]

    prior: OneOf[StatePrior] = Field(default_factory=Uniform, description="of the state")
    receiver: OneOf[MeanReceiver] = Field(description="what the receiver makes of the posterior mean")
    sender: Annotated[OneOf[StateSender] | None, BeforeValidator(_as_sender)] = Field(
        None, description="what the sender gets; plain numbers are the values of the actions; null: the share of the thresholds reached")
    grid: int = Field(200, ge=2, le=2000, description="cells of one width, in each of which the signal is the same")
    obedience_margin: float = Field(
        2e-4, ge=0, description="by how much obeying beats every other action, given the recommendation; not asked of a quadratic receiver")
    signals: int | None = Field(None, ge=1, description="messages to a quadratic receiver; null: 16. Else there is one for each action")
    actions: list[str] | None = Field(None, description="names of finitely many actions")

    @property
    def messages(self) -> int:
        """Z."""
        lines = self.receiver.lines
        return (16 if self.signals is None else self.signals) if lines is None else len(lines)

    @property
    def values(self) -> np.ndarray:
        """What each of finitely many actions is worth to the sender, intercept and slope, [A, 2]."""
        values = self.sender.values.values if isinstance(self.sender, PerAction) else self.receiver.usual
        if values is None:
            raise TypeError("The actions of a quadratic receiver are not finite.")
        return np.stack([values, 0.0 * values], axis=1) if values.ndim == 1 else values

    def names(self) -> list[str]:
        """What the actions are called: the names given, or their numbers from 0."""
        return self.actions or [str(place) for place in range(self.messages)]

    @model_validator(mode="after")
    def _fits(self) -> PersuasionContinuous:
        lines = self.receiver.lines
        if lines is None:
            if self.sender is None or self.sender.coefficients is None:
                raise fault((["sender"], "should be of kind lobbying or quadratic: the receiver's action is a number", self.sender))
            if self.actions is not None:
                raise fault((["actions"], "should be left out: the receiver's action is a number", self.actions))
            return self
        count = len(lines)
        if self.signals is not None:
            raise fault((["signals"], f"should be left out: there is one message for each of the {count} actions", self.signals))
        if self.sender is None and self.receiver.usual is None:
            raise fault((["sender"], f"is missing; give {count} numbers, what each action is worth to the sender", None))
        if self.sender is not None and not isinstance(self.sender, PerAction):
            raise fault((["sender"], f"should be {count} numbers, what each action is worth to the sender", self.sender))
        if isinstance(self.sender, PerAction) and self.sender.values.shape not in ((count,), (count, 2)):
            raise fault((["sender"], f"has shape {list(self.sender.values.shape)}; it should be [{count}], a value for each action, or "
                                     f"[{count}, 2], its intercept and its slope in the state", None))  # fmt: skip
        if self.actions is not None and (len(self.actions) != count or len(set(self.actions)) != count):
            raise fault((["actions"], f"should be {count} different names", self.actions))
        return self

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step, forward and backward; of the exact polish, two matrices of cells × cells for each message."""
        return 4 * 6 * self.grid * self.messages * training.members + 8 * 3 * self.grid**2 * (self.messages + 1)


class GridSignal(RuleModel):
    """A table: the probability of each message in each cell of the state's interval, by its logits."""

    kind: Literal["grid_signal"] = "grid_signal"
    builder: ClassVar[Any] = "icsap_jax.persuasion.continuous.rules:grid_signal"
    problems: ClassVar[tuple[str, ...]] = ("persuasion_continuous",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "grid_signal"}]


class StateNetwork(RuleModel):
    """A network from the state to the logits of the messages; it can be asked about any state, between the grid's too."""

    kind: Literal["state_network"] = "state_network"
    builder: ClassVar[Any] = "icsap_jax.persuasion.continuous.rules:state_network"
    problems: ClassVar[tuple[str, ...]] = ("persuasion_continuous",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "state_network", "hidden": [8]}]
    hidden: list[Annotated[int, Field(ge=1)]] = Field([32, 32], description="units of each hidden layer")
    temperature: float = Field(0.5, gt=0, description="logits are divided by it: the lower, the sharper cuts and the more local optima")
