"""The exact answers against closed forms and each other, and the bounds that any multipliers prove."""

from __future__ import annotations

import numpy as np
import pytest

from icsap_jax.config import parse
from icsap_jax.exact.lp import Infeasible
from icsap_jax.persuasion import costly, programme
from icsap_jax.persuasion.baselines import baselines
from icsap_jax.persuasion.envelope import concavified
from icsap_jax.persuasion.optimum import bound, optimum
from icsap_jax.persuasion.programme import best, best_scheme, upper_bound
from icsap_jax.persuasion.tables import Game, information, scheme_value

KNOWN = (
    "prosecutor_0.3", "prosecutor_0.8", "recletter_repo_config", "three_action_skip_middle", "state_dependent_v",
    "aligned_full_disclosure", "opposed_no_disclosure",
)  # fmt: skip
EXACT = 1e-8  # HiGHS solves these few rows to machine precision


def tables(case):
    """prior [S], sender and receiver [S, A] of a case."""
    spec = case["spec"]
    return tuple(np.asarray(spec[name], float) for name in ("prior", "v", "u"))


@pytest.mark.parametrize("name", KNOWN)
def test_value_bound_and_baselines_are_the_known_ones(case, name) -> None:
    """Through the hooks an `icsap optimum` uses: value, the bound its duals prove, full and no disclosure."""
    known = case(name)
    prior, sender, receiver = tables(known)
    config = parse({"problem": {"kind": "persuasion", "prior": prior.tolist(), "sender": sender.tolist(), "receiver": receiver.tolist()}})
    answer = optimum(None, None, config.problem)
    assert answer["value"] == pytest.approx(known["value"], abs=EXACT)
    assert answer["upper_bound"] == pytest.approx(known["value"], abs=EXACT)
    simple = baselines(None, None, config.problem)
    assert simple["full_disclosure"] == pytest.approx(known["full_info"], abs=EXACT)
    assert simple["no_disclosure"] == pytest.approx(known["no_info"], abs=EXACT)


def model_of(prior, sender, receiver, **more):
    """The model of a problem file with these tables."""
    tables = {name: np.asarray(table).tolist() for name, table in (("prior", prior), ("sender", sender), ("receiver", receiver))}
    return parse({"problem": {"kind": "persuasion", **tables, **more}}).problem


def random_game(seed, states=None, actions=None):
    """prior, sender, receiver of some size."""
    rng = np.random.default_rng(seed)
    size = (states or rng.integers(2, 8), actions or rng.integers(2, 8))
    return rng.dirichlet(np.ones(size[0])), rng.random(size), rng.random(size)


@pytest.mark.parametrize("seed", range(5))
def test_random_games_keep_the_order_of_things(seed) -> None:
    """No scheme beats its bound, at any multipliers; the best beats both baselines; obedience holds; a margin costs."""
    prior, sender, receiver = random_game(seed)
    game, rng = Game.single(prior, sender, receiver), np.random.default_rng(seed)
    worth, obedience = game.worth(game.profiles()), game.obedience(game.profiles())
    scheme = best_scheme(prior, sender, receiver)
    np.testing.assert_allclose(scheme.joint.sum(1), prior, atol=EXACT)
    told = scheme.joint.T @ receiver  # [recommended, played]
    assert (np.diag(told)[:, None] >= told - EXACT).all()
    assert upper_bound(prior, worth, obedience, scheme.multipliers) == pytest.approx(scheme.value, abs=EXACT)
    for _ in range(5):
        anything = rng.exponential(size=scheme.multipliers.shape)
        assert upper_bound(prior, worth, obedience, anything) >= scheme.value - EXACT
    assert scheme.value >= float((prior @ sender)[np.argmax(prior @ receiver)]) - EXACT
    assert best_scheme(prior, sender, receiver, margin=1e-3).value <= scheme.value + EXACT


