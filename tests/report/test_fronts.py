"""The Pareto front is what nothing beats in both objective and gap, among answers to the same question."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from icsap_jax.report.fronts import by_interest, dominated_by


def row(objective: float | None, gap: float | None, problem: int = 0, selected: bool = False) -> dict[str, Any]:
    """As in a sweep's table, as far as fronts look at it."""
    return {"objective": objective, "gap_mean": gap, "set": {"problem.items": problem, "seed": 3}, "selected": selected}


def beats(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether nobody who has `a` would want `b`."""
    as_good = a["objective"] >= b["objective"] and a["gap_mean"] <= b["gap_mean"]
    return as_good and (a["objective"], a["gap_mean"]) != (b["objective"], b["gap_mean"])


@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_what_nothing_beats(seed: int) -> None:
    """Counted pair by pair, with many ties in either number; and whatever is beaten is beaten by something on the front."""
    generator = np.random.default_rng(seed)
    rows = [row(float(a), float(b)) for a, b in generator.integers(0, 8, size=(40, 2)) / 8]
    counts = dominated_by(rows)
    assert counts == [sum(beats(other, each) for other in rows) for each in rows]
    front = [each for each, count in zip(rows, counts, strict=True) if count == 0]
    assert front
    assert all(any(beats(best, each) for best in front) for each, count in zip(rows, counts, strict=True) if count)


def test_equals_stand_on_the_front_together() -> None:
    """Two members with the same numbers do not push each other off it."""
    assert dominated_by([row(0.5, 1e-4), row(0.5, 1e-4), row(0.4, 1e-4), row(0.5, 2e-4)]) == [0, 0, 2, 2]


def test_only_answers_to_the_same_question_are_compared() -> None:
    """Selling two items earns more than selling one, whatever the rule; what was never judged is compared with nothing."""
    rows = [row(0.2, 1e-3, problem=1), row(0.5, 1e-4, problem=2), row(0.4, 2e-4, problem=2), row(None, None, problem=2)]
    assert dominated_by(rows) == [0, 0, 1, None]


def test_pictures_are_of_the_selected_member_then_the_front_then_the_nearest_to_it() -> None:
    """What was never judged is not looked at."""
    rows = [row(0.30, 9e-4), row(0.50, 5e-4), row(0.45, 1e-4), row(None, None), row(0.44, 2e-4, selected=True), row(0.49, 6e-4)]
    assert by_interest(rows) == [4, 2, 1, 5, 0]
