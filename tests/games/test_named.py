"""Named games: their equilibria, the least payments that change them, and what institutions are worth, all exactly."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from icsap_jax.config import ConfigError, kinds, parse
from icsap_jax.exact import markov, nash
from icsap_jax.games.build import chosen
from icsap_jax.games.named.institutions import schema  # noqa: F401  (all kinds become known)
from icsap_jax.games.named.institutions.boycott import enough
from icsap_jax.games.optimum import best_payment, least_scale
from icsap_jax.games.schema import NamedGame

BESIDE = 1e-6  # either side of a threshold: far above rounding, far below any gain in these games
DILEMMA = {"kind": "dilemma"}
C18 = {"kind": "dilemma", "reward": 3, "sucker": 0, "temptation": 5, "punishment": 1}


def problem_of(named, kind="game", **given):
    """The checked problem of a file."""
    return parse({"problem": {"kind": kind, "named": named, **given}}).problem


def least(named, level, instrument):
    """The least scale of one payment that makes the target Nash, unique or dominant."""
    problem = problem_of({**named, "instruments": [instrument]})
    given = problem.tables()
    target, paid = chosen(problem, given), given.instruments[0]
    if given.discount or len(given.states) > 1:
        return least_scale(given, paid, target, level)
    # In one period of one state a policy is an action, which for a hundred of them is much quicker.
    return nash.least_scale(given.rewards[:, 0], paid[:, 0], target[:, 0].argmax(-1), level)


def best(named, **given):
    """The value of the best that payments by instrument reach."""
    config = parse({"problem": {"kind": "game", "named": named, "implementation": "partial", **given},
                    "rule": {"kind": "payment", "form": "instruments"}})  # fmt: skip
    return best_payment(*config.problem.build(None), config.problem, config.rule)["value"]


def regret(problem, paid=0.0):
    """What each gains at most by leaving the target, with payments added."""
    given = problem.tables()
    return markov.regret(given.rewards + paid, given.transitions, given.start, given.discount, chosen(problem, given), given.legal)


def perfect(problem):
    """Whether the target is best for everybody in every state, reached or not."""
    given = problem.tables()
    found = markov.pure_equilibria(given.rewards, given.transitions, given.start, given.discount, given.legal)
    return any(np.array_equal(chosen(problem, given), each) for each in found)


def test_every_named_game_names_all_there_is_and_no_two_things_alike() -> None:
    """A name for each state, thing seen, agent, action and payment, in every example; what agents should do is legal."""
    for cls in kinds(NamedGame).values():
        for example in cls.examples:
            given = problem_of(example).tables()
            assert (len(given.agents), len(given.states), *map(len, given.actions)) == given.rewards.shape
            assert len(given.instrument_names) == len(given.instruments)
            for names in (given.agents, given.states, given.seen, given.instrument_names, *given.actions):
                assert len(set(names)) == len(names)
            if given.target is not None:
                assert np.take_along_axis(given.legal, given.target[..., None], -1).all()


@pytest.mark.parametrize("name", ["K10_d1_eps2.0", "K10_d1_eps1.5", "K10_d1_eps0.5", "K100_d1_eps2.0"])
def test_quality_collapses_without_a_rule_and_the_published_least_payments_restore_it(case, name) -> None:
    """Pure equilibria, the least subsidy and the least balanced transfer, and what each costs at full quality."""
    wanted = case(f"travelers_quality.{name}")
    top, bonus = int(name[1:].split("_")[0]), float(name.split("eps")[1])
    named = {"kind": "quality", "top": top, "bonus": bonus}
    given = problem_of(named).tables()
    assert [list(map(float, pair)) for pair in nash.pure_nash(given.rewards[:, 0])] == wanted["pure_nash"]
    transfer = least(named, "nash", "low_pays_high")
    assert transfer == pytest.approx(wanted["min_budget_balanced_transfer_low_pays_high"], abs=1e-9)
    assert least(named, "nash", "own_quality") == pytest.approx(wanted["min_own_quality_subsidy"], abs=1e-9)
    paid = dict(zip(given.instrument_names, given.instruments[:, :, 0, top, top].sum(-1), strict=True))
    assert transfer * paid["low_pays_high"] == wanted["cost_of_transfer_at_KK"] == 0
    assert wanted["min_own_quality_subsidy"] * paid["own_quality"] == pytest.approx(wanted["cost_of_subsidy_at_KK"])


@pytest.mark.parametrize("bonus", [1.5, 2.0])
def test_at_the_least_transfer_two_other_profiles_remain_and_above_it_none(bonus) -> None:
    """At bonus − step, (9, 10) and (10, 9) are still equilibria; beyond it full quality is alone among pure and mixed profiles, for one
    after another the lowest quality that is left is strictly worse than the highest."""
    given = problem_of({"kind": "quality", "top": 10, "bonus": bonus, "instruments": ["low_pays_high"]}).tables()
    at, above = (given.rewards[:, 0] + scale * given.instruments[0][:, 0] for scale in (bonus - 1, bonus - 1 + BESIDE))
    assert nash.pure_nash(at) == [(9, 10), (10, 9), (10, 10)]
    assert nash.pure_nash(above) == [(10, 10)]
    for lowest in range(10):
        assert (above[0][lowest, lowest:] < above[0][10, lowest:]).all()


def test_the_least_bonuses_for_the_highest_claim_are_one_two_and_three(case) -> None:
    """All 99 × 99 profiles: reward − 1 for an equilibrium, reward for the only one (an open bound), 2 reward − 1 for dominance."""
    wanted, named = case("C21")["solution"], {"kind": "claims", "low": 2, "high": 100}
    for level, key in (("nash", "top_is_Nash"), ("unique", "top_is_unique_pure_Nash"), ("dominant", "top_dominant")):
        assert least(named, level, "top_bonus") == pytest.approx(wanted[f"min_bonus_{key}"], abs=1e-9)
    assert nash.pure_nash(problem_of(named).tables().rewards[:, 0]) == [(0, 0)]


def test_named_games_in_normal_form_are_those_of_the_cases(case) -> None:
    """Chicken, Stag Hunt, two dilemmas and three games of coordination: payoffs, and where both should cooperate the least transfer."""
    for name in ("chicken", "stag_hunt", "prisoners_dilemma", "pd_slide1"):
        wanted = case(f"normal_form.{name}")
        (reward, sucker), (temptation, punishment) = wanted["A"]
        named = {"kind": "dilemma", "reward": reward, "sucker": sucker, "temptation": temptation, "punishment": punishment}
        np.testing.assert_array_equal(problem_of(named).tables().rewards[:, 0], [wanted["A"], wanted["B"]])
        assert least(named, "dominant", "defector_pays") == wanted["min_transfer_C_dominant"]
    for name, worth in (("coordination3", [1, 1, 1]), ("ranked_coordination3", [1, 2, 3]), ("bach_stravinsky", [[3, 2], [2, 3]])):
        wanted, rewards = case(f"normal_form.{name}"), problem_of({"kind": "coordination", "worth": worth}).tables().rewards[:, 0]
        np.testing.assert_array_equal(rewards, [wanted["A"], wanted["B"]])
        welfare = [sum(each.payoffs) for each in nash.bimatrix_nash(*rewards)]
        assert (len(welfare), max(welfare), min(welfare)) == (
            wanted["n_nash"], Fraction(wanted["best_nash_welfare"]), Fraction(wanted["worst_nash_welfare"]))  # fmt: skip


def test_a_transfer_from_defectors_changes_the_equilibria_as_tabulated(case) -> None:
    """C18: for each transfer the pure equilibria; from outside, greed to a cooperator's partner in cooperation and fear to a lone one."""
    wanted, given = case("C18")["solution"], problem_of({**C18, "instruments": ["defector_pays"]}).tables()
    for transfer, profiles in wanted["nash_table"].items():
        found = nash.pure_nash(given.rewards[:, 0] + float(transfer) * given.instruments[0][:, 0])
        assert ["".join("CD"[action] for action in pair) for pair in found] == profiles
    assert least(C18, "nash", "defector_pays") == wanted["min_theta_CC_is_Nash"]
    met, unmet = problem_of({**C18, "instruments": ["cooperation_met", "cooperation_unmet"]}).tables().instruments[:, :, 0]
    outside, rewards = wanted["third_party"], given.rewards[:, 0]
    assert nash.least_scale(rewards + 9 * unmet, met, (0, 0), "dominant") == outside["pay_C_vs_C"]
    assert nash.least_scale(rewards + 9 * met, unmet, (0, 0), "dominant") == outside["pay_C_vs_D"]
    assert outside["pay_C_vs_C"] * met[:, 0, 0].sum() == outside["on_path_cost"]


