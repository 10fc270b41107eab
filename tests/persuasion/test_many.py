"""Several receivers: what private words can do that public ones cannot, votes of any size, and games in which receivers matter to each
other."""

from __future__ import annotations

import itertools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import run
from icsap_jax.config import ConfigError, load, parse
from icsap_jax.exact import lp
from icsap_jax.persuasion.many.details import heard, listing
from icsap_jax.persuasion.many.games import game, profiles, tables
from icsap_jax.persuasion.many.optimum import at_belief, baselines, best_scheme, optimum
from icsap_jax.persuasion.many.polish import bound, judged, polish
from icsap_jax.persuasion.many.problem import recommendations
from icsap_jax.persuasion.rules import saying

EXACT = 1e-9  # of programmes in float64
QUICK = {"xla_backend_optimization_level": 0}  # unoptimised code compiles three times sooner


def vote(count, quota, **given):
    """A vote by receivers who are alike: yes is worth 1 in the good state, of prior .3, and −1 in the bad one."""
    passed = (np.arange(count + 1) >= quota).astype(float).tolist()
    return {"kind": "persuasion_many", "anonymous": True, "prior": [0.7, 0.3], "receivers": [[0, -1], [0, 1]],
            "sender": [passed, passed], **given}  # fmt: skip


def told_apart(given):
    """The same vote with a name for each receiver."""
    sender = np.asarray(given["sender"])
    count = sender.shape[1] - 1
    table = sender[:, profiles(count, 2).sum(1)].reshape(2, *(2,) * count)
    return {**given, "anonymous": False, "receivers": [given["receivers"]] * count, "sender": table.tolist()}


def invest(x=0.55, eps=0.1, **given):
    """The investment game of Bergemann & Morris: x or −1 for who invests, and eps more if the other does too."""
    own = [[[0, 0], [-1, -1 + eps]], [[0, 0], [x, x + eps]]]
    other = np.swapaxes(np.asarray(own), 1, 2).tolist()
    counts = [[0, 1], [1, 2]]
    return {"kind": "persuasion_many", "prior": [0.5, 0.5], "receivers": [own, other], "sender": [counts, counts], **given}


def drawn(seed, count=2, states=3, actions=2, **given):
    """A game drawn at random in which everybody matters to everybody."""
    rng = np.random.default_rng(seed)
    shape = (states, *(actions,) * count)
    return {"kind": "persuasion_many", "prior": rng.dirichlet(np.full(states, 3.0)).tolist(), "sender": rng.normal(size=shape).tolist(),
            "receivers": rng.normal(size=(count, *shape)).tolist(), **given}  # fmt: skip


def apart(seed, **given):
    """Two receivers drawn at random, neither of whom cares what the other does, and two states."""
    return drawn(seed, states=2, **{"receivers": np.random.default_rng(seed).normal(size=(2, 2, 2)).tolist()} | given)


def model_of(given):
    """The checked problem of a file."""
    return parse({"problem": given}).problem


def posed(given):
    """(model, problem, env)."""
    model = model_of(given)
    return model, *model.build(".")


def value(given):
    """The exact optimum, whose own duals prove it."""
    found = optimum(None, None, model_of(given))
    assert found["upper_bound"] == pytest.approx(found["value"], abs=EXACT)
    return found["value"]


@pytest.mark.parametrize("name", ["private_vote_n3_k2", "private_vote_n5_k4", "private_additive_2thresholds", "public_additive_2thresholds",
                                  "bce_invest_x0.55_e0.1"])  # fmt: skip
def test_the_configured_cases_have_their_known_values(case, root, name) -> None:
    """The value on the channel of the file, in public where the case tells it, and by the usual disclosures."""
    known, model = case(name), load(root / "configs" / "persuasion" / f"{name}.yaml").problem
    assert optimum(None, None, model)["value"] == pytest.approx(known["value"], abs=EXACT)
    others = baselines(None, None, model)
    for theirs, ours in (("public_value", "public_channel"), ("full_info", "full_disclosure"), ("no_info", "no_disclosure")):
        if theirs in known:
            assert others[ours] == pytest.approx(known[theirs], abs=EXACT)


