"""What a rule for a society is worth, exactly: what agents do under it, what any of them would gain by doing something else, and which
other equilibria it leaves.

Where a target is asked, agents do that. Where nothing is asked, they come to rest at the logit equilibrium that is reached by cooling;
from its likeliest actions they reply to each other until nobody wants to move. Where that never ends, the equilibrium of a two-player
game that is nearest to the logit one stands, and else the logit one itself, with the gain each could still make. In every small game all
pure stationary equilibria are listed, in small two-player games of one state the mixed ones too, and the objective is told at the best
and at the worst of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from icsap_jax.bilevel import equilibrium
from icsap_jax.bilevel.deviations import double
from icsap_jax.bilevel.judgement import Judgement
from icsap_jax.bilevel.types import Array, Draw, Rule
from icsap_jax.exact import markov, nash
from icsap_jax.games import game as games
from icsap_jax.games.game import Game
from icsap_jax.games.problem import Society, SocietyEnv
from icsap_jax.games.rules import Override, Payment
from icsap_jax.games.tables import Tables, legal_in_states

COLD = 0.02  # the temperature at which agents' rest is looked for, as a share of the range of payoffs
TIE = 1e-6  # gains below this share of the range of payoffs are none
ROUNDS = 100  # of replies to each other
MOST_PROFILES = 20_000  # pure profiles that are gone through
MOST_MIXED = 5  # actions of two players whose mixed equilibria are looked for
METHOD = {True: "best reply by policy iteration, exact", False: "best pure policy over what is seen, exact"}
TOLD = 20  # equilibria listed in the result


@dataclass(frozen=True)
class Exact:
    """A changed game in numpy, and everything asked of it."""

    game: Game
    clear: bool

    @property
    def payoffs(self) -> np.ndarray:
        """What agents get, paid and charged, [N, S, A1, …, AN]."""
        return np.asarray(self.game.rewards + self.game.payments)

    @property
    def size(self) -> float:
        """The range of discounted payoffs, in which ties are measured."""
        return max(float(np.ptp(self.payoffs)) / (1 - float(self.game.discount)), 1e-12)

    @property
    def observation(self) -> np.ndarray | None:
        """[N, S, Z]; None where the state is seen."""
        return None if self.clear else np.asarray(self.game.observation)

    @property
    def legal(self) -> np.ndarray:
        """What may be chosen in each state, [N, S, A]."""
        return legal_in_states(self.game)

    def regret(self, policies: np.ndarray) -> np.ndarray:
        """What each agent gains at most by another policy, [N]."""
        given = self.game
        return markov.regret(self.payoffs, np.asarray(given.transitions), np.asarray(given.start), float(given.discount), policies,
                             self.legal, self.observation)  # fmt: skip

    def reply(self, policies: np.ndarray, agent: int) -> np.ndarray:
        """An agent's best policy [Z, A]."""
        given = self.game
        return markov.best_response(self.payoffs, np.asarray(given.transitions), np.asarray(given.start), float(given.discount), policies,
                                    agent, self.legal, self.observation)[0]  # fmt: skip

    def equilibria(self) -> list[np.ndarray] | None:
        """Every pure equilibrium [N, Z, A], and in small two-player games of one state the mixed ones; None where there are too many
        profiles to go through. Where states are seen, best in every state, reached or not."""
        legal = np.asarray(self.game.legal)
        if math.prod(int(row.sum()) for rows in legal for row in rows) > MOST_PROFILES:
            return None
        given = self.game
        found = markov.pure_equilibria(
            self.payoffs, np.asarray(given.transitions), np.asarray(given.start), float(given.discount), self.legal, self.observation,
            perfect=self.clear,
        )  # fmt: skip
        return found + [each for each in self.mixed() if all(np.abs(each - pure).max() > TIE for pure in found)]

    def mixed(self) -> list[np.ndarray]:
        """The equilibria [2, 1, A] of a small two-player game of one state where everything is legal."""
        legal = np.asarray(self.game.legal)
        sizes = self.payoffs.shape[2:]
        whole = all(legal[agent, 0, :size].all() for agent, size in enumerate(sizes))
        if self.payoffs.shape[:2] != (2, 1) or legal.shape[1] != 1 or max(sizes) > MOST_MIXED or not whole:
            return []
        width = max(sizes)
        pairs = nash.bimatrix_nash(self.payoffs[0, 0], self.payoffs[1, 0])
        return [np.stack([np.pad(np.asarray(x, float), (0, width - len(x))) for x in (pair.x, pair.y)])[:, None] for pair in pairs]


