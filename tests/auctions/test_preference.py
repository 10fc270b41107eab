"""What people like of an auction's decisions: which they are, that a network learns them from examples, and that a rule heeds them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from icsap_jax import config
from icsap_jax.auctions.data import read_labelled
from icsap_jax.auctions.preference import JUDGED, compared, details, refuse_unlearnable
from icsap_jax.auctions.problem import Decision
from icsap_jax.bilevel import fit
from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.preferred import Preferred, agreement, network
from icsap_jax.bilevel.responses import Play
from icsap_jax.bilevel.types import Draw, Rule
from icsap_jax.config import ConfigError
from icsap_jax.run import initial_state

QUOTA = {"kind": "quota", "share": 0.4}
EVEN = {"kind": "threshold", "objective": "total_variation", "at_most": 0.2}
# Both items, of two bidders: all to the first; half each; one each; nothing to anybody.
ALL_TO_ONE, HALVES, ONE_EACH, NOTHING = ([[1, 1], [0, 0]], [[0.5, 0.5]] * 2, [[1, 0], [0, 1]], [[0, 0]] * 2)
SMALL = {"rule": {"kind": "regretnet", "hidden": [12]}, "training": {
    "steps": 800, "batch": 64, "learning_rate": 1e-2, "response": {
        "kind": "preferred", "profiles": 64, "hidden": [16], "step_size": 1e-2, "inner": {"kind": "exchange", "reports": 8, "anywhere": 0}},
    "lagrangian": {"kind": "annealed", "multiplier_end": 20}}}  # fmt: skip


def parsed(labels=QUOTA, folder=Path(), preference=None, **more) -> config.Config:
    problem = {"kind": "auction", "bidders": 2, "items": 2, "prior": {"kind": "uniform"},
               "preference": {"labels": labels, **(preference or {})}, **more.pop("problem", {})}  # fmt: skip
    return config.parse({"problem": problem, **more}, folder)


def built(labels, **more):
    """(problem, env) of a configuration."""
    read = parsed(labels, **more)
    return read.problem.build(read.folder)


def says(labels, allocations, **more) -> list[int]:
    """What people say of allocations [B, N, M]."""
    problem, env = built(labels, **more)
    return asked(problem, env, jnp.asarray(allocations, jnp.float32)).astype(int).tolist()


@partial(jax.jit, static_argnames="problem")
def asked(problem, env, given):
    """The labels of allocations [B, N, M] for which nobody pays, on profiles of the prior."""
    draw = problem.draw(env, jax.random.key(0), len(given))
    return problem.liked(env, draw, Decision(given, jnp.zeros(given.shape[:2])))


@partial(jax.jit, static_argnames=("problem", "count"))
def imagined(problem, env, key, count):
    """(draw, decision, whether it is liked), compiled whole: call by call costs more."""
    draw, decision = problem.imagined(env, key, count, 1.0)
    return draw, decision, problem.liked(env, draw, decision)


@cache
def random_ones(labels: str, count=4000):
    """(problem, env, liked): which of some random decisions are, as rankings compare them."""
    problem, env = built({"kind": labels, "objective": "entropy", **({"bands": [[0.1, 0.3], [0.8, 1]]} if labels == "pass_band" else {})})
    return problem, env, np.asarray(imagined(problem, env, jax.random.key(1), count)[2])


def test_a_quota_wants_every_bidder_to_have_a_part_of_what_is_given():
    lots = [ALL_TO_ONE, HALVES, ONE_EACH, NOTHING, [[0.21, 0.21], [0.79, 0.79]], [[0.19, 0.5], [0.81, 0.5]]]
    assert says(QUOTA, lots) == [0, 1, 0, 1, 1, 0]


def test_who_gets_both_items_or_neither_treats_them_alike():
    lots = [ALL_TO_ONE, HALVES, ONE_EACH, NOTHING, [[0.5, 0.45], [0.5, 0.4]], [[0.5, 0.3], [0.5, 0.45]]]
    assert says(EVEN, lots) == [1, 1, 0, 1, 1, 0]


def test_the_ends_of_a_threshold_are_liked():
    labels = {"kind": "threshold", "objective": "welfare", "at_least": 0.0, "at_most": 0.0}
    with pytest.raises(ConfigError, match="should be below at_most"):
        parsed(labels)
    assert says({**labels, "at_most": 9.0}, [NOTHING, HALVES]) == [1, 1]
    assert says({"kind": "threshold", "objective": {"welfare": -1}, "at_most": -1e-6}, [NOTHING, HALVES]) == [0, 1]


def test_a_ranking_likes_what_wins_its_comparisons():
    problem, env, liked = random_ones("ranking")
    assert liked.mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / len(liked)))  # four standard errors
    model = parsed({"kind": "ranking", "objective": "entropy"}).problem.preference.labels
    rivals = np.sort(compared(model, problem, env))
    share = 0.2 * np.array([0.5, 1, 0, 2])  # of a share of .4 given to the second bidder unevenly, in both items
    lots = np.stack([[[0.4, 0.4], [0.4 - each, 0.4]] for each in share])
    worth = [sum(-(q := np.array(row) / sum(row)) @ np.log(np.maximum(q, 1e-9)) for row in lot) for lot in lots]
    wins = np.searchsorted(rivals, worth)
    assert says({"kind": "ranking", "objective": "entropy"}, lots) == (wins > 0.75 * len(rivals)).astype(int).tolist()
    assert 0 < (wins > 0.75 * len(rivals)).mean() < 1


def test_a_pass_band_likes_some_of_the_middle():
    liked = random_ones("pass_band")[2]
    assert liked.mean() == pytest.approx(0.4, abs=4 * np.sqrt(0.4 * 0.6 / 4000))
    assert says({"kind": "pass_band", "objective": "entropy", "bands": [[0.8, 1]]}, [HALVES, ONE_EACH]) == [1, 0]  # no end above


@pytest.mark.parametrize("valuation", ["additive", "unit_demand", "combinatorial"])
def test_random_decisions_are_feasible_and_nobody_loses_by_them(valuation):
    prior = {"kind": "uniform", "low": 1, "high": 2}
    problem, env = built({**EVEN, "at_most": 0.5}, problem={"valuation": valuation, "prior": prior})

    def told(env):
        draw, decision = problem.imagined(env, jax.random.key(2), 500)
        return decision, problem.infeasibility(env, decision), problem.utility(env, draw, decision, draw.types).min()

    decision, infeasible, least = jax.jit(told)(env)
    assert float(infeasible) < 1e-6  # float32
    assert float(least) > -1e-6
    assert decision.allocation.max() > 0.8 and decision.payment.min() >= 0  # sharp ones are among them


@pytest.fixture
def labelled(tmp_path):
    """A file of four allocations, of which those are liked that treat items alike."""
    rows = [[*np.ravel(lot), said] for lot, said in ((ALL_TO_ONE, 1), (HALVES, 1), (ONE_EACH, 0), ([[0, 1], [1, 0]], 0))]
    (tmp_path / "liked.csv").write_text("a1,a2,b1,b2,liked\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return tmp_path


def test_people_like_what_is_nearest_to_what_they_liked(labelled):
    file = {"kind": "labelled", "file": "liked.csv"}
    assert says(file, [ALL_TO_ONE, ONE_EACH, [[0.8, 0.1], [0.1, 0.9]], [[0.6, 0.5], [0.4, 0.4]]], folder=labelled) == [1, 0, 0, 1]
    with pytest.raises(ConfigError, match=r"problem\.preference\.shown"):
        parsed(file, labelled, {"shown": "account"})


@pytest.mark.parametrize(("rows", "said"), [
    ("1,1,0,0,1\n0,1,1,0,2\n", "row 2, column 5: a label must be 1, liked, or 0, not '2'"),
    ("a,b,c,d,liked\n1,1,0,0,1\n0,-1,1,0,0\n", r"row 3, column 2 \('b'\): a share must be a finite number of at least 0, not '-1.0'"),
    ("1,1,0,0,1\n0,many,1,0,0\n", "row 2, column 2: a share must be a finite number of at least 0, not 'many'"),
    ("1,1,0,1,1\n", "row 1: gives 2 of item 2"),
    ("1,1,0,1\n", "4 columns, but this auction needs 5"),
    ("1,1,0,0,1\n0,1,1,0,1\n", "every allocation has the label 1"),
    ("", "the file is empty"),
])  # fmt: skip
def test_a_wrong_row_is_named(tmp_path, rows, said):
    (tmp_path / "liked.csv").write_text(rows)
    with pytest.raises(ConfigError, match=said):
        read_labelled(tmp_path / "liked.csv", 2, 2)
    with pytest.raises(ConfigError, match=r"problem\.preference\.labels\.file"):
        parsed({"kind": "labelled", "file": "liked.csv"}, tmp_path)


@pytest.mark.parametrize(("data", "said"), [
    ({"labels": {"kind": "ranking", "objective": "entropi"}}, "did you mean 'entropy'"),
    ({"labels": {"kind": "threshold", "objective": "entropy"}}, "give one of them"),
    ({"labels": {**QUOTA, "share": 1.5}}, "problem.preference.labels.share"),
    ({"labels": {"kind": "pass_band", "objective": "entropy", "bands": [[0.5, 0.4]]}}, "pairs that rise"),
    ({"labels": {"kind": "ranking", "objective": {"total_variation": {"categories": [[0, 5]]}}}}, "the last is 1"),
    ({"problem": {"bidders": 1}}, "parts an item among several bidders"),
    ({"preference": {"weight": 0}}, "problem.preference.weight"),
    ({"rule": {"kind": "gemnet"}}, "whatever people like"),
    ({"training": {"response": {"kind": "preferred", "inner": {"kind": "robust"}}}}, "robust outside"),
    ({"training": {"response": {"kind": "bounded", "inner": {"kind": "preferred"}}}}, "preferred outside"),
    ({"training": {"response": {"kind": "preferred", "inner": {"kind": "preferred"}}}}, "once more"),
])  # fmt: skip
def test_what_does_not_fit_is_said(data, said):
    with pytest.raises(ConfigError, match=said):
        parsed(**data)


def test_labels_that_never_differ_are_refused():
    read = parsed({"kind": "threshold", "objective": "entropy", "at_least": 3.0})
    with pytest.raises(ConfigError, match=r"none of 4096 random allocations is liked.* entropy is between .* and 1\.39 of them"):
        refuse_unlearnable(*read.problem.build(Path()), read)


def test_the_response_follows_from_the_problem_and_the_rule():
    assert parsed().training.response.inner.kind == "exchange"
    assert parsed(rule={"kind": "affine_maximiser"}).training.response.inner.kind == "truthful"
    everything = parsed(problem={"population": {"share": 0.3, "precision": 4}, "prior": {"kind": "any_of", "parts": [
        {"kind": "uniform"}, {"kind": "uniform", "high": 2}]}}).training.response  # fmt: skip
    assert [everything.kind, everything.inner.kind, everything.inner.inner.kind] == ["robust", "preferred", "bounded"]
    problem, env = parsed(problem={"preference": None}).problem.build(Path())
    with pytest.raises(ConfigError, match="nobody was asked"):
        Preferred(Worth(), 1, 8, (4,)).init(problem, env, {"inner": {}}, jax.random.key(0), 8)


class Worth:
    """An inner response under which a rule is worth nothing, and leaves nothing to gain."""

    def init(self, problem, env, numbers, key, batch):
        return ()

    def play(self, problem, env, rule, memory, key, step, batch, numbers):
        return Play(jnp.zeros(()), jnp.zeros(2), {}, (), jnp.zeros((0,)), jnp.zeros((0,)))


class Shares(nnx.Module):
    """Both items to the first bidder by a learned share, the rest to the second, for nothing."""

    def __init__(self, share):
        self.share = nnx.Param(jnp.full((), share))

    def __call__(self, reports):
        share = self.share[...].astype(reports.dtype) + 0 * reports[..., 0, :]
        return Decision(jnp.stack([share, 1 - share], -2), 0 * reports[..., 0])


def test_the_score_s_slope_is_exact_and_leads_to_what_is_liked():
    """By a network that has learned a quota: finite differences in float64, and uphill is towards an even split from either side."""
    with jax.enable_x64(True):
        problem, env = built(QUOTA)
        env = jax.tree.map(jnp.asarray, double(env))
        search = Preferred(Worth(), 40, 32, (16,))
        numbers = {"inner": {}, "step_size": jnp.asarray(0.02)}
        memory = search.init(problem, env, numbers, jax.random.key(0), 8)
        play = jax.jit(lambda rule, memory, step: search.play(problem, env, rule, memory, jax.random.key(step), step, 8, numbers))
        for step in range(8):
            memory = play(Rule.of(Shares(0.5)).astype(jnp.float64), memory, step).memory
        value = jax.jit(jax.value_and_grad(lambda rule: search.play(problem, env, rule, memory, jax.random.key(0), 0, 8, numbers).value))
        for share, sign in ((0.15, 1), (0.85, -1)):
            there, ahead, behind = (Rule.of(Shares(share + off)).astype(jnp.float64) for off in (0.0, 1e-6, -1e-6))
            slope = float(jax.tree.leaves(value(there)[1])[0])
            assert slope == pytest.approx(float(value(ahead)[0] - value(behind)[0]) / 2e-6, rel=1e-5)
            assert sign * slope > 0

        @jax.jit
        def agrees(asked):
            others = problem.imagined(env, jax.random.key(9), 500)
            return agreement(asked, problem.shown(env, *others), problem.liked(env, *others))

        assert agrees(memory["network"]) > 0.9  # of labels it has not seen; .5 is luck
        assert agrees(network(jax.random.key(1), (4, 16))) < 0.9


@pytest.fixture(scope="module")
def trained():
    """A small network for a quota, two members, for each weight of the preference: the last half's metrics [2, …], and the state."""
    found = {}
    for weight in (1e-6, 1.0):
        read = parsed(preference={"weight": weight}, **{**SMALL, "training": {**SMALL["training"], "members": 2}})
        problem, env = read.problem.build(Path())
        trainer = fit.Trainer.of(problem, read.training)
        state = initial_state(read, trainer, problem, env)
        for _ in range(2):
            state, metrics = fit.run(trainer, env, state, 400)
        found[weight] = jax.tree.map(np.asarray, metrics), state
    return found