@pytest.mark.parametrize(("receivers", "quota"), [(3, 2), (5, 4), (50, 26), (50, 40)])
def test_a_private_vote_of_any_size_is_won_as_often_as_supermajorities_allow(receivers, quota) -> None:
    """p + min(1 − p, n p / k): every yes in the bad state is paid for by one in the good (Arieli & Babichenko 2019); 2 p in public."""
    assert value(vote(receivers, quota)) == pytest.approx(0.3 + min(0.7, receivers * 0.3 / quota), abs=EXACT)
    assert value(vote(receivers, quota, channel="public")) == pytest.approx(0.6, abs=EXACT)


@pytest.mark.parametrize("channel", ["private", "public"])
def test_who_votes_is_of_no_interest_where_voters_are_alike(channel) -> None:
    """Four voters with names get the sender what four anonymous ones do."""
    given = vote(4, 3, channel=channel)
    assert value(told_apart(given)) == pytest.approx(value(given), abs=EXACT)


def test_complements_are_told_together_and_substitutes_apart() -> None:
    """Investing games: p_bad = (x + ε)/(1 − ε) in public for complements, and private words add nothing; for substitutes they do."""
    together = 1 + (0.55 + 0.1) / (1 - 0.1)
    assert value(invest(eps=0.1)) == pytest.approx(together, abs=EXACT)
    assert value(invest(eps=0.1, channel="public")) == pytest.approx(together, abs=EXACT)
    assert value(invest(eps=-0.1)) > value(invest(eps=-0.1, channel="public")) + 0.01


def equilibrium_programme(given):
    """The best Bayes correlated equilibrium written out from its definition, variable by variable."""
    prior, sender, receivers = tables(model_of(given))
    count, states, actions = receivers.shape[:3]
    cells = [(s, *r) for s in range(states) for r in itertools.product(range(actions), repeat=count)]
    rows = []
    for n, told, instead in itertools.product(range(count), range(actions), range(actions)):
        row = np.zeros(len(cells))
        for place, (s, *r) in enumerate(cells):
            if r[n] == told:
                row[place] = receivers[n][(s, *r[:n], instead, *r[n + 1 :])] - receivers[n][(s, *r)]
        rows.append(row)
    masses = np.array([[cell[0] == s for cell in cells] for s in range(states)], float)
    found = lp.solve([sender[cell] for cell in cells], at_most=(rows, np.zeros(len(rows))), equal=(masses, prior), maximise=True)
    return found.value


@pytest.mark.parametrize("given", [invest(eps=-0.1), drawn(0), drawn(1, count=3), drawn(2, actions=3)])
def test_the_optimum_is_the_best_bayes_correlated_equilibrium(given) -> None:
    """Against the definition, with externalities."""
    assert value(given) == pytest.approx(equilibrium_programme(given), abs=1e-7)  # the tolerance of the programme


@pytest.mark.parametrize("given", [apart(0, channel="public"), apart(1, channel="public"), invest(channel="public")])
def test_a_public_channel_is_worth_the_envelope_of_the_best_equilibria(given) -> None:
    """With two states: the least concave function above what the sender gets at each shared belief, from 4001 of them (Kamenica &
    Gentzkow 2011)."""
    played = game(model_of(given))
    beliefs = np.linspace(0.0, 1.0, 4001)
    worth = [(p, at_belief(played, np.array([1 - p, p]))) for p in beliefs]
    p, v = np.array([each for each in worth if each[1] is not None]).T
    at = played.prior[1]
    left, right = p <= at, p > at
    chords = v[left][:, None] + (v[right] - v[left][:, None]) * ((at - p[left])[:, None] / (p[right] - p[left][:, None]))
    envelope = max(chords.max(), v[left][p[left] == at].max(initial=-np.inf))
    exact = value(given)
    assert envelope <= exact + 1e-4  # what counts as a tie reaches a little beyond it
    assert envelope == pytest.approx(exact, abs=0.01)  # beliefs are 1/4000 apart, and steep slopes of a few units times that


