"""Normal-form games: all equilibria against the exact lists, correlation, and the least transfers at breakpoints."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest

from icsap_jax.exact import nash

GAMES = ["chicken", "stag_hunt", "prisoners_dilemma", "pd_slide1", "coordination3", "ranked_coordination3", "bach_stravinsky"]
DILEMMAS = GAMES[:4]
# Sums and quotients of a few small numbers: a handful of roundings.
CLOSE = 1e-12
# HiGHS is asked for 1e-10 in every constraint.
PROGRAMME = 1e-9
LEVELS = ("nash", "unique", "dominant")


def thresholds(payoffs: np.ndarray, basis: np.ndarray, target: tuple[int, ...]) -> list[float]:
    return [nash.least_scale(payoffs, basis, target, level) for level in LEVELS]


def quality(most: int, step: float, bonus: float) -> np.ndarray:
    """Both are paid by the lower effort, and whoever gave strictly less keeps a bonus: [2, most + 1, most + 1]."""
    effort = np.arange(most + 1.0)
    first, second = effort[:, None], effort[None, :]
    return step * np.minimum(first, second) + bonus * np.stack([first < second, second < first])


@pytest.mark.parametrize("name", GAMES)
def test_all_equilibria_are_found_as_fractions(case, name):
    known = case(f"normal_form.{name}")
    found = nash.bimatrix_nash(known["A"], known["B"])
    told = [{"x": list(map(str, e.x)), "y": list(map(str, e.y)), "u": list(map(str, e.payoffs))} for e in found]
    assert told == known["nash"]
    assert len(found) == known["n_nash"]
    welfare = [sum(e.payoffs) for e in found]
    assert (max(welfare), min(welfare)) == (Fraction(known["best_nash_welfare"]), Fraction(known["worst_nash_welfare"]))


@pytest.mark.parametrize("name", GAMES)
def test_a_correlated_equilibrium_is_worth_at_least_the_best_nash_equilibrium(case, name):
    known = case(f"normal_form.{name}")
    payoffs = np.array([known["A"], known["B"]], dtype=float)
    distribution, welfare = nash.correlated(payoffs)
    assert welfare == pytest.approx(known["max_welfare_ce"], abs=PROGRAMME)
    assert welfare >= float(Fraction(known["best_nash_welfare"])) - PROGRAMME
    assert float((distribution * payoffs).sum()) == pytest.approx(welfare, abs=PROGRAMME)


def test_private_signals_in_chicken_never_ask_both_to_dare(case):
    known = case("normal_form.chicken")
    distribution, welfare = nash.correlated(np.array([known["A"], known["B"]]))
    assert welfare == pytest.approx(16 / 3, abs=PROGRAMME)
    np.testing.assert_allclose(distribution, known["ce"], atol=PROGRAMME)  # the only best one


def test_obedience_holds_for_three_agents_and_weights_choose_whom_it_serves():
    payoffs = np.random.default_rng(0).random((3, 2, 3, 2))
    for weights in (np.ones(3), np.array([1.0, 0.0, 0.0])):
        distribution, value = nash.correlated(payoffs, weights)
        assert value == pytest.approx(float(weights @ (payoffs * distribution).sum((1, 2, 3))), abs=PROGRAMME)
        for agent in range(3):
            own, chance = (np.moveaxis(table, agent, 0).reshape(table.shape[agent], -1) for table in (payoffs[agent], distribution))
            worth = chance @ own.T  # told the row, doing the column
            assert np.all(worth <= np.diag(worth)[:, None] + PROGRAMME)
    assert nash.correlated(payoffs, np.array([1.0, 0.0, 0.0]))[1] >= (payoffs[0] * nash.correlated(payoffs)[0]).sum() - PROGRAMME


@pytest.mark.parametrize("name", DILEMMAS)
def test_the_transfer_that_makes_cooperation_dominant_is_the_larger_of_greed_and_fear(case, name):
    known = case(f"normal_form.{name}")
    assert nash.greed_fear(known["A"], known["B"]) == (known["greed"], known["fear"])
    assert max(*nash.greed_fear(known["A"], known["B"]), 0) == known["min_transfer_C_dominant"]
    payoffs, basis = np.array([known["A"], known["B"]], dtype=float), np.array([[[0, 1], [-1, 0]], [[0, -1], [1, 0]]], dtype=float)
    assert nash.least_scale(payoffs, basis, (0, 0), "dominant") == known["min_transfer_C_dominant"]
    assert nash.least_scale(payoffs, basis, (0, 0), "nash") == max(known["greed"], 0)


def test_a_degenerate_game_lists_the_equilibria_between_which_all_others_lie():
    # Against the first column the rows are tied, and against the second row the columns: two segments that meet.
    first, second = np.array([[1, 0], [1, 0]]), np.array([[3, 1], [2, 2]])
    found = nash.bimatrix_nash(first, second)
    assert [(e.x, e.y) for e in found] == [((1, 0), (1, 0)), ((0, 1), (1, 0)), ((0, 1), (0, 1))]
    for one, other in pairwise(found):
        x, y = (np.array(own, dtype=float) + np.array(another, dtype=float) for own, another in ((one.x, other.x), (one.y, other.y)))
        x, y = x / 2, y / 2
        assert x @ first @ y == (first @ y).max() and x @ second @ y == (x @ second).max()
        assert min(map(sum, (one.payoffs, other.payoffs))) <= x @ (first + second) @ y <= max(map(sum, (one.payoffs, other.payoffs)))


def test_every_game_has_an_odd_number_of_equilibria_that_are_best_replies_exactly():
    random = np.random.default_rng(2)
    for shape in ((2, 4), (4, 3), (5, 5)):
        first, second = random.random((2, *shape))  # nondegenerate with probability 1 (Wilson 1971)
        found = nash.bimatrix_nash(first, second)
        assert len(found) % 2 == 1
        for e in found:
            rows, columns = np.array(e.x, dtype=float), np.array(e.y, dtype=float)
            assert float(e.payoffs[0]) == pytest.approx((first @ columns).max(), abs=CLOSE)
            assert float(e.payoffs[1]) == pytest.approx((rows @ second).max(), abs=CLOSE)


def test_payoffs_written_as_decimals_tie_as_they_are_written():
    # 0.1 + 0.2 is not 0.3 in binary; as written, the agent is indifferent and both rows are equilibria.
    found = nash.bimatrix_nash([[0.1 + 0.2], [0.3]], [[1.0], [1.0]])
    assert [e.x for e in found] == [(1, 0), (0, 1)]


@pytest.mark.parametrize("name", ["K10_d1_eps2.0", "K10_d1_eps1.5", "K10_d1_eps0.5", "K100_d1_eps2.0"])
def test_shirking_pays_until_quality_is_worth_more_than_the_bonus(case, name):
    known = case(f"travelers_quality.{name}")
    most, bonus = int(name[1:].split("_")[0]), float(name.split("eps")[1])
    payoffs = quality(most, 1.0, bonus)
    assert [list(map(float, profile)) for profile in nash.pure_nash(payoffs)] == known["pure_nash"]
    assert min(payoffs[:, a, b].sum() for a, b in nash.pure_nash(payoffs)) == known["welfare_nash_min"]
    assert payoffs.sum(0).max() == known["welfare_opt"]
    assert payoffs[:, most, most].sum() == known["welfare_at_KK"]
    effort = np.arange(most + 1.0)
    subsidy = np.stack(np.broadcast_arrays(effort[:, None], effort[None, :]))
    transfer = np.sign(subsidy - subsidy[::-1])  # the lower pays the higher one unit
    # Nash, alone and dominant all at once: each effort undercuts the next by the same.
    assert thresholds(payoffs, subsidy, (most, most)) == [known["min_own_quality_subsidy"]] * 3
    assert thresholds(payoffs, transfer, (most, most)) == [known["min_budget_balanced_transfer_low_pays_high"]] * 3
    assert known["min_own_quality_subsidy"] * subsidy[:, most, most].sum() == known["cost_of_subsidy_at_KK"]
    assert transfer[:, most, most].sum() == known["cost_of_transfer_at_KK"]


def test_at_the_least_transfer_itself_one_who_shirks_beside_one_who_does_not_is_still_content():
    payoffs = quality(10, 1.0, 2.0)
    effort = np.arange(11.0)
    transfer = np.stack([np.sign(effort[:, None] - effort), np.sign(effort - effort[:, None])])
    assert {(9, 10), (10, 9), (10, 10)} <= set(nash.pure_nash(payoffs + transfer))
    assert nash.pure_nash(payoffs + 1.001 * transfer) == [(10, 10)]


def test_a_binding_transfer_in_the_prisoners_dilemma(case):
    known = case("C18")["solution"]
    own = np.array([[3.0, 0.0], [5.0, 1.0]])
    payoffs, basis = np.stack([own, own.T]), np.array([[[0.0, 1.0], [-1.0, 0.0]], [[0.0, -1.0], [1.0, 0.0]]])
    assert thresholds(payoffs, basis, (0, 0)) == [known["min_theta_CC_is_Nash"], 2.0, known["min_theta_C_dominant"]]
    for theta, names in known["nash_table"].items():
        assert ["".join("CD"[a] for a in profile) for profile in nash.pure_nash(payoffs + float(theta) * basis)] == names
    greed, fear = nash.greed_fear(own, own.T)
    assert (greed, fear) == (known["third_party"]["pay_C_vs_C"], known["third_party"]["pay_C_vs_D"])


def test_a_quality_bonus_must_grow_to_be_nash_then_unique_then_dominant(case):
    known = case("C21")
    lowest, highest, penalty = (known["data"][key] for key in ("lo", "hi", "R"))
    claim = np.arange(lowest, highest + 1.0)
    first, second = claim[:, None], claim[None, :]
    lower = np.minimum(first, second) + penalty * np.stack([np.sign(second - first), np.sign(first - second)])
    basis = np.zeros_like(lower)
    basis[0, -1, :] = basis[1, :, -1] = 1.0
    assert [[lowest + a for a in profile] for profile in nash.pure_nash(lower)] == [known["solution"]["nash_without"]]
    names = ("min_bonus_top_is_Nash", "min_bonus_top_is_unique_pure_Nash", "min_bonus_top_dominant")
    assert thresholds(lower, basis, (len(claim) - 1,) * 2) == [known["solution"][name] for name in names]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_transfer_to_those_who_hold_the_lever_opens_the_door(case, number):
    known = case("C29")["solution"]["instances"][number]
    agents, needed = known["N"], known["M"]
    payoffs = np.zeros((agents, *[3] * agents))  # stay, lever, door
    basis = np.zeros_like(payoffs)
    for actions in product(range(3), repeat=agents):
        lever, door = actions.count(1), actions.count(2)
        for agent, action in enumerate(actions):
            payoffs[(agent, *actions)] = (0, -1, 10 if lever >= needed else -1)[action]
            basis[(agent, *actions)] = (0, 1, -lever / max(door, 1))[action] if door else 0
    np.testing.assert_allclose(basis.sum(0), 0, atol=CLOSE)
    target = (1,) * needed + (2,) * (agents - needed)
    least = nash.least_scale(payoffs, basis, target, "nash")
    assert least == known["min_transfer_per_lever_agent"]
    assert payoffs[(slice(None), *target)].sum() == known["welfare_with"]

    def welfares(scale: float) -> list[float]:
        return sorted({float(payoffs[(slice(None), *cell)].sum()) for cell in nash.pure_nash(payoffs + scale * basis)})

    assert welfares(least) == known["equilibrium_welfares_at_threshold"]
    assert welfares(least - 1e-3) == [known["best_equilibrium_welfare_below"]]
    assert nash.least_scale(payoffs, basis, target, "unique") == np.inf  # all staying away is always one


def test_a_contribution_is_given_once_its_subsidy_covers_what_it_does_not_return(case):
    known = case("linear_public_good")["cases"][0]
    agents, share = known["n"], known["m"]
    gives = np.stack(np.meshgrid(*[np.arange(3.0)] * agents, indexing="ij"))
    payoffs = 2.0 - gives + share * gives.sum(0)
    assert nash.pure_nash(payoffs) == [(0,) * agents]
    np.testing.assert_allclose(thresholds(payoffs, gives, (2,) * agents), known["min_subsidy"], atol=CLOSE)
    gain = (payoffs[:, *[2] * agents] - payoffs[:, *[0] * agents]).sum() / gives[:, *[2] * agents].sum()
    assert gain == pytest.approx(known["gain_per_unit"], abs=CLOSE)


def test_scales_agree_with_trying_them():
    random = np.random.default_rng(1)
    for _ in range(20):
        payoffs, basis = (random.integers(-3, 4, (2, 3, 3)).astype(float) for _ in range(2))
        target = (0, 0)
        least, alone = (nash.least_scale(payoffs, basis, target, level) for level in ("nash", "unique"))
        assert alone >= least
        for scale in np.arange(0, 4, 0.25) + 0.01:  # off every breakpoint, whose denominators are at most 6
            found = nash.pure_nash(payoffs + scale * basis)
            assert scale > least or target not in found
            assert scale > alone or found != [target]
        if np.isfinite(alone):
            assert nash.pure_nash(payoffs + (alone + 1e-6) * basis) == [target]  # no two breakpoints are so near
        if np.isfinite(least):
            assert target in nash.pure_nash(payoffs + least * basis)


def test_what_cannot_be_answered_is_refused_with_a_sentence():
    square = np.zeros((2, 2))
    with pytest.raises(ValueError, match="two matrices of one shape"):
        nash.bimatrix_nash(square, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="too many to list"):
        nash.bimatrix_nash(np.zeros((20, 20)), np.zeros((20, 20)))
    with pytest.raises(ValueError, match="symmetric game"):
        nash.greed_fear([[1, 2], [3, 4]], [[1, 2], [3, 4]])
    with pytest.raises(ValueError, match="one action of each agent"):
        nash.least_scale(np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), (0, 2), "nash")
    with pytest.raises(ValueError, match='"nash", "unique" or "dominant"'):
        nash.least_scale(np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), (0, 0), "best")
    with pytest.raises(ValueError, match="that many axes"):
        nash.pure_nash(np.zeros((3, 2, 2)))
