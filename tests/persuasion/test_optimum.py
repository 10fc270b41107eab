"""The linear programme against closed forms and an independent solver's answers, and the bound any multipliers prove."""

from __future__ import annotations

import numpy as np
import pytest

from icsap_jax.config import parse
from icsap_jax.exact.lp import Infeasible
from icsap_jax.persuasion.baselines import baselines
from icsap_jax.persuasion.optimum import best_scheme, optimum, upper_bound

KNOWN = (
    "prosecutor_0.3", "prosecutor_0.8", "recletter_repo_config", "three_action_skip_middle", "state_dependent_v",
    "aligned_full_disclosure", "opposed_no_disclosure",
)  # fmt: skip
EXACT = 1e-8  # HiGHS solves these few rows to machine precision


def tables(case):
    """prior [S], sender and receiver [S, A] of a case."""
    spec = case["spec"]
    return tuple(np.asarray(spec[name], float) for name in ("prior", "v", "u"))


@pytest.mark.parametrize("name", KNOWN)
def test_value_bound_and_baselines_are_the_known_ones(case, name) -> None:
    """Through the hooks an `icsap optimum` uses: value, the bound its duals prove, full and no disclosure."""
    known = case(name)
    prior, sender, receiver = tables(known)
    config = parse({"problem": {"kind": "persuasion", "prior": prior.tolist(), "sender": sender.tolist(), "receiver": receiver.tolist()}})
    answer = optimum(None, None, config.problem)
    assert answer["value"] == pytest.approx(known["value"], abs=EXACT)
    assert answer["upper_bound"] == pytest.approx(known["value"], abs=EXACT)
    simple = baselines(None, None, config.problem)
    assert simple["full_disclosure"] == pytest.approx(known["full_info"], abs=EXACT)
    assert simple["no_disclosure"] == pytest.approx(known["no_info"], abs=EXACT)


@pytest.mark.parametrize("seed", range(5))
def test_random_games_keep_the_order_of_things(seed) -> None:
    """No scheme beats its bound, at any multipliers; the best beats both baselines; obedience holds; a margin costs."""
    rng = np.random.default_rng(seed)
    states, actions = rng.integers(2, 8, 2)
    prior, sender, receiver = rng.dirichlet(np.ones(states)), rng.random((states, actions)), rng.random((states, actions))
    scheme = best_scheme(prior, sender, receiver)
    np.testing.assert_allclose(scheme.joint.sum(1), prior, atol=EXACT)
    told = scheme.joint.T @ receiver  # [recommended, played]
    assert (np.diag(told)[:, None] >= told - EXACT).all()
    assert upper_bound(prior, sender, receiver, scheme.obedience) == pytest.approx(scheme.value, abs=EXACT)
    for _ in range(5):
        anything = rng.exponential(size=(actions, actions))
        assert upper_bound(prior, sender, receiver, anything) >= scheme.value - EXACT
    assert scheme.value >= float((prior @ sender)[np.argmax(prior @ receiver)]) - EXACT
    assert best_scheme(prior, sender, receiver, margin=1e-3).value <= scheme.value + EXACT


def test_a_margin_costs_what_the_closed_form_says(case) -> None:
    """In the prosecutor's game a margin ε leaves .6 / (1 + ε)."""
    known = case("prosecutor_margin_0.05")
    assert best_scheme(*tables(known), margin=known["spec"]["margin"]).value == pytest.approx(known["value"], abs=EXACT)


def test_a_margin_nobody_can_leave_is_an_error() -> None:
    """A receiver who is always indifferent cannot be left better off by obeying."""
    flat = np.zeros((2, 2))
    with pytest.raises(Infeasible):
        best_scheme(np.array([0.5, 0.5]), flat, flat, margin=0.1)


def test_one_action_needs_no_obedience() -> None:
    """Where the receiver has no choice the sender gets what it gets."""
    scheme = best_scheme(np.array([0.25, 0.75]), np.array([[4.0], [0.0]]), np.zeros((2, 1)))
    assert scheme.value == pytest.approx(1.0, abs=EXACT)
