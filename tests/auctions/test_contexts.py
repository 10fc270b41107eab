"""Auctions in which bidders and items have public contexts."""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import artifact, runtime
from icsap_jax.artifact import replay, tables
from icsap_jax.artifact.checks import REPLAY_TOLERANCE
from icsap_jax.auctions import contextual
from icsap_jax.auctions.baselines import baselines
from icsap_jax.auctions.optimum import optimum
from icsap_jax.auctions.table import Table
from icsap_jax.bilevel.deviations import Search, candidates
from icsap_jax.bilevel.lagrangian import numbers
from icsap_jax.bilevel.responses import refine
from icsap_jax.config import ConfigError, parse

SMALL = {"kind": "citransnet", "width": 4, "heads": 2, "layers": 1, "embedding": 2}
VECTORS = {"kind": "continuous", "dimension": 3}
KINDS = {"kind": "discrete", "bidders": 3, "items": 2}
MEANS = [[0.2, 0.5], [0.4, 0.6], [0.8, 0.3]]
NORMAL = {"kind": "truncated_normal", "mean": MEANS, "std": 0.05, "low": 0, "high": 1}


@cache
def built(text: str) -> tuple:
    """(config, problem, env, rule) of a problem with contexts, from its differences as JSON."""
    given = json.loads(text)
    rule, training = given.pop("rule", SMALL), given.pop("training", {})
    problem = {"kind": "auction", "bidders": 2, "items": 2, "prior": {"kind": "uniform"}, "contexts": VECTORS, **given}
    config = parse({"problem": problem, "rule": rule, "training": training}, Path())
    problem, env = config.problem.build(Path())
    return config, problem, env, jax.jit(lambda key: config.rule.build(problem, env, key))(jax.random.key(0))


def auction(**given: Any) -> tuple:
    """As `built`."""
    return built(json.dumps(given, sort_keys=True))


@partial(jax.jit, static_argnames=("problem", "count"))
def drawn(problem, env, key, count):
    """(draw, its box), compiled whole: call by call costs more."""
    draw = problem.draw(env, jax.random.key(key), count)
    return draw, problem.space(env, draw)


@partial(jax.jit, static_argnames="problem")
def decide(problem, env, rule, seen, reports):
    """The decision."""
    return problem.decide(env, rule, seen, reports)


@pytest.mark.parametrize("given", [{}, {"contexts": KINDS, "prior": NORMAL}])
def test_values_lie_in_the_support_that_their_contexts_tell(given: dict[str, Any]) -> None:
    """Which differs from profile to profile, and lies within the box of the whole auction."""
    _, problem, env, _ = auction(**given)
    (draw, box), whole = drawn(problem, env, 1, 4_000), problem.space(env, None)
    assert box.low.shape == box.high.shape == draw.types.shape
    assert (draw.types >= box.low).all() and (draw.types <= box.high).all()
    assert (box.low >= whole.low[None] - 1e-6).all() and (box.high <= whole.high[None] + 1e-6).all()  # float32


def test_kinds_of_bidders_value_kinds_of_items_as_the_prior_says() -> None:
    """The mean of values over the profiles in which a pair of kinds meets is that pair's; five standard errors of .05/√n, n ≥ 700."""
    _, problem, env, _ = auction(contexts=KINDS, prior=NORMAL)
    draw, _ = drawn(problem, env, 1, 4_000)
    (bidders, items), values = (np.asarray(each) for each in draw.seen), np.asarray(draw.types)
    for kind, row in enumerate(MEANS):
        for other, mean in enumerate(row):
            met = values[(bidders[:, :, None] == kind) & (items[:, None, :] == other)]
            assert met.mean() == pytest.approx(mean, abs=5 * 0.05 / np.sqrt(len(met)))


def test_types_are_redrawn_for_the_same_contexts() -> None:
    """An exchange of reports asks for types that differ where circumstances do not: their mean is U[0, h]'s, h/2."""
    _, problem, env, _ = auction()
    draw, box = drawn(problem, env, 3, 4)
    types = np.asarray(jax.jit(lambda env, seen: problem.redraw(env, jax.random.key(4), seen, (2_000, 4)))(env, draw.seen))
    high = np.asarray(box.high)
    assert (types <= high).all()
    np.testing.assert_allclose(types.mean(0), high / 2, atol=5 * 0.29 / np.sqrt(2_000))  # five standard errors