@pytest.mark.parametrize("seed", range(3))
def test_rows_added_as_they_are_broken_change_nothing(seed, monkeypatch) -> None:
    """With many actions obedience is written down only where a solution breaks it."""
    tables = random_game(seed, 6, 6)
    whole = best_scheme(*tables)
    monkeypatch.setattr(programme, "MANY", 0)
    lazy = best_scheme(*tables)
    assert lazy.value == pytest.approx(whole.value, abs=EXACT)
    told = lazy.joint.T @ tables[2]
    assert (np.diag(told)[:, None] >= told - EXACT).all()


@pytest.mark.parametrize(("states", "tolerance"), [(2, 1e-9), (3, 2e-4)])
def test_the_envelope_of_the_value_over_beliefs_is_what_the_programme_earns(states, tolerance) -> None:
    """Concavification and obedience are two ways to the same value; with two states the indifferent beliefs are on the grid, with
    three the grid has steps of 1/400, and a posterior a step away from the best costs up to about that share of the slope there."""
    for seed in range(3):
        tables = random_game(seed, states, 3)
        assert concavified(Game.single(*tables)).value == pytest.approx(best_scheme(*tables).value, abs=tolerance)


@pytest.mark.parametrize("name", ["prosecutor_logit_b10", "prosecutor_logit_b50"])
def test_a_quantal_receiver_s_optimum_is_the_tangent_from_certainty(case, name) -> None:
    """Posteriors 0 and the point of tangency; what is best for a rational receiver is far from it. There is no bound."""
    known = case(name)
    spec = known["spec"]
    model = model_of(*tables(known), receiver_response={"kind": "logit", "precision": spec["beta"]})
    assert optimum(None, None, model)["value"] == pytest.approx(known["value"], abs=1e-7)  # steps of 1/40 000
    assert bound(None, None, model) is None
    game = Game(*tables(known), np.ones(1))
    game = Game(game.prior, game.sender, game.receiver[None], game.type_prior, precision=spec["beta"])
    found = concavified(game)
    assert found.posteriors[:, 1].max() == pytest.approx(known["high_posterior"], abs=5e-5)
    rational = np.array([[0.4, 0.3], [0.0, 0.3]])
    assert scheme_value(game, rational, "for") == pytest.approx(known["value_of_rational_scheme"], abs=EXACT)
    assert baselines(None, None, model)["no_disclosure"] == pytest.approx(known["no_info"], abs=EXACT)


