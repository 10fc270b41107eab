"""The primal-dual method against HiGHS: value, scheme and prices, one programme or many, in either precision."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.bilevel.primal_dual import Programme, solve
from icsap_jax.exact import lp


def random_programme(seed, blocks=4, kinds=3, variables=5, masses=2):
    """A programme that can be obeyed: in every block the first variable of each mass obeys all."""
    rng = np.random.default_rng(seed)
    link = np.zeros((masses, variables))
    link[np.arange(variables) % masses, np.arange(variables)] = rng.uniform(0.5, 2.0, variables)
    obedience = rng.normal(size=(blocks, kinds, variables))
    obedience[..., :masses] = np.abs(obedience[..., :masses])
    return Programme(rng.normal(size=(blocks, variables)), obedience, link, rng.dirichlet(np.ones(masses)))


def exact(programme):
    """HiGHS' answer."""
    blocks, kinds, variables = programme.obedience.shape
    rows = np.zeros((blocks, kinds, blocks, variables))
    rows[np.arange(blocks), :, np.arange(blocks)] = -programme.obedience
    return lp.solve(
        programme.worth.ravel(), at_most=(rows.reshape(blocks * kinds, -1), np.zeros(blocks * kinds)),
        equal=(np.tile(programme.link, blocks), programme.mass), maximise=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def many():
    """Eight programmes, and what the method makes of all of them in one call, in float64."""
    programmes = [random_programme(seed) for seed in range(8)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *programmes)
    with jax.enable_x64(True):
        return programmes, stacked, jax.tree.map(np.asarray, jax.vmap(solve)(jax.tree.map(jnp.asarray, stacked)))


def test_value_bound_and_prices_are_those_of_the_programme(many) -> None:
    """To 1e-7, the accuracy asked of HiGHS; the scheme meets its constraints, the multipliers are never negative."""
    programmes, _, found = many
    for place, programme in enumerate(programmes):
        known = exact(programme)
        assert found.value[place] == pytest.approx(known.value, abs=1e-7)
        assert found.bound[place] == pytest.approx(known.value, abs=1e-6)
        np.testing.assert_allclose(found.price[place], known.duals_equal, atol=1e-5)
        np.testing.assert_allclose((programme.link @ found.x[place].T).sum(1), programme.mass, atol=1e-9)
        assert np.einsum("jkn,jn->jk", programme.obedience, found.x[place]).min() >= -1e-7
    assert found.multiplier.min() >= 0
    assert found.residual.max() < 1e-5


def test_any_price_it_ends_with_is_a_bound_even_half_way(many) -> None:
    """After three steps the scheme is not the best, and what the prices say is still above the optimum."""
    programmes, _, found = many
    with jax.enable_x64(True):
        early = solve(jax.tree.map(jnp.asarray, programmes[0]), steps=3)
    assert float(early.bound) >= found.value[0] - 1e-9
    assert float(early.residual) > found.residual[0]


def test_single_precision_is_good_to_a_thousandth(many) -> None:
    """The same in float32, whose roundings an interior point meets at about 1e-4 of what is at stake."""
    _, stacked, found = many
    rough = jax.vmap(solve)(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), stacked))
    np.testing.assert_allclose(rough.value, found.value, atol=1e-3 * np.ptp(stacked.worth))


def test_what_cannot_be_obeyed_is_hardly_recommended() -> None:
    """A block that nothing makes obedient has no interior; disobedience is bought only where nothing else is possible."""
    programme = Programme(np.array([[1.0], [3.0]]), np.array([[[1.0]], [[-1.0]]]), np.ones((1, 1)), np.ones(1))
    with jax.enable_x64(True):
        found = solve(jax.tree.map(jnp.asarray, programme))
    assert float(found.x[1, 0]) < 1e-6
    assert float(found.value) == pytest.approx(1.0, abs=1e-6)
