"""The random families are the ones of the case file, draw for draw."""

from __future__ import annotations

import numpy as np
import pytest

from icsap_jax.contracts.classical import first_best, zero_contract
from icsap_jax.contracts.family.instances import hidden_action, typed

SIZES = {(5, 5): 10, (10, 10): 10, (25, 25): 10, (50, 50): 5, (10, 100): 5, (100, 10): 5}  # the case's 45 instances: seeds 0, 1, …


def test_the_hidden_action_family_is_the_cases(case):
    """What no pay and what the first best bring depend on every draw: equal to the last bits at every instance."""
    for one in case("C27b")["solution"]["instances"]:
        tables = hidden_action(one["seed"], one["n"], one["m"], **case("C27b")["data"]["kwargs"])
        assert zero_contract(tables).value == pytest.approx(one["zero_contract"], abs=1e-14)
        assert first_best(tables) == pytest.approx(one["first_best"], abs=1e-14)


@pytest.mark.parametrize("size", SIZES)
def test_the_averages_over_all_instances_are_the_cases(case, size):
    known = case("C27b")["solution"]["aggregate"][f"{size[0]}x{size[1]}"]
    family = [hidden_action(seed, *size) for seed in range(SIZES[size])]
    # A mean's rounding.
    assert np.mean([first_best(tables) for tables in family]) == pytest.approx(known["mean_first_best"], abs=1e-13)
    assert np.mean([zero_contract(tables).value for tables in family]) == pytest.approx(known["mean_zero"], abs=1e-13)


def test_the_typed_family_is_the_cases_bit_for_bit(case):
    data = case("C15")["data"]
    tables = typed(data["seed"], 2, 3, 3)
    for array, name in ((tables.outcome_probabilities, "F"), (tables.costs, "c"), (tables.rewards, "v"), (tables.type_prior, "prob")):
        np.testing.assert_array_equal(array, np.array(data[name]))


def test_ordered_actions_bring_more_and_the_first_is_free():
    tables = hidden_action(3, 7, 4)
    assert np.all(np.diff(tables.expected_rewards[0]) >= 0.0)
    assert tables.costs[0, 0] == 0.0 == tables.rewards[0]
    assert np.any(np.diff(hidden_action(3, 7, 4, order=False).expected_rewards[0]) < 0.0)
