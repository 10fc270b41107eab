"""Markov games: the two-state commons under taxes and quotas, best responses, planners, and every pure equilibrium by trying all."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from icsap_jax.exact import markov

# Linear solves of two or three states, whose condition is at most 1/(1 − .9).
CLOSE = 1e-12
# The file's thresholds were found by bisection.
BISECTED = 1e-9


class Commons:
    """Two who share a resource, healthy or depleted, and restrain (R) or harvest (H): the case's tables, and its levers on them."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.rewards, self.transitions = np.array(case["R"]), np.array(case["T"])
        self.start, self.discount = np.array(case["mu"], dtype=float), case["gamma"]
        harvested = np.zeros((2, 2, 2, 2))
        harvested[0, :, 1, :] = harvested[1, :, :, 1] = 1.0
        self.tax = -harvested  # of one unit on one's own harvest, in either state

    def quota(self, kappa: float) -> tuple[np.ndarray, np.ndarray]:
        """Rewards and transitions where each harvest is carried out as restraint with probability kappa, apart from the other's."""
        done = np.array([[1.0, 0.0], [kappa, 1.0 - kappa]])
        return (
            np.einsum("ax,by,nsxy->nsab", done, done, self.rewards),
            np.einsum("ax,by,sxyt->sabt", done, done, self.transitions),
        )

    def welfare(self, profile: np.ndarray, rewards: np.ndarray, transitions: np.ndarray) -> float:
        return float(markov.evaluate(rewards, transitions, self.discount, profile).sum(0) @ self.start)

    def equilibria(self, rewards: np.ndarray, transitions: np.ndarray, **how: bool) -> list[np.ndarray]:
        return markov.pure_equilibria(rewards, transitions, self.start, self.discount, **how)


def named(profile: np.ndarray) -> list[str]:
    return ["".join("RH"[action] for action in own.argmax(-1)) for own in profile]


def profile_of(*names: str) -> np.ndarray:
    return np.stack([np.eye(2)[["RH".index(letter) for letter in name]] for name in names])


@pytest.fixture(scope="module")
def known(cases) -> dict[str, Any]:
    return cases["two_state_commons"]


@pytest.fixture(scope="module")
def commons(known) -> Commons:
    return Commons(known)


