"""Several types: one contract, a menu, and randomised menus, which can only bring more and more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from icsap_jax.contracts import programmes
from icsap_jax.contracts.classical import value_of
from icsap_jax.contracts.family.instances import typed
from icsap_jax.contracts.menus import randomised_menu
from icsap_jax.contracts.programmes import alone, best_contract, least_pay
from icsap_jax.contracts.shapes import Terms
from icsap_jax.contracts.tables import Cara, Sqrt, Tables
from icsap_jax.exact.lp import Infeasible

CLOSE = 1e-7  # HiGHS's feasibility tolerance on tables of size one


def lies_pay(tables: Tables, contracts: np.ndarray, actions: np.ndarray) -> float:
    """The most any type gains, by brute force, over its own contract and action, by another contract and any action."""
    most = -np.inf
    for k in range(tables.types):
        own = tables.outcome_probabilities[k, actions[k]] @ tables.utility.of(contracts[k]) - tables.costs[k, actions[k]]
        for contract in contracts:
            for a in range(tables.actions):
                most = max(most, tables.outcome_probabilities[k, a] @ tables.utility.of(contract) - tables.costs[k, a] - own)
    return most


@pytest.fixture(scope="module")
def two_types() -> Tables:
    """C15's problem, in which a menu beats one contract and a randomised one the menu."""
    return typed(134, 2, 3, 3)


def test_single_menu_and_randomised_are_the_known_ones(case, two_types):
    known = case("C15")
    solution, tol = known["solution"], known["tol"]
    single, menu = best_contract(two_types), best_contract(two_types, menu=True)
    assert single.value == pytest.approx(solution["single"]["principal_utility"], abs=tol)
    np.testing.assert_allclose(single.contracts[0], solution["single"]["contract"], atol=tol)
    assert menu.value == pytest.approx(solution["menu"]["principal_utility"], abs=tol)
    assert menu.actions.tolist() == solution["menu"]["actions"]
    np.testing.assert_allclose(menu.contracts, solution["menu"]["contracts"], atol=tol)
    np.testing.assert_allclose(menu.agent_utility, solution["menu"]["agent_utility"], atol=tol)
    assert value_of(two_types, menu.contracts).choices.tolist() == solution["menu"]["choice_contract_action"]
    assert randomised_menu(two_types) == pytest.approx(solution["randomised_menu_sup"]["principal_utility"], abs=tol)
    known_types = sum(two_types.type_prior[k] * best_contract(alone(two_types, k)).value for k in range(2))
    assert known_types == pytest.approx(solution["known_type_upper_bound"], abs=tol)


def test_the_typed_families_are_solved_exactly_and_in_order(case):
    """single ≤ menu ≤ randomised on every instance of C28, each the known one."""
    known = case("C28")
    for one in known["solution"]["instances"]:
        tables = typed(one["seed"], one["K"], one["n"], one["m"])
        found = best_contract(tables).value, best_contract(tables, menu=True).value, randomised_menu(tables)
        assert found == pytest.approx((one["single"], one["menu"], one["randomised_sup"]), abs=known["tol"])
        assert found[0] <= found[1] + CLOSE and found[1] <= found[2] + CLOSE


@pytest.mark.parametrize("shape", ["any", "monotone", "linear", "threshold"])
@pytest.mark.parametrize("seed", [0, 134])
def test_the_order_holds_under_every_limit(shape, seed):
    """Shapes, a budget, reservation utilities and costly payments at once."""
    tables = replace(typed(seed, 2, 3, 3), reservation=np.array([0.1, 0.2]), payment_cost=0.9)
    terms = Terms(shape=shape, budget=3.0)
    single, menu = best_contract(tables, terms), best_contract(tables, terms, menu=True)
    assert single.value <= menu.value + CLOSE and menu.value <= randomised_menu(tables, terms) + CLOSE
    assert lies_pay(tables, menu.contracts, menu.actions) <= CLOSE
    assert np.all(menu.agent_utility >= tables.reservation - CLOSE)
    assert np.all((menu.contracts >= -CLOSE) & (menu.contracts <= 3.0 + CLOSE))


