"""Attributes of which a proxy sees some: what is best under a budget, and what is lost where the proxy is maximised."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from icsap_jax.config import ConfigError, parse
from icsap_jax.games.attributes.optimum import baselines, levels, optimum, worth
from icsap_jax.games.attributes.problem import within

FOUR = {"kind": "attributes", "attributes": 4, "seen": 2, "budget": 4.0, "start": 0.5}


def model(**changes):
    """The checked problem of the file's case, with some keys changed."""
    return parse({"problem": {**FOUR, **changes}}).problem


def test_the_human_and_the_proxy_end_where_the_file_says(case) -> None:
    """Where the attributes begin, the best of the utility, and both objectives once the proxy is at its best."""
    known = case("goodhart")
    told = baselines(None, None, model())
    assert told["start"] == pytest.approx(known["U_start"], abs=1e-9)
    assert told["proxy_maximised"] == pytest.approx(known["U_final"], abs=1e-9)
    assert optimum(None, None, model())["value"] == pytest.approx(known["U_true_opt"], abs=1e-9)
    assert optimum(None, None, model(objective="proxy"))["value"] == pytest.approx(known["proxy_final"], abs=1e-9)
    at_peak = worth(model(), np.array([known["peak_at_sJ"]] * 2 + [0.5] * 2))
    assert (at_peak["utility"], at_peak["proxy"]) == pytest.approx((known["U_peak"], known["proxy_at_peak"]), abs=1e-9)


def test_at_the_best_levels_nothing_is_gained_by_moving_any() -> None:
    """The slope w/(1 + s) is one price wherever s > 0, and no more than that where s = 0; the budget is spent."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        weights, budget = rng.exponential(size=6), rng.uniform(0.1, 8)
        best = levels(weights, budget)
        slope = weights / (1 + best)
        assert best.sum() == pytest.approx(budget)
        assert np.ptp(slope[best > 0]) < 1e-9
        assert slope.max() == pytest.approx(slope[best > 0].max())


def test_what_is_projected_is_the_nearest_within_the_budget() -> None:
    """Seen from the projection no point of the budget set lies in the direction of what was projected; float32."""
    rng = np.random.default_rng(0)
    others = rng.dirichlet(np.ones(5), 200)[:, :4] * 3.0  # ≥ 0, and up to the budget of 3
    points = rng.normal(0.5, 1.5, (10, 4)).astype(np.float32)
    for point, at in zip(points, np.asarray(jax.jit(jax.vmap(lambda point: within(point, 3.0)))(points)), strict=True):
        assert at.min() >= 0
        assert at.sum() <= 3.0 + 1e-5
        assert ((others - at) @ (point - at)).max() <= 1e-4


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"seen": 5}, "at most attributes, 4"), ({"start": 2.0}, "adds up to 8"), ({"start": [0.5, 0.5, 0.5, 0.0]}, "above 0"),
     ({"weights": [1.0, 2.0]}, r"shape \[2\]"), ({"budget": 0}, "budget"), ({"objective": "welfare"}, "utility")],
)  # fmt: skip
def test_what_cannot_be_is_said(changes, says) -> None:
    """One sentence that names what is wrong."""
    with pytest.raises(ConfigError, match=says):
        model(**changes)
