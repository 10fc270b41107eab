"""GemNet: menus that depend on the others' reports alone, made compatible for every profile of types by changes of prices."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from icsap_jax.auctions.problem import Auction, Decision
from icsap_jax.auctions.rules.gemnet.grid import bundles, finest, shapes
from icsap_jax.auctions.rules.gemnet.polish import Tables, polish
from icsap_jax.auctions.rules.gemnet.prices import items_of, raised
from icsap_jax.bilevel.deviations import Search, box_gap, double
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import ConfigError, parse

UNIFORM = {"kind": "uniform", "low": 0, "high": 1}
SMALL = {"kind": "gemnet", "hidden": [8], "cells": 2500, "sample": 256, "rounds": 1}


def config_for(bidders=2, items=2, **changes):
    """A small GemNet for uniform values."""
    return parse({"problem": {"kind": "auction", "bidders": bidders, "items": items, "prior": UNIFORM, **changes}, "rule": SMALL})


@cache
def compatible():
    """(problem, env, rule as it is before its menus are made compatible, rule with compatible menus): two bidders, two items. The networks
    are fresh, so that nearly every menu has to give way somewhere."""
    config = config_for()
    problem, env = config.problem.build(Path())
    fresh = config.rule.build(problem, env, jax.random.key(0))
    return problem, env, fresh, polish(problem, env, config.problem, config.rule, fresh)[0]


def profiles(problem, rule):
    """Reports [R, N, M]: random, at the corners of the support, and on or a rounding beside the borders of cells."""
    rng, grid = np.random.default_rng(0), rule.module(rule.params).grids[0]
    anywhere = rng.uniform(size=(4000, problem.agents, problem.items))
    corners = np.array(list(product((0.0, 1.0), repeat=problem.agents * problem.items))).reshape(-1, problem.agents, problem.items)
    borders = rng.integers(0, grid.counts[0] + 1, size=anywhere.shape) * grid.width + rng.choice([-1e-7, 0.0, 1e-7], size=anywhere.shape)
    diagonal = anywhere.copy()  # where the values of both items add up to a multiple of the width
    diagonal[..., 1] = np.ceil(diagonal.sum(-1) / grid.width) * grid.width - diagonal[..., 0]
    return np.clip(np.concatenate([anywhere, corners, borders, diagonal]), 0, 1)


@jax.jit
def decided(rule, reports):
    """The rule's decision, compiled once for a shape and a precision."""
    return rule(reports)


@pytest.mark.parametrize("x64", [False, True])
def test_no_item_is_given_twice_wherever_reports_lie(x64) -> None:
    """Every profile is decided as if it had been tried: the shares of an item add up to exactly 0 or 1."""
    problem, _, _, rule = compatible()
    with jax.enable_x64(x64):
        there = jax.tree.map(jnp.asarray, double(rule)) if x64 else rule
        given = np.asarray(decided(there, jnp.asarray(profiles(problem, rule))).allocation).sum(1)
    assert given.max() == 1
    assert 0.1 < given.mean() < 0.9  # and much is sold


def test_the_strong_search_finds_no_lie_that_pays() -> None:
    problem, env, _, rule = compatible()
    search = Search(joint=11, single=21, starts=4, steps=4)
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jnp.asarray, (double(env), double(rule)))
        draw = problem.draw(env, jax.random.key(3), 50)
        gap = box_gap(problem, search, env, rule, draw)
    assert gap.max() <= 1e-12  # sums of a few float64 numbers of size one


def test_nobody_pays_more_than_it_values_what_it_gets() -> None:
    """Nothing at 0 stays in every menu, however prices are changed."""
    problem, _, _, rule = compatible()
    types = profiles(problem, rule)
    given, paid = (np.asarray(leaf) for leaf in jax.tree.leaves(decided(rule, jnp.asarray(types))))
    assert ((given * types).sum(-1) - paid).min() >= -1e-6  # float32 rounding
    assert paid.min() >= 0


