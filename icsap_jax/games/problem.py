"""A society: agents in a Markov game whose rules the designer may change.

The decision is the changed game. What agents do about it is either asked of them, and then the designer has to make it worth their
while (`target`), or comes of itself, and then the objective follows their equilibrium:

- partial implementation: the target is one equilibrium. Each agent's gap is what its best reply gains, from the start, while the others
  do as they should.
- full implementation: the target is the only one. The same is asked against whatever pure policies the others may have, by a margin: no
  agent then ever does better than by its part of the target, and nothing else survives.
- unique: every other pure profile has somebody who gains by leaving it: fewer demands than dominance, and mixed equilibria may remain.
- none: agents play a logit equilibrium, q = payoffs to come, policy = softmax(q / temperature), v = the soft value of that
  (McKelvey & Palfrey 1995; Markov: Eibelshäuser & Poensgen 2019), whose misfit is all that `equilibrium` needs.

Zhang et al. 2024, equations 6 to 12: in the printed 12 the maximum is over reports R′, while utility is under the true R.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.tree_util import register_dataclass

from icsap_jax import objectives
from icsap_jax.bilevel import implicit
from icsap_jax.bilevel.ties import largest
from icsap_jax.bilevel.types import Array, Draw, Outcome, Policies, Rule, Tree
from icsap_jax.games import game as games
from icsap_jax.games import newton
from icsap_jax.games.game import Game

REACHED = 1e-7  # of discounted time: what is seen less often does not matter to anybody


@register_dataclass
@dataclass(frozen=True)
class SocietyEnv:
    """The `game` as it is without a rule; `asked` [I, N, Z·A], the profiles at which deviations are judged, of which the first is the
    target, and `counts` [I, N], whose deviation matters there (empty where nothing is asked); `others` [J, N, Z·A], every other pure
    profile that must not be an equilibrium; `pure` [K, N, Z·A], each agent's pure policies where all of them are tried; what the designer
    gets itself, `designer` [S, A1, …, AN]; the `weights` [k] of the objectives and `payment_cost` [], for each unit of the largest
    payment."""

    game: Game
    asked: Array
    counts: Array
    others: Array
    pure: Array
    designer: Array
    weights: Array
    payment_cost: Array


@register_dataclass
@dataclass(frozen=True)
class Rest:
    """Where agents come to rest: `logits` of their policies [N, Z, A], `value` of every state to each [N, S], nothing at discount 0,
    and the `time` [S] spent in each, nothing where states are seen."""

    logits: Array
    value: Array
    time: Array


@dataclass(frozen=True)
class Society:
    """N agents in a game of S `states` and Z things `seen`, with `sizes` actions each. `clear`: states are seen; `lasting`: the
    discount is above 0; `asked`: a target is recommended."""

    agents: int
    states: int
    seen: int
    sizes: tuple[int, ...]
    clear: bool
    lasting: bool
    asked: bool
    objective: tuple[str, ...]
    margin: float = 0.0
    unique: bool = False
    rowwise: bool = False
    committed: ClassVar[bool] = True

    @property
    def constraints(self) -> tuple[str, ...]:
        """That no other pure profile is an equilibrium, where it is asked."""
        return ("other equilibria",) if self.unique else ()

    def draw(self, env: SocietyEnv, key: Array, count: int) -> Draw:
        """What deviations are judged at; the objective is at the first."""
        rows = env.asked.shape[0] if self.asked else 1
        return Draw(weight=jnp.zeros((rows,)).at[0].set(1.0), types=None)

    def space(self, env: SocietyEnv, draw: Draw) -> Policies:
        """Policies over what is seen."""
        return Policies(mask=jnp.asarray(env.game.legal))

    def recommended(self, env: SocietyEnv, draw: Draw) -> Array | None:
        """The target, and the others' policies against which it must be best, [I, N, Z·A]."""
        return jnp.asarray(env.asked, draw.weight.dtype) if self.asked else None

    def decide(self, env: SocietyEnv, rule: Rule, seen: Tree, action: Array | None) -> Game:
        """The changed game."""
        return rule(jax.tree.map(jnp.asarray, env.game))

    def policies(self, action: Array) -> Array:
        """[…, Z·A] as […, Z, A]."""
        return action.reshape(*action.shape[:-1], self.seen, max(self.sizes))

    def utility(self, env: SocietyEnv, draw: Draw, decision: Game, action: Array) -> Array:
        """What each agent gets from the start, paid and charged, […, I, N], of profiles […, I, N, Z·A]."""
        profiles = self.policies(action)
        flat = profiles.reshape(-1, *profiles.shape[-3:])
        payoffs = decision.rewards + decision.payments
        found = jax.vmap(lambda each: games.worth(decision, each, payoffs) @ decision.start)(flat)
        return found.reshape(action.shape[:-1])

    def weight(self, env: SocietyEnv, draw: Draw, decision: Game) -> Array:
        """Whose deviation counts at each profile, [I, N]."""
        return jnp.asarray(env.counts, draw.weight.dtype)

    def deviations(self, env: SocietyEnv, rule: Rule, draw: Draw, action: Array) -> Array:
        """Each agent's best reply to the others at each profile, [1, I, N, Z·A]; where the target must be better by a margin, also the
        best other choice at each single thing seen, [1 + Z, I, N, Z·A]: without it a target that is just best would seem far ahead. An
        agent that does not see the state, in a game that lasts, has no policy to improve step by step: all of its pure ones are tried."""
        if env.pure.shape[0]:
            whole = jnp.asarray(env.pure, action.dtype)[:, None]
            return jnp.broadcast_to(whole, (whole.shape[0], *action.shape))
        changed = self.decide(env, rule, None, None)
        best = self.replies(changed, action)[None]
        return jnp.concatenate([best, self.slips(changed, action)]) if self.margin else best

    def slips(self, changed: Game, action: Array) -> Array:
        """For each thing seen, the profile in which an agent chooses there the best of what it does not choose now, [Z, I, N, Z·A];
        where that is never seen, or nothing else is legal, no change."""

        def slip(policies: Array) -> Array:
            done = games.in_states(changed, policies)
            values = games.action_values(changed, done, games.worth(changed, policies, changed.rewards + changed.payments))
            time = games.visits(changed, policies)
            values = values if self.clear else games.seen_values(changed, values, time)
            open_to = changed.legal & (policies == 0)
            other = jax.nn.one_hot(jnp.argmax(jnp.where(open_to, values, -jnp.inf), -1), values.shape[-1], dtype=policies.dtype)
            reached = jnp.einsum("nsz,s->nz", changed.observation, time) > REACHED
            there = jnp.eye(self.seen, dtype=bool)[:, None] & (reached & open_to.any(-1))[None]  # [Z, N, Z]
            return jnp.where(there[..., None], other[None], policies[None])

        found = jax.vmap(slip, out_axes=1)(self.policies(action))
        return found.reshape(self.seen, *action.shape)

    def replies(self, changed: Game, action: Array) -> Array:
        """Each agent's best reply to profiles [I, N, Z·A], of that shape."""
        rounds = 1 if not self.lasting else self.seen * max(self.sizes) + 2

        def best(profile: Array) -> Array:
            return jnp.stack([games.best_reply(changed, profile, agent, rounds, self.clear) for agent in range(self.agents)])

        return jax.vmap(best)(self.policies(action)).reshape(action.shape)

    def score(self, env: SocietyEnv, draw: Draw, decision: Game, action: Array | Rest) -> Outcome:
        """The designer's objective, [I], at the target, or where agents come to rest. An account holds what each agent gets from the
        world and pays, all discounted, from the start."""
        rest = isinstance(action, Rest)
        policies = games.policies_of(action.logits, decision.legal) if rest else self.policies(action)[0]
        tables = jnp.concatenate([decision.rewards, decision.payments, jnp.asarray(env.designer)[None]])
        found = games.worth(decision, policies, tables) @ decision.start
        account = objectives.Account(value=found[None, : self.agents], transfer=-found[None, self.agents : -1])
        parts = objectives.evaluate(self.objective, account)
        value = sum(env.weights[place] * parts[name] for place, name in enumerate(self.objective)) + found[None, -1]
        charge = largest(jnp.abs(decision.payments).reshape(1, -1))
        value = value - env.payment_cost * charge
        rows = draw.weight.shape[0]
        told = {**parts, "largest_payment": charge, "collected": account.transfer.sum(-1), "welfare": account.value.sum(-1)}
        return Outcome(
            value=jnp.broadcast_to(value, (rows,)), objectives={name: jnp.broadcast_to(each, (rows,)) for name, each in told.items()},
            constraints={"other equilibria": jnp.broadcast_to(self.temptation(env, decision), (rows,))} if self.unique else {},
        )  # fmt: skip

    def temptation(self, env: SocietyEnv, changed: Game) -> Array:
        """[]: over all other pure profiles, what is missing for somebody to gain the margin by leaving, added up. Somebody who would
        lose by every change counts with the least it would lose, so that there is a slope to follow."""
        frozen = jax.lax.stop_gradient(changed)
        profiles = jnp.asarray(env.others, changed.rewards.dtype)
        tried = jnp.concatenate([self.replies(frozen, profiles)[None], self.slips(frozen, profiles)])  # [1 + Z, J, N, Z·A]
        one = jnp.eye(self.agents, dtype=bool)[:, None, None, :, None]
        moved = jnp.where(one, tried[None], profiles[None, None])  # [N′, 1 + Z, J, N, Z·A]
        draw = Draw(weight=jnp.ones(profiles.shape[:1]), types=None)
        stays = (tried == profiles[None]).all(-1)  # [1 + Z, J, N]
        left = jnp.diagonal(self.utility(env, draw, changed, moved), axis1=0, axis2=-1)
        gains = jnp.where(stays, -jnp.inf, left - self.utility(env, draw, changed, profiles)[None])
        best = largest(jnp.moveaxis(gains, 1, -1).reshape(-1, profiles.shape[0]), 0)
        return jax.nn.relu(self.margin - jnp.where(jnp.isfinite(best), best, 0.0)).sum()

    def begin(self, env: SocietyEnv, draw: Draw) -> Rest:
        """Even play, worth nothing yet."""
        most = max(self.sizes)
        return Rest(
            logits=jnp.zeros((self.agents, self.seen, most)), value=jnp.zeros((self.agents, self.states if self.lasting else 0)),
            time=jnp.zeros((0 if self.clear else self.states,)) + jnp.asarray(env.game.start)[: 0 if self.clear else None],
        )  # fmt: skip

    def misfit(self, env: SocietyEnv, draw: Draw, decision: Game, x: Rest, temperature: Array) -> Rest:
        """Zero where policies are the logit reply to the values of actions, values those of the policies with the taste for variety
        (temperature × entropy) that goes with logit, and beliefs those of Bayes."""
        policies = games.policies_of(x.logits, decision.legal)
        done = games.in_states(decision, policies)
        value = x.value if self.lasting else jnp.zeros((self.agents, self.states), x.logits.dtype)
        values = games.action_values(decision, done, value)
        told = values if self.clear else games.seen_values(decision, values, jnp.abs(x.time))
        logits = jnp.where(decision.legal, temperature * x.logits - told, x.logits)
        left = jnp.zeros_like(x.value)
        if self.lasting:
            safe = jnp.where(policies > 0, policies, 1.0)
            variety = -(policies * jnp.log(safe)).sum(-1)
            soft = (done * values).sum(-1) + temperature * jnp.einsum("nsz,nz->ns", decision.observation, variety)
            left = x.value - soft
        time = jnp.zeros_like(x.time)
        if not self.clear:
            going = games.moves(decision, done)
            time = x.time - ((1 - decision.discount) * decision.start + decision.discount * (x.time @ going))
        return Rest(logits=logits, value=left, time=time)

    def laid(self, env: SocietyEnv, draw: Draw, decision: Game) -> newton.Laid | None:
        """The same equations by their structure, games side by side; None where states are not seen or not reached again, or there is
        one agent or very much of anything."""
        rows = max(self.agents * self.states, self.agents * max(self.sizes))
        fits = self.clear and self.lasting and self.agents > 1 and rows <= newton.MOST_ROWS
        return newton.laid(decision) if fits else None

    @property
    def parted(self) -> bool:
        """Whether the choices of one state have to do with those of another through values alone."""
        return self.clear

    def eliminate(self, product: Callable[[Rest], Rest], right: Rest, heavier: Array | float = 0.0) -> Rest:
        """x with product(x) = right, where product is that of the Jacobian of `misfit`, its diagonal made heavier, or of its transpose. The
        choices of each state are eliminated on their own; what is left, N·S values, is solved by GMRES from products alone, which ends
        after as many steps as there are periods where no state comes back: backward induction."""
        agents, states, most = right.logits.shape
        each = agents * most

        def of_logits(logits: Array) -> Rest:
            return product(Rest(logits=logits, value=jnp.zeros_like(right.value), time=right.time))

        # One choice of all states at once: they do not touch each other.
        probes = jnp.eye(each, dtype=right.logits.dtype).reshape(each, agents, 1, most)
        columns = jax.vmap(lambda probe: of_logits(jnp.broadcast_to(probe, right.logits.shape)).logits)(probes)
        blocks = columns.transpose(2, 1, 3, 0).reshape(states, each, each)
        diagonal = jnp.abs(jnp.diagonal(blocks, axis1=1, axis2=2))
        inverse = jnp.linalg.inv(blocks + heavier * diagonal[:, :, None] * jnp.eye(each, dtype=blocks.dtype)[None])

        def undo(logits: Array) -> Array:
            moved = jnp.einsum("srk,sk->sr", inverse, logits.transpose(1, 0, 2).reshape(states, each))
            return moved.reshape(states, agents, most).transpose(1, 0, 2)

        if not self.lasting:
            return Rest(logits=undo(right.logits), value=right.value, time=right.time)

        def of_value(value: Array) -> Rest:
            return product(Rest(logits=jnp.zeros_like(right.logits), value=value, time=right.time))

        def left(flat: Array) -> Array:
            value = flat.reshape(right.value.shape)
            through = of_value(value)
            return (through.value + heavier * value - of_logits(undo(through.logits)).value).reshape(-1)

        wanted = right.value - of_logits(undo(right.logits)).value
        value = implicit.krylov(left, wanted.reshape(-1)).reshape(right.value.shape)
        return Rest(logits=undo(right.logits - of_value(value).logits), value=value, time=right.time)

    def learn(self, env: SocietyEnv, draw: Draw, decision: Game, x: Rest, size: Array) -> Rest:
        """One step of each agent up its own natural policy gradient: logits rise by `size` times what a choice is worth more than the
        policy (at discount 0 the replicator's discrete step)."""
        policies = games.policies_of(x.logits, decision.legal)
        done = games.in_states(decision, policies)
        values = games.action_values(decision, done, games.worth(decision, policies, decision.rewards + decision.payments))
        told = values if self.clear else games.seen_values(decision, values, games.visits(decision, policies))
        ahead = told - (policies * told).sum(-1, keepdims=True)
        return Rest(logits=x.logits + size * jnp.where(decision.legal, ahead, 0.0), value=x.value, time=x.time)


def leaves(env: Any) -> SocietyEnv:
    """The same numbers as jax arrays."""
    return jax.tree.map(jnp.asarray, env)