def test_somebody_pulls_the_lever_from_the_published_transfer_on(case) -> None:
    """C29: the least transfer for each agent at the lever, and welfare at the equilibria there and just below."""
    for row in case("C29")["solution"]["instances"]:
        named = {"kind": "lever", "agents": row["N"], "needed": row["M"]}
        assert least(named, "nash", "door_pays_lever") == pytest.approx(row["min_transfer_per_lever_agent"], abs=1e-9)
        given = problem_of(named).tables()
        for scale, found in ((1.0, row["equilibrium_welfares_at_threshold"]), (1.0 - BESIDE, [row["best_equilibrium_welfare_below"]])):
            payoffs = given.rewards[:, 0] + scale * given.instruments[0][:, 0]
            assert sorted({float(given.rewards[(slice(None), 0, *cell)].sum()) for cell in nash.pure_nash(payoffs)}) == found


def test_transfers_between_agents_add_up_to_nothing() -> None:
    """What one of them pays another gets, whatever is done."""
    lever = {"kind": "lever", "agents": 4}
    for named, name in (({"kind": "quality"}, "low_pays_high"), (DILEMMA, "defector_pays"), (lever, "door_pays_lever")):
        np.testing.assert_allclose(problem_of({**named, "instruments": [name]}).tables().instruments.sum(1), 0, atol=1e-12)


