"""Design for the worst of several scenarios: maximise over rules the least that they are worth in any (Wald 1950; for auctions Bergemann &
Schlag 2008). A scenario is a pytree of the problem's numbers, one of the problem's `scenarios(env)`, such as one of the priors that may be
true; the rule does not know which is.

The designer plays against nature, who mixes scenarios. Nature's weights w follow the multiplicative updates (Freund & Schapire 1999)

    log w_s ← (1 − f)·log w_s − (f/τ)·F_s,       Σ w = 1

whose memory fades at a rate f, so that they come to rest at w ∝ exp(−F̄/τ), F̄ being the values' recent means: with these weights the slope
of Σ w_s·F_s is that of the smoothed minimum −τ·log Σ exp(−F̄_s/τ), which is within τ·log S of the least value. Updates that forget nothing
(f → 0 at f/τ fixed) find the same saddle on average, but their last step goes round it.

In each scenario agents deviate as another response, `inner`, has it. All scenarios' gaps are priced, each as if it were alone; a
constraint on an average has to hold in each. A rule is judged by `worst_case`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from icsap_jax.bilevel.lagrangian import handed_on
from icsap_jax.bilevel.responses import Play
from icsap_jax.bilevel.ties import largest
from icsap_jax.bilevel.types import Array, Problem, Rule, Tree
from icsap_jax.config import ConfigError

OF_THE_GAP = ("gap_profiles", "gap_std_error_per_agent", "gap_quantiles", "gap_histogram")  # details that belong to it


@dataclass(frozen=True)
class Robust:
    """Every scenario in each step, a share of the batch in each; `inner` finds deviations there."""

    inner: Any

    @property
    def constraints(self) -> tuple[str, ...]:
        """What the inner response adds to the problem's."""
        return getattr(self.inner, "constraints", ())

    def init(self, problem: Problem, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """Even weights, as logarithms [S], and what `inner` remembers of each scenario. Raises ConfigError where there is one alone."""
        envs = problem.scenarios(env) if hasattr(problem, "scenarios") else (env,)
        if len(envs) < 2:
            raise ConfigError("training.response.kind = robust: is for the worst of several scenarios, and here is one; in an auction "
                              "write problem.prior.kind=any_of, or the response that stands under inner alone.")
        given, share = handed_on(numbers), max(1, batch // len(envs))
        remembered = tuple(self.inner.init(problem, each, given, jax.random.fold_in(key, s), share) for s, each in enumerate(envs))
        return {"weights": jnp.zeros((len(envs),)), "inner": remembered}

    def play(self, problem: Any, env: Tree, rule: Rule, memory: Tree, key: Array, step: Array, batch: int, numbers: Any) -> Play:
        """See the module. The value is Σ w·F, whose slope is what training follows; among the parts are each scenario's value, their
        weights, and the least value."""
        envs, given = problem.scenarios(env), handed_on(numbers)
        plays = [
            self.inner.play(problem, each, rule, memory["inner"][s], jax.random.fold_in(key, s), step, max(1, batch // len(envs)), given)
            for s, each in enumerate(envs)
        ]  # fmt: skip
        values = jnp.stack([play.value for play in plays])
        weights = jax.nn.softmax(memory["weights"])
        unit = problem.scale(env) if hasattr(problem, "scale") else jnp.ones(())
        pushed = numbers["forget"] / (numbers["temperature"] * unit) * jax.lax.stop_gradient(values)
        moved = (1 - numbers["forget"]) * memory["weights"] - pushed
        parts = {name: weights @ jnp.stack([play.parts[name] for play in plays]) for name in plays[0].parts}
        averages = jnp.stack([play.averages for play in plays])
        return Play(
            value=weights @ values,
            gap=sum(play.gap for play in plays),
            parts={**parts, "worst_scenario": values.min(), "scenarios": values, "scenario_weights": weights},
            # Only differences of logarithms count: the largest is kept at 0.
            memory={"weights": moved - moved.max(), "inner": tuple(play.memory for play in plays)},
            excess=sum(play.excess for play in plays),
            averages=largest(averages, 0) if averages.size else averages[0],
        )  # fmt: skip


def worst_case(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Of what the strong evaluation found in each scenario one result: the least objective and what belongs to it, the largest gap and what
    belongs to that, the worst violations of all; each scenario's own numbers are in `details.scenarios`."""
    worst = min(measured, key=lambda each: each["objective"]["value"])
    open_ = max(measured, key=lambda each: each["incentive_gap"]["mean"])
    lost = [each["participation_violation"] for each in measured if each["participation_violation"] is not None]
    details = {**worst["details"], **{name: open_["details"][name] for name in OF_THE_GAP if name in open_["details"]}}
    if "feasibility_violation" in details:
        details["feasibility_violation"] = max(each["details"]["feasibility_violation"] for each in measured)
    for missed in ("constraints", "constraint_means"):
        for name in details.get(missed, {}):
            details[missed] = {**details[missed], name: max(each["details"][missed][name] for each in measured)}
    for name in details.get("averages", {}):
        missed = max((each["details"]["averages"][name] for each in measured), key=lambda each: each["value"])
        details["averages"] = {**details["averages"], name: missed}
    told = [{"objective": each["objective"]["value"], "std_error": each["objective"]["std_error"],
             "gap_mean": each["incentive_gap"]["mean"], "gap_max": each["incentive_gap"]["max"]} for each in measured]  # fmt: skip
    return {
        **worst,
        "incentive_gap": {**open_["incentive_gap"], "max": max(each["incentive_gap"]["max"] for each in measured)},
        "participation_violation": max(lost) if lost else None,
        "details": {**details, "worst_scenario": measured.index(worst), "scenarios": told},
    }  # fmt: skip


def robust(model: Any) -> Robust:
    """From its model in a problem file."""
    return Robust(inner=model.inner.build())
