"""One of n independent actions is recommended: the reduced form against every profile of types written out, and that scores learn it."""

from __future__ import annotations

import itertools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import run
from icsap_jax.config import ConfigError, load, parse
from icsap_jax.exact.lp import solve
from icsap_jax.persuasion.actions.optimum import baselines, best, bound, learned_multiplier, optimum, priority, upper_bound
from icsap_jax.persuasion.actions.polish import polish
from icsap_jax.persuasion.actions.problem import chances, scores, tables
from icsap_jax.persuasion.many.polish import judged

EXACT = 1e-9  # of programmes in float64
QUICK = {"xla_backend_optimization_level": 0}  # unoptimised code compiles three times sooner
CASE = {"kind": "persuasion_actions", "count": 4, "probabilities": [0.5, 0.3, 0.2], "receiver": [0, 0.5, 1], "sender": [0.6, 1, 0]}
# The sender likes best what the receiver likes least, so that obedience costs it something.
OPPOSED = {**CASE, "sender": [1, 0.6, 0]}


def model_of(**given):
    """The checked problem of a file."""
    return parse({"problem": {**CASE, **given}}).problem


def every(model):
    """(every profile of types [P, n], how likely it is [P])."""
    q, *_ = tables(model)
    types = np.array(list(itertools.product(range(len(q)), repeat=model.count)))
    return types, q[types].prod(1)


def written_out(model):
    """The best scheme of all by the programme over profiles of types and recommendations, which knows nothing of symmetry."""
    _, receiver, sender = tables(model)
    types, likely = every(model)
    rows = []
    for i, j in itertools.permutations(range(model.count), 2):
        row = np.zeros(types.shape)
        row[:, i] = receiver[types[:, j]] - receiver[types[:, i]]
        rows.append(row.ravel())
    mass = np.kron(np.eye(len(types)), np.ones(model.count))
    return solve(sender[types].ravel(), at_most=(rows, np.zeros(len(rows))), equal=(mass, likely), maximise=True).value


def test_the_configured_case_has_its_known_value(case, root) -> None:
    """.903, and what the usual disclosures get."""
    model = load(root / "configs" / "persuasion" / "iid_three_types_n4.yaml").problem
    assert optimum(None, None, model)["value"] == pytest.approx(case("iid_three_types_n4")["value"], abs=EXACT)
    # Seen, a fine one is taken (worth 0) unless there is none, then a fair one: .8⁴ − .5⁴ of the time; unseen, any: .5·.6 + .3.
    shown = (0.8**4 - 0.5**4) * 1 + 0.5**4 * 0.6
    assert baselines(None, None, model) == pytest.approx({"full_disclosure": shown, "no_disclosure": 0.6})


@pytest.mark.parametrize("given", [{}, {"sender": [1, 0.6, 0]}, {"sender": [1, -0.5, 0.2], "count": 3},
                                   {"probabilities": [0.6, 0.4], "receiver": [0.2, 1], "sender": [1, 0], "count": 5}])  # fmt: skip
def test_the_reduced_form_loses_nothing(given) -> None:
    """A linear programme over all type profiles, 81 of them for the case, against one of a variable for each type."""
    model = model_of(**given)
    assert best(*tables(model), model.count)[0] == pytest.approx(written_out(model), abs=1e-7)  # the tolerance of the programme


@pytest.mark.parametrize("count", [4, 20, 500])
def test_any_price_proves_a_bound_and_the_learned_one_is_tight(count) -> None:
    """No price ≥ 0 bounds below the optimum, and the learned one is at it, where obedience binds."""
    model = model_of(**{**OPPOSED, "count": count})
    given, value = tables(model), optimum(None, None, model)["value"]
    for price in (0.0, 0.1, 0.5, 1.0, 2.0, 10.0):
        assert upper_bound(*given, count, price) >= value - EXACT
    assert learned_multiplier(*given, count) > 0
    assert bound(None, None, model) == pytest.approx(value, abs=EXACT)


def test_a_race_recommends_in_proportion_among_the_actions_there_are() -> None:
    """The quadrature against adding up every profile of types of four actions."""
    model = model_of()
    q, *_ = tables(model)
    types, likely = every(model)
    level = np.array([0.0, 3.0, 1.2])
    share = np.exp(level)[types]
    share /= share.sum(1, keepdims=True)
    exact = [likely @ (share * (types == t)).sum(1) for t in range(3)]
    raced = jax.jit(chances, static_argnames="count", compiler_options=QUICK)
    np.testing.assert_allclose(raced(jnp.asarray(level), jnp.asarray(q), count=4), exact, atol=1e-6)  # float32
    with jax.enable_x64(True):
        np.testing.assert_allclose(raced(jnp.asarray(level), jnp.asarray(q), count=4), exact, atol=1e-12)