def test_a_rule_learns_to_do_what_people_like(trained):
    """Without their score an auction gives everything to whoever values it most; with it both bidders get their quota, for less revenue."""
    deaf, heeding = trained[1e-6][0], trained[1.0][0]
    assert (heeding["preference_accuracy"] > deaf["preference_accuracy"] + 0.2).all()
    assert (heeding["preference_accuracy"] > 0.9).all()
    assert (heeding["revenue"] < deaf["revenue"]).all()
    assert (heeding["network_accuracy"] > 0.9).all()


def test_members_keep_their_own_network(trained):
    assert all(not np.allclose(*np.asarray(leaf)) for leaf in jax.tree.leaves(trained[1.0][1].memory["network"]))


def test_a_result_tells_which_share_of_bids_is_served_as_people_like():
    """A rule that splits evenly, and one that gives the second bidder a tenth; another network comes to the same opinion."""
    read = parsed()
    problem, env = read.problem.build(Path())
    for share, wanted in ((0.5, 1.0), (0.9, 0.0)):
        told = details(problem, env, read.problem, read.rule, Rule.of(Shares(share)))["preference"]
        assert told["accuracy"] == wanted and told["bids"] == JUDGED and told["worth"] == wanted
        assert told["accuracy_by_network"] == wanted
        assert told["network_accuracy"] > 0.9 and told["network_accuracy_on_its_own"] == 1.0
    assert details(problem, replace(env, preference=None), read.problem, read.rule, Rule.of(Shares(0.5))) == {}


def test_labels_by_what_bidders_are_left_with_need_the_whole_account():
    """Who is shown it sees what everybody received and paid, in units of an item's mean value ½."""
    labels = {"kind": "threshold", "objective": "utility", "at_least": 0.3}
    problem, env = built(labels, preference={"shown": "account"})
    draw = Draw(weight=jnp.ones(1), types=jnp.asarray([[[0.6, 0.4], [0.2, 0.8]]]))
    decision = Decision(jnp.asarray([[[1.0, 0.0], [0.0, 1.0]]]), jnp.asarray([[0.5, 0.4]]))
    shown, liked = jax.jit(lambda env: (problem.shown(env, draw, decision), problem.liked(env, draw, decision)))(env)
    np.testing.assert_allclose(shown[0], [1, -1, -1, 1, 1.2, 1.6, 1.0, 0.8], rtol=1e-6)
    assert liked.tolist() == [1]