def random_game(seed: int, agents: int, states: int, actions: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rewards, transitions and a start; small whole rewards, so that many agents are indifferent."""
    random = np.random.default_rng(seed)
    rewards = random.integers(-1, 3, (agents, states, *actions)).astype(float)
    transitions = random.dirichlet(np.full(states, 0.5), (states, *actions))
    return rewards, transitions, random.dirichlet(np.ones(states))


def test_without_a_rule_both_harvest_while_there_is_something_to_harvest(known, commons):
    for perfect in (True, False):
        found = commons.equilibria(commons.rewards, commons.transitions, perfect=perfect)
        assert [named(profile) for profile in found] == known["mpe"]
    welfare = commons.welfare(found[0], commons.rewards, commons.transitions)
    assert welfare == pytest.approx(known["mpe_welfare"][0], abs=CLOSE)
    np.testing.assert_allclose(
        markov.regret(commons.rewards, commons.transitions, commons.start, commons.discount, found[0]), 0, atol=CLOSE
    )


def test_the_planner_restrains(known, commons):
    profile, values = markov.planner(commons.rewards, commons.transitions, commons.start, commons.discount)
    assert named(profile) == known["opt_policy"]
    assert float(values.sum(0) @ commons.start) == pytest.approx(known["opt_welfare"], abs=CLOSE)


def test_a_tax_on_harvests_moves_the_equilibria_and_rebated_costs_nothing(known, commons):
    for name, told in known["tax_grid"].items():
        found = commons.equilibria(commons.rewards + float(name.removeprefix("tau=")) * commons.tax, commons.transitions)
        assert [named(profile) for profile in found] == told["mpe"]
        rebated = [commons.welfare(profile, commons.rewards, commons.transitions) for profile in found]
        np.testing.assert_allclose(rebated, told["welfare"], atol=CLOSE)
    for told in known["tau_sweep_best_worst"]:
        found = commons.equilibria(commons.rewards + told["tau"] * commons.tax, commons.transitions)
        rebated = [commons.welfare(profile, commons.rewards, commons.transitions) for profile in found]
        assert len(found) == told["n_mpe"]
        np.testing.assert_allclose([max(rebated), min(rebated)], [told["best"], told["worst"]], atol=CLOSE)


def test_a_quota_turns_harvests_into_restraint(known, commons):
    for name, told in known["quota_grid"].items():
        rewards, transitions = commons.quota(float(name.removeprefix("kappa=")))
        found = commons.equilibria(rewards, transitions)
        assert [named(profile) for profile in found] == told["mpe"]
        np.testing.assert_allclose([commons.welfare(profile, rewards, transitions) for profile in found], told["welfare"], atol=1e-11)


def test_the_least_taxes_are_breakpoints(known, commons):
    target = profile_of("RR", "RR")

    def least(level: str, perfect: bool) -> float:
        return markov.least_scale(
            commons.rewards, commons.tax, commons.transitions, commons.start, commons.discount, target, level, perfect=perfect
        )

    for perfect in (True, False):
        assert least("nash", perfect) == pytest.approx(known["tau_exists"], abs=BISECTED)
        assert least("unique", perfect) == pytest.approx(known["tau_unique"], abs=BISECTED)
        # The hardest opponent to restrain against is one who harvests while there is something to harvest.
        hardest = max(known["tau_RR_best_response_to_each_opponent"].values())
        assert least("dominant", perfect) == pytest.approx(hardest, abs=BISECTED)


@pytest.mark.parametrize("opponent", ["RR", "RH", "HR", "HH"])
def test_against_each_opponent_restraint_needs_a_tax_of_its_own(known, commons, opponent):
    profile = profile_of("RR", opponent)
    gains, moves = markov.process(commons.rewards, commons.transitions, profile, 0)
    tax, _ = markov.process(commons.tax, commons.transitions, profile, 0)
    least = markov.least_scale(gains[None], tax[None], moves, commons.start, commons.discount, profile[:1], "nash")
    assert least == pytest.approx(known["tau_RR_best_response_to_each_opponent"][opponent], abs=BISECTED)
    for tau, restrains in ((least - 1e-6, False), (least + 1e-6, True)):
        rewards = commons.rewards + tau * commons.tax
        reply, _ = markov.best_response(rewards, commons.transitions, commons.start, commons.discount, profile, 0)
        assert (named(reply[None]) == ["RR"]) is restrains


def test_a_planner_without_an_agent_tells_what_it_costs_the_others(known, commons):
    """Markov games with Clarke's payments: a harvest of what is healthy is worth 1 + type, and each pays what it costs the other."""
    table = known["markov_vcg"]
    for types in product(table["types"], repeat=2):
        rewards = commons.rewards.copy()
        rewards[0, 0, 1, :], rewards[1, 0, :, 1] = 1 + types[0], 1 + types[1]
        told = table["table"][str(types)]
        profile, values = markov.planner(rewards, commons.transitions, commons.start, commons.discount)
        assert named(profile) == told["policy"]
        now = values @ commons.start
        np.testing.assert_allclose(now, told["value"], atol=1e-11)
        for agent in range(2):
            weights = 1.0 - np.eye(2)[agent]
            _, alone = markov.planner(rewards, commons.transitions, commons.start, commons.discount, weights=weights)
            assert weights @ (now - alone @ commons.start) == pytest.approx(told["payment"][agent], abs=1e-11)


@pytest.mark.parametrize("actions", [(3,), (2, 3), (2, 2, 2)])
def test_every_equilibrium_is_found_and_nothing_else(actions):
    agents, states, discount = len(actions), 2, 0.8
    rewards, transitions, start = random_game(len(actions), agents, states, actions)
    legal = np.zeros((agents, states, max(actions)), dtype=bool)
    for agent, count in enumerate(actions):
        legal[agent, :, :count] = True
    legal[-1, 0, 0] = False
    every = [markov.pure_policies(own[:, :count]) for own, count in zip(legal, actions, strict=True)]
    perfect, from_start = [], []
    for chosen in product(*every):
        profile = np.stack([np.eye(max(actions))[own] for own in chosen])
        now = markov.evaluate(rewards, transitions, discount, profile)
        best = np.stack([markov.best_response(rewards, transitions, start, discount, profile, agent, legal)[1] for agent in range(agents)])
        assert np.all(best >= now - CLOSE * 10)
        perfect += [profile] if np.allclose(best, now, rtol=0, atol=1e-9) else []
        from_start += [profile] if np.allclose(best @ start, now @ start, rtol=0, atol=1e-9) else []
    for wanted, is_perfect in ((perfect, True), (from_start, False)):
        found = markov.pure_equilibria(rewards, transitions, start, discount, legal, perfect=is_perfect)
        np.testing.assert_array_equal(np.array(found), np.array(wanted))


def test_an_empty_threat_is_an_equilibrium_from_the_start_and_not_a_perfect_one():
    # The entrant moves in state 0: out ends at 2; in leads to 1, where the incumbent shares (1, 1) or fights (−1, −1).
    rewards, transitions = np.zeros((2, 3, 2, 2)), np.zeros((3, 2, 2, 3))
    rewards[1, 0, 0, :] = 2.0
    rewards[:, 1, :, 0], rewards[:, 1, :, 1] = 1.0, -1.0
    transitions[0, 0, :, 2] = transitions[0, 1, :, 1] = transitions[1:, :, :, 2] = 1.0
    legal = np.array([[[1, 1], [1, 0], [1, 0]], [[1, 0], [1, 1], [1, 0]]], dtype=bool)
    start = np.array([1.0, 0.0, 0.0])
    plays = {}
    for perfect in (True, False):
        found = markov.pure_equilibria(rewards, transitions, start, 0.9, legal, perfect=perfect)
        plays[perfect] = [(profile[0, 0].argmax(), profile[1, 1].argmax()) for profile in found]
    assert plays == {True: [(1, 0)], False: [(0, 1), (1, 0)]}


def test_a_bayesian_game_is_answered_at_the_posterior():
    """Discount 0: whoever sees a state through noise takes the action that is best under what it then believes."""
    random = np.random.default_rng(3)
    rewards, transitions = random.standard_normal((2, 4, 3, 2)), np.full((4, 3, 2, 4), 0.25)
    start, observation = random.dirichlet(np.ones(4)), random.dirichlet(np.ones(3), (2, 4))
    policies = np.stack([np.pad(random.dirichlet(np.ones(count), 3), ((0, 0), (0, 3 - count))) for count in (3, 2)])
    reply, values = markov.best_response(rewards, transitions, start, 0.0, policies, 0, observation=observation)
    gains, moves = markov.process(rewards, transitions, policies, 0, observation)
    slow, _ = markov.strategic_form(gains[None], moves, start, 0.0, observation=observation[:1])
    assert values @ start == pytest.approx(slow.max(), abs=CLOSE)
    assert reply.shape == (3, 3)
    # An agent with two actions is never given the third, and what follows does not matter much where the future hardly counts.
    reply, values = markov.best_response(rewards, transitions, start, 1e-9, policies, 1, observation=observation)
    near, _ = markov.best_response(rewards, transitions, start, 0.0, policies, 1, observation=observation)
    np.testing.assert_array_equal(reply, near)
    assert not reply[:, 2].any()


def test_who_sees_nothing_must_do_the_same_everywhere_and_loses_by_it():
    rewards, transitions = np.zeros((1, 2, 2)), np.zeros((2, 2, 2))
    rewards[0] = [[1.0, 0.0], [0.0, 1.0]]  # the action that fits the state
    transitions[:, :, :] = [[[0.0, 1.0]] * 2, [[1.0, 0.0]] * 2]  # states alternate
    start, policies, blind = np.array([1.0, 0.0]), np.full((1, 1, 2), 0.5), np.ones((1, 2, 1))
    reply, values = markov.best_response(rewards, transitions, start, 0.5, policies, 0, observation=blind)
    np.testing.assert_array_equal(reply, [[1.0, 0.0]])
    np.testing.assert_allclose(values, [4 / 3, 2 / 3], atol=CLOSE)
    np.testing.assert_allclose(markov.regret(rewards, transitions, start, 0.5, policies, observation=blind), 4 / 3 - 1, atol=CLOSE)
    seeing = np.full((1, 2, 2), 0.5)
    np.testing.assert_allclose(markov.regret(rewards, transitions, start, 0.5, seeing, observation=np.eye(2)[None]), 1.0, atol=CLOSE)


def test_an_action_is_open_only_where_it_is_legal_in_every_state_that_looks_so():
    rewards, transitions = np.zeros((1, 2, 2)), np.full((2, 2, 2), 0.5)
    rewards[0, :, 1] = 1.0
    legal = np.array([[[1, 1], [1, 0]]], dtype=bool)
    blind, policies = np.ones((1, 2, 1)), np.array([[[1.0, 0.0]]])
    for discount in (0.0, 0.5):
        reply, _ = markov.best_response(rewards, transitions, np.array([1.0, 0.0]), discount, policies, 0, legal, blind)
        np.testing.assert_array_equal(reply, [[1.0, 0.0]])


def test_time_spent_in_states_prices_rewards():
    rewards, transitions, start = random_game(5, 2, 3, (2, 3))
    policies = np.stack([np.pad(np.random.default_rng(6).dirichlet(np.ones(n), 3), ((0, 0), (0, 3 - n))) for n in (2, 3)])
    time = markov.occupancy(transitions, start, 0.9, policies)
    assert time.sum() == pytest.approx(1, abs=CLOSE)
    together = markov.joint(policies, (2, 3))
    np.testing.assert_allclose(together.sum((1, 2)), 1, atol=CLOSE)
    values = markov.evaluate(rewards, transitions, 0.9, policies)
    np.testing.assert_allclose(np.einsum("s,sab,nsab->n", time, together, rewards) / 0.1, values @ start, atol=CLOSE * 100)


def test_a_planner_does_at_least_as_well_as_every_pure_profile():
    rewards, transitions, start = random_game(7, 2, 3, (2, 3))
    payoffs, _ = markov.strategic_form(rewards, transitions, np.eye(3), 0.9)
    _, values = markov.planner(rewards, transitions, start, 0.9)
    np.testing.assert_allclose(values.sum(0), payoffs.sum(0).max((1, 2)), atol=CLOSE * 100)


def test_with_everything_tied_every_profile_is_an_equilibrium_and_too_many_policies_are_refused():
    transitions = np.full((3, 2, 2, 3), 1 / 3)
    assert len(markov.pure_equilibria(np.zeros((2, 3, 2, 2)), transitions, np.ones(3) / 3, 0.9)) == 64
    forced = np.zeros((80, 2), dtype=bool)
    forced[:, 0] = forced[[3, 70], 1] = True
    np.testing.assert_array_equal(markov.pure_policies(forced)[:, [3, 70]], [[0, 0], [0, 1], [1, 0], [1, 1]])
    large = np.full((12, 2, 2, 12), 1 / 12)
    with pytest.raises(ValueError, match="an agent is indifferent"):
        markov.pure_equilibria(np.zeros((2, 12, 2, 2)), large, np.ones(12) / 12, 0.9)
    with pytest.raises(ValueError, match="No action is legal at 1"):
        markov.pure_policies([[True, False], [False, False]])
    with pytest.raises(ValueError, match="16,777,216 pure profiles, and at most"):
        markov.pure_equilibria(np.zeros((2, 12, 2, 2)), large, np.ones(12) / 12, 0.9, perfect=False)


def test_what_cannot_be_answered_is_refused_with_a_sentence(commons):
    game = (commons.rewards, commons.transitions, commons.start, commons.discount)
    blind = np.ones((2, 2, 1))
    with pytest.raises(ValueError, match="needs the state to be seen"):
        markov.pure_equilibria(*game, observation=blind)
    with pytest.raises(ValueError, match="no legal action in state 1"):
        markov.pure_equilibria(*game, legal=np.array([[[1, 1], [0, 0]]] * 2, dtype=bool))
    with pytest.raises(ValueError, match="uses an action it does not have"):
        markov.joint(np.full((2, 2, 3), 1 / 3), (2, 2))
    with pytest.raises(ValueError, match="2 policies for 3 agents"):
        markov.joint(np.full((2, 2, 2), 0.5), (2, 2, 2))
    rewards, moves, noise = np.zeros((1, 16, 2)), np.full((16, 2, 16), 1 / 16), np.full((1, 16, 15), 1 / 15)
    with pytest.raises(ValueError, match="at most 20,000 are tried"):
        markov.best_response(rewards, moves, moves[0, 0], 0.5, np.full((1, 15, 2), 0.5), 0, observation=noise)
