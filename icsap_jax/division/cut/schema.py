"""What a problem file may say about two players and a knife: tastes, and who picks first; no jax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from icsap_jax.config import Numbers, Problem, RuleModel, fault


class CutAndChoose(Problem):
    """Two players and a cake [0, 1]. One of them cuts it in two; then a lot is drawn, by which either the cutter picks a piece first or
    the other, the chooser. The designer sets the chances of that lot, the cutter cuts where that is best for it, and whoever picks takes
    the piece it likes best (Zhang et al. 2024, section 2)."""

    kind: Literal["cut_and_choose"] = "cut_and_choose"
    builder: ClassVar[Any] = "icsap_jax.division.cut.problem:build"
    optimum: ClassVar[Any] = "icsap_jax.division.cut.optimum:optimum"
    baselines: ClassVar[Any] = "icsap_jax.division.cut.optimum:baselines"
    judge: ClassVar[Any] = "icsap_jax.division.cut.problem:judge"
    pictures: ClassVar[Any] = "icsap_jax.division.cut.pictures:pictures"
    listing: ClassVar[Any] = "icsap_jax.division.cut.problem:listing"
    memory_keys: ClassVar[tuple[str, ...]] = ("problem.cuts",)
    defaults: ClassVar[dict[str, Any]] = {
        "rule": {"kind": "first_pick"},
        "training": {"steps": 1000, "batch": 1, "learning_rate": 0.05, "chunk": 20,
                     "response": {"kind": "logit", "temperature": 0.1, "temperature_end": 0.01}},
        "evaluation": {},
    }
    examples: ClassVar[list[dict[str, Any]]] = [
        {"kind": "cut_and_choose", "cuts": 20},
        {"kind": "cut_and_choose", "cuts": 20, "cutter": [0.6, 0.1, 0.3], "chooser": [0.1, 0.5, 0.4], "edges": [0, 0.2, 0.7, 1],
         "objective": "ex_ante_spread"},
    ]

    cutter: Numbers | None = Field(None, description="what each part of the cake is worth to the cutter; null: every part alike")
    chooser: Numbers | None = Field(None, description="the same for the chooser; both are divided by their sums, so that a cake is worth 1")
    edges: Numbers | None = Field(None, description="where parts begin and end, from 0 to 1; null: parts of equal length")
    objective: Literal["ex_post_spread", "ex_ante_spread", "maximin", "welfare"] = Field(
        "ex_post_spread", description="the difference between what the two get, to be small: once the lot is drawn, or on average over "
                                      "it; or the smaller of the two once it is drawn, or their sum, to be large")  # fmt: skip
    cuts: int = Field(200, ge=2, description="points at which the cutter may cut while training, besides those where tastes change or a "
                                             "player is indifferent; it is judged by all cuts there are")  # fmt: skip

    @model_validator(mode="after")
    def _fits(self) -> CutAndChoose:
        given = {name: getattr(self, name) for name in ("cutter", "chooser") if getattr(self, name) is not None}
        for name, taste in given.items():
            if taste.ndim != 1:
                raise fault(([name], f"has {taste.ndim} axes; it should be a list, one number for each part of the cake", taste))
            for place in np.flatnonzero(taste.values < 0):
                raise fault(([name, int(place)], "should be at least 0: nobody minds getting cake", float(taste[place])))
            if taste.values.sum() <= 0:
                raise fault(([name], "should have a part that is worth something", taste))
        lengths = {name: len(taste) for name, taste in given.items()}
        if len(set(lengths.values())) > 1:
            raise fault((["chooser"], f"has {lengths['chooser']} parts, and cutter {lengths['cutter']}; write both on the same parts",
                         self.chooser))  # fmt: skip
        if self.edges is not None:
            edges, parts = self.edges.values, next(iter(lengths.values()), None)
            if self.edges.ndim != 1 or len(edges) < 2 or edges[0] != 0 or edges[-1] != 1 or (np.diff(edges) <= 0).any():
                raise fault((["edges"], "should rise from 0 to 1", self.edges))
            if parts is not None and len(edges) != parts + 1:
                raise fault((["edges"], f"has {len(edges)} points; {parts} parts have {parts + 1}", self.edges))
        return self

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes of one training step: what every cut is worth, forward and backward."""
        return 4 * 32 * self.cuts * training.members


class FirstPick(RuleModel):
    """The probability with which the cutter picks first, 1/(1 + exp(−parameter)). At 0 this is cut-and-choose."""

    kind: Literal["first_pick"] = "first_pick"
    builder: ClassVar[Any] = "icsap_jax.division.cut.problem:first_pick"
    starts: ClassVar[Any] = "icsap_jax.division.cut.problem:first_picks"
    problems: ClassVar[tuple[str, ...]] = ("cut_and_choose",)
    statements: ClassVar[tuple[str, ...]] = ("all of the cake is given away by construction",)
    examples: ClassVar[list[dict[str, Any]]] = [{"kind": "first_pick"}]

    initial: float = Field(0.5, gt=0, lt=1, description="the probability that training begins with")
    others: int = Field(3, ge=0, description="further probabilities to begin with, evenly apart, trained beside it; the best by "
                                            "the exact cutter is kept")  # fmt: skip
