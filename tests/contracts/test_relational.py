"""Self-enforcing contracts: what is enforceable, from which discount factor on, and that learning finds the best of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from icsap_jax.config import ConfigError, parse
from icsap_jax.contracts.relational import schema  # noqa: F401  (its kinds become known)
from icsap_jax.contracts.relational.optimum import critical_discount, optimum, relationship

SEEN = {"surplus": [0, 4, 6], "cost": [0, 1, 2.5], "discount": 0.6}
HIDDEN = {**SEEN, "observable": False, "outcome_probabilities": [[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]}


def problem_of(**given):
    """The checked problem of a file."""
    return parse({"problem": {"kind": "relational", **given}}).problem


def value(**given):
    """The value of the best self-enforcing contract."""
    return optimum(None, None, problem_of(**given))["value"]


def random_relationship(seed):
    """Six efforts, dearer ones worth more, four outcomes."""
    rng = np.random.default_rng(seed)
    cost = np.append(0.0, np.sort(rng.uniform(0, 2, 5)))
    return {"surplus": np.sort(rng.uniform(0, 6, 6)).tolist(), "cost": cost.tolist(), "discount": float(rng.uniform(0.4, 0.8)),
            "observable": False, "outcome_probabilities": rng.dirichlet(np.ones(4), 6).tolist()}  # fmt: skip


def test_a_seen_effort_is_enforceable_from_cost_over_cost_plus_surplus_on() -> None:
    """δ/(1 − δ) · s(e) ≥ c(e), from which δ* = c/(c + s): 1/4 for the medium, 5/12 for the high effort."""
    np.testing.assert_allclose(relationship(problem_of(**SEEN)).critical, [0.0, 1 / 4, 5 / 12], atol=1e-9)


def test_a_binary_outcome_needs_the_largest_cost_per_probability_of_success() -> None:
    """The least bonus for success that induces an effort is max Δcost/Δprobability: 1/.4 = 2.5, and max(1.5/.3, 2.5/.7) = 5."""
    given = relationship(problem_of(**HIDDEN))
    np.testing.assert_allclose(given.spreads, [0.0, 2.5, 5.0], atol=1e-9)
    np.testing.assert_allclose(given.critical, [0.0, 2.5 / 5.5, 5.0 / 8.5], atol=1e-9)


@pytest.mark.parametrize("given", [SEEN, HIDDEN, {**HIDDEN, "outside_surplus": 1.0}])
def test_the_value_jumps_exactly_at_the_critical_discount_factors(given) -> None:
    """Just below an effort's critical discount factor the best contract is the next best effort's, just above it is this effort's."""
    found = relationship(problem_of(**given))
    for effort in (1, 2):
        critical = found.critical[effort]
        below, above = (value(**{**given, "discount": float(critical) + step}) for step in (-1e-6, 1e-6))
        assert above == pytest.approx(found.joint[effort])
        assert below < above - 0.1


def test_a_bonus_that_is_not_worth_the_future_is_not_kept() -> None:
    """Every promise of the best contract is kept, by adding up both continuations period by period: paying the bonus now and going on is
    worth at least what keeping it and parting is, and for every other effort at its critical discount factor it is worth the same."""
    for given in (SEEN, HIDDEN, random_relationship(3)):
        found = relationship(problem_of(**given))
        for effort in np.flatnonzero(np.isfinite(found.critical) & (found.critical > 0)):
            delta = found.critical[effort]
            stream = delta ** np.arange(1, 4000)
            kept = -found.spreads[effort] + stream.sum() * found.joint[effort]
            assert kept == pytest.approx(stream.sum() * found.outside, abs=1e-6 * max(1.0, found.spreads[effort]))  # δ^4000 is nothing


def test_a_hidden_effort_is_harder_to_enforce_than_a_seen_one() -> None:
    """Outcomes tell less than effort itself: spreads and critical discount factors are never smaller."""
    for seed in range(10):
        given = random_relationship(seed)
        hidden = relationship(problem_of(**given))
        seen = relationship(problem_of(**{**given, "observable": True, "outcome_probabilities": None}))
        assert (hidden.spreads >= seen.spreads - 1e-9).all()
        assert (hidden.critical >= seen.critical - 1e-9).all()


def test_who_does_better_apart_parts() -> None:
    """An outside surplus above every joint surplus leaves nothing to enforce with."""
    assert value(**{**SEEN, "outside_surplus": 5}) == 5


@pytest.mark.parametrize(("name", "effort", "bonus"), [("relational", "medium", {"none": 0, "medium": 1, "high": 0}),
                                                       ("relational_hidden", "high", {"failure": 0, "success": 5})])  # fmt: skip