@pytest.mark.parametrize("given", [drawn(3, states=2), apart(3, channel="public")])
def test_any_multipliers_prove_a_bound_and_those_learned_a_tight_one(given) -> None:
    """Multipliers drawn at random are never below the optimum; those of the primal-dual method within a hair above."""
    model, best = model_of(given), value(given)
    played, rng = game(model), np.random.default_rng(0)
    for size in (0.0, 0.1, 1.0, 10.0):
        assert played.bound(size * rng.exponential(size=played.rows)) >= best - EXACT
    assert best - EXACT <= bound(None, None, model) <= best + 1e-4


def expected(given, signal, strategies):
    """(what each receiver expects in total [N], what the sender expects) when strategies are followed, by adding up every case."""
    prior, sender, receivers = tables(model_of(given))
    count, states, actions = receivers.shape[:3]
    every = list(itertools.product(range(actions), repeat=count))
    total, mine = np.zeros(count), 0.0
    for s, (place, told), done in itertools.product(range(states), enumerate(every), every):
        heard = told if given.get("channel") != "public" else [place] * count
        likely = prior[s] * signal[s, place] * np.prod([strategies[heard[n], n, done[n]] for n in range(count)])
        total += likely * receivers[(slice(None), s, *done)]
        mine += likely * sender[(s, *done)]
    return total, mine


@pytest.mark.parametrize("given", [drawn(4, count=3, states=2), drawn(4, count=3, states=2, channel="public"),
                                   told_apart(vote(3, 2)), told_apart(vote(3, 2, channel="public"))])  # fmt: skip
def test_utilities_are_what_mixed_strategies_bring(given) -> None:
    """Any strategies, mixed ones too, against adding up every case: receivers by what they hear, and the sender by state."""
    model, problem, env = posed(given)
    rng = np.random.default_rng(1)
    rule = recommendations(model, problem, env, jax.random.key(0))

    def followed(action):
        draw = problem.draw(env, None, 1)
        decision = problem.decide(env, rule.astype(jnp.float64), draw.seen, None)
        together = (problem.weight(env, draw, decision) * problem.utility(env, draw, decision, action)).sum(0)
        objectives = problem.score(env, draw, decision, action).objectives
        return decision.signal, together, {name: draw.weight @ each for name, each in objectives.items()}

    with jax.enable_x64(True):
        shape = problem.recommended(env, problem.draw(env, None, 1)).shape
        action = rng.dirichlet(np.ones(shape[-1]), shape[:-1])
        signal, together, objectives = jax.tree.map(np.asarray, jax.jit(followed, compiler_options=QUICK)(action))
    receivers, sender = expected(given, signal, action)
    np.testing.assert_allclose(together, receivers, atol=EXACT)
    assert objectives == pytest.approx({"sender": sender, "receivers": receivers.sum()}, abs=EXACT)


def alike_investors(count, channel):
    """`count` receivers who are alike, and care how many others invest: (anonymous, with names)."""
    receivers = np.array([np.linspace(-1.0, -0.7, count), np.linspace(0.3, 0.7, count)])
    receivers = np.stack([np.zeros_like(receivers), receivers], 1)
    given = {**vote(count, 2, channel=channel), "receivers": receivers.tolist(), "sender": [[n**1.1 for n in range(count + 1)]] * 2}
    acts = profiles(count, 2)
    own = [receivers[:, acts[:, n], acts.sum(1) - acts[:, n]].reshape(2, *(2,) * count).tolist() for n in range(count)]
    return given, {**told_apart({**given, "receivers": [[0, 0], [0, 0]]}), "receivers": own}