def test_the_price_of_information_is_the_closed_form_s(case) -> None:
    """The prosecutor who pays a unit for each nat: value, bound and both posteriors."""
    known = case("prosecutor_entropy_c1.0")
    model = model_of(*tables(known), signal_cost={"kind": "entropy", "weight": known["spec"]["c"]})
    answer = optimum(None, None, model)
    assert answer["value"] == pytest.approx(known["value"], abs=EXACT)
    assert bound(None, None, model) == pytest.approx(known["value"], abs=EXACT)
    prior, sender, receiver = tables(known)
    game = Game.single(prior, sender, receiver)
    joint = costly.best(prior, game.worth(game.profiles()), game.obedience(game.profiles()), 1.0).joint
    assert joint[:, 1].sum() == pytest.approx(known["p_convict"], abs=1e-6)
    assert (joint[1] / joint.sum(0)).min() == pytest.approx(known["low_posterior"], abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_no_price_of_a_nat_beats_the_free_optimum_and_all_bounds_hold(seed) -> None:
    """Dearer information is worth less, telling nothing stays possible, and the scheme earns what its dual says; any multipliers and
    any prices of states bound it."""
    prior, sender, receiver = random_game(seed, 4, 4)
    game, rng = Game.single(prior, sender, receiver), np.random.default_rng(seed)
    worth, obedience = game.worth(game.profiles()), game.obedience(game.profiles())
    before = best_scheme(prior, sender, receiver).value
    silent = scheme_value(game, prior[:, None], "for")
    for cost in (0.01, 0.1, 1.0):
        found = costly.best(prior, worth, obedience, cost)
        earned = float((found.joint * worth.T).sum()) - cost * information(found.joint)
        assert earned == pytest.approx(found.bound, abs=1e-6)  # the posteriors of a smooth minimum are known to the root of its accuracy
        assert silent - 1e-7 <= found.bound <= before + EXACT
        anything = costly.upper_bound(prior, worth, obedience, cost, rng.exponential(size=obedience.shape[:2]), rng.normal(size=4))
        assert anything >= found.bound - EXACT
        before = found.bound


def test_a_receiver_of_unknown_type_is_persuaded_as_the_hull_says(case) -> None:
    """Thresholds .4 and .6, equally likely: recommendations to both types at once earn .5."""
    known = case("receiver_types_2")
    thresholds = known["spec"]["thresholds"]
    model = model_of(known["spec"]["prior"], [[0, 1], [0, 1]], [[[0, -t], [0, 1 - t]] for t in thresholds],
                     receiver_types=known["spec"]["type_probs"])  # fmt: skip
    assert optimum(None, None, model)["value"] == pytest.approx(known["value"], abs=EXACT)
    # 1e-7: the bound is at multipliers an interior point ends with.
    assert 0 <= bound(None, None, model) - known["value"] < 1e-7


def test_few_signals_are_worth_the_best_choice_of_recommendations() -> None:
    """One signal says nothing; as many as states are as good as any number; fewer never earn more."""
    prior, sender, receiver = random_game(3, 3, 4)
    values = [optimum(None, None, model_of(prior, sender, receiver, signals=count))["value"] for count in (1, 2, 3, 4)]
    assert values[0] == pytest.approx(float((prior @ sender)[np.argmax(prior @ receiver)]), abs=EXACT)
    assert values[0] <= values[1] + EXACT
    assert values[1] <= values[2] + EXACT
    assert values[2] == pytest.approx(best_scheme(prior, sender, receiver).value, abs=EXACT)
    assert values[3] == pytest.approx(values[2], abs=EXACT)


def test_ten_states_and_a_threshold_are_a_knapsack(case) -> None:
    """At most one state is told both ways."""
    known = case("threshold_10state")
    rng = np.random.default_rng(known["spec"]["seed"])
    prior = rng.dirichlet(np.ones(10))
    lead = rng.uniform(-1, 0.5, 10)
    receiver, sender = np.stack([np.zeros(10), lead], 1), np.stack([np.zeros(10), np.ones(10)], 1)
    scheme = best_scheme(prior, sender, receiver)
    assert scheme.value == pytest.approx(known["value"], abs=1e-7)
    assert ((scheme.joint > 1e-9).sum(1) > 1).sum() <= 1
    assert best(prior, sender.T, np.zeros((2, 1, 10))).value == pytest.approx(1.0, abs=EXACT)  # nobody to obey


def test_a_margin_costs_what_the_closed_form_says(case) -> None:
    """In the prosecutor's game a margin ε leaves .6 / (1 + ε)."""
    known = case("prosecutor_margin_0.05")
    assert best_scheme(*tables(known), margin=known["spec"]["margin"]).value == pytest.approx(known["value"], abs=EXACT)


def test_a_margin_nobody_can_leave_is_an_error() -> None:
    """A receiver who is always indifferent cannot be left better off by obeying."""
    flat = np.zeros((2, 2))
    with pytest.raises(Infeasible):
        best_scheme(np.array([0.5, 0.5]), flat, flat, margin=0.1)


def test_one_action_needs_no_obedience() -> None:
    """Where the receiver has no choice the sender gets what it gets."""
    scheme = best_scheme(np.array([0.25, 0.75]), np.array([[4.0], [0.0]]), np.zeros((2, 1)))
    assert scheme.value == pytest.approx(1.0, abs=EXACT)