def test_nothing_is_sold_before_menus_are_compatible() -> None:
    """And while training, when they are not, items are given twice, which the response prices."""
    problem, env, fresh, _ = compatible()
    types = jnp.asarray(profiles(problem, fresh))
    assert float(np.asarray(decided(fresh, types).allocation).max()) == 0
    softly = decided(replace(fresh, temperature=jnp.asarray(0.01)), types)
    assert float(problem.given_twice(env, softly).mean()) > 0.1


def test_what_is_given_twice_is_counted_by_items() -> None:
    """One item to both, the other to both by halves more than there is."""
    problem, env, _, _ = compatible()
    given = jnp.asarray([[[1.0, 1.0], [1.0, 0.5]], [[1.0, 0.0], [0.0, 1.0]]])
    np.testing.assert_allclose(problem.given_twice(env, Decision(given, jnp.zeros((2, 2)))), [1.5, 0.0])


@pytest.mark.parametrize(("items", "valuation", "count"), [(2, "additive", 2), (3, "additive", 10), (3, "unit_demand", 6)])
def test_the_most_of_a_form_over_a_cell_is_exact(items, valuation, count) -> None:
    """Against all multiples of a sixth: the corners of every shape are among them, as their coordinates are halves or whole. And a form
    is nowhere in a cell larger than it is said to be."""
    parts = shapes(items, valuation)
    assert len(parts.floors) == count
    grid = finest(Auction(2, items, valuation), np.zeros((2, items)), np.full((2, items), 3.0), 1)[0]
    forms = np.random.default_rng(0).normal(size=(4, items))
    points = np.array(list(product(np.arange(7) / 6, repeat=items)))
    along = points @ np.array(parts.directions).T
    for place, floor in enumerate(parts.floors):
        within = ((along >= np.array(floor) - 1e-9) & (along <= np.array(floor) + 1 + 1e-9)).all(1)
        np.testing.assert_allclose(grid.most(forms)[place], grid.width * (points[within] @ forms.T).max(0), atol=1e-9)
    types = np.random.default_rng(1).uniform(0, 3, size=(500, items))
    assert (types @ forms.T <= grid.most(forms)[np.asarray(grid.locate(jnp.asarray(types)))] + 1e-5).all()  # located in float32


def test_raised_prices_are_the_least_that_a_mixed_integer_programme_finds() -> None:
    """The paper's programme for one menu: for every cell and every entry that may not be taken there, some entry that may beats it
    everywhere. 24 draws of what may be taken, in which the sets of items are nested."""
    grid = finest(Auction(2, 2, "additive"), np.zeros((2, 2)), np.ones((2, 2)), 64)[0]
    entries = bundles(2, "additive")
    sets = items_of(entries)
    most = grid.most((entries[:, None] - entries[None]).reshape(-1, 2)).reshape(-1, 4, 4)
    rng, margin = np.random.default_rng(0), 0.01
    may = rng.choice([0, sets[1], 3], size=(grid.size, 24))
    start = np.concatenate([np.zeros((24, 1)), rng.uniform(0, 0.6, size=(24, 3))], 1)
    with jax.enable_x64(True):
        found = np.asarray(raised(*map(jnp.asarray, (start, may, most, margin)), sets))
    for menu in range(24):
        assert found[menu].sum() == pytest.approx(least(start[menu], may[:, menu], most, margin, sets), abs=1e-6)


def least(start, may, most, margin, sets):
    """The smallest sum of prices, none below `start` [K], by HiGHS."""
    wanted = [(c, k) for c, items in enumerate(may) for k in range(len(sets)) if sets[k] & ~items]
    beats = [(row, c, k, other) for row, (c, k) in enumerate(wanted) for other in range(len(sets)) if not sets[other] & ~may[c]]
    size, large = len(sets) + len(beats), 10.0
    rows, low = np.zeros((len(beats) + len(wanted), size)), np.ones(len(beats) + len(wanted))
    for place, (row, c, k, other) in enumerate(beats):
        rows[place, [k, other, len(sets) + place]] = 1, -1, -large
        low[place] = most[c, k, other] + margin - large
        rows[len(beats) + row, len(sets) + place] = 1
    upper = np.append(np.full(len(sets), 5.0), np.ones(len(beats)))
    upper[0] = 0.0  # nothing stays at 0
    prices, who = np.append(np.ones(len(sets)), np.zeros(len(beats))), np.append(np.zeros(len(sets)), np.ones(len(beats)))
    bounds = Bounds(np.append(start, np.zeros(len(beats))), upper)
    return milp(prices, constraints=LinearConstraint(rows, low, np.inf), integrality=who, bounds=bounds).fun


