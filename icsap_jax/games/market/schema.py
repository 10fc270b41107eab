"""What a problem file may say about an exchange economy: who likes and has what, and what the designer wants of it; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Kind, Numbers, OneOf, Problem, RuleModel, fault

ROUNDING = 1e-6  # thirds are written with seven digits


class MarketAim(Kind):
    """What the designer wants of the utilities, or of the allocation, in equilibrium."""

    @property
    def numbers(self) -> Numbers | None:
        """What the aim is measured with: weights [N] or an allocation [N, L]; None: every consumer counts once."""
        return getattr(self, "weights", None)

    @model_validator(mode="after")
    def _positive(self) -> MarketAim:
        weights = getattr(self, "weights", None)
        if weights is not None and (weights.ndim != 1 or (weights.values <= 0).any()):
            raise fault((["weights"], "should be a list of numbers above 0, one for each consumer", weights))
        return self


class LogUtilities(MarketAim):
    """Σ weight · log utility: with equal weights, the logarithm of the Nash welfare. A competitive equilibrium maximises it for one set of
    weights only, its consumers' wealths (Negishi 1960)."""

    kind: Literal["log_utilities"] = "log_utilities"
    builder: ClassVar[Any] = "icsap_jax.games.market.problem:log_utilities"
    weights: Numbers | None = Field(None, description="one for each consumer; null: all alike")


class Utilities(MarketAim):
    """Σ weight · utility."""

    kind: Literal["utilities"] = "utilities"
    builder: ClassVar[Any] = "icsap_jax.games.market.problem:utilities"
    weights: Numbers | None = Field(None, description="one for each consumer; null: all alike")


class NashWelfare(MarketAim):
    """The geometric mean of utilities."""

    kind: Literal["nash_welfare"] = "nash_welfare"
    builder: ClassVar[Any] = "icsap_jax.games.market.problem:nash_welfare"


class Maximin(MarketAim):
    """The least utility."""

    kind: Literal["maximin"] = "maximin"
    builder: ClassVar[Any] = "icsap_jax.games.market.problem:maximin"


class Target(MarketAim):
    """An allocation, which the market is to reach: minus the mean square of what it misses of it, as shares of all there is."""

    kind: Literal["target"] = "target"
    builder: ClassVar[Any] = "icsap_jax.games.market.problem:target"
    examples: ClassVar[list[dict[str, Any]]] = [{"allocation": [[0.25, 0.75], [0.75, 0.25]]}]
    allocation: Numbers = Field(description="consumers × goods; it should use up what there is")

    @property
    def numbers(self) -> Numbers:
        """The allocation."""
        return self.allocation


class Market(Problem):
    """Consumers with Cobb–Douglas utilities Π x^exponent and endowments of goods, who trade at prices that clear all markets. The designer
    may move goods between them before they trade, and cares about what they end with. By the first welfare theorem nothing is wasted
    whatever is moved; by the second every efficient allocation is reached in this way."""

    kind: Literal["market"] = "market"
    builder: ClassVar[Any] = "icsap_jax.games.market.problem:build"
    check: ClassVar[Any] = "icsap_jax.games.market.optimum:check"
    judge: ClassVar[Any] = "icsap_jax.games.market.judge:judge"
    optimum: ClassVar[Any] = "icsap_jax.games.market.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.games.market.optimum:baselines"
    details: ClassVar[Any] = "icsap_jax.games.market.judge:details"
    listing: ClassVar[Any] = "icsap_jax.games.market.judge:listing"
    pictures: ClassVar[Any] = "icsap_jax.games.market.pictures:pictures"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.exponents",)
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "lump_sum_transfers"},
        "training": {"steps": 2000, "batch": 1, "learning_rate": 0.02, "decay": "cosine", "chunk": 200,
                     "response": {"kind": "equilibrium"}},
        "evaluation": {},
    }  # fmt: skip
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "market", "exponents": [[0.25, 0.75], [0.75, 0.25]], "endowments": [[1, 0], [0.5, 1]]},
    ]

    exponents: Numbers = Field(description="consumers × goods: the shares of its wealth that a consumer spends on each good")
    endowments: Numbers = Field(description="consumers × goods: what each consumer has before anything is moved or traded")
    aim: OneOf[MarketAim] = Field(default_factory=LogUtilities, description="what the designer wants")

    @model_validator(mode="after")
    def _fits(self) -> Market:
        exponents, endowments = self.exponents.values, self.endowments.values
        if exponents.ndim != 2 or min(exponents.shape) < 2:
            raise fault((["exponents"], f"has shape {list(exponents.shape)}; it should be consumers × goods, two of each or more", None))
        if endowments.shape != exponents.shape:
            raise fault((["endowments"], f"has shape {list(endowments.shape)}; it should be {list(exponents.shape)} like exponents", None))
        for i in np.flatnonzero((exponents < 0).any(1) | (abs(exponents.sum(1) - 1.0) > ROUNDING)):
            raise fault((["exponents", int(i)], f"should be shares ≥ 0 that sum to 1; they sum to {exponents[i].sum():.6g}",
                         exponents[i].tolist()))  # fmt: skip
        if (endowments < 0).any():
            raise fault((["endowments"], "should be ≥ 0: nobody owes goods", self.endowments))
        for good in range(exponents.shape[1]):
            if endowments[:, good].sum() <= 0:
                raise fault((["endowments"], f"nobody has any of good {good}; every good should be there", self.endowments))
            if exponents[:, good].sum() <= 0:
                raise fault((["exponents"], f"nobody wants good {good}; a good without a price should be left out", self.exponents))
        given, wanted = self.aim.numbers, exponents.shape if isinstance(self.aim, Target) else exponents.shape[:1]
        if given is not None and given.shape != wanted:
            key = "allocation" if isinstance(self.aim, Target) else "weights"
            raise fault((["aim", key], f"has shape {list(given.shape)}; it should be {list(wanted)}", None))
        if isinstance(self.aim, Target) and (
            (self.aim.allocation.values < 0).any() or not np.allclose(self.aim.allocation.values.sum(0), endowments.sum(0), rtol=ROUNDING)
        ):
            raise fault((["aim", "allocation"], f"should be ≥ 0 and add up to what there is, {endowments.sum(0).tolist()}", None))
        return self

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes one training step holds: every consumer's demand for every good, and the Jacobian in the prices."""
        consumers, goods = self.exponents.shape
        return 4 * (8 * consumers * goods + 6 * goods * goods) * int(training.members)


class LumpSumTransfers(RuleModel):
    """Goods moved between consumers before they trade, whatever they then do: shares of everything, or of some goods only (of one, the
    numeraire, as a tax in money is). Nobody ends with less than nothing of a good, and nothing is lost."""

    kind: Literal["lump_sum_transfers"] = "lump_sum_transfers"
    builder: ClassVar[Any] = "icsap_jax.games.market.problem:lump_sum_transfers"
    optimum: ClassVar[Any] = "icsap_jax.games.market.optimum:best_transfers"
    problems: ClassVar[tuple[str, ...]] = ("market",)
    statements: ClassVar[tuple[str, ...]] = ("transfers of every good sum to zero by construction",)
    examples: ClassVar[list[dict[str, Any]]] = [{}]
    goods: list[int] | None = Field(None, description="the goods that may be moved, by their numbers from 0; null: all")
