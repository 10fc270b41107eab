"""Where a learned matching stands between stability and strategyproofness, beside the classical rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from icsap_jax.bilevel.types import Rule
from icsap_jax.choice.matching.baselines import CONSENTING, GUARDED, LIES, classical_rules, violations
from icsap_jax.choice.matching.problem import Matching, MatchingEnv
from icsap_jax.figures import ACCENT, COLOURS, INK, page

SHORT = {"deferred_acceptance": "deferred acceptance", "top_trading_cycles": "top trading cycles",
         "random_serial_dictatorship": "serial dictatorship", CONSENTING: "dictators who ask", GUARDED: "guarded"}  # fmt: skip


def pictures(problem: Matching, env: MatchingEnv, rule: Rule, model: Any, folder: Path) -> None:
    """`frontier.png` under `folder`: the strategyproofness violation against the stability violation, both as small as can be in the lower
    left, on the same profiles. Raises ConfigError where it cannot be written."""
    marked = {SHORT[name]: violations(problem, env, each, LIES) for name, each in classical_rules().items()}
    found = violations(problem, env, rule, LIES)
    with page(folder / "frontier.png", 6.4, 4.4) as (figure, axes):
        axis = axes[0, 0]
        figure.suptitle("What is unstable, and what can be gained by lying", x=0.02, ha="left")
        for name, each in marked.items():
            point(axis, each, name, color=COLOURS[0], marker="o")
        point(axis, found, "this rule", color=ACCENT, marker="D")
        axis.set_xlabel("stability violation")
        axis.set_ylabel("strategyproofness violation")
        axis.set_xlim(left=-0.004)
        axis.set_ylim(bottom=-0.002)
        axis.grid(True)


def point(axis: Any, found: dict[str, Any], name: str, **style: Any) -> None:
    """One rule, its standard errors as a cross, and its name."""
    (across, wide), (up, high) = found["stability"], found["strategyproofness"]
    axis.errorbar(across, up, xerr=wide, yerr=high, linewidth=1.0, **style)
    axis.annotate(name, (across, up), textcoords="offset points", xytext=(7, 5), color=INK, fontsize=9)
