"""Pictures of a rule for a society: what agents do under it, and what else its strength could lead to.

A rule that is strong enough to make the wanted behaviour an equilibrium may still be too weak to rule out others. The second picture
varies the strength of the learned rule, payments by their scale and quotas by how often they are enforced, and shows the objective at the
best and at the worst pure equilibrium: the band between them is what the designer cannot decide.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.types import Rule
from icsap_jax.figures import ACCENT, COLOURS, QUIET, page
from icsap_jax.games.game import Game
from icsap_jax.games.judge import Exact, select, worth
from icsap_jax.games.problem import Society, SocietyEnv, leaves
from icsap_jax.games.rules import STEEP, Override, Payment

STRENGTHS = 61  # of the rule, from nothing to twice what was learned
MOST_PROFILES = 2_000  # pure profiles of a game whose equilibria are listed for every strength
MOST_ROWS = 40  # things seen that a picture of policies has room for


def draw(problem: Society, env: SocietyEnv, rule: Rule, model: Any, folder: Path) -> None:
    """`policy.png`, and for small games under payments or a quota `strength.png`."""
    with jax.enable_x64(True):
        env64, rule64 = leaves(double(env)), jax.tree.map(jnp.asarray, double(rule))
        changed = problem.decide(env64, rule64, None, None)
        exact = Exact(jax.tree.map(np.asarray, changed), problem.clear)
        chosen = np.asarray(problem.policies(env64.asked[0])) if problem.asked else select(problem, env64, changed, exact)[0]
        if problem.seen <= MOST_ROWS:
            _policy(model, chosen, folder / "policy.png")
        legal = np.asarray(env.game.legal)
        few = math.prod(int(row.sum()) for rows in legal for row in rows) <= MOST_PROFILES
        module = nnx.merge(rule64.graph, rule64.params)
        if few and isinstance(module, (Payment, Override)):
            _strength(problem, env64, module, changed, folder / "strength.png")


def _policy(model: Any, policies: np.ndarray, output: Path) -> None:
    """How often each agent takes each action at each thing seen."""
    given = model.tables()
    count, things = policies.shape[:2]
    played: dict[str, str] = {}
    with page(output, max(5.0, 2.2 * count), 1.6 + 0.42 * things, 1, count, sharey=True) as (figure, axes):
        for agent, axis in enumerate(axes[0]):
            left = np.zeros(things)
            for action, name in enumerate(given.actions[agent]):
                share = policies[agent, :, action]
                colour = COLOURS[action % len(COLOURS)]
                axis.barh(np.arange(things), share, left=left, color=colour)
                left += share
                if share.max() > 0:
                    played.setdefault(name, colour)
            axis.set_title(given.agents[agent])
            axis.set_xlim(0, 1)
            axis.set_yticks(np.arange(things), given.seen)
            axis.set_xlabel("probability")
        axes[0, 0].invert_yaxis()  # shared by all
        blocks = [axes[0, 0].barh(0, 0, color=colour) for colour in played.values()]
        figure.legend(blocks[:12], list(played)[:12], loc="outside lower center", ncols=min(len(played), 6), frameon=False)
        figure.suptitle("What each agent does")


def strengths(
    problem: Society, env: SocietyEnv, module: nnx.Module, changed: Game, count: int = STRENGTHS
) -> tuple[str, np.ndarray, float, np.ndarray]:
    """(what is varied, its values [K], the learned one, the objective [K, 2] at the worst and best pure equilibrium, NaN where there is
    none)."""
    if isinstance(module, Override):
        learned = float(np.mean(module.shares()))
        values, name = np.linspace(0.0, module.cap, count), "how often the quota is enforced"

        def at(value: float) -> Game:
            share = np.clip(value / module.cap, 1e-9, 1 - 1e-9)
            params = jnp.full(module.params[...].shape, float(np.log(share / (1 - share))) / STEEP)
            return Override(params, module.limited, module.instead, module.cap)(env.game)
    else:
        learned = float(jnp.abs(changed.payments).max())
        values, name = np.linspace(0.0, 2 * learned, count), "largest payment, in the direction learned"

        def at(value: float) -> Game:
            return replace(changed, payments=changed.payments * (value / learned))

    ends = np.full((count, 2), np.nan)
    for place, value in enumerate(values):
        game = at(float(value))
        others = Exact(jax.tree.map(np.asarray, game), problem.clear).equilibria()
        if others:
            worths = [worth(problem, env, game, each)[0] for each in others]
            ends[place] = min(worths), max(worths)
    return name, values, learned, ends


def _strength(problem: Society, env: SocietyEnv, module: nnx.Module, changed: Game, output: Path) -> None:
    if isinstance(module, Payment) and float(jnp.abs(changed.payments).max()) == 0:
        return
    name, values, learned, ends = strengths(problem, env, module, changed)
    with page(output, 6.4, 3.8) as (_, axes):
        axis = axes[0, 0]
        axis.fill_between(values, ends[:, 0], ends[:, 1], color=COLOURS[4], alpha=0.4, linewidth=0, step="post", label="between equilibria")
        axis.step(values, ends[:, 1], where="post", color=COLOURS[0], label="best equilibrium")
        axis.step(values, ends[:, 0], where="post", color=COLOURS[3], linestyle="--", label="worst equilibrium")
        axis.axvline(learned, color=ACCENT, linewidth=1.2, label="learned")
        axis.set_xlabel(name)
        axis.set_ylabel(" + ".join(problem.objective) or "the designer's")
        axis.grid(color=QUIET, alpha=0.15)
        axis.legend(frameon=False, loc="best")
        axis.set_title("What the rule's strength decides")
