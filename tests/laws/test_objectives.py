"""Laws of every objective the package names: each is found through its name, so a new one is tested because it is registered."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.config import ConfigError, parse
from icsap_jax.config.objectives import PACKAGE, ObjectiveName, registered
from icsap_jax.config.plugins import import_schemas
from icsap_jax.objectives import Account, evaluate

import_schemas()
NAMES = sorted(registered(PACKAGE))
ROUNDING = 1e-5  # relative, of float32 sums over four agents


def told(value: jax.Array, transfer: jax.Array) -> Account:
    """An account of agents who share three things out, each of which is worth the same to an agent: its value is what its lot is worth."""
    agents = value.shape[-1]
    lots = jnp.stack([value, 2 * value, 3 * value], -1) / (2 * agents * jnp.maximum(value.sum(-1), 1.0)[..., None, None])
    worth = value / jnp.maximum(lots.sum(-1), 1e-3)
    elsewhere = worth[..., None] * lots.sum(-1)[..., None, :] - transfer[..., None, :]
    return Account(value=value, transfer=transfer, allocation=lots, elsewhere=elsewhere, whole=3 * worth)


@pytest.fixture(scope="module")
def account() -> Account:
    """Thirty profiles of four agents, none of whom pays more than it receives."""
    values = jax.random.uniform(jax.random.key(0), (30, 4), minval=0.5, maxval=2.0)
    return told(values, 0.9 * values * jax.random.uniform(jax.random.key(1), (30, 4)))


def worth(name: str, account: Account) -> np.ndarray:
    """The objective of every profile."""
    return np.asarray(evaluate([name], account)[name])


@pytest.mark.parametrize("name", NAMES)
def test_profiles_are_judged_one_by_one(name: str, account: Account) -> None:
    """One number a profile, the same whether it stands alone, in company, or under further leading axes."""
    together = worth(name, account)
    assert together.shape == (30,)
    assert np.isfinite(together).all()
    np.testing.assert_allclose(worth(name, told(account.value[3], account.transfer[3])), together[3], rtol=ROUNDING)
    stacked = told(account.value.reshape(5, 6, 4), account.transfer.reshape(5, 6, 4))
    np.testing.assert_allclose(worth(name, stacked).ravel(), together, rtol=ROUNDING)


@pytest.mark.parametrize("name", NAMES)
def test_agents_are_anonymous(name: str, account: Account) -> None:
    """Renaming the agents changes nothing: no objective has favourites."""
    order = jnp.array([2, 0, 3, 1])
    renamed = told(account.value[:, order], account.transfer[:, order])
    np.testing.assert_allclose(worth(name, renamed), worth(name, account), rtol=ROUNDING)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_where_agents_tie_or_get_nothing(name: str) -> None:
    """Ties and zeros are where gradients break, and a fresh rule makes both."""
    for values in (jnp.ones((2, 4)), jnp.zeros((2, 4))):
        slope = jax.grad(lambda given: evaluate([name], told(given, 0.5 * given))[name].sum())(values)
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


def test_fairness_has_the_ranges_it_says() -> None:
    """One agent with everything is as unequal as can be, all alike is as equal as can be; what only equality averse means differ in is
    between the least and the mean."""
    alone, alike = jnp.asarray([[4.0, 0.0, 0.0, 0.0]]), jnp.ones((1, 4))
    nothing = jnp.zeros((1, 4))
    np.testing.assert_allclose(worth("gini", Account(alone, nothing)), 1.0, rtol=ROUNDING)
    np.testing.assert_allclose(worth("gini", Account(alike, nothing)), 0.0, atol=ROUNDING)
    np.testing.assert_allclose(worth("equality_productivity", Account(alike, nothing)), 4.0, rtol=ROUNDING)
    np.testing.assert_array_equal(worth("nash_welfare", Account(alone, nothing)), 0.0)
    uneven = Account(jnp.asarray([[1.0, 4.0]]), jnp.zeros((1, 2)))
    means = [worth(ObjectiveName("isoelastic", options={"aversion": aversion}), uneven)[0] for aversion in (0.0, 1.0, 2.0, 50.0)]
    np.testing.assert_allclose(means, [2.5, 2.0, 1.6, (0.5 * (1 + 4.0**-49)) ** (-1 / 49)], rtol=ROUNDING)


def test_who_envies_would_gain_by_changing_places() -> None:
    """Agent 0 would have 3 in the place of agent 1, where it has 1; agent 1 would lose. A third of the whole is 2 to both."""
    account = Account(value=jnp.asarray([[1.0, 3.0]]), transfer=jnp.zeros((1, 2)),
                      elsewhere=jnp.asarray([[[1.0, 3.0], [1.0, 3.0]]]), whole=jnp.asarray([[4.0, 4.0]]))  # fmt: skip
    np.testing.assert_array_equal(worth("envy", account), 2.0)
    np.testing.assert_array_equal(worth("proportionality", account), -1.0)


def test_lots_are_told_apart() -> None:
    """Two agents, two things. Each has one thing to itself: as far apart as can be, and no variety. Half of each for both: even in every
    sense. All to one agent: even over things, and nothing left for the other."""
    apart, halves, all_to_one = jnp.eye(2), jnp.full((2, 2), 0.5), jnp.asarray([[1.0, 1.0], [0.0, 0.0]])
    lots = jnp.stack([apart, halves, all_to_one])
    account = Account(value=jnp.ones((3, 2)), transfer=jnp.zeros((3, 2)), allocation=lots)
    np.testing.assert_allclose(worth("total_variation", account), [2.0, 0.0, 0.0], atol=ROUNDING)
    by_agent = ObjectiveName("total_variation", options={"categories": [[0], [1]]})
    np.testing.assert_allclose(worth(by_agent, account), [1.0, 0.0, 0.0], atol=ROUNDING)
    np.testing.assert_allclose(worth("entropy", account), [0.0, 2 * np.log(2), 2 * np.log(2)], atol=1e-4)  # LITTLE·log LITTLE
    np.testing.assert_allclose(worth("quota", account), [0.0, 0.5, 0.0], atol=1e-4)


def test_an_objective_that_is_not_told_what_it_looks_at_says_so() -> None:
    """In a problem where nothing is given away there is nothing to envy."""
    with pytest.raises(ConfigError, match="in each other's place, which the problem does not tell"):
        evaluate(["envy"], Account(value=jnp.ones((1, 2)), transfer=jnp.zeros((1, 2))))


def test_problems_are_refused_what_they_do_not_tell() -> None:
    """Before anything is built: in a game nobody has a lot to be envied for; in an auction everybody has."""
    game = {"kind": "game", "rewards": [[[[1, 0], [0, 1]]], [[[1, 0], [0, 1]]]], "objective": {"welfare": 1, "envy": -1}}
    with pytest.raises(ConfigError, match=r"problem\.objective = 'envy' looks at who gets what, which problems of kind 'game' do not tell"):
        parse({"problem": game})
    auction = {"kind": "auction", "bidders": 2, "items": 1, "prior": {"kind": "uniform", "low": 0, "high": 1}}
    bound = {"kind": "at_most", "objective": "envy", "value": 0.1, "holds": "everywhere"}
    assert parse({"problem": {**auction, "constraints": [bound]}}).problem.constraints[0].title() == "at_most envy everywhere"


@pytest.mark.parametrize(("objective", "says"), [
    ({"isoelastic": {"aversoin": 2}}, "isoelastic.aversoin = 2 is not a key here; did you mean 'aversion'"),
    ({"welfare": {"aversion": 2}}, "welfare.aversion = 2 is not a key here; 'welfare' has no options, only a weight"),
    ({"isoelastic": {"aversion": -1}}, "isoelastic.aversion = -1"),
    ({"total_variation": {"categories": [[3]]}}, "total_variation.categories.0 = .* names agent 3"),
    ({"isoelastic": {"weight": 0}}, "at least one objective a weight other than 0"),
])
def test_mistakes_in_options_are_sentences(objective: dict, says: str) -> None:
    """Named, with what would be right."""
    auction = {"kind": "auction", "bidders": 2, "items": 1, "prior": {"kind": "uniform", "low": 0, "high": 1}}
    with pytest.raises(ConfigError, match=says):
        parse({"problem": {**auction, "objective": objective}})


def test_options_are_read_back_as_they_were_written() -> None:
    """A resolved file says the same as the file it came from, and two options of one objective are two objectives."""
    auction = {"kind": "auction", "bidders": 2, "items": 1, "prior": {"kind": "uniform", "low": 0, "high": 1}}
    written = {"revenue": 1.0, "isoelastic": {"weight": 0.5, "aversion": 2.0}}
    read = parse({"problem": {**auction, "objective": written}}).problem
    assert read.model_dump(mode="json")["objective"] == written
    other = parse({"problem": {**auction, "objective": {"revenue": 1.0, "isoelastic": 0.5}}}).problem
    assert list(other.objective) != list(read.objective)
