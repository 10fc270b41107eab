"""Which types are recommended, and why no rule can do better: the sender's bound by the price of the receiver's payoff."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.figures import ACCENT, COLOURS, INK, QUIET, name_levels, page
from icsap_jax.persuasion.actions.optimum import baselines, learned_multiplier, upper_bound
from icsap_jax.persuasion.actions.problem import Actions, ActionsEnv, tables
from icsap_jax.persuasion.many.polish import judged


def pictures(problem: Actions, env: ActionsEnv, rule: Rule, model: Any, folder: Path) -> None:
    """`recommendations.png` under `folder`. Raises ConfigError where it cannot be written."""
    found = judged(problem, env, rule)
    with page(folder / "recommendations.png", 8.0, 6.4, rows=2) as (figure, axes):
        figure.suptitle("Which types of action are recommended, and what any rule is worth at most", x=0.02, ha="left")
        _types(axes[0, 0], found.decision.recommended, model)
        _bound(axes[1, 0], float(found.reply.value), model)


def _types(axis: Any, recommended: np.ndarray, model: Any) -> None:
    """For each type how likely any action, and the one recommended, is of it; below, what it brings to both."""
    probabilities, receiver, sender = tables(model)
    places = np.arange(len(sender))
    axis.bar(places - 0.2, probabilities, 0.38, color=QUIET, alpha=0.35, label="any action")
    axis.bar(places + 0.2, recommended, 0.38, color=COLOURS[0], label="the one recommended")
    brings = zip(model.called(), receiver, sender, strict=True)
    axis.set_xticks(places, [f"{name}\nreceiver {rho:g}, sender {xi:g}" for name, rho, xi in brings])
    axis.set_xlabel("type, and what an action of it brings")
    axis.set_ylabel("probability of the type")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _bound(axis: Any, value: float, model: Any) -> None:
    """The bound at every price around its lowest, with what the rule and the baselines are worth."""
    given = tables(model)
    lowest = learned_multiplier(*given, model.count)
    prices = np.linspace(0.0, 2.5 * lowest if lowest > 0 else np.ptp(given[2]) / max(float(np.ptp(given[1])), 1e-9), 300)
    axis.plot(prices, [upper_bound(*given, model.count, price) for price in prices], color=INK)
    names = {"full_disclosure": "all types shown", "no_disclosure": "nothing shown"}
    levels = [(level, f"{names[name]} {level:.4g}", QUIET) for name, level in baselines(None, None, model).items()]
    name_levels(axis, [*levels, (value, f"learned {value:.4g}", ACCENT)])
    axis.set_xlabel("price of a unit of the receiver's payoff")
    axis.set_ylabel("the sender gets at most")