@pytest.mark.parametrize("given", [{"valuation": "unit_demand", "contexts": KINDS, "prior": {**NORMAL, "mean": 0.5}}])
def test_bidders_who_change_places_with_their_contexts_get_what_they_got(given: dict[str, Any]) -> None:
    """So do items: a rule for anonymous bidders and items."""
    _, problem, env, rule = auction(**given)
    draw, _ = drawn(problem, env, 5, 8)
    (bidders, items), swapped = draw.seen, jnp.array([1, 0])
    before = decide(problem, env, rule, draw.seen, draw.types)
    assert np.asarray(before.allocation).std(0).max() > 0
    bidder = decide(problem, env, rule, (bidders[:, swapped], items), draw.types[:, swapped])
    np.testing.assert_allclose(bidder.allocation, before.allocation[:, swapped], atol=1e-5)  # float32 sums in another order
    np.testing.assert_allclose(bidder.payment, before.payment[:, swapped], atol=1e-5)
    item = decide(problem, env, rule, (bidders, items[:, swapped]), draw.types[:, :, swapped])
    np.testing.assert_allclose(item.allocation, before.allocation[:, :, swapped], atol=1e-5)


def test_contexts_change_what_a_rule_does_only_where_it_takes_them() -> None:
    """A regretnet does the same whatever the contexts are."""
    for name, differs in ((SMALL, True), ({"kind": "regretnet", "hidden": [4]}, False)):
        _, problem, env, rule = auction(rule=name)
        draw, _ = drawn(problem, env, 5, 8)
        first, other = (decide(problem, env, rule, tuple(np.asarray(leaf)[[at]] for leaf in draw.seen), draw.types[:1]) for at in (0, 1))
        assert (np.abs(np.asarray(first.payment - other.payment)).max() > 0) == differs


@pytest.mark.parametrize(("items", "wanted"), [(1, 1 / 8), (3, 3 / 8)])
def test_one_uniform_bidder_is_asked_half_of_the_most_it_may_value(items: int, wanted: float) -> None:
    """U[0, h] earns h/4, and the mean of sigmoid(x · y) is one half: an eighth for each item, to five of its standard errors."""
    config, problem, env, _ = auction(bidders=1, items=items)
    found = contextual.sold_apart(env, config.problem)
    assert found.value == pytest.approx(wanted, abs=max(5 * found.std_error, 1e-4))
    draw, box = drawn(problem, env, 7, 50)
    high = np.asarray(box.high, np.float64)
    asked = np.where(np.asarray(draw.types) >= high / 2, high / 2, 0.0).sum((1, 2))
    np.testing.assert_allclose(contextual.charged(env, np.asarray(draw.types), draw.seen), asked, atol=2e-4)  # the staircase's cells


def test_no_price_for_all_earns_what_prices_by_context_do() -> None:
    """A rule that ignores contexts can ask a lone bidder one price, or draw one; the best in hindsight on 4 000 profiles still earns less
    than Myerson's auction given the contexts, by more than five standard errors of the difference."""
    _, problem, env, _ = auction(bidders=1, items=1)
    draw, _ = drawn(problem, env, 1, 4_000)
    values, charged = np.asarray(draw.types)[:, 0, 0], contextual.charged(env, np.asarray(draw.types), draw.seen)
    prices = np.linspace(0, 1, 201)
    best = prices[np.argmax(prices * (values[:, None] >= prices).mean(0))]
    lost = charged - best * (values >= best)
    assert lost.mean() > 5 * lost.std() / np.sqrt(len(lost))


def test_several_kinds_of_bidders_are_sold_to_as_myerson_says() -> None:
    """The exact average over kinds agrees with what is charged profile by profile, to four standard errors, and beats the efficient rule;
    of one item it is the optimum."""
    config, problem, env, _ = auction(items=1, contexts=KINDS, prior={"kind": "uniform", "low": 0, "high": MEANS})
    found = optimum(problem, env, config.problem)["value"]
    draw, _ = drawn(problem, env, 1, 4_000)
    charged = contextual.charged(env, np.asarray(draw.types), draw.seen)
    assert found == pytest.approx(charged.mean(), abs=4 * charged.std() / np.sqrt(4_000))
    known = baselines(problem, env, config.problem)
    assert known["item_myerson"] == found > known["second_price"]