@pytest.mark.parametrize("channel", ["private", "public"])
def test_anonymous_investors_are_worth_what_named_ones_are(channel) -> None:
    """Three who care how many others invest: the sender gains nothing by telling apart those who are alike."""
    given, named = alike_investors(3, channel)
    assert value(named) == pytest.approx(value(given), abs=EXACT)


@pytest.mark.parametrize("channel", ["private", "public"])
def test_one_anonymous_receiver_stands_for_all(channel) -> None:
    """What it gains by obeying, weighted, is what the tables of obedience say, and obeyed the value is the sender's table; where those
    who are told not to act do, all act."""
    given, _ = alike_investors(3, channel)
    model, problem, env = posed(given)
    signal = np.array([[0.1, 0.2, 0.3, 0.4], [0.2, 0.0, 0.5, 0.3]])

    def followed(signal):
        draw = problem.draw(env, None, 1)
        decision = problem.decide(env, lambda seen: signal, draw.seen, None)
        obey, act = problem.recommended(env, draw), jnp.ones_like(problem.recommended(env, draw)).at[..., 0].set(0)
        gain = problem.utility(env, draw, decision, obey) - problem.utility(env, draw, decision, 1 - obey)
        worth = [draw.weight @ problem.score(env, draw, decision, action).value for action in (obey, act)]
        return (problem.weight(env, draw, decision) * gain)[:, 0], worth

    with jax.enable_x64(True):
        gain, worth = jax.tree.map(np.asarray, jax.jit(followed, compiler_options=QUICK)(signal))
    played, joint = game(model), env.prior[:, None] * signal
    np.testing.assert_allclose(gain, played.obedience(joint), atol=EXACT)
    np.testing.assert_allclose(worth, [(joint * env.sender).sum(), env.prior @ env.sender[:, -1]], atol=EXACT)


@pytest.mark.parametrize("given", [drawn(5, states=2), invest(eps=-0.1), vote(50, 40), apart(6, channel="public")])
def test_what_is_kept_is_obeyed_with_the_margin_and_no_tie_matters(given) -> None:
    """From a rule that says nothing: everything gained by the margin's optimum, and nobody gains by disobeying."""
    model, problem, env = posed(given)
    rule, told = polish(problem, env, model, None, recommendations(model, problem, env, jax.random.key(0)))
    found = judged(problem, env, rule)
    best = best_scheme(game(model), problem.margin).value
    assert told["value_after_polish"] == pytest.approx(best, abs=1e-6)  # of the interior method
    assert float(found.reply.value) == pytest.approx(float(found.reply.adversarial_value), abs=1e-12)
    assert np.where(found.weight > 0, found.gap, 0).max() < 1e-12  # rounding of a utility computed twice


def test_a_configured_case_is_learned(case, root, tmp_path) -> None:
    """Within 1e-3 of the exact value whoever breaks ties, proved by a bound as near; the polish does not do the learning. A sixth of the
    steps of the defaults."""
    name = "bce_invest_x0.55_e0.1"
    config, exact = load(root / "configs" / "persuasion" / f"{name}.yaml", ["training.steps=500"]), case(name)["value"]
    with mock.patch.object(run, "draw_pictures", lambda *_: None):
        result = run.train(config, tmp_path / "out", lambda line: None)
    objective = result["objective"]
    assert objective["value"] == pytest.approx(exact, abs=1e-3)
    assert objective["adversarial_ties"] == pytest.approx(objective["value"], abs=1e-9)
    assert exact - EXACT <= objective["upper_bound"] <= exact + 1e-3
    assert result["incentive_gap"]["max"] < 1e-12
    assert result["details"]["value_before_polish"] >= 0.9 * exact
    free = result["details"]["without_margin"]
    assert free["value"] == pytest.approx(exact, abs=1e-5)
    assert free["adversarial_ties"] < 0.9 * exact
    assert result["details"]["scheme"]["good"] == pytest.approx({"invest, invest": 1.0}, abs=1e-6)  # of the interior method


