"""What a domain's own judge says of a rule.

Where agents report, or act by themselves, or choose numbers, the strong evaluation knows how to find what each would rather do. Where
what they do is an equilibrium of a kind of its own (a policy in every state, prices, a population at rest), only the domain does: the
hook `judge(problem, env, model, rule, settings)` is given everything in float64 and answers with a `Judgement`, from which the numbers of
`result.json` are told like all others. Its gap must be exact: the most any agent gains, by whatever it could do alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Judgement:
    """`value`: the designer's objective under what agents do; `adversarial`: the same where ties, or one of several equilibria, are
    the worst for the designer, None where that is not known; `gap` [I, N] and `weight` [I, N] or [I, 1]: the gap at each information
    set, and its probability; `method`: how the gap was found; `participation`: the most any agent loses by taking part, None where it
    has no choice; `constraints`: how far each is missed, by name; `objectives`: the objective's parts; `rank`: what starts are chosen
    by, where that is not the value; `settled`: whether agents came to rest; `details`: whatever else is to be told."""

    value: float
    gap: np.ndarray
    weight: np.ndarray
    method: str
    adversarial: float | None = None
    participation: float | None = None
    constraints: dict[str, float] = field(default_factory=dict)
    objectives: dict[str, float] = field(default_factory=dict)
    rank: float | None = None
    settled: bool = True
    details: dict[str, Any] = field(default_factory=dict)


def standing(judged: Judgement) -> float:
    """What a rule is chosen by among several: its rank, or where it has none its value."""
    return judged.value if judged.rank is None else judged.rank
