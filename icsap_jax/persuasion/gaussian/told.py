"""A linear signal of a normal state, rounded and told: its statistics in a result and as a list, drawn, and answering a table of states.

What was learned is a covariance of posterior means; any signal with that covariance is as good. It is told by the directions of the state
that it tells, in their own units: statistic i is l_i·ω of variance 1, and the signal adds noise of variance (1 − w_i)/w_i to it, w_i
being the share of its variance that the receiver learns.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.types import Rule
from icsap_jax.figures import ACCENT, COLOURS, QUIET, page
from icsap_jax.persuasion.gaussian.problem import Gaussian, GaussianEnv

Refuse = Callable[[int, str, str], Exception]
NOTHING = 1e-5  # of a direction's variance: what is told less than this is not told, and may be rounding
CERTAIN = 40.0  # log odds of what is told wholly, in every precision
FLAT = 1e-12  # of the largest: variances below this are drawn as none


def told_by(rule: Rule) -> np.ndarray:
    """W [D, D] of a rule, float64."""
    with jax.enable_x64(True):
        return np.asarray(double(rule)())


def statistics(env: GaussianEnv, told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(weights [K, D], shares [K]): the statistics l_i·ω of variance 1 that are told, most first, and how much of each. The sign is such
    that the largest weight is positive."""
    shares, directions = np.linalg.eigh(told)
    kept = np.flatnonzero(shares > NOTHING)[::-1]
    weights = np.linalg.solve(np.asarray(env.root), directions[:, kept]).T
    largest = np.take_along_axis(weights, np.abs(weights).argmax(1)[:, None], axis=1)
    return weights * np.sign(largest), np.minimum(shares[kept], 1.0)


def polish(problem: Gaussian, env: GaussianEnv, model: Any, rule_model: Any, rule: Rule) -> tuple[Rule, dict[str, Any]]:
    """The directions learned, each told without noise or not at all, whichever is nearer; or the signal as it was learned where that is
    worth more."""
    told, worth = told_by(rule), env.root @ model.worth @ env.root
    shares, directions = np.linalg.eigh(told)
    odds = (directions * np.where(shares > 0.5, CERTAIN, -CERTAIN)) @ directions.T
    rounded = Rule(params=jax.tree.map(lambda _: odds, rule.params), graph=rule.graph)
    before, after = (float(np.sum(worth * each)) for each in (told, told_by(rounded)))
    kept = after >= before
    return (rounded if kept else rule), {"value_before_polish": before, "value_after_polish": after if kept else before}


def noise(shares: np.ndarray) -> np.ndarray:
    """The variance of the noise on statistics of variance 1 of which these shares are told."""
    return (1.0 - shares) / shares