def test_the_scheme_is_told_by_name() -> None:
    """Two thresholds, the scheme of the book: what is said in each state, and beliefs .5 and .75 after who is told to adopt."""
    given = {"kind": "persuasion_many", "states": ["bad", "good"], "actions": ["pass", "adopt"], "names": ["eager", "wary"],
             "prior": [0.7, 0.3], "receivers": [[[0, -0.5], [0, 0.5]], [[0, -0.75], [0, 0.25]]],
             "sender": [[[0, 1], [1, 2]]] * 2}  # fmt: skip
    model, problem, env = posed(given)
    signal = np.array([[4 / 7, 0, 2 / 7, 1 / 7], [0, 0, 0, 1]])
    rule = saying(recommendations(model, problem, env, jax.random.key(0)), signal)
    rows = {(row["state"], row["recommendation"]): row["probability"] for row in listing(problem, env, model, None, rule)}
    assert rows == pytest.approx({("bad", "pass, pass"): 4 / 7, ("bad", "adopt, pass"): 2 / 7, ("bad", "adopt, adopt"): 1 / 7,
                                  ("good", "adopt, adopt"): 1.0})  # fmt: skip
    believed = {(each.who, each.what): each.posterior[1] for each in heard(model, signal)}
    assert believed == pytest.approx({("eager", "pass"): 0, ("eager", "adopt"): 0.5, ("wary", "pass"): 0, ("wary", "adopt"): 0.75})


PENNIES = {"kind": "persuasion_many", "prior": [0.5, 0.5], "channel": "public",
           "receivers": [[[[1, -1], [-1, 1]]] * 2, [[[-1, 1], [1, -1]]] * 2], "sender": [[[1, 0], [0, 0]]] * 2}  # fmt: skip


@pytest.mark.parametrize(("given", "said"), [
    (vote(3, 2, prior=[1.0, 0.0]), r"prior\.1.* interior, and state 1 could never occur"),
    (vote(3, 2, prior=[1.0, 0.0], states=["bad", "good"]), r"state 'good' could never occur"),
    (vote(3, 2, prior=[0.7, 0.2]), r"prior.* sum to 1.* it sums to 0\.9"),
    (vote(3, 2, prior=[0.5, 0.3, 0.2]), r"sender has shape \[2, 4\]; its first axis should be the 3 states"),
    (vote(3, 2, receivers=[[[0] * 4, [1] * 4]] * 2), r"receivers has shape \[2, 2, 4\].* \[2, 2\] or \[2, 2, 3\]"),
    (vote(3, 2, receivers=[[0, float("nan")], [0, 1]]), r"receivers.*finite"),
    (vote(3, 2, names=["a", "b", "c"]), r"names.* told apart; leave it out"),
    (invest(receivers=[[[0, -1], [0, 1]]] * 3), r"receivers has shape \[3, 2, 2\].* \[2, 2, 2\] or \[2, 2, 2, 2\]"),
    (invest(sender=[[[0, 1, 1], [1, 2, 2]]] * 2), r"sender has shape \[2, 2, 3\]; it should be \[2, 2, 2\]"),
    (invest(names=["a"]), r"names.* 2 different names"),
    (invest(channel="secret"), r"channel = 'secret'"),
])  # fmt: skip
def test_a_wrong_game_is_refused_with_its_key(given, said) -> None:
    """Each mistake in one sentence."""
    with pytest.raises(ConfigError, match=said):
        model_of(given)


@pytest.mark.parametrize(("given", "said"), [
    (vote(3, 2, obedience_margin=1.5), r"obedience_margin = 1\.5: no recommendations leave every receiver that much better off"),
    (PENNIES, r"channel = public: in some state no pure profile .* write problem\.channel=private"),
])  # fmt: skip
def test_what_nobody_would_obey_is_refused_before_anything_is_written(given, said, tmp_path) -> None:
    """A margin no scheme can meet, and matching pennies before all."""
    with pytest.raises(ConfigError, match=said):
        run.train(parse({"problem": given}), tmp_path / "out", lambda line: None)
    assert not (tmp_path / "out").exists()
