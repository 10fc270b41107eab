"""Items given away alike (Kuo et al. 2020): what is exactly known, lots that are even by construction, and what is refused."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.auctions.optimum import control, optimum
from icsap_jax.auctions.rules.shares import evened
from icsap_jax.bilevel import fit
from icsap_jax.bilevel.responses import as_recommended
from icsap_jax.config import Config, ConfigError, parse
from icsap_jax.objectives import differences
from icsap_jax.run import initial_state
from icsap_jax.trees import named

ROUNDING = 1e-6  # of float32 sums of shares
SQUARE = {"kind": "uniform", "low": 0, "high": 1}


def auction(limit=0.0, bidders=1, prior=None, rule=None, items=2, valuation="additive", constraint=None, **more) -> Config:
    """An auction whose lots have to be even."""
    fair = {"kind": "total_variation", "limit": limit, **(constraint or {})}
    problem = {"kind": "auction", "bidders": bidders, "items": items, "prior": prior or SQUARE, "valuation": valuation}
    return parse({"problem": {**problem, "constraints": [fair]}, **({"rule": rule} if rule else {}), **more})


def known(config: Config) -> dict:
    """What `icsap optimum` prints of it."""
    return optimum(*config.problem.build(Path()), config.problem)


@pytest.mark.parametrize(("prior", "revenue"), [(SQUARE, (2 / 3) ** 1.5), ({"kind": "uniform", "low": 4, "high": [16, 7]}, 9.62685)])
def test_where_items_go_together_the_bundle_is_sold(prior, revenue) -> None:
    """(2/3)√(2/3) for two values uniform on [0, 1]: the price √(2/3) is paid by all but the triangle below it."""
    assert known(auction(0.0, prior=prior))["value"] == pytest.approx(revenue, abs=1e-5)  # the digits given; quadrature is better


def test_a_limit_that_the_best_auction_keeps_by_itself_costs_nothing() -> None:
    """On [4, 16] × [4, 7] the best menu gives half of one item with all of the other: at d = ½ and above it is still the best."""
    prior = {"kind": "uniform", "low": 4, "high": [16, 7]}
    assert known(auction(0.5, prior=prior))["value"] == pytest.approx(88 / 9)
    below = known(auction(0.49, prior=prior))
    assert below["value"] is None
    assert below["lower_bound"] < below["upper_bound"] == pytest.approx(88 / 9)


def test_fairness_has_a_price_that_rises_ever_faster() -> None:
    """For types that can be counted the best revenue is a programme's value: it rises with d, and less and less (concave)."""
    prior = {"kind": "discrete", "values": [[[1, 3], [1, 1.5]]], "probabilities": [[[0.6, 0.4], [0.5, 0.5]]]}
    curve = np.array([known(auction(d, prior=prior))["value"] for d in (0.0, 0.25, 0.5, 0.75, 1.0)])
    steps = np.diff(curve)
    assert (steps >= -1e-9).all()
    assert (np.diff(steps) <= 1e-9).all()
    assert curve[-1] > curve[0] + 0.01  # here fairness costs something


def test_the_bundles_auction_is_a_control_variate_of_the_right_mean() -> None:
    """Its mean over profiles is what it is said to be."""
    config = auction(0.0, bidders=2)
    problem, env = config.problem.build(Path())
    charged, mean = control(problem, env, config.problem)
    paid = charged(np.asarray(problem.draw(env, jax.random.key(0), 200_000).types))
    assert paid.mean() == pytest.approx(mean, abs=5 * paid.std() / np.sqrt(len(paid)))


@pytest.mark.parametrize("categories", [((0, 1, 2),), ((0,), (1, 2)), ((0, 1), (1, 2)), ((1,),)])
def test_evened_lots_are_feasible_and_within_their_limits(categories) -> None:
    """Whatever the limits, and where categories overlap: no item is given twice, and lots that were even enough stay as they are."""
    weights = np.exp(3 * np.random.default_rng(0).normal(size=(500, 4, 5)))
    shares = (weights / weights.sum(1, keepdims=True))[:, :3].astype(np.float32)
    limit = np.linspace(0.0, 0.3, len(categories), dtype=np.float32)

    @jax.jit
    def even(limit):
        drawn = evened(jnp.asarray(shares), categories, limit)
        return drawn, differences(drawn, categories)

    drawn, apart = map(np.asarray, even(limit))
    assert (apart - limit[None, :, None]).max() < ROUNDING
    assert drawn.sum(1).max() < 1 + ROUNDING
    assert drawn.min() >= -ROUNDING  # z̄ + s (z − z̄) of shares that are 0
    np.testing.assert_allclose(even(limit + 10)[0], shares, atol=ROUNDING)