def test_giving_all_is_dominant_from_what_a_unit_is_not_worth_to_its_giver(case) -> None:
    """1 − share of a subsidy, also where parts may be given; welfare rises by agents · share − 1 for every unit."""
    for row in case("linear_public_good")["cases"]:
        for levels in (1, 3):
            named = {"kind": "public_good", "agents": row["n"], "share": row["m"], "levels": levels}
            assert least(named, "dominant", "contribution") == pytest.approx(row["min_subsidy"], abs=1e-9)
        welfare = problem_of(named).tables().rewards[:, 0].sum(0)
        none, full = (welfare[(place,) * row["n"]] for place in (0, levels))
        assert full - none == pytest.approx(row["n"] * row["gain_per_unit"])


@pytest.mark.parametrize(("strategy", "threshold"), [("grim", 1 / 3), ("win_stay_lose_shift", 1 / 2)])
def test_memory_of_one_round_sustains_cooperation_from_the_known_discount_on(strategy, threshold) -> None:
    """In the dilemma 3, 0, 4, 1 both strategies are equilibria exactly from there, and then best in every state."""
    for discount, holds in ((threshold - 1e-3, False), (threshold, True), (threshold + 1e-3, True), (0.9, True)):
        problem = problem_of({"kind": "repeated", "stage": DILEMMA, "strategy": strategy, "discount": discount})
        gains = regret(problem)
        assert bool(gains.max() < 1e-9) == holds
        assert perfect(problem) is holds
        if not holds:
            # Counted by hand: to defect for ever, or in every second round, and be forgiven in between.
            each = 1 - 2 * discount / (1 - discount) if strategy == "grim" else (1 - 2 * discount) / (1 - discount**2)
            assert gains == pytest.approx([each] * 2)


def test_what_patience_lacks_a_transfer_makes_up_for() -> None:
    """The least transfer from defectors is what is left of the temptation: 1 − 2δ/(1 − δ) under grim trigger, 1 − 2δ under win-stay."""
    for strategy, discount, wanted in (("grim", 0.2, 0.5), ("win_stay_lose_shift", 0.4, 0.2), ("grim", 0.5, 0.0)):
        named = {"kind": "repeated", "discount": discount, "strategy": strategy, "stage": {**DILEMMA, "instruments": ["defector_pays"]}}
        problem = problem_of(named)
        given = problem.tables()
        found = least_scale(given, given.instruments[0], chosen(problem, given), "nash")
        assert found == pytest.approx(wanted, abs=1e-9)


