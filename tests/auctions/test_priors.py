"""Particular priors: what their names promise beyond the laws that hold for all."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import stats

from icsap_jax.auctions import priors
from icsap_jax.auctions.schema import PriorModel
from icsap_jax.config import ConfigError, kinds

PROFILES = 40_000


def build(example: dict, agents: int = 2, items: int = 2, folder: Path = Path()) -> priors.Prior:
    return kinds(PriorModel)[example["kind"]].model_validate(example).build(agents, items, folder)


def draw(prior: priors.Prior, seed: int = 0) -> np.ndarray:
    return np.asarray(jax.jit(lambda key: prior.sample(key, PROFILES))(jax.random.key(seed)), np.float64)


@jax.jit
def quantiles(prior: priors.Coordinatewise, u: jax.Array) -> jax.Array:
    """Of a prior of a single value: [K] → [K]."""
    return jax.vmap(prior.quantile)(u[:, None, None])[:, 0, 0]


@pytest.mark.parametrize(("high", "expected"), [
    (2, [[2, 2], [2, 2], [2, 2]]),
    ([1, 2], [[1, 2], [1, 2], [1, 2]]),
    ([1, 2, 3], [[1, 1], [2, 2], [3, 3]]),
    ([[1, 2], [3, 4], [5, 6]], [[1, 2], [3, 4], [5, 6]]),
])
def test_numbers_are_common_per_item_per_bidder_or_for_each_pair(high: object, expected: list) -> None:
    assert build({"kind": "uniform", "high": high}, agents=3).support()[1].tolist() == expected


def test_as_many_bidders_as_items_reads_a_list_per_item() -> None:
    assert build({"kind": "uniform", "high": [1, 2]}).support()[1].tolist() == [[1, 2], [1, 2]]


def test_numbers_of_another_shape_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"shape \[4\].*\[2\] \(per item\)"):
        build({"kind": "uniform", "high": [1, 2, 3, 4]}, agents=3)


def test_exact_marginals_have_the_numbers_of_the_file_not_their_float32_rounding() -> None:
    exact = build({"kind": "uniform", "low": 0.1, "high": 0.7}).marginals()[1][1]
    assert exact.support() == (0.1, 0.7)  # 0.1 + (0.7 − 0.1) happens to be exact in float64


def test_members_may_differ_in_one_number_alone() -> None:
    high = np.array([1.0, 3.0], np.float32)[:, None, None] * np.ones((2, 2), np.float32)
    low = np.zeros((2, 2), np.float32)
    key = jax.random.key(0)
    together = jax.vmap(lambda high: priors.families.Uniform(low, high).sample(key, 5))(high)
    np.testing.assert_allclose(together[1], 3 * together[0], rtol=1e-6)  # the same u, times the width; float32


def test_exponential_values_are_not_cut_where_the_misreports_stop() -> None:
    prior = build({"kind": "exponential", "scale": 2})
    np.testing.assert_allclose(prior.support()[1], 2 * np.log(1000), rtol=1e-6)
    assert draw(prior).max() > 1.2 * 2 * np.log(1000)  # 160 000 values: the largest is near 2·log(160 000) = 24, the box ends at 13.8


@pytest.mark.parametrize(("a", "b"), [(2, 3), (0.5, 0.5), (0.05, 0.05), (0.1, 4), (1, 1), (80, 2), (1000, 1000)])
def test_tabulated_beta_quantiles_are_within_their_stated_error(a: float, b: float) -> None:
    prior = build({"kind": "beta", "a": a, "b": b}, agents=1, items=1)
    u = np.concatenate([np.geomspace(1e-6, 0.5, 500), 1 - np.geomspace(1e-6, 0.5, 500)])
    with jax.enable_x64(True):  # what is tested is the table, not the rounding of u
        found = quantiles(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), prior), u)
    # 2e-7: the table is stored in float32. It is checked at the midpoints of its cells, where a parabola's error is greatest.
    np.testing.assert_allclose(found, stats.beta(a, b).ppf(u), atol=priors.families.TABLE_ERROR + 2e-7)


@pytest.mark.parametrize("window", [(4, 5), (-5, -4), (0, 0.02), (-0.01, 0.02), (-30, 30)])
def test_truncated_normal_in_far_narrow_and_wide_windows(window: tuple[float, float]) -> None:
    low, high = window
    prior = build({"kind": "truncated_normal", "mean": 0, "std": 1, "low": low, "high": high}, agents=1, items=1)
    u = np.linspace(0.001, 0.999, 401)
    exact = stats.truncnorm(low, high)
    # Steps of Φ in float32, 6e-8 of it, over the share of the window: 1e-5 of the interval at .008, the narrowest here.
    np.testing.assert_allclose(quantiles(prior, u.astype(np.float32)), exact.ppf(u), atol=2e-5 * (high - low))
    # Moments by sums over 20 000 quantiles: the midpoint rule is exact to 1e-4 of the standard deviation even with two infinite slopes.
    fine = exact.ppf((np.arange(20_000) + 0.5) / 20_000)
    mean, variance = jax.jit(lambda prior: (prior.mean(), prior.variance()))(prior)
    np.testing.assert_allclose(mean, [[fine.mean()]], atol=1e-4 * fine.std())
    np.testing.assert_allclose(variance, [[fine.var()]], rtol=1e-3)


@pytest.mark.parametrize(("centre", "std"), [(0.5, 1e5), (40, 1)])
def test_a_normal_that_float32_cannot_resolve_is_refused(centre: float, std: float) -> None:
    with pytest.raises(ConfigError, match="flat on, or has no weight in"):
        build({"kind": "truncated_normal", "mean": centre, "std": std, "low": 0, "high": 1})


def test_triangle_is_uniform_below_its_diagonal() -> None:
    total = draw(build({"kind": "triangle", "scale": 3})).sum(-1)
    assert total.max() <= 3 + 1e-6  # float32
    # P(v₁ + v₂ ≤ t) = (t/3)²: areas of similar triangles. Massart's bound, exceeded with probability 7e-6.
    assert stats.kstest(total[:, 0], lambda t: (t / 3) ** 2).statistic <= 5 / (2 * np.sqrt(PROFILES))


def test_triangle_needs_two_items() -> None:
    with pytest.raises(ConfigError, match="two values, and this auction has 3 items"):
        build({"kind": "triangle"}, items=3)


def normal_scores(prior: priors.Prior) -> np.ndarray:
    """The correlation of Φ⁻¹(F(v)) in draws, [N·M, N·M]."""
    sample = draw(prior)
    scores = [stats.norm.ppf(exact.cdf(sample[:, n, m])) for n, row in enumerate(prior.marginals()) for m, exact in enumerate(row)]
    return np.corrcoef(scores)


def test_scalar_correlation_holds_within_each_bidder_only() -> None:
    prior = build({"kind": "copula", "correlation": 0.6, "marginals": [{"kind": "exponential"}, {"kind": "beta", "a": 2, "b": 5}]})
    assert prior.independent_agents
    wanted = np.kron(np.eye(2), [[1, 0.6], [0.6, 1]])
    # The standard error of a correlation r of normals is (1 − r²)/√B ≤ 1/√B.
    np.testing.assert_allclose(normal_scores(prior), wanted, atol=5 / np.sqrt(PROFILES))


def test_a_correlation_matrix_may_tie_bidders_together() -> None:
    wanted = np.array([[1, 0.2, 0.7, 0], [0.2, 1, 0, -0.5], [0.7, 0, 1, 0], [0, -0.5, 0, 1]])
    prior = build({"kind": "copula", "correlation": wanted.tolist(), "marginals": {"kind": "uniform", "low": 1, "high": [2, 5]}})
    assert not prior.independent_agents
    np.testing.assert_allclose(normal_scores(prior), wanted, atol=5 / np.sqrt(PROFILES))


def test_perfectly_correlated_items_are_worth_the_same() -> None:
    sample = draw(build({"kind": "copula", "correlation": 1, "marginals": {"kind": "exponential"}}))
    np.testing.assert_allclose(sample[..., 0], sample[..., 1], rtol=1e-5)  # float32
    assert np.isfinite(sample).all()


def test_a_mixture_draws_a_part_for_each_value_by_itself() -> None:
    parts = [{"kind": "uniform"}, {"kind": "uniform", "low": 2, "high": 3}]
    second = draw(build({"kind": "mixture", "weights": [0.25, 0.75], "parts": parts})) > 1.5
    error = 5 * np.sqrt(0.25 * 0.75 / PROFILES)  # five standard errors of a share of .25
    assert np.abs(second.mean(0) - 0.75).max() <= error
    assert abs((second[:, 0, 0] & second[:, 0, 1]).mean() - 0.75**2) <= 5 * np.sqrt(0.5625 * 0.4375 / PROFILES)


@pytest.mark.parametrize("example", [
    {"kind": "mixture", "weights": [1], "parts": [{"kind": "triangle"}]},
    {"kind": "copula", "correlation": 0, "marginals": {"kind": "triangle"}},
])
def test_values_tied_together_are_no_part_of_a_mixture_or_copula(example: dict) -> None:
    with pytest.raises(ConfigError, match="triangle ties a bidder's values together"):
        build(example)


def test_a_value_of_no_probability_is_neither_drawn_nor_reported() -> None:
    prior = build({"kind": "discrete", "values": [9, 2, 1, 0], "probabilities": [0, 0.5, 0.5, 0]})
    assert set(np.unique(draw(prior))) == {1, 2}
    assert [each.tolist() for each in prior.support()] == [[[1, 1], [1, 1]], [[2, 2], [2, 2]]]
    assert prior.marginals()[0][0].support() == (1, 2)


def test_discrete_values_differ_by_item_and_bidder() -> None:
    by_item = build({"kind": "discrete", "values": [[1, 2], [3, 4]], "probabilities": [0.5, 0.5]}, agents=3)
    assert by_item.mean().tolist() == [[1.5, 3.5]] * 3


@pytest.fixture
def observed(tmp_path: Path) -> Path:
    """40 rows, each told by its first number; in four columns bidder 2 wants what bidder 1 wants."""
    first = np.arange(40.0)
    np.save(tmp_path / "bidders.npy", np.stack([first, first + 0.5], 1))
    np.save(tmp_path / "profiles.npy", np.stack([first, first + 0.5, first + 100, first + 200], 1))
    return tmp_path


@pytest.mark.parametrize("file", ["bidders.npy", "profiles.npy"])
def test_rows_held_out_are_never_trained_on(observed: Path, file: str) -> None:
    prior = build({"kind": "empirical", "file": file, "holdout": 0.25}, folder=observed)
    train, test = (set(np.unique(draw(each)[:, 0, 0])) for each in (prior, prior.held_out()))
    assert train.isdisjoint(test) and train | test == set(range(40)) and len(test) == 10


def test_the_split_depends_on_the_file_alone(observed: Path) -> None:
    example = {"kind": "empirical", "file": "bidders.npy"}
    np.random.seed(5)
    first = build(example, folder=observed)
    np.random.seed(6)
    assert (first.rows == build(example, folder=observed).rows).all()
    assert sorted(first.rows[:, 0].tolist()) != list(range(32))  # not merely the first rows


def test_bidders_draw_rows_of_their_own_and_profiles_stay_together(observed: Path) -> None:
    alone = build({"kind": "empirical", "file": "bidders.npy"}, folder=observed)
    together = build({"kind": "empirical", "file": "profiles.npy"}, folder=observed)
    assert alone.independent_agents and not together.independent_agents
    sample = draw(alone)
    assert (sample[..., 1] == sample[..., 0] + 0.5).all()  # a bidder's row stays whole
    # Two of 32 rows agree once in 32 profiles; five standard errors.
    assert abs((sample[:, 0, 0] == sample[:, 1, 0]).mean() - 1 / 32) <= 5 * np.sqrt(1 / 32 / PROFILES)
    sample = draw(together)
    assert (sample[:, 1, 0] == sample[:, 0, 0] + 100).all()


def test_a_lone_bidders_rows_are_independent_profiles(observed: Path) -> None:
    assert build({"kind": "empirical", "file": "bidders.npy"}, agents=1, folder=observed).independent_agents


def test_a_holdout_that_leaves_no_row_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.ones((1, 2)))
    with pytest.raises(ConfigError, match=r"one\.npy: holdout = 0\.2 of 1 rows"):
        build({"kind": "empirical", "file": "one.npy"}, folder=tmp_path)


def test_a_step_has_no_density() -> None:
    with pytest.raises(TypeError, match="no density"):
        build({"kind": "discrete", "values": [1, 2], "probabilities": [0.5, 0.5]}).marginals()[0][0].pdf(1.5)