def judge(problem: Society, env: SocietyEnv, model: Any, rule: Rule, settings: Any) -> Judgement:
    """The objective under what agents do, its worst equilibrium, and each agent's gain by its best reply."""
    changed = problem.decide(env, rule, None, None)
    exact = Exact(jax.tree.map(np.asarray, changed), problem.clear)
    given = model.tables()
    selected, found = (np.asarray(problem.policies(env.asked[0])), True) if problem.asked else select(problem, env, changed, exact)
    gap = exact.regret(selected)
    value, parts = worth(problem, env, changed, selected)
    others = exact.equilibria()
    details: dict[str, Any] = {"policy": named(given, selected)}
    if not found:
        details["unconverged"] = 1.0
    adversarial = None
    if others is not None:
        values = [worth(problem, env, changed, each)[0] for each in others]
        adversarial = min([*values, value])
        listed = [{"policy": named(given, each), "objective": value} for each, value in zip(others[:TOLD], values[:TOLD], strict=True)]
        details["equilibria"] = {
            "count": len(others), "best": max(values, default=None), "worst": min(values, default=None), "policies": listed
        }  # fmt: skip
    constraints = {}
    if problem.unique:
        constraints["other equilibria"] = float(problem.temptation(env, changed))
    settled = problem.asked or bool(gap.max() <= TIE * exact.size)
    return Judgement(
        value=value, adversarial=adversarial, gap=gap[None], weight=np.ones((1, 1)), method=METHOD[problem.clear],
        constraints=constraints, objectives=parts, rank=value - float(gap.sum()) / TIE if gap.max() > TIE * exact.size else value,
        settled=settled, details=details,
    )  # fmt: skip


@partial(jax.jit, static_argnames=("problem",))
def _account(problem: Society, env: SocietyEnv, changed: Game, policies: Array) -> Any:
    outcome = problem.score(env, Draw(weight=jnp.ones((1,)), types=None), changed, policies.reshape(1, problem.agents, -1))
    return outcome.value[0], {name: each[0] for name, each in outcome.objectives.items()}


def worth(problem: Society, env: SocietyEnv, changed: Game, policies: np.ndarray) -> tuple[float, dict[str, float]]:
    """The designer's objective and its parts when all play policies [N, Z, A]."""
    value, parts = _account(problem, env, changed, jnp.asarray(policies))
    return float(value), {name: float(each) for name, each in parts.items()}


@partial(jax.jit, static_argnames=("problem",))
def _cold(problem: Society, env: SocietyEnv, changed: Game, temperature: Array, hot: Array) -> tuple[Array, Array]:
    """The logit equilibrium's policies [N, Z, A] reached from `hot`, and whether it was found."""
    draw = Draw(weight=jnp.ones((1,)), types=None)
    found = equilibrium.cooled(problem, env, draw, changed, temperature, hot)
    return games.policies_of(found.action.logits, changed.legal), found.converged


def select(problem: Society, env: SocietyEnv, changed: Game, exact: Exact) -> tuple[np.ndarray, bool]:
    """(what agents do by themselves, [N, Z, A]: see the module; whether the logit equilibrium was found that says where they begin)."""
    spread = float(np.ptp(exact.payoffs)) or 1.0
    policies, found = _cold(problem, env, changed, jnp.asarray(COLD * spread), jnp.asarray(equilibrium.HOT * exact.size))
    smooth = np.nan_to_num(np.asarray(policies))
    profile = np.eye(smooth.shape[-1])[smooth.argmax(-1)]
    for _ in range(ROUNDS):
        gains = exact.regret(profile)
        if gains.max() <= TIE * exact.size:
            return profile, bool(found)
        agent = int(gains.argmax())
        profile = profile.copy()
        profile[agent] = exact.reply(profile, agent)
    near = exact.mixed()
    return (min(near, key=lambda each: np.abs(each - smooth).max()) if near else smooth), bool(found)


def named(given: Tables, policies: np.ndarray) -> dict[str, dict[str, Any]]:
    """Policies [N, Z, A] by the names of agents, of what they see and of actions; a pure choice is its name alone."""
    found: dict[str, dict[str, Any]] = {}
    for agent, name in enumerate(given.agents):
        rows: dict[str, Any] = {}
        for thing, seen in enumerate(given.seen):
            row = policies[agent, thing, : len(given.actions[agent])]
            best = int(row.argmax())
            pure = row[best] >= 1 - TIE
            rows[seen] = given.actions[agent][best] if pure else {
                action: round(float(chance), 6) for action, chance in zip(given.actions[agent], row, strict=True)}  # fmt: skip
        found[name] = rows
    return found


def details(problem: Society, env: SocietyEnv, model: Any, rule_model: Any, rule: Rule) -> dict[str, Any]:
    """What the rule says, in plain numbers: payments by instrument or, where few, by state and joint action; how often quotas are
    enforced; what is told or shown."""
    given, changed = model.tables(), exactly(problem, env, rule)
    told: dict[str, Any] = {"largest_payment": float(np.abs(changed.payments).max())}
    if changed.payments.any() and changed.payments.size <= 200:
        told["payments"] = {
            agent: changed.payments[place].round(9).tolist() for place, agent in enumerate(given.agents)
        }  # fmt: skip
    module = nnx.merge(rule.graph, rule.params)
    for part in getattr(module, "parts", [module]):
        if isinstance(part, Payment) and part.form == "instruments":
            told["instruments"] = dict(zip(given.instrument_names, (part.unit * np.asarray(part.params[...])).tolist(), strict=True))
        if isinstance(part, Override):
            told["enforced"] = np.asarray(part.shares()).tolist()
    if not np.allclose(changed.start, env.game.start):
        told["start"] = {name: float(chance) for name, chance in zip(given.states, changed.start, strict=True) if chance > TIE}
    if not np.allclose(changed.observation, env.game.observation):
        told["observation"] = changed.observation.round(9).tolist()
    return told


def exactly(problem: Society, env: SocietyEnv, rule: Rule) -> Game:
    """The changed game in numpy, float64."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, problem.decide(jax.tree.map(jnp.asarray, double(env)), double(rule), None, None))