def details(problem: Gaussian, env: GaussianEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """The statistics that are told, and the covariance of what the receiver expects."""
    told = told_by(rule)
    weights, shares = statistics(env, told)
    return {
        "signals": [{"weights": row.tolist(), "noise_variance": float(variance), "told": float(share)}
                    for row, variance, share in zip(weights, noise(shares), shares, strict=True)],
        "covariance_of_means": (np.asarray(env.root) @ told @ np.asarray(env.root)).tolist(),
    }  # fmt: skip


def listing(problem: Gaussian, env: GaussianEnv, model: Any, rule_model: Any, rule: Rule) -> list[dict[str, Any]]:
    """The signal as rows: the weight of each number of the state in a statistic, and the variance of the noise."""
    weights, shares = statistics(env, told_by(rule))
    return [{"signal": place + 1, **{f"state{d + 1}": float(weight) for d, weight in enumerate(row)}, "noise_variance": float(variance)}
            for place, (row, variance) in enumerate(zip(weights, noise(shares), strict=True))]  # fmt: skip


class StateTable:
    """The columns of a linear signal: the numbers of a state in; what is said, drawn, and what the receiver then expects out. Directions
    of which nothing is told have a signal of 0."""

    def __init__(self, problem: Gaussian, env: GaussianEnv):
        self.problem, self.env = problem, env
        self.random = np.random.default_rng(0)
        places = range(1, problem.numbers + 1)
        self.columns = [f"state_{place}" for place in places]
        self.output_columns = [*(f"signal_{place}" for place in places), *(f"posterior_mean_{place}" for place in places)]

    def seed(self, seed: int) -> None:
        """Draw by this seed."""
        self.random = np.random.default_rng(seed)

    def inputs(self, numbers: np.ndarray, refuse: Refuse) -> tuple[()]:
        """Nothing: the matrix is the same for all rows."""
        return ()

    def outputs(self, numbers: np.ndarray, answers: dict[str, np.ndarray]) -> np.ndarray:
        """[R, 2 D], of states [R, D]."""
        weights, shares = statistics(self.env, answers["decision"].astype(np.float64))
        said = numbers @ weights.T + np.sqrt(noise(shares)) * self.random.standard_normal((len(numbers), len(shares)))
        back = weights @ np.asarray(self.env.covariance)  # [K, D]: covariances of statistics and state
        blank = np.zeros((len(numbers), self.problem.numbers - len(shares)))
        return np.hstack([said, blank, (said * shares) @ back])


def pictures(problem: Gaussian, env: GaussianEnv, rule: Rule, model: Any, folder: Path) -> None:
    """`signal.png` under `folder`: what each direction of the state is worth to the sender and how much of it is told; and for a state of
    two numbers where the receiver's expectations lie. Raises ConfigError where it cannot be written."""
    told = told_by(rule)
    half = np.asarray(env.root)
    values, directions = np.linalg.eigh(half @ model.worth @ half)
    values, directions = values[::-1], directions[:, ::-1]
    shares = np.einsum("di,de,ei->i", directions, told, directions)
    flat = problem.numbers == 2
    with page(folder / "signal.png", 8.6 if flat else 7.2, 4.2, columns=2 if flat else 1) as (figure, axes):
        figure.suptitle("What the signal tells of the state", x=0.02, ha="left")
        axis = axes[0, 0]
        places = np.arange(len(values))
        axis.bar(places, values, 0.7, color=QUIET, alpha=0.3, label="if all of it is told")
        axis.bar(places, values * shares, 0.4, color=COLOURS[0], label="as it is told")
        for place, share in enumerate(shares):
            axis.annotate(f"{abs(share):.0%} told", (place, max(values[place], 0.0)), xytext=(0, 3), textcoords="offset points",
                          ha="center", fontsize=9)  # fmt: skip
        axis.axhline(0.0, color=QUIET, linewidth=0.8)
        axis.set_xticks(places, [str(place + 1) for place in places])
        axis.set_xlabel("direction of the state, best first")
        axis.set_ylabel("worth to the sender")
        axis.margins(y=0.15)
        axis.legend(loc="upper right", frameon=False)
        if flat:
            _ellipses(axes[0, 1], np.asarray(env.covariance), half @ told @ half)


def _ellipses(axis: Any, covariance: np.ndarray, means: np.ndarray) -> None:
    """One standard deviation of the state, and of what the receiver expects."""
    angle = np.linspace(0.0, 2 * np.pi, 361)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    for matrix, colour, label in ((covariance, QUIET, "state"), (means, ACCENT, "receiver's expectation")):
        values, vectors = np.linalg.eigh(matrix)
        axis.plot(*((vectors * np.sqrt(np.where(values > FLAT * values.max(), values, 0.0))) @ circle), color=colour, label=label)
    axis.set_aspect("equal")
    axis.set_title("One standard deviation")
    axis.set_xlabel("ω₁")
    axis.set_ylabel("ω₂")
    axis.legend(loc="upper left", bbox_to_anchor=(0.0, -0.18), frameon=False, ncols=2)