def test_the_strong_search_stays_within_what_a_bidder_of_its_context_may_value() -> None:
    """A lone bidder's grid too, which otherwise serves all profiles at once, and what climbs from there."""
    _, problem, env, _ = auction(bidders=1)
    draw, box = drawn(problem, env, 9, 3)
    grid = np.asarray(jax.jit(partial(candidates, Search(joint=3, single=5, starts=2, steps=2)))(box, draw.types))
    assert grid.shape[1] == 3
    assert (grid <= np.asarray(box.high)[None] + 1e-6).all()
    assert (grid.max(0) >= np.asarray(box.high) - 1e-6).all()
    climbed = jax.jit(lambda start, box: refine(lambda reports: reports.sum(-1), start, box, jnp.float32(0.9), 4))(draw.types[None], box)
    np.testing.assert_allclose(climbed[0], box.high, rtol=1e-6)


def test_an_exchange_of_reports_finds_lies_within_each_group_own_box() -> None:
    """Values and slopes are finite, and a rule that charges by the report has a gap."""
    config, problem, env, rule = auction(contexts=KINDS, prior=NORMAL, rule={"kind": "regretnet", "hidden": [4]},
                                         training={"response": {"kind": "exchange", "reports": 3, "anywhere": 2}})  # fmt: skip
    search, given = config.training.response.build(), numbers(config.training.response)
    memory = search.init(problem, env, given, jax.random.key(0), 12)

    def loss(rule):
        play = search.play(problem, env, rule, memory, jax.random.key(3), 0, 12, given)
        return play.value - play.gap.sum(), play.gap

    (value, gap), slope = jax.jit(jax.value_and_grad(loss, has_aux=True))(rule)
    assert np.isfinite(value)
    assert np.asarray(gap).min() >= 0
    assert np.asarray(gap).max() > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


def test_a_table_has_a_column_for_each_number_of_a_context() -> None:
    """Contexts first; what is read from them is what the rule is told, and a bid beyond what its context allows is refused."""
    _, problem, env, _ = auction(bidders=1)
    table = Table(problem, env)
    public = [f"{who}_context{k}" for who in ("bidder1", "item1", "item2") for k in (1, 2, 3)]
    assert table.columns == [*public, "bidder1_item1", "bidder1_item2"]

    def refuse(row: int, column: str, text: str) -> Exception:
        return ValueError(f"{row} {column}: {text}")

    row = [1, 1, 1, 0, 0, 0, -1, -1, -1, 0.5, 0.04]  # sigmoid(0) = .5, sigmoid(−3) = .0474
    reports, bidders, items = table.inputs(np.array([row], float), refuse)
    assert bidders.tolist() == [[[1, 1, 1]]] and items.tolist() == [[[0, 0, 0], [-1, -1, -1]]] and reports.shape == (1, 1, 2)
    with pytest.raises(ValueError, match=r"0 bidder1_item2: the bid 0\.05 is outside the support \[0, 0\.0474\d*\] .* given the contexts"):
        table.inputs(np.array([[*row[:-1], 0.05]], float), refuse)
    with pytest.raises(ValueError, match=r"0 item1_context3: the context 1\.5 is outside \[-1, 1\]"):
        table.inputs(np.array([[*row[:5], 1.5, *row[6:]]], float), refuse)
    _, problem, env, _ = auction(contexts=KINDS, prior=NORMAL)
    assert Table(problem, env).sizes == {"bidder1_context": 3, "bidder2_context": 3, "item1_context": 2, "item2_context": 2}


