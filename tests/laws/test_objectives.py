"""Laws of every objective the package names: each is found through its name, so a new one is tested because it is registered."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.config.objectives import PACKAGE, registered
from icsap_jax.config.plugins import import_schemas
from icsap_jax.objectives import Account, evaluate

import_schemas()
NAMES = sorted(registered(PACKAGE))
ROUNDING = 1e-5  # relative, of float32 sums over four agents


@pytest.fixture(scope="module")
def account() -> Account:
    """Thirty profiles of four agents, none of whom pays more than it receives."""
    values = jax.random.uniform(jax.random.key(0), (30, 4), minval=0.5, maxval=2.0)
    return Account(value=values, transfer=0.9 * values * jax.random.uniform(jax.random.key(1), (30, 4)))


def worth(name: str, account: Account) -> np.ndarray:
    """The objective of every profile."""
    return np.asarray(evaluate([name], account)[name])


@pytest.mark.parametrize("name", NAMES)
def test_profiles_are_judged_one_by_one(name: str, account: Account) -> None:
    """One number a profile, the same whether it stands alone, in company, or under further leading axes."""
    together = worth(name, account)
    assert together.shape == (30,)
    assert np.isfinite(together).all()
    alone = Account(value=account.value[3], transfer=account.transfer[3])
    np.testing.assert_allclose(worth(name, alone), together[3], rtol=ROUNDING)
    stacked = Account(value=account.value.reshape(5, 6, 4), transfer=account.transfer.reshape(5, 6, 4))
    np.testing.assert_allclose(worth(name, stacked).ravel(), together, rtol=ROUNDING)


@pytest.mark.parametrize("name", NAMES)
def test_agents_are_anonymous(name: str, account: Account) -> None:
    """Renaming the agents changes nothing: no objective has favourites."""
    order = jnp.array([2, 0, 3, 1])
    renamed = Account(value=account.value[:, order], transfer=account.transfer[:, order])
    np.testing.assert_allclose(worth(name, renamed), worth(name, account), rtol=ROUNDING)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_where_agents_tie_or_get_nothing(name: str) -> None:
    """Ties and zeros are where gradients break, and a fresh rule makes both."""
    for values in (jnp.ones((2, 4)), jnp.zeros((2, 4))):
        slope = jax.grad(lambda given: evaluate([name], Account(value=given, transfer=0.5 * given))[name].sum())(values)
        assert np.isfinite(np.asarray(slope)).all()


def test_revenue_never_exceeds_welfare_where_nobody_loses(account: Account) -> None:
    """And what is left of welfare after revenue is the agents' own utility."""
    surplus = worth("welfare", account) - worth("revenue", account)
    assert (surplus >= 0).all()
    np.testing.assert_allclose(surplus, np.asarray(account.value - account.transfer).sum(-1), rtol=ROUNDING)


@pytest.mark.parametrize("name", ["revenue", "welfare"])
def test_money_has_units(name: str, account: Account) -> None:
    """Counting in cents multiplies both by a hundred."""
    cents = Account(value=100 * account.value, transfer=100 * account.transfer)
    np.testing.assert_allclose(worth(name, cents), 100 * worth(name, account), rtol=ROUNDING)


def test_equality_prefers_that_agents_fare_alike() -> None:
    """Position paper, equation 5, with the sign that does not reward inequality: 0 when all fare alike, and lower the further apart
    the two extremes are, whoever they are."""
    value = jnp.asarray([[3.0, 2.0, 4.0], [3.0, 2.0, 4.0], [9.0, 2.0, 4.0], [4.0, 2.0, 9.0]])
    transfer = jnp.asarray([[1.0, 0.0, 2.0], [0.0, 0.0, 2.0], [0.0, 0.0, 2.0], [2.0, 0.0, 0.0]])
    np.testing.assert_array_equal(worth("equality", Account(value=value, transfer=transfer)), [0.0, -1.0, -7.0, -7.0])
