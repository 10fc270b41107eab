"""What replay counts as a difference."""

from __future__ import annotations

import math

import numpy as np
import pytest

from icsap_jax.artifact.replay import difference

ANSWERS = {"allocation": np.array([[0.25, 0.5]]), "payment": np.array([4.0])}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 0.0),
        ({"payment": np.array([4.4])}, 0.1),
        ({"allocation": np.array([[0.25, 0.45]])}, 0.1),
        ({"payment": np.array([np.nan])}, math.inf),
        ({"payment": np.array([4.0, 4.0])}, math.inf),
        ({"another": np.array([1.0])}, math.inf),
    ],
)
def test_a_difference_is_a_share_of_the_largest_answer_of_its_part(changes: dict, expected: float) -> None:
    """So that probabilities and payments in millions are held to the same standard; what cannot be compared differs infinitely."""
    assert difference({**ANSWERS, **changes}, ANSWERS) == pytest.approx(expected)