def test_the_best_enforceable_effort_is_learned(train, name, effort, bonus) -> None:
    """The exact value, the effort, and after the polish the least bonuses, which the discount factor allows."""
    result, _ = train(name)
    assert result["objective"]["value"] == pytest.approx(result["optimum"]["value"], abs=1e-6)
    assert result["details"]["value_before_polish"] >= 0.9 * result["optimum"]["value"]  # the polish does not do the learning
    assert result["details"]["effort"] == effort
    contract = result["details"]["contract"]
    assert contract["bonuses"] == pytest.approx(bonus, abs=1e-6)
    agreed = next(row for row in result["details"]["efforts"] if row["effort"] == effort)
    assert max(contract["bonuses"].values()) - min(contract["bonuses"].values()) <= agreed["enforceable_spread"]
    assert result["participation_violation"] <= 1e-6


def test_random_relationships_are_learned(train) -> None:
    """Six efforts seen through four outcomes: the exact optimum, whichever effort it is."""
    for seed in (0, 1):
        result, _ = train({"kind": "relational", **random_relationship(seed)})
        assert result["objective"]["value"] == pytest.approx(result["optimum"]["value"], abs=1e-6)


def test_parting_is_learned_where_nothing_is_enforceable(train) -> None:
    """No effort is worth as much as parting: the principal gets the outside surplus."""
    result, _ = train({"kind": "relational", **SEEN, "outside_surplus": 5})
    assert result["objective"]["value"] == pytest.approx(5.0)
    assert result["details"]["effort"] is None


def reputation_gain(delta, decay, periods=4000):
    """What one unit paid once adds to all the agent receives, discounted, by running r_t = λ r_{t−1} + (1 − λ) g_t."""
    received, reputation = 0.0, 0.0
    for period in range(periods):
        reputation = decay * reputation + (1 - decay) * (1.0 if period == 0 else 0.0)
        received += delta**period * reputation
    return received


@pytest.mark.parametrize(("temptation", "gain", "decay", "cost"), [(1.0, 4.0, 0.0, 1.0), (1.0, 4.0, 0.5, 1.0), (0.7, 2.0, 0.8, 1.5)])
def test_the_critical_discount_of_reputation_is_where_both_keep_their_word(temptation, gain, decay, cost) -> None:
    """Found without the formula: the least payment for which the agent acts comes from running its reputation, and the human's two
    continuations, keeping its word for ever or saving one payment and losing all, are added up; they cross at δ*."""

    def worth_of_keeping_its_word(delta):
        payment = temptation / reputation_gain(delta, decay)
        future = (delta ** np.arange(1, 4000)).sum()
        return future * (gain - cost * payment) - cost * payment

    crossing = brentq(worth_of_keeping_its_word, 1e-6, 0.99)
    assert critical_discount(temptation, gain, decay, cost) == pytest.approx(crossing, abs=1e-8)


def test_slower_reputations_need_more_patience() -> None:
    """δ* rises with λ from κΔu/Δv to 1, and is above 1 for every λ where acting is not worth its cost."""
    rising = [critical_discount(1.0, 4.0, decay, 1.0) for decay in (0.0, 0.5, 0.9, 0.999)]
    assert rising[0] == 0.25
    assert (np.diff(rising) > 0).all()
    assert rising[-1] < 1
    assert min(critical_discount(5.0, 4.0, decay, 1.0) for decay in (0.0, 0.5, 0.9)) > 1


def test_a_decay_outside_its_range_is_refused() -> None:
    """λ = 1 never forgets, and never learns."""
    with pytest.raises(ValueError, match="decay is 1"):
        critical_discount(1.0, 4.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="temptation -1"):
        critical_discount(-1.0, 4.0, 0.5, 1.0)


@pytest.mark.parametrize(("given", "said"), [
    ({**SEEN, "discount": 1.0}, r"discount = 1\.0.* less than 1"),
    ({**SEEN, "discount": -0.1}, r"discount = -0\.1"),
    ({**SEEN, "cost": [0, 1]}, r"cost.* shape \[2\]; it should be \[3\] like surplus"),
    ({**SEEN, "cost": [0, -1, 2]}, r"cost.* ≥ 0"),
    ({**SEEN, "surplus": [[0, 4, 6]]}, r"surplus.* has 2 axes"),
    ({**SEEN, "observable": False}, r"outcome_probabilities is missing"),
    ({**HIDDEN, "observable": True}, r"outcome_probabilities belongs to observable: false"),
    ({**HIDDEN, "outcome_probabilities": [[0.9, 0.1], [0.5, 0.5]]}, r"outcome_probabilities has shape \[2, 2\]; it should have 3 rows"),
    ({**HIDDEN, "outcome_probabilities": [[0.9, 0.1], [0.5, 0.6], [0.2, 0.8]]}, r"outcome_probabilities\.1.* they sum to 1\.1"),
    ({**SEEN, "efforts": ["a", "a", "b"]}, r"efforts.* 3 different names"),
])  # fmt: skip
def test_a_wrong_relationship_is_refused_with_its_key(given, said) -> None:
    """Each mistake in one sentence."""
    with pytest.raises(ConfigError, match=said):
        problem_of(**given)
