"""What a problem file may say about continuous effort paid by a linear wage; no jax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from icsap_jax.config import Kind, Numbers, OneOf, Problem, RuleModel, fault


class EffortCost(Kind):
    """What effort costs the agent, as a function of its effort in every task."""


class QuadraticCost(EffortCost):
    """½ a′C a, the agent's reply to slopes β being C⁻¹β. A number is the same C for each task and none between them."""

    kind: Literal["quadratic"] = "quadratic"
    builder: ClassVar[str] = "icsap_jax.contracts.effort.problem:quadratic"
    examples: ClassVar[list[dict[str, Any]]] = [{"matrix": 1.0}]
    matrix: Numbers = Field(description="C: a number, or tasks × tasks, symmetric and positive definite")


class PowerCost(EffortCost):
    """Σ scale · a^exponent / exponent on efforts a ≥ 0; with exponent 2 the quadratic one."""

    kind: Literal["power"] = "power"
    builder: ClassVar[str] = "icsap_jax.contracts.effort.problem:power"
    examples: ClassVar[list[dict[str, Any]]] = [{"scale": 1.0, "exponent": 3.0}]
    scale: Numbers = Field(description="> 0: a number, or one for each task")
    exponent: float = Field(gt=1, description="above 1, so that the cost is convex")


def _as_cost(written: Any) -> Any:
    """A number, a matrix or a file of one is short for a quadratic cost."""
    if isinstance(written, (EffortCost, bool)) or (isinstance(written, Mapping) and set(written) != {"file"}):
        return written
    return {"kind": "quadratic", "matrix": written}


def square(numbers: Numbers, tasks: int) -> np.ndarray | None:
    """A number, one for each task, or a matrix, as a matrix [T, T]; None where the shape is none of these."""
    values = numbers.values
    if values.ndim == 0 or values.shape == (tasks,):
        return np.diag(np.broadcast_to(values, (tasks,)))
    return values if values.shape == (tasks, tasks) else None


class Effort(Problem):
    """An agent exerts effort a in one or several tasks; what can be measured of it is x = a + normal noise, and the wage is
    α + β·x. The agent is risk averse (CARA): it values the wage at its mean less half of risk_aversion times its variance, less what
    effort costs. The principal, risk neutral, gets gains·a less the wage (LEN: Holmström & Milgrom 1987; several tasks: 1991). α is
    always what makes the agent just willing to take part."""

    kind: Literal["effort"] = "effort"
    builder: ClassVar[Any] = "icsap_jax.contracts.effort.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.contracts.effort.exact:optimum"
    baselines: ClassVar[Any] = "icsap_jax.contracts.effort.exact:baselines"
    details: ClassVar[Any] = "icsap_jax.contracts.effort.exact:details"
    table: ClassVar[Any] = "icsap_jax.contracts.applied:WageTable"
    listing: ClassVar[Any] = "icsap_jax.contracts.applied:wage"
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "linear_wage"},
        "training": {"steps": 1500, "batch": 1, "learning_rate": 0.03, "decay": "cosine", "response": {"kind": "stationary"}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "effort", "gains": [1.0, 1.0], "cost": [[1.0, 0.5], [0.5, 1.0]], "noise": [0.5, 2.0], "risk_aversion": 1.0},
        {"kind": "effort", "gains": 1.0, "cost": {"kind": "power", "scale": 1.0, "exponent": 3.0}, "noise": 1.0, "risk_aversion": 1.0},
    ]

    gains: Numbers = Field(description="what a unit of effort in each task is worth to the principal, [tasks] or a number")
    cost: Annotated[OneOf[EffortCost], BeforeValidator(_as_cost)] = Field(
        description="of effort to the agent; a number or a matrix C stands for ½ a′C a")
    noise: Numbers = Field(description="variance of what is measured: a number, one for each task, or a covariance matrix")
    risk_aversion: float = Field(ge=0, description="the agent's constant absolute risk aversion")
    measured: list[bool] | None = Field(None, description="which tasks can be measured, and so paid for; null: all")
    reservation: float = Field(0.0, description="what the agent gets elsewhere, as a sure amount of money")
    effort: Numbers | None = Field(
        None, description="[low, high]: the efforts there are, in every task; null: far beyond the efficient ones, from 0 where the "
                          "cost is a power")  # fmt: skip

    @property
    def tasks(self) -> int:
        """T."""
        return int(self.gains.values.size)

    @model_validator(mode="after")
    def _fits(self) -> Effort:
        tasks = self.tasks
        if self.gains.ndim > 1:
            raise fault((["gains"], f"has shape {list(self.gains.shape)}; it should be a number or a list of one for each task", None))
        if not self.gains.values.any():
            raise fault((["gains"], "should not be zero in every task", self.gains))
        noise = square(self.noise, tasks)
        if noise is None:
            raise fault((["noise"], f"has shape {list(self.noise.shape)}; with {tasks} tasks it should be a number, [{tasks}] or "
                                    f"[{tasks}, {tasks}]", None))
        if not np.allclose(noise, noise.T) or np.linalg.eigvalsh(noise).min() < -1e-12 * max(1.0, np.abs(noise).max()):
            raise fault((["noise"], "should be a covariance: symmetric, and no combination of tasks with a negative variance", self.noise))
        if self.measured is not None and len(self.measured) != tasks:
            raise fault((["measured"], f"has {len(self.measured)} entries; there are {tasks} tasks", self.measured))
        if isinstance(self.cost, QuadraticCost):
            matrix = square(self.cost.matrix, tasks)
            if matrix is None:
                raise fault((["cost"], f"has shape {list(self.cost.matrix.shape)}; with {tasks} tasks it should be a number, [{tasks}] or "
                                       f"[{tasks}, {tasks}]", None))
            if not np.allclose(matrix, matrix.T) or np.linalg.eigvalsh(matrix).min() <= 0:
                raise fault((["cost"], "should be symmetric and positive definite, so that effort has a best", self.cost.matrix))
        if isinstance(self.cost, PowerCost):
            if self.cost.scale.shape not in ((), (tasks,)):
                raise fault((["cost", "scale"], f"has shape {list(self.cost.scale.shape)}; it should be a number or [{tasks}]", None))
            if (self.cost.scale.values <= 0).any():
                raise fault((["cost", "scale"], "should be above 0, or effort costs nothing", self.cost.scale))
        if self.effort is not None:
            if self.effort.shape != (2,) or not self.effort.values[0] < self.effort.values[1]:
                raise fault((["effort"], "should be two numbers, the lowest and then the highest effort", self.effort))
            if isinstance(self.cost, PowerCost) and self.effort.values[0] < 0:
                raise fault((["effort"], "should not go below 0, where a power is not defined", self.effort))
        return self


class LinearWage(RuleModel):
    """Wages linear in what is measured: the slope β of each task; the fixed part follows from participation."""

    kind: Literal["linear_wage"] = "linear_wage"
    builder: ClassVar[Any] = "icsap_jax.contracts.effort.problem:linear_wage"
    problems: ClassVar[tuple[str, ...]] = ("effort",)
    statements: ClassVar[tuple[str, ...]] = ("the agent gets exactly its reservation by construction",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "linear_wage"}]
