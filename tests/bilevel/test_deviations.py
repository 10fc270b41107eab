"""The strong search finds what is there, and never more: on rules whose best deviation is known without searching.

Each rule is searched with the defaults of an evaluation. The gap it reports is judged in float64 at reports that exist, so it may
never exceed the closed form; how far it may stay below follows from the grid and from the last step of the refinement.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from icsap_jax.auctions.problem import Decision
from icsap_jax.bilevel import deviations
from icsap_jax.bilevel.deviations import JOINT_BUDGET, TILE, Search, box_gap, candidates, double, find, judge, reaction, single
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import parse
from icsap_jax.persuasion.problem import posed
from icsap_jax.persuasion.rules import Signal
from icsap_jax.persuasion.tables import Game

DEFAULT = Search(joint=None, single=101, starts=16, steps=100)
PROFILES = TILE  # searched at once, so all these searches have one shape
LAST_STEP = 0.0005  # of the refinement, as a share of the box's width: a tenth of 0.005
ROUNDING = 1e-12  # float64 sums of a few numbers of size one


class PartlyFirstPrice(nnx.Module):
    """A lone bidder gets everything when its reports sum to at least `price`, and then pays the price and `share` of what it
    reported beyond it. Whoever would buy gains share·(Σv − price) by reporting just the price."""

    def __init__(self, price: float, share: float):
        self.price, self.share = nnx.Param(jnp.asarray(price)), nnx.Param(jnp.asarray(share))

    def __call__(self, reports):
        beyond = reports.sum(-1) - self.price[...]
        buys = (beyond >= 0).astype(reports.dtype)
        return Decision(jnp.broadcast_to(buys[..., None], reports.shape), buys * (self.price[...] + self.share[...] * beyond))


class Spike(nnx.Module):
    """Each bidder gets all items, free, with probability 1 − |report − place|₁/radius: nothing but near one secret report, where
    everything is to be had. `place` [N, T]. Gap: Σv·(1 − what the truth gets)."""

    def __init__(self, place, radius: float):
        self.place, self.radius = nnx.Param(jnp.asarray(place)), nnx.Param(jnp.asarray(radius))

    def __call__(self, reports):
        far = jnp.abs(reports - jnp.broadcast_to(self.place[...], reports.shape)).sum(-1)
        given = jax.nn.relu(1 - far / self.radius[...])
        return Decision(jnp.broadcast_to(given[..., None], reports.shape), jnp.zeros_like(given))


class FirstPrice(nnx.Module):
    """One item: the highest bid wins (of equal bids all) and pays itself."""

    def __call__(self, reports):
        bids = reports[..., 0]
        wins = (bids == bids.max(-1, keepdims=True)).astype(bids.dtype)
        return Decision(wins[..., None], wins * bids)


class SecondPrice(nnx.Module):
    """One item: the highest bid wins and pays the second highest (Vickrey 1961)."""

    def __call__(self, reports):
        bids = reports[..., 0]
        order = jnp.sort(bids, axis=-1)
        wins = (bids == order[..., -1:]).astype(bids.dtype)
        return Decision(wins[..., None], wins * order[..., -2:-1])


class Quadratic(nnx.Module):
    """A lone bidder gets each item with probability its report r and pays Σr²/2: utility v·r − r²/2 is largest at the truth, and
    flat there, so that float32 sees gains where there are none."""

    def __call__(self, reports):
        return Decision(reports, (reports**2).sum(-1) / 2)


class Hills(nnx.Module):
    """A lone bidder gets everything, free, with a probability that has many hills of different heights over the reports."""

    def __call__(self, reports):
        waves = jnp.sin(23.0 * reports[..., 0] + 1.0) + jnp.cos(31.0 * reports[..., 1]) + jnp.sin(7.0 * reports.sum(-1))
        return Decision(jnp.broadcast_to((0.5 + waves / 6)[..., None], reports.shape), jnp.zeros_like(waves))


def auction(bidders: int, items: int, low: float = 0.0, high: float = 1.0):
    """(problem, env) of additive bidders with values U[low, high]."""
    prior = {"kind": "uniform", "low": low, "high": high}
    config = parse({"problem": {"kind": "auction", "bidders": bidders, "items": items, "prior": prior}})
    return config.problem.build(config.folder)


def searched(problem, env, module, search: Search = DEFAULT, seed: int = 0):
    """(types [B, N, T], gap [B, N]) of a rule on fresh profiles, as an evaluation measures it."""
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jnp.asarray, (double(env), double(Rule.of(module))))
        draw = problem.draw(env, jax.random.key(seed), PROFILES)
        return np.asarray(draw.types), box_gap(problem, search, env, rule, draw)


def between(found, exact, slack) -> None:
    """Never above the true gap, and below it by no more than `slack`; and there is something to find."""
    assert (found <= exact + ROUNDING).all()
    assert (found >= exact - slack).all()
    assert exact.max() > 3 * np.max(slack)


@pytest.mark.parametrize("items", [1, 2, 3])
def test_paying_part_of_ones_bid_is_found_out(items) -> None:
    """The best report sums to the price. The payment falls by `share` of what the sum falls, so what is missed is at most
    share × the distance between sums that were tried: the grid's 1/200 for one or two items. For three, one value at a time in
    hundredths, with the others true, or the whole truth in twentieths, of at most 3."""
    price, share = (float(np.float32(number)) for number in (0.4 * items, 0.8))  # as the rule keeps them
    types, found = searched(*auction(1, items), PartlyFirstPrice(price, share))
    exact = share * np.maximum(types.sum(-1) - price, 0)
    apart = {1: 1 / 200, 2: 1 / 200, 3: 3 / 20}[items]
    between(found, exact, share * apart)
    if items == 3:  # where lowering one value alone reaches the price, hundredths count
        alone = (types.sum(-1) - price > 0) & (types.max(-1) > types.sum(-1) - price)
        assert alone.any()
        assert (found[alone] >= exact[alone] - share / 100).all()


@pytest.mark.parametrize(
    ("place", "radius"), [([[1 / 3]], 0.02), ([[0.7071, 0.1234]], 0.02), ([[0.51, 0.21, 0.84]], 0.3), ([[0.7, 0.3], [0.2, 0.6]], 0.1)]
)
def test_a_narrow_spike_is_found_and_climbed(place, radius) -> None:
    """Some grid report lies on the spike: for one bidder a grid of 1/200 on spikes .04 wide (three items: 1/7, .6); for two bidders
    and items, 1/20 and .2. From there every number of the report is carried to within one last step of the top, so at most that
    share of the radius is missed."""
    place = np.asarray(place)
    agents, items = place.shape
    types, found = searched(*auction(agents, items), Spike(place, radius))
    at, wide = (np.float64(np.float32(number)) for number in (place, radius))
    got = np.maximum(1 - np.abs(types - at).sum(-1) / wide, 0)
    between(found, types.sum(-1) * (1 - got), types.sum(-1) * items * LAST_STEP / radius)


def test_who_wins_a_first_price_auction_regrets_all_above_the_other_bid() -> None:
    """Two bidders: the higher gains v − v′ by bidding just above the other, missed by at most the grid's 1/200; the lower, exactly
    nothing: above v′ > v it would pay more than its value."""
    types, found = searched(*auction(2, 1), FirstPrice())
    values = types[..., 0]
    between(found, np.maximum(values - values[:, ::-1], 0), 1 / 200)
    assert found[values < values[:, ::-1]].max() == 0.0


@pytest.mark.parametrize(("module", "bidders", "items"), [(SecondPrice(), 2, 1), (Quadratic(), 1, 2)])
def test_rounding_is_not_a_gap(module, bidders, items) -> None:
    """Strategyproof rules: what float32 takes for gains of 1e-8 while searching is dismissed by the verdict in float64."""
    problem, env = auction(bidders, items)
    _, found = searched(problem, env, module)
    assert found.max() <= ROUNDING
    if isinstance(module, Quadratic):
        draw = problem.draw(env, jax.random.key(0), PROFILES)
        deviations = find(problem, DEFAULT, single(env), single(Rule.of(module)), single(draw))
        assert judge(problem, env, Rule.of(module), draw, deviations).max() > 1e-9


@pytest.fixture(scope="module")
def hills():
    """The gap [B] on `Hills` from a coarse grid and 1 and 16 starts."""
    problem, env = auction(1, 2)
    return [searched(problem, env, Hills(), Search(joint=5, single=5, starts=starts, steps=40))[1][:, 0] for starts in (1, 16)]


def test_more_starts_never_find_less(hills) -> None:
    """On a rule with many hills: profile by profile, up to the height lost by one last step beside a top (curvature 31²/6 of values
    up to 2: below 1e-4); and sixteen starts find hills that one does not."""
    one, sixteen = hills
    assert (sixteen >= one - 1e-4).all()
    assert sixteen.mean() > one.mean() + 1e-2


def test_the_best_of_many_hills_is_found(hills) -> None:
    """Against all of a grid ten times finer than the gap could need: within 1e-3 of the top of a rule of height one."""
    side = np.linspace(0, 1, 1001)
    first, second = np.meshgrid(side, side, indexing="ij")
    height = 0.5 + (np.sin(23 * first + 1) + np.cos(31 * second) + np.sin(7 * (first + second))) / 6
    with jax.enable_x64(True):
        problem, env = auction(1, 2)
        types = np.asarray(problem.draw(jax.tree.map(jnp.asarray, double(env)), jax.random.key(0), PROFILES).types)[:, 0]
    own = 0.5 + (np.sin(23 * types[:, 0] + 1) + np.cos(31 * types[:, 1]) + np.sin(7 * types.sum(-1))) / 6
    np.testing.assert_allclose(hills[1], types.sum(-1) * (height.max() - own), atol=1e-3)


def test_deviations_lie_in_the_box() -> None:
    """A misreport outside the support would be no misreport. In float32, .7 + (1.9 − .7) is above 1.9."""
    low, high = 0.7, 1.9
    problem, env = auction(2, 2, low, high)
    truth = problem.draw(env, jax.random.key(1), 8).types
    for search in (DEFAULT, Search(joint=40, single=2, starts=4, steps=4)):
        grid = np.asarray(candidates(search, problem.space(env, None), truth))
        assert (grid >= np.float32(low)).all() and (grid <= np.float32(high)).all()
    problem, env = auction(1, 1, low, high)
    draw = problem.draw(env, jax.random.key(1), PROFILES)
    pulled = Rule.of(Spike([[high]], 20.0))  # every report is drawn to the upper end
    deviations = np.asarray(find(problem, DEFAULT, single(env), single(pulled), single(draw)))
    assert deviations.shape == (1 + 16 + 4, PROFILES, 1, 1)
    assert (deviations >= np.float32(low)).all() and (deviations <= np.float32(high)).all()
    assert deviations.max() == np.float32(high)


@pytest.mark.parametrize(
    ("joint", "agents", "width", "points", "says"),
    [
        (None, 1, 1, 201, "grid 201 + 16 refined starts"),
        (None, 1, 2, 201**2, "grid 201×201 + 16 refined starts"),
        (None, 2, 2, 21**2, "grid 21×21 + 101 per number alone + 16 refined starts"),
        (None, 1, 3, 8**3, "grid 8×8×8 + 101 per number alone + 16 refined starts"),
        (None, 2, 9, 512, "512 random reports + 101 per number alone + 16 refined starts"),
        (5, 1, 2, 25, "grid 5×5 + 101 per number alone + 16 refined starts"),
        (400, 1, 2, 212**2, "grid 212×212 + 16 refined starts"),
    ],
)
def test_the_method_says_what_is_searched(joint, agents, width, points, says) -> None:
    """Random reports are not called a grid, and who asks for more than there is room for gets all that fits."""
    search = Search(joint=joint, single=101, starts=16, steps=100)
    found = search.joint_points(agents, width)
    assert found.shape == (points, width) and len(found) <= JOINT_BUDGET
    assert found.min() >= 0 and found.max() <= 1
    assert search.method(agents, width) == says


def test_a_tile_that_is_not_full_changes_nothing() -> None:
    """Profiles are searched by the tile: 30 more of them give one gap each, the same as in any other company."""
    problem, env = auction(1, 1)
    with jax.enable_x64(True):
        env, rule = jax.tree.map(jnp.asarray, (double(env), double(Rule.of(Spike([[1 / 3]], 0.02)))))
        draw = problem.draw(env, jax.random.key(2), TILE + 30)
        gap = box_gap(problem, DEFAULT, env, rule, draw)
        last = jax.tree.map(lambda leaf: leaf[30:], draw)
        assert gap.shape == (TILE + 30, 1)
        np.testing.assert_allclose(gap[30:], box_gap(problem, DEFAULT, env, rule, last), atol=ROUNDING)


def test_the_gap_of_a_persuasion_game_is_bayes_rule_by_hand() -> None:
    """Every signal: the receiver's best expected utility at the posterior less what obeying gives; its weight is the signal's
    mass. The margin used in training is not counted. Three states, three actions, random payoffs."""
    rng = np.random.default_rng(0)
    prior, sender, receiver = rng.dirichlet(np.ones(3)), rng.random((3, 3)), rng.random((3, 3))
    with jax.enable_x64(True):
        problem, env = posed(Game.single(prior, sender, receiver), 0.5, None)
        logits = rng.normal(size=(3, 3))
        rule = Rule.of(Signal(jnp.asarray(logits)))
        found = reaction(problem, env, rule, problem.draw(env, jax.random.key(0), 1))
    says = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    joint = prior[:, None] * says  # [S, Z]
    mass = joint.sum(0)
    posterior = joint / mass
    wanted = [max(posterior[:, z] @ receiver) - posterior[:, z] @ receiver[:, z] for z in range(3)]
    assert max(wanted) > 0.01
    np.testing.assert_allclose(found.gap[:, 0], wanted, atol=ROUNDING)
    np.testing.assert_allclose(found.weight[:, 0], mass, atol=ROUNDING)


def test_a_grid_scored_in_pieces_is_scored_the_same(monkeypatch) -> None:
    """The last piece is filled up with the grid's last point, whose repetitions are cut off again."""
    grid, truth = jax.random.uniform(jax.random.key(0), (11, 4, 2, 3)), jnp.zeros((4, 2, 3))
    asked = []

    def utility(deviations):
        asked.append(len(deviations))
        return deviations.sum(-1) ** 2

    whole = deviations._in_pieces(utility, grid, truth)
    monkeypatch.setattr(deviations, "HELD", 3 * 2 * 4 * 2 * 3)  # three points for each agent of each profile
    np.testing.assert_array_equal(deviations._in_pieces(utility, grid, truth), whole)
    assert asked == [11, 3]
