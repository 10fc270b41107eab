"""Persuasion over time: what a receiver that remembers costs the sender, two exact methods that agree, and that learning finds the best."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest import mock

import jax
import numpy as np
import pytest

from icsap_jax import run
from icsap_jax.config import ConfigError, load, parse
from icsap_jax.persuasion.dynamic.baselines import baselines
from icsap_jax.persuasion.dynamic.details import decided, listing
from icsap_jax.persuasion.dynamic.interior import solve
from icsap_jax.persuasion.dynamic.optimum import (
    Game,
    best_alone,
    best_history,
    check,
    envelopes,
    game,
    optimum,
    upper_bound,
)
from icsap_jax.persuasion.dynamic.polish import recommendations
from icsap_jax.persuasion.dynamic.problem import DynamicPersuasion, Tree, history_signal, tables
from icsap_jax.persuasion.rules import saying

EXACT = 1e-9  # two float64 programmes of a few dozen numbers
DRIFT = {"kind": "persuasion_dynamic", "prior": [0.7, 0.3], "transitions": [[0.8, 0.2], [0.1, 0.9]], "horizon": 3,
         "sender": [[0, 1], [0, 1]], "receiver": [[0, -0.75], [0, 0.25]]}  # fmt: skip


def problem_of(**given):
    """The checked problem of a file."""
    return parse({"problem": {**DRIFT, **given}}).problem


def random_game(seed, states=2, actions=3, horizon=3, still=False, stationary=False):
    """Utilities uniform on [0, 1]."""
    rng = np.random.default_rng(seed)
    count = 1 if stationary else horizon
    sender, receiver = (np.broadcast_to(rng.random((count, states, actions)), (horizon, states, actions)) for _ in range(2))
    moves = np.eye(states) if still else rng.dirichlet(np.ones(states), states)
    return Game(rng.dirichlet(np.ones(states)), moves, sender, receiver)


@pytest.mark.parametrize("name", ["two_stage_0.5_0.75", "markov_state_T3"])
def test_the_known_values_are_exact(root: Path, case, name) -> None:
    """By the dynamic programme, by the programme over histories, and by the bound of that programme's multipliers."""
    config = load(root / "configs" / "persuasion" / f"{name}.yaml")
    known, given = case(name)["value"], game(config.problem)
    history = best_history(given)
    assert envelopes(given)[0](given.prior[1]) == pytest.approx(known, abs=EXACT)
    assert history.value == pytest.approx(known, abs=EXACT)
    assert upper_bound(given, history.obedience) == pytest.approx(known, abs=EXACT)