@pytest.mark.parametrize("rule", [
    {"kind": "regretnet", "hidden": [8]}, {"kind": "equivariant", "hidden": [4]}, {"kind": "lottery_ama", "menu_size": 12},
    {"kind": "rochetnet", "menu_size": 12}, {"kind": "rochetnet", "menu_size": 12, "symmetric": True},
], ids=lambda rule: rule["kind"] + ("_symmetric" if "symmetric" in rule else ""))
def test_rules_are_fair_by_construction(rule) -> None:
    """A fresh rule, which has learned nothing, keeps the limit on every profile, and charges nobody more than its lot is worth to it."""
    config = auction(0.1, bidders=1 if rule["kind"] == "rochetnet" else 2, rule=rule, constraint={"by": "construction"})
    problem, env = config.problem.build(Path())
    made = jax.jit(lambda key: config.rule.build(problem, env, key))(jax.random.key(0))
    play, draw, decision = jax.jit(lambda key: as_recommended(problem, env, made, key, 256))(jax.random.key(1))
    assert play.excess.tolist() == pytest.approx([0.0], abs=ROUNDING)
    assert problem.utility(env, draw, decision, draw.types).min() > -ROUNDING


def test_members_may_have_problems_of_their_own() -> None:
    """Two limits in one compiled program: each member keeps its own, and learns what it would have learned alone."""
    small = {"steps": 4, "batch": 64, "response": {"kind": "exchange", "reports": 8, "anywhere": 0}}
    configs = [auction(d, rule={"kind": "regretnet", "hidden": [8]}, training=small, constraint={"by": "construction"}) for d in (0.0, 0.3)]
    posed = [config.problem.build(Path()) for config in configs]
    trainer = fit.Trainer.of(posed[0][0], configs[0].training)

    def begin() -> list:
        return [initial_state(config, trainer, *each) for config, each in zip(configs, posed, strict=True)]

    envs = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(env for _, env in posed))
    both, _ = fit.run_each(trainer, envs, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *begin()), 4)
    limits = [np.ravel(leaf).tolist() for name, leaf in named(both.rule.fixed).items() if "limit" in name]
    assert limits == [pytest.approx([0.0, 0.3])]
    for place, (state, (_, env)) in enumerate(zip(begin(), posed, strict=True)):
        alone, _ = fit.run(trainer, env, state, 4)
        for one, other in zip(*(jax.tree.leaves(state.rule.params) for state in (alone, both)), strict=True):
            np.testing.assert_allclose(one[0], other[place], atol=1e-5)  # four steps in float32


@pytest.mark.parametrize(("changes", "says"), [
    ({"limit": -0.1}, "constraints.0.limit = -0.1 should be at least 0"),
    ({"limit": [0.1, 0.2]}, "limit = .* has 2 numbers; it should have one for each category: 1"),
    ({"constraint": {"categories": [[0], [2]]}}, "categories.1 = .* names agent 2; agents are counted from 0 and the last is 1"),
    ({"constraint": {"categories": [[0, 0]]}}, "categories.0 = .* names an agent twice"),
    ({"constraint": {"by": "force"}}, "constraints.0.by = 'force'"),
    ({"valuation": "combinatorial", "constraint": {"by": "construction"}}, "should be penalty where bundles are allocated"),
    ({"rule": {"kind": "contest"}, "constraint": {"by": "construction"}}, "contest.* knows nothing of even lots"),
])  # fmt: skip
def test_mistakes_are_sentences(changes, says) -> None:
    """Named, with what would be right."""
    with pytest.raises(ConfigError, match=says):
        auction(**{"limit": 0.1, "bidders": 2, **changes})
