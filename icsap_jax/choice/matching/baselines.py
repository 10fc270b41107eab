"""The rules a user would otherwise match by: what each is worth, and what can be gained by lying under it, on fresh profiles.

Sides are alike unless their lists were observed, so that of each rule the one in which workers propose, trade or pick stands for both; in
guarded deferred acceptance both propose.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.reports import report_gap
from icsap_jax.bilevel.types import Array, Draw, Outcome, Rule
from icsap_jax.choice.matching.classical import Classical
from icsap_jax.choice.matching.guarded import GuardedDeferredAcceptance
from icsap_jax.choice.matching.problem import Matching, MatchingEnv, instability, unaccepted

PROFILES, LIES = 2048, 256  # on which rules are valued, and on which lies are searched
SEED = 1_000_033
NAMES = ("deferred_acceptance", "top_trading_cycles", "random_serial_dictatorship")
GUARDED = "guarded_deferred_acceptance"
CONSENTING = "random_serial_dictatorship_with_consent"


def classical_rules() -> dict[str, Rule]:
    """By name."""
    rules = {name: Rule.of(Classical(name, "workers")) for name in NAMES}
    asking = Rule.of(Classical("random_serial_dictatorship", "workers", consent=True))
    return {**rules, CONSENTING: asking, GUARDED: Rule.of(GuardedDeferredAcceptance())}


def baselines(problem: Matching, env: MatchingEnv, model: Any) -> dict[str, float]:
    """The objective of each classical rule; `details` has what is gained by lying."""
    with jax.enable_x64(True):
        env64, draw = sampled(problem, env, PROFILES)
        return {name: float(resulting(problem, env64, rule, draw)[1].value.mean()) for name, rule in classical_rules().items()}


def details(problem: Matching, env: MatchingEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """What the numbers are averages of; the violations of the classical rules, each mean with its standard error."""
    return {
        "stability_violation": "the mean over profiles of the sum over pairs, divided by the agents on a side",
        "strategyproofness_violation": "the mean over profiles and all agents of both sides, the incentive gap: the largest gain, over "
                                       "misreports and k, in the probability of one of the k best partners",
        "classical": {name: violations(problem, env, each, LIES) for name, each in classical_rules().items()},
    }  # fmt: skip


def violations(problem: Matching, env: MatchingEnv, rule: Rule, profiles: int, seed: int = SEED) -> dict[str, Any]:
    """The stability violation, with partners that were not accepted and the part of those alone, and the strategyproofness violation of a
    rule on so many fresh profiles, means with their standard errors; the latter on each side too."""
    with jax.enable_x64(True):
        env64, draw = sampled(problem, env, profiles, seed)
        rule64 = jax.tree.map(jnp.asarray, double(rule))
        p, q = problem.preferences(env64, draw.types)
        r, _ = resulting(problem, env64, rule64, draw)
        unstable, unasked = instability(r, p, q), unaccepted(r, p, q)
        gap = report_gap(problem, env64, rule64, draw)
    workers, firms = gap[:, : problem.size].mean(1), gap[:, problem.size :].mean(1)
    return {"stability": told(unstable + unasked), "unaccepted_partners": told(unasked), "strategyproofness": told(gap.mean(1)),
            "workers": told(workers), "firms": told(firms), "profiles": profiles}  # fmt: skip


@partial(jax.jit, static_argnames=("problem",))
def resulting(problem: Matching, env: MatchingEnv, rule: Rule, draw: Draw) -> tuple[Array, Outcome]:
    """The matching of a rule on truthful profiles, [B, n, n], and the outcome."""
    decision = problem.decide(env, rule, None, draw.types)
    return decision.probability, problem.score(env, draw, decision, draw.types)


def told(values: Any) -> list[float]:
    """Mean and standard error."""
    found = np.asarray(values, np.float64)
    return [float(found.mean()), float(found.std() / np.sqrt(found.size))]


def sampled(problem: Matching, env: MatchingEnv, profiles: int, seed: int = SEED) -> tuple[MatchingEnv, Draw]:
    """The numbers in float64 and fresh profiles; under enable_x64."""
    env64 = jax.tree.map(jnp.asarray, double(env))
    return env64, problem.draw(env64, jax.random.key(seed), profiles)