def test_the_dynamic_programme_agrees_with_the_programme_over_histories() -> None:
    """Random games of two states, one to four actions and periods, drifting and still."""
    for seed in range(12):
        given = random_game(seed, actions=1 + seed % 4, horizon=1 + seed // 3, still=seed % 2 == 0)
        assert envelopes(given)[0](given.prior[1]) == pytest.approx(best_history(given).value, abs=EXACT)


def test_any_multipliers_prove_a_bound_and_the_best_prove_the_optimum() -> None:
    """Random multipliers ≥ 0 are never below the optimum of three states; those of the primal-dual method are on it."""
    for seed in range(4):
        given = random_game(seed, states=3)
        best = best_history(given).value
        joint, multipliers = solve(given)
        assert upper_bound(given, multipliers) == pytest.approx(best, abs=1e-8)  # complementarity stops at 1e-12 for each of many
        assert (joint * given.sender[given.tree.period]).sum() == pytest.approx(best, abs=1e-6)
        for scale in (0.0, 0.3, 3.0):
            tried = scale * np.random.default_rng(seed).random(multipliers.shape)
            assert upper_bound(given, tried) >= best - EXACT


def test_a_state_that_is_left_for_good_harms_no_number() -> None:
    """Where a state cannot come again its masses are nothing, and neither scheme nor bound suffers; nor where there is nothing to gain."""
    moves = np.array([[0.5, 0.0, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    for seed in range(3):
        given = random_game(seed, states=3)
        for changed in (replace(given, transitions=moves), replace(given, sender=np.ones_like(given.sender))):
            joint, multipliers = solve(changed)
            best = best_history(changed).value
            assert upper_bound(changed, multipliers) == pytest.approx(best, abs=1e-6)  # what a trickle of 1e-10 and rounding leave
            assert (joint * changed.sender[changed.tree.period]).sum() == pytest.approx(best, abs=1e-6)


def test_the_primal_dual_method_obeys_with_the_margin() -> None:
    """Of the scheme cleaned of what is as rare as rounding: at every history that is reached, no deviation gains more than −margin; and its
    value is the programme's."""
    for seed in range(6):
        given, margin = random_game(seed, states=2 + seed % 3, still=seed % 2 == 0), 1e-3
        signal = recommendations(solve(given, margin)[0])
        joint, reach = [], given.prior[None]
        for period in given.tree.periods:
            joint.append(reach[:, :, None] * signal[period])
            reach = np.einsum("hsa,sq->haq", joint[-1], given.transitions).reshape(-1, len(given.prior))
        joint = np.concatenate(joint)
        gains = np.einsum("hsa,habs->hab", joint, given.advantage[given.tree.period])
        mass = joint.sum(1)
        others = ~np.eye(3, dtype=bool)[None] & (mass > 1e-6)[:, :, None]
        # 1e-7: the method keeps masses to 1e-9, of a recommendation made with at least 1e-6 less its share.
        assert (gains / np.where(mass > 0, mass, 1.0)[:, :, None])[np.broadcast_to(others, gains.shape)].min() >= margin - 1e-7
        assert (joint * given.sender[given.tree.period]).sum() == pytest.approx(best_history(given, margin).value, abs=1e-6)


def test_one_period_is_the_game_without_time() -> None:
    """At T = 1 the transitions do not matter, and two periods of it with a state drawn anew are worth two."""
    for seed in range(3):
        given = random_game(seed, states=3, horizon=1)
        alone = best_alone(given.prior, given.sender[0], given.receiver[0]).value
        assert best_history(given).value == alone
        afresh = Game(given.prior, np.tile(given.prior, (3, 1)), np.repeat(given.sender, 2, 0), np.repeat(given.receiver, 2, 0))
        assert best_history(afresh).value == pytest.approx(2 * alone, abs=EXACT)


def test_nobody_gains_from_a_receiver_who_remembers() -> None:
    """With payoffs that stay the same and a state that stands still, T periods are worth T times one: never more, since every period's
    beliefs average to the prior, and never less, since the first recommendation may be repeated. In other games, less than the sum of
    what each period would be worth with a receiver who forgets."""
    for seed in range(4):
        given = random_game(seed, still=True, stationary=True)
        alone = best_alone(given.prior, given.sender[0], given.receiver[0]).value
        assert best_history(given).value == pytest.approx(3 * alone, abs=EXACT)
    sums, values = [], []
    for seed in range(8):
        given = random_game(seed, states=3, still=True)
        sums.append(sum(best_alone(given.prior, *each).value for each in zip(given.sender, given.receiver, strict=True)))
        values.append(best_history(given).value)
    assert (np.array(values) <= np.array(sums) + EXACT).all()
    assert max(np.array(sums) - values) > 0.01  # where to say too much now is to have nothing to say later


def test_values_are_concave_in_the_belief_and_above_what_the_future_can_do() -> None:
    """Each V_t is concave, and telling nothing for a period never beats it: V_t(q) ≥ the best reply at q now plus V_{t+1}(q P)."""
    given = random_game(1, horizon=4)
    found = envelopes(given)
    at = np.linspace(0, 1, 101)
    for number, value in enumerate(found):
        slopes = np.diff(value.values) / np.diff(value.beliefs)
        assert (np.diff(slopes) <= 1e-9).all()
        beliefs = np.stack([1 - at, at], 1)
        reply = (beliefs @ given.receiver[number]).argmax(1)
        silent = (beliefs @ given.sender[number])[np.arange(101), reply]
        later = found[number + 1]((beliefs @ given.transitions)[:, 1]) if number < 3 else 0.0
        assert (value(at) >= silent + later - EXACT).all()


@pytest.fixture(scope="module")
def random_rule():
    """(problem, env, rule, decision): any scheme at all, three periods of two states that stand still."""
    problem, env = problem_of(transitions=None).build(Path())
    rule = history_signal(None, problem, env, jax.random.key(0))
    rule = saying(rule, np.random.default_rng(0).dirichlet(np.ones(2), (7, 2)))
    return problem, env, rule, decided(problem, env, rule)[0]


def test_beliefs_are_a_martingale_while_the_state_stands_still(random_rule) -> None:
    """Whatever the scheme, the belief after a recommendation is the mean of those after the next, and the first ones' mean is the prior
    (Kamenica & Gentzkow 2011, Proposition 1)."""
    _, env, _, decision = random_rule
    mass = decision.joint.sum(1)
    mean = np.einsum("ha,has->hs", mass, decision.posterior) / mass.sum(1, keepdims=True)
    before = np.concatenate([env.prior[None], decision.posterior[:3].reshape(-1, 2)])  # history 2·h + a + 1 follows (h, a)
    np.testing.assert_allclose(mean, before, atol=1e-12)
    np.testing.assert_allclose(mass.sum(1), [1.0, *mass[:3].ravel()], atol=1e-12)


def test_the_rows_of_the_scheme_are_all_that_happens(random_rule) -> None:
    """Each period's probabilities sum to one, and histories are told by what was said."""
    problem, env, rule, _ = random_rule
    rows = listing(problem, env, problem_of(transitions=None, actions=["wait", "act"]), None, rule)
    for period in (1, 2, 3):
        assert sum(row["probability"] for row in rows if row["period"] == period) == pytest.approx(1.0, abs=1e-12)
    assert {row["history"] for row in rows} == {"", "wait", "act", "wait wait", "wait act", "act wait", "act act"}


def test_histories_are_numbered_as_in_a_heap() -> None:
    """Recommendation a after history h leads to A·h + a + 1."""
    tree = Tree(actions=3, horizon=3)
    assert tree.size == 13
    assert tree.said(0) == ()
    assert tree.said(2) == (1,)
    assert tree.said(3 * 2 + 2 + 1) == (1, 2)
    assert tree.period.tolist() == [0] + [1] * 3 + [2] * 9


def test_a_drifting_state_is_forgotten_at_its_own_pace() -> None:
    """One signal is worth less than one in every period, and full disclosure lies between silence and the best."""
    model = problem_of()
    rules, best = baselines(None, None, model), optimum(None, None, model)["value"]
    assert rules["no_disclosure"] <= rules["one_signal"] < best
    assert rules["no_disclosure"] <= rules["full_disclosure"] <= best + EXACT
    assert rules["myopic_sender"] <= best + EXACT


def test_looking_ahead_can_be_worth_it() -> None:
    """A sender who takes the most in every period tells too much for the next: in some of these games it loses over 1 %."""
    losses = []
    for seed in range(6):
        given = random_game(seed, states=3, still=True)
        model = problem_of(prior=given.prior.tolist(), transitions=None, sender=given.sender.tolist(), receiver=given.receiver.tolist())
        losses.append(1 - baselines(None, None, model)["myopic_sender"] / best_history(given).value)
    assert min(losses) >= -EXACT
    assert max(losses) > 0.01


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory):
    """The drifting state, trained for too few steps to settle, and its run's folder."""
    config = load(root / "configs" / "persuasion" / "markov_state_T3.yaml", ["training.steps=300", "training.chunk=300"])
    folder = tmp_path_factory.mktemp("run") / "out"
    with mock.patch.object(run, "draw_pictures", lambda *_: None):
        return run.train(config, folder, lambda line: None)


def test_the_known_value_is_learned_and_proved(trained, case) -> None:
    """Within 1e-3 whoever has the ties, by the margin, which must then be obeyed; the bound is on the other side, as near."""
    known, found = case("markov_state_T3")["value"], trained["objective"]
    assert known - 1e-3 <= found["value"] <= known
    assert found["adversarial_ties"] == pytest.approx(found["value"], abs=EXACT)
    assert known - EXACT <= found["upper_bound"] <= known + 1e-6
    assert trained["incentive_gap"]["max"] < 1e-12  # rounding of a utility computed twice
    assert trained["details"]["without_margin"]["value"] == pytest.approx(known, abs=1e-6)
    assert trained["details"]["without_margin"]["adversarial_ties"] < 0.1  # on the point the receiver may as well not act
    assert trained["details"]["value_before_polish"] > trained["baselines"]["full_disclosure"]  # the polish does not do the learning


def test_the_scheme_that_is_told_adds_up(trained) -> None:
    """The periods' values are the value, and in each the best keeps the believers at the threshold."""
    periods = trained["details"]["periods"]
    assert sum(each["sender"] for each in periods) == pytest.approx(trained["objective"]["value"], abs=EXACT)
    for row in trained["details"]["scheme"]:
        assert row["belief in good"] == pytest.approx(0.7501 if row["action"] == "act" else 0.0, abs=1e-6)


@pytest.mark.parametrize(("given", "said"), [
    ({"prior": [0.7, 0.2]}, r"problem\.prior.* sum to 1"),
    ({"prior": [1.0, 0.0], "states": ["bad", "good"]}, r"interior, and state 'good' could never occur"),
    ({"transitions": [[0.8, 0.2]]}, r"transitions has shape \[1, 2\]; it should be \[2, 2\]"),
    ({"transitions": [[0.8, 0.3], [0.1, 0.9]]}, r"transitions\.0.* they sum to 1\.1"),
    ({"receiver": [[0, 1], [0, 1], [1, 0]]}, r"receiver has shape \[3, 2\]; it should be \[2, 2\], states × actions, or \[3, 2, 2\]"),
    ({"sender": [[0, 1, 2], [0, 1, 2]]}, r"sender has shape \[2, 3\]; it should be \[2, 2\]"),
    ({"receiver": [[0, float("nan")], [0, 1]]}, r"receiver.* finite"),
    ({"horizon": 0}, r"horizon.* greater than or equal to 1"),
    ({"horizon": 40}, r"horizon.* ask for fewer periods"),
    ({"horizon": 10**9}, r"horizon.* ask for fewer periods"),
    ({"actions": ["act"]}, r"actions.* 2 different names"),
])  # fmt: skip
def test_a_wrong_problem_is_refused_with_its_key(given, said) -> None:
    """Each mistake in one sentence."""
    with pytest.raises(ConfigError, match=said):
        problem_of(**given)


def test_a_margin_nobody_can_leave_is_refused() -> None:
    """A receiver who is indifferent in every state cannot be left better off by obeying; nothing is written."""
    config = parse({"problem": {**DRIFT, "receiver": [[1, 1], [1, 1]]}})
    with pytest.raises(ConfigError, match=r"obedience_margin = 0\.0001.* ask for less"):
        check(None, None, config)
    check(None, None, parse({"problem": DRIFT}))


def test_one_action_needs_no_obedience() -> None:
    """Where the receiver has no choice the sender gets what it gets."""
    given = Game(np.array([0.25, 0.75]), np.eye(2), np.array([[[4.0], [0.0]]] * 2), np.zeros((2, 2, 1)))
    assert best_history(given).value == pytest.approx(2.0, abs=EXACT)
    np.testing.assert_allclose(solve(given)[0].sum(), 2.0)


def test_tables_for_all_periods_or_for_each() -> None:
    """One table serves every period; the shapes are [T, S, A] either way."""
    *_, sender, receiver = tables(problem_of(receiver=[[[0, -0.75], [0, 0.25]]] * 3))
    assert sender.shape == receiver.shape == (3, 2, 2)
    np.testing.assert_array_equal(receiver, tables(problem_of())[-1])
    assert isinstance(problem_of().build(Path())[0], DynamicPersuasion)