def test_a_large_lead_is_priority() -> None:
    """Leads of 20 for 50 actions: e^−20 of them is 1e-7 off the strict order."""
    q, *_ = tables(model_of())
    with jax.enable_x64(True):
        raced = jax.jit(chances, static_argnames="count", compiler_options=QUICK)(jnp.asarray([40.0, 0.0, 20.0]), jnp.asarray(q), count=50)
    np.testing.assert_allclose(raced, priority(q, 50, np.array([2.0, 0.0, 1.0])), atol=1e-6)


def test_what_is_not_recommended_is_what_is_left() -> None:
    """Another action's type given the recommendation, by adding up every profile."""
    model = model_of()
    problem, env = model.build(".")
    rule = scores(model, problem, env, jax.random.key(0))
    decision = jax.jit(lambda: problem.decide(env, rule, None, None), compiler_options=QUICK)()
    types, likely = every(model)
    share = np.exp(np.asarray(rule(), np.float64))[types]
    share /= share.sum(1, keepdims=True)
    others = [likely @ (share * ((types == t).sum(1, keepdims=True) - (types == t))).sum(1) / 3 for t in range(3)]
    np.testing.assert_allclose(decision.another, others, atol=1e-6)  # the scores are float32


def test_what_is_kept_is_obeyed_by_the_margin_and_no_more() -> None:
    """Twenty actions, where obedience binds: within what the margin costs of the optimum, and nobody gains by taking another action."""
    model = model_of(**{**OPPOSED, "count": 20})
    problem, env = model.build(".")
    rule, told = polish(problem, env, model, None, scores(model, problem, env, jax.random.key(0)))
    found = judged(problem, env, rule)
    assert told["value_after_polish"] == pytest.approx(best(*tables(model), 20, problem.margin)[0], abs=1e-6)  # leads are finite
    assert float(found.reply.value) == float(found.reply.adversarial_value)
    assert found.gap.max() < 1e-12  # rounding of a utility computed twice
    assert told["value_after_polish"] == pytest.approx(optimum(None, None, model)["value"], abs=1e-3)


def test_twenty_actions_are_learned(tmp_path) -> None:
    """Through the command's own way, where obedience binds: within 1e-3 of the optimum, the bound as near, and the polish does not do the
    learning."""
    config = parse({"problem": {**OPPOSED, "count": 20}, "training": {"steps": 500}})
    with mock.patch.object(run, "draw_pictures", lambda *_: None):
        result = run.train(config, tmp_path / "out", lambda line: None)
    objective, exact = result["objective"], result["optimum"]["value"]
    assert objective["value"] == pytest.approx(exact, abs=1e-3)
    assert objective["adversarial_ties"] == objective["value"]
    assert objective["upper_bound"] == pytest.approx(exact, abs=EXACT)
    assert result["details"]["value_before_polish"] >= 0.98 * exact
    assert result["details"]["posteriors"]["recommended"].keys() == {"0", "1", "2"}


@pytest.mark.parametrize(("given", "said"), [
    ({"probabilities": [0.5, 0.5, 0.0]}, r"probabilities\.2.* interior, and type 2 could never occur"),
    ({"probabilities": [0.5, 0.3, 0.1]}, r"probabilities.* sum to 1.* it sums to 0\.9"),
    ({"sender": [1, 0]}, r"sender has shape \[2\]; it should be \[3\] like probabilities"),
    ({"receiver": [0, 0.5, float("inf")]}, r"receiver.*finite"),
    ({"count": 1}, r"count = 1"),
    ({"types": ["a", "a", "b"]}, r"types.* 3 different names"),
])  # fmt: skip
def test_a_wrong_problem_is_refused_with_its_key(given, said) -> None:
    """Each mistake in one sentence."""
    with pytest.raises(ConfigError, match=said):
        model_of(**given)


def test_a_margin_that_no_recommendation_meets_is_refused(tmp_path) -> None:
    """The best of four is better than another by the number told, and a margin of just that is met."""
    with pytest.raises(ConfigError, match=r"obedience_margin = 2: .* by 0\.\d+ on average") as refused:
        run.train(parse({"problem": {**CASE, "obedience_margin": 2}}), tmp_path / "out", lambda line: None)
    assert not (tmp_path / "out").exists()
    largest = float(str(refused.value).split(" by ")[1].split()[0])
    model = model_of(obedience_margin=largest - 1e-5)  # it is told to six digits
    assert model.hook("check")(*model.build("."), parse({"problem": {**CASE, "obedience_margin": largest - 1e-5}})) is None