def test_a_contract_is_accepted_if_it_beats_the_disagreement(case) -> None:
    """C18's offer: from a transfer of 2 on both accept and cooperate at (3, 3); to refuse leaves (1, 1), and that both refuse is an
    equilibrium too, with any terms. Who sells the contract can take from each what it adds, 2."""
    game = case("C18")["solution"]["proposer_game"]
    named = {"kind": "contract_offer", "stage": C18, "instruments": ["defector_pays"]}
    problem = problem_of(named)
    given = problem.tables()
    target = chosen(problem, given)
    assert least(named, "nash", "defector_pays") == pytest.approx(game["theta"], abs=1e-9)
    assert regret(problem, (game["theta"] - BESIDE) * given.instruments[0]).max() > BESIDE / 2
    refused = target.copy()
    refused[:, 0] = np.eye(4)[1]
    for profile, wanted in ((target, game["payoffs"]), (refused, game["disagreement"])):
        values = markov.evaluate(given.rewards, given.transitions, given.discount, profile)
        np.testing.assert_allclose(values @ given.start, wanted)
    changed = given.rewards + game["theta"] * given.instruments[0]
    np.testing.assert_array_equal(markov.regret(changed, given.transitions, given.start, given.discount, refused, given.legal), 0)
    assert best({**named, "instruments": ["defector_pays", "fee"]}, objective="revenue") == pytest.approx(4, abs=1e-7)


def test_a_public_classification_is_worth_what_it_lets_punishers_tell_apart(case) -> None:
    """The gain without and with it, and how many punishments hit what is allowed."""
    wanted = case("altar_toy")
    given = problem_of({"kind": "classification"}).tables()
    uninformed = (given.start @ given.rewards[0]).max()
    informed = given.start @ given.rewards[0].max(-1)
    assert uninformed == pytest.approx(wanted["gain_uninformed"])
    assert informed == pytest.approx(wanted["gain_informed"])
    assert informed - uninformed == pytest.approx(wanted["value_of_altar"])
    assert given.start[given.rewards[0, :, 0] < 0].sum() == pytest.approx(wanted["misdirected_rate_uninformed"])
    told = problem_of({"kind": "classification"}, kind="informed_game", signals=2).tables()
    assert told.observation.shape == (1, 3, 2)


def test_a_boycott_deters_exactly_below_the_published_cost(case) -> None:
    """Honesty under the threat of a joint boycott is an equilibrium, and a perfect one, iff cost/price ≤ x/(1 + x); above that a fine of
    cost − x (price − cost) is what is missing."""
    for row in case("hadfield_weingast")["cases"]:
        named = {"kind": "boycott", "patience": row["delta"], "ambiguity": [row["rho_i"], row["rho_j"]], "price": 2.0, "value": 2.5}
        most = 2 * row["c_over_P"]
        for cost, holds in ((most - BESIDE, True), (most + BESIDE, False)):
            problem = problem_of({**named, "cost": cost})
            assert bool(regret(problem).max() < BESIDE / 10) == holds
            assert perfect(problem) is holds
        assert 2 * enough(problem.named) == pytest.approx(most)
        weight = 2 * row["delta"] * (1 - row["rho_i"]) * (1 - row["rho_j"])
        assert least({**named, "cost": most + 0.1}, "nash", "fine") == pytest.approx(most + 0.1 - weight * (1.9 - most), abs=1e-9)