@pytest.mark.parametrize("utility", [Sqrt(), Cara(0.3)], ids=str)
def test_a_menu_for_risk_averse_types_is_honest_and_beats_one_contract(two_types, utility):
    tables = replace(two_types, utility=utility)
    single, menu = best_contract(tables), best_contract(tables, menu=True)
    assert single.value <= menu.value + 1e-8  # certified to 1e-9 of values of this size
    assert menu.value <= sum(tables.type_prior[k] * best_contract(alone(tables, k)).value for k in range(2)) + 1e-8
    assert lies_pay(tables, menu.contracts, menu.actions) <= 1e-8
    assert value_of(tables, menu.contracts).value == pytest.approx(menu.value, abs=1e-5)  # ties are within 1e-6 of payoffs


@pytest.mark.parametrize("menu", [False, True])
def test_a_margin_is_kept_against_every_other_choice(two_types, menu):
    """Each type's own contract and action beat all others by the margin; that never helps."""
    margin = 0.05
    best = best_contract(two_types, Terms(margin=margin), menu=menu)
    assert best.value <= best_contract(two_types, menu=menu).value + CLOSE
    gains = two_types.outcome_probabilities @ best.contracts.T - two_types.costs[..., None]  # [T, A, C]
    for k in range(2):
        own = best.actions[k], k if menu else 0
        others = np.delete(gains[k].ravel(), np.ravel_multi_index(own, gains[k].shape))
        assert gains[k][own] >= others.max() + margin - CLOSE
    if menu:
        assert randomised_menu(two_types, Terms(margin=margin)) >= best.value - CLOSE
        assert randomised_menu(two_types, Terms(margin=margin)) <= randomised_menu(two_types) + CLOSE


@pytest.mark.parametrize("terms", [Terms(), Terms(margin=0.05), Terms(shape="threshold", budget=3.0)], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_with_one_type_menus_and_lotteries_bring_nothing(seed, terms):
    """The optimal contract of one type is already best among all randomised ones: each recommendation has to be obeyed by itself."""
    tables = typed(seed, 1, 4, 3)
    value = best_contract(tables, terms).value
    assert best_contract(tables, terms, menu=True).value == pytest.approx(value, abs=CLOSE)
    assert randomised_menu(tables, terms) == pytest.approx(value, abs=CLOSE)


def test_types_that_are_alike_are_given_one_contract():
    """Two copies of one type: the single contract, the menu and the problem without types have the same value."""
    one = typed(5, 1, 3, 3)
    tables = Tables(np.repeat(one.outcome_probabilities, 2, 0), np.repeat(one.costs, 2, 0), one.rewards, type_prior=[0.3, 0.7])
    value = best_contract(one).value
    assert best_contract(tables).value == pytest.approx(value, abs=CLOSE)
    assert best_contract(tables, menu=True).value == pytest.approx(value, abs=CLOSE)


def test_the_type_that_cannot_be_satisfied_is_named(two_types):
    with pytest.raises(Infeasible, match=r"Type 1 cannot be given its reservation utility of 4 .* budget of 3"):
        best_contract(replace(two_types, reservation=np.array([0.0, 4.0])), Terms(budget=3.0), menu=True)
    with pytest.raises(Infeasible):
        randomised_menu(replace(two_types, reservation=np.array([0.0, 4.0])), Terms(budget=3.0))


def test_profiles_of_no_contract_are_called_infeasible():
    """Two types alike but for their costs of the second action: the one with the higher cost cannot alone be made to work."""
    law = [[0.8, 0.2], [0.2, 0.8]]
    tables = Tables([law, law], [[0.0, 1.0], [0.0, 2.0]], [0.0, 10.0], type_prior=[0.5, 0.5])
    for menu in (False, True):
        with pytest.raises(Infeasible, match=r"actions \[0, 1\]"):
            least_pay(tables, Terms(), [0, 1], menu)


def test_too_many_profiles_are_refused_in_a_sentence(monkeypatch):
    """At once where they cannot even be counted out, and after as many as are tried where bounds do not end the search before."""
    with pytest.raises(ValueError, match=r"8 types with 8 actions make .* profiles"):
        best_contract(typed(0, 8, 8, 3))
    monkeypatch.setattr(programmes, "MOST_PROFILES", 1)
    with pytest.raises(ValueError, match="The best of 9 profiles of actions was not found among the 1 most promising"):
        best_contract(typed(134, 2, 3, 3))


def test_what_is_not_computed_says_so(two_types):
    averse = replace(two_types, utility=Sqrt())
    with pytest.raises(ValueError, match="risk-neutral"):
        randomised_menu(averse)
    with pytest.raises(ValueError, match="Menus of linear contracts"):
        best_contract(averse, Terms(shape="linear"), menu=True)