def test_a_saved_rule_is_asked_with_its_contexts(tmp_path: Path) -> None:
    """Compiled it answers as it did, with bids and contexts as three inputs, and rows of a table are answered by them; contexts of another
    width are refused by the file, the row and the column."""
    config, problem, env, rule = auction(items=1, contexts={**VECTORS, "dimension": 1})
    unjudged = {"device": runtime.device_name(), "versions": runtime.versions()}
    folder = artifact.save(tmp_path / "artifact", config, problem, env, rule, unjudged, print)
    replayed = replay.replay(artifact.load(folder))
    assert replayed["parameters"] == 0.0
    assert replayed["stablehlo"] <= REPLAY_TOLERANCE
    with pytest.raises(ConfigError, match=r"rule: needs contexts .* it was given reports \[1, 2, 1\] alone"):
        artifact.load(folder).rule(np.zeros((1, 2, 1), np.float32))
    rows, answers = tmp_path / "rows.csv", tmp_path / "answers.csv"
    rows.write_text("bidder1_context1,bidder2_context1,item1_context1,bidder1_item1,bidder2_item1\n0.5,-0.5,1,0.3,0.2\n")
    assert tables.apply(folder, rows, answers) == 1
    wanted = decide(problem, env, rule, (jnp.array([[[0.5], [-0.5]]]), jnp.array([[[1.0]]])), jnp.array([[[0.3], [0.2]]]))
    header, answer = (line.split(",") for line in answers.read_text().splitlines())
    assert float(answer[header.index("revenue")]) == pytest.approx(float(wanted.payment.sum()), rel=1e-5)  # float32
    rows.write_text("bidder1_context1,bidder1_context2,bidder2_context1,item1_context1,bidder1_item1,bidder2_item1\n0,0,0,0,0,0\n")
    with pytest.raises(ConfigError, match=r"rows\.csv, row 1: 'bidder1_context2' is not a column here"):
        tables.apply(folder, rows, answers)


@pytest.mark.parametrize(("given", "shapes", "message"), [
    ({}, [(1, 2, 2)], r"contexts beside reports \[B, 2, 2\]: bidders \[B, 2, 3\] and items \[B, 2, 3\]; .* reports \[1, 2, 2\] alone\."),
    ({}, [(1, 2, 2), (1, 2, 4), (1, 2, 3)], r"needs contexts .* bidders \[1, 2, 4\], items \[1, 2, 3\]\."),
    ({}, [(1, 2, 2), (3, 2, 3), (1, 2, 3)], r"needs contexts .* bidders \[3, 2, 3\]"),
    ({}, [(2,), (1, 2, 3), (1, 2, 3)], r"needs contexts beside reports \[B, N, 2\].* given reports \[2\]"),
    ({"contexts": KINDS, "prior": NORMAL}, [(1, 2, 2)], r"bidders \[B, 2\] and items \[B, 2\], kinds counted from 0; .* alone\."),
    ({"contexts": None}, [(1, 2, 2), (1, 2), (1, 2)], r"needs reports \[B, 2, 2\] and nothing else; .* bidders \[1, 2\], items \[1, 2\]\."),
])
def test_a_rule_asked_without_its_contexts_says_what_it_needs(given: dict[str, Any], shapes: list[tuple], message: str) -> None:
    """The same of contexts in other shapes, and of such where there are none. Nothing is computed."""
    *_, rule = auction(**given)
    with pytest.raises(ConfigError, match=message):
        jax.eval_shape(rule, *(jnp.zeros(shape) for shape in shapes))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"contexts": KINDS, "prior": {**NORMAL, "mean": [[0.1, 0.2]]}},
         r"problem\.prior\.mean.* has shape \[1, 2\]; with these contexts it should be .* \[3\]\[2\] \(kinds of bidders × kinds"),
        ({"contexts": KINDS, "prior": {"kind": "triangle"}}, r"problem\.prior\.kind.* says nothing of single pairs of contexts"),
        ({"contexts": {"kind": "continuous", "dimension": 0}}, r"problem\.contexts\.dimension = 0"),
        ({"contexts": {"kind": "continuous", "low": 2}}, r"problem\.contexts\.low.* should be below high, which is 1"),
        ({"contexts": VECTORS, "valuation": "combinatorial"}, r"problem\.contexts.* belong to additive or unit-demand bidders"),
        ({"rule": {**SMALL, "heads": 3}}, r"rule\.heads.* should divide the width, which is 4"),
    ],
)  # fmt: skip
def test_contexts_that_do_not_fit_are_refused(given: dict[str, Any], message: str) -> None:
    """Naming the key."""
    with pytest.raises(ConfigError, match=message):
        auction(**given)


def test_bundles_are_not_for_a_rule_that_sees_pairs() -> None:
    """With the rules that can serve."""
    problem = {"kind": "auction", "bidders": 2, "items": 2, "valuation": "combinatorial", "prior": {"kind": "uniform"}}
    with pytest.raises(ConfigError, match=r"rule\.kind = 'citransnet' sees pairs of a bidder and an item, .*regretnet"):
        parse({"problem": problem, "rule": {"kind": "citransnet"}}, Path())
