"""What a problem file may say about persuasion with a normal state and quadratic payoffs; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Numbers, Problem, RuleModel, fault

MOST = 32  # coordinates of a state: the strong search tries every entry of a matrix of replies


class PersuasionGaussian(Problem):
    """The state ω is normal with mean 0; the receiver loses |a − ω|² and so takes what it expects of ω; the sender gets
    a′·sender·a + a′·cross·ω. A sender commits to a linear signal, of as many numbers as the state has, with noise (Tamura 2018)."""

    kind: Literal["persuasion_gaussian"] = "persuasion_gaussian"
    builder: ClassVar[Any] = "icsap_jax.persuasion.gaussian.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.persuasion.gaussian.optimum:optimum"
    bound: ClassVar[Any] = "icsap_jax.persuasion.gaussian.optimum:bound"
    baselines: ClassVar[Any] = "icsap_jax.persuasion.gaussian.optimum:baselines"
    polish: ClassVar[Any] = "icsap_jax.persuasion.gaussian.told:polish"
    details: ClassVar[Any] = "icsap_jax.persuasion.gaussian.told:details"
    listing: ClassVar[Any] = "icsap_jax.persuasion.gaussian.told:listing"
    table: ClassVar[Any] = "icsap_jax.persuasion.gaussian.told:StateTable"
    pictures: ClassVar[Any] = "icsap_jax.persuasion.gaussian.told:pictures"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.covariance",)
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "linear_signal"},
        # Taking what it expects is the receiver's best by construction, so that one deviation is enough to train with.
        "training": {"steps": 2000, "batch": 1, "learning_rate": 0.5, "decay": "cosine",
                     "response": {"kind": "candidates", "count": 1, "steps": 0}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "persuasion_gaussian", "covariance": [[2.0, 0.5], [0.5, 1.0]], "sender": [[0, 1], [1, 0]]}]

    covariance: Numbers = Field(description="of the state, [D, D], positive definite")
    sender: Numbers = Field(description="V in a′Va, [D, D]; what is not symmetric in it plays no part")
    cross: Numbers | None = Field(None, description="C in a′Cω, [D, D]; null: 0")

    @model_validator(mode="after")
    def _fits(self) -> PersuasionGaussian:
        covariance = self.covariance.values
        if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1] or not 1 <= len(covariance) <= MOST:
            raise fault((["covariance"], f"has shape {list(covariance.shape)}; it should be square, with at most {MOST} rows", None))
        if not np.allclose(covariance, covariance.T):
            raise fault((["covariance"], "should be symmetric", self.covariance))
        if np.linalg.eigvalsh(covariance).min() <= 1e-12 * np.abs(covariance).max():
            raise fault((["covariance"], "should be positive definite: the prior must be interior, and some combination of the state's "
                                         "numbers has no variance", self.covariance))  # fmt: skip
        for name in ("sender", "cross"):
            table = getattr(self, name)
            if table is not None and table.shape != covariance.shape:
                raise fault(([name], f"has shape {list(table.shape)}; it should be {list(covariance.shape)} like covariance", None))
        return self

    @property
    def worth(self) -> np.ndarray:
        """What a covariance M of posterior means brings the sender is tr(worth·M): symmetric [D, D]."""
        whole = self.sender.values + (0.0 if self.cross is None else self.cross.values)
        return 0.5 * (whole + whole.T)


class LinearSignal(RuleModel):
    """Linear statistics of the state with noise: how much is told of which direction, by a symmetric matrix [D, D] of log odds."""

    kind: Literal["linear_signal"] = "linear_signal"
    builder: ClassVar[Any] = "icsap_jax.persuasion.gaussian.problem:linear_signal"
    problems: ClassVar[tuple[str, ...]] = ("persuasion_gaussian",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "linear_signal"}]