def test_cells_cost_little_where_menus_are_optimal(case) -> None:
    """Three bidders and one item, each offered it at the highest of the others' values or a half (Myerson 1981). In a cell of width h the
    item may go to one who values it less by h/3 on average, a virtual value of 2h/3, where the two highest share a cell, at most 3h of
    all profiles: 2h². The reserve and what no cell can tell are within h²."""
    config = config_for(bidders=3, items=1)
    problem, env = config.problem.build(Path())
    rule = config.rule.model_copy(update={"cells": 8000}).build(problem, env, jax.random.key(0))
    module = rule.module(rule.params)
    grid = module.grids[0]
    assert grid.counts == (20,)
    with jax.enable_x64(True):
        values = np.asarray(problem.draw(env, jax.random.key(0), 2000).types, np.float64)
        middles = grid.middles()[:, 0]
        ask = np.maximum(np.maximum.outer(middles, middles).ravel(), 0.5)
        learned = [jnp.asarray(np.stack([np.zeros(400), ask], 1))] * 3
        tables, told = Tables(module, values).settled(learned, 0.5, 2)
    for table, prices in zip(module.tables, tables, strict=True):
        table[...] = jnp.asarray(prices[:, 1:], jnp.float32)
    rows = (np.random.default_rng(0).permuted(np.tile(np.arange(20_000), (3, 1)), axis=1).T[..., None] + 0.5) / 20_000
    decision = decided(Rule.of(module), jnp.asarray(rows))
    error = 4 * float(decision.payment.sum(1).std()) / np.sqrt(20_000)
    assert float(decision.allocation.sum(1).max()) == 1
    assert told["sample_compatible"] <= told["sample"]
    assert float(decision.payment.sum(1).mean()) > case("single_3_uniform")["optimum"] - 3 * grid.width**2 - error


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"bidders": 1}, "several bidders compatible, and here is one"),
    ({"items": 4}, "of which there may be 6, and 3 items; here are 2 bidders and 4 items"),
    ({"bidders": 4}, "here are 4 bidders and 2 items"),
    ({"valuation": "combinatorial"}, "bundles are goods of their own"),
    ({"objective": "welfare"}, "for revenue alone"),
])
def test_what_it_cannot_serve_is_said_with_those_that_can(changes, sentence) -> None:
    with pytest.raises(ConfigError, match=sentence):
        config_for(**changes)


def test_a_grid_that_cannot_be_cut_has_one_cube() -> None:
    """Fewer profiles of cells allowed than one cube each has: still every type has a cell."""
    grids = finest(Auction(2, 2, "additive"), np.zeros((2, 2)), np.array([[1.0, 1.0], [2.0, 0.0]]), 1)
    assert [grid.counts for grid in grids] == [(1, 1), (1, 1)]
    assert int(grids[1].locate(jnp.asarray([[2.0, 0.0]]))[0]) < grids[1].size


def test_bidders_tied_to_each_other_by_a_file_are_refused_wherever_it_lies(tmp_path: Path) -> None:
    """Rows of whole profiles say how one bidder's values go with another's, and prices are judged by each one's own."""
    profiles = np.random.default_rng(0).uniform(size=(50, 2, 2))
    np.save(tmp_path / "profiles.npy", profiles)
    problem = {"kind": "auction", "bidders": 2, "items": 2, "prior": {"kind": "empirical", "file": "profiles.npy"}}
    with pytest.raises(ConfigError, match="ties bidders to each other"):
        config = parse({"problem": problem, "rule": {"kind": "gemnet", "cells": 400}}, tmp_path)
        config.rule.build(*config.problem.build(config.folder), jax.random.key(0))