@pytest.mark.parametrize("warnings", [0, 1])
def test_fines_by_mistake_cost_the_same_however_they_grow(warnings) -> None:
    """ε D/(1 − δ) for each agent is the least, D = (T − R)/(m − ε), whether a first violation draws a fine or a warning. The smallest
    largest fine is D where all are alike, and after a warning D (1 − δ (1 − ε))/(δ ε): by the recursion of expected fines, by hand."""
    detected, mistaken, discount, charge = 0.8, 0.2, 0.7, 1e-2
    named = {"kind": "graduated_fines", "records": 1 + warnings, "warnings": warnings, "discount": discount, "detected": detected,
             "mistaken": mistaken}  # fmt: skip
    value = best(named, objective="utility", payment_cost=charge)
    deters = 1 / (detected - mistaken)
    lost = 2 * mistaken * deters / (1 - discount)
    fine = deters * ((1 - discount * (1 - mistaken)) / (discount * mistaken) if warnings else 1.0)
    assert value == pytest.approx(6 / (1 - discount) - lost - charge * detected * fine, abs=1e-7)


def test_a_driver_is_indifferent_at_the_published_risk(case) -> None:
    """To drive and to idle are worth the same at p = (destination − idle)/(destination − crash)."""
    for row in case("knox_indifference")["cases"]:
        rewards = [[[row["r_crash"], row["r_idle"]], [row["r_dest"], row["r_idle"]]]]
        problem = parse({"problem": {"kind": "informed_game", "signals": 1, "rewards": rewards, "start": [row["p"], 1 - row["p"]]}}).problem
        given = problem.tables()
        for policy in np.eye(2):
            gains = markov.regret(given.rewards, given.transitions, given.start, 0.0, policy[None, None], observation=given.observation)
            assert gains.max() < 1e-9 * abs(row["r_crash"])


def test_any_game_of_one_state_may_be_repeated() -> None:
    """Payoffs written out, and three agents: what all do is the next state, and payments are made in every round."""
    stage = {"kind": "matrix", "payoffs": [[[1, 2], [0, 3]], [[1, 0], [2, 3]]], "actions": [["up", "down"], ["left", "right"]]}
    given = problem_of({"kind": "repeated", "stage": stage, "discount": 0.6}).tables()
    assert given.states == ("at first", "after up, left", "after up, right", "after down, left", "after down, right")
    assert given.transitions[3, 0, 1, 2] == 1
    assert (given.instruments[:, :, 0] == given.instruments[:, :, 4]).all()
    three = problem_of({"kind": "repeated", "stage": {"kind": "public_good", "agents": 3}, "strategy": "tit_for_tat"}).tables()
    assert len(three.states) == 9
    for agent, last in itertools.product(range(3), itertools.product(range(2), repeat=3)):
        place = 1 + int("".join(map(str, last)), 2)
        assert three.target[agent, place] == max(last[:agent] + last[agent + 1 :])


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"kind": "dilemma", "instruments": ["door_pays_lever"]}, "named.instruments.0 = 'door_pays_lever' is no payment of this game"),
        ({"kind": "claims", "low": 5, "high": 5}, "named.high = 5 should be above low, 5"),
        ({"kind": "lever", "agents": 2, "needed": 2}, "named.needed = 2 should leave somebody for the door"),
        ({"kind": "coordination", "worth": [[1, 2], [1, 2], [1, 2]]}, "named.worth has shape [3, 2]"),
        ({"kind": "matrix", "payoffs": [[1, 2], [3, 4]]}, "named.payoffs has shape [2, 2]"),
        ({"kind": "repeated", "stage": {"kind": "boycott"}}, "named.stage has 4 states; it should have one"),
        ({"kind": "repeated", "stage": {"kind": "quality", "top": 3}, "strategy": "grim"}, "is for two actions"),
        ({"kind": "contract_offer", "stage": {"kind": "matrix", "payoffs": [[[1, 0], [0, 1]], [[0, 1], [1, 0]]]}}, "no pure equilibrium"),
        ({"kind": "boycott", "cost": 2}, "named.cost = 2.0 should be at most the price, 1"),
        ({"kind": "graduated_fines", "detected": 0.1, "mistaken": 0.2}, "named.mistaken = 0.2 should be below detected"),
        ({"kind": "classification", "zones": 2, "violations": 2}, "named.violations = 2 should be fewer than the zones, 2"),
    ],
)  # fmt: skip
def test_a_game_that_cannot_be_is_refused_in_a_sentence(named, words) -> None:
    """The key, what is there, and what would be right."""
    with pytest.raises(ConfigError) as refused:
        problem_of(named)
    assert words in str(refused.value)
