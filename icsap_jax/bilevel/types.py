"""The vocabulary of the core: every object that passes between a problem, a rule, a response and the training loop.

Axis letters, used everywhere: B profiles drawn; I information sets (what an agent knows when it acts; in an auction one for
each profile, in persuasion one for each signal); N agents; M items; T numbers in one agent's type; A actions; S states;
K deviations tried. A *problem* is static and hashable; its tables (priors, utilities) travel beside it as `env`, a pytree of
traced arrays, so that jit compiles once for a whole family of problems and vmap can run over it.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jax.tree_util import register_dataclass

Array = jax.Array
Tree = Any  # a pytree of arrays


@register_dataclass
@dataclass(frozen=True)
class Draw:
    """Profiles drawn from the prior. `weight` [B] sums to one (1/B when sampled, the mass when enumerated); `types` is known
    to the agents alone, leaves [B, …]; `seen` is what the designer observes before deciding, leaves [B, …] or None."""

    weight: Array
    types: Tree
    seen: Tree = None


@register_dataclass
@dataclass(frozen=True)
class Box:
    """Actions are points of a box: `low` and `high` broadcast to an action [I, N, T], and may differ from one information set to the
    next."""

    low: Array
    high: Array


@register_dataclass
@dataclass(frozen=True)
class Finite:
    """Actions are distributions over A choices, an action is [I, N, A] (one-hot when pure). `mask` [I|1, N, A]: which are legal."""

    mask: Array


@register_dataclass
@dataclass(frozen=True)
class Policies:
    """An agent's action is a policy: a distribution over A choices at each of Z things it may see. An action is [I, N, Z·A], rows of a
    policy behind each other. `mask` [N, Z, A]: which choices are legal where."""

    mask: Array


@dataclass(frozen=True)
class Reports:
    """Agents say which of finitely many types they are of: an action [I, N, 1] is the number of one of `count` reports."""

    count: int


@register_dataclass
@dataclass(frozen=True)
class Outcome:
    """What resulted. `value` [B]: the designer's objective on each profile, whose expectation under `Draw.weight` is F;
    `objectives[name]` [B]: its parts, unweighted; `constraints[name]` [B, …]: signed, satisfied when ≤ 0, and named too in the
    problem's `constraints`; what is above 0 is priced like a gap. `averages[name]` [B]: signed too, but satisfied when their
    *expectation* is ≤ 0 (a budget balanced on average, a revenue wanted), named in the problem's `averages`; each has a multiplier."""

    value: Array
    objectives: dict[str, Array]
    constraints: dict[str, Array]
    averages: dict[str, Array] = field(default_factory=dict)


class Fixed(nnx.Variable):
    """A number of a module that is given and not learned, such as a limit its decisions keep. It may differ from member to member."""


@register_dataclass
@dataclass(frozen=True)
class Rule:
    """A rule: `params`, an nnx.State, and `graph`, the static shape of the nnx module they belong to. Being a pytree, a Rule goes
    straight into grad, optax, vmap and scan; calling it rebuilds the module and runs it. `fixed`: those of its numbers that are given.

    A rule that picks from a list (a menu, an affine maximiser) is a step function of its parameters. While it is trained it has a
    `temperature` [], which its module is given as a keyword and picks by softmax at; None: it picks the best, as it does in use."""

    params: Tree
    graph: nnx.GraphDef = field(metadata={"static": True})
    temperature: Array | None = None
    fixed: Tree = field(default_factory=lambda: nnx.State({}))

    @property
    def inputs(self) -> int:
        """How many arrays its module can be asked with, the temperature not counted: one that is made for reports alone need not be told
        what else the designer sees."""
        taken = list(inspect.signature(self.graph.nodes[0].type.__call__).parameters.values())[1:]
        if any(each.kind is each.VAR_POSITIONAL for each in taken):
            return sys.maxsize
        return sum(each.name != "temperature" for each in taken)

    @classmethod
    def of(cls, module: nnx.Module) -> Rule:
        """The rule a freshly built module computes. The module must keep no `rngs`."""
        graph, fixed, params = nnx.split(module, Fixed, ...)
        return cls(params=params, graph=graph, fixed=fixed)

    def __call__(self, *inputs: Any) -> Tree:
        softly = {} if self.temperature is None else {"temperature": self.temperature}
        return self.module(self.params)(*inputs, **softly)

    def module(self, params: Tree) -> Any:
        """Its module with these parameters."""
        return nnx.merge(self.graph, params, self.fixed)

    def astype(self, dtype: Any) -> Rule:
        """The same rule with its parameters in another precision."""
        params, fixed = jax.tree.map(lambda leaf: leaf.astype(dtype), (self.params, self.fixed))
        return replace(self, params=params, fixed=fixed)


class Problem(Protocol):
    """What a domain supplies. Static and hashable; every number that may vary lives in `env`.

    Where nobody recommends anything, `recommended` gives None: agents do what is best for themselves, and F depends on it.

    Where a leading axis is written "…", the function must accept any number of extra leading axes on actions and decisions and
    broadcast over them; that is how K deviations are judged in one call.

    Some have more to offer, and what asks for it says so:
    `independent(env)`: whether one agent's types may be redrawn alone; `held_out(env)`: the numbers to evaluate with, where data were
    kept aside; `judged_on(seed, count)`: the problem told which draws it will be judged on, so that its exact answers are on the same;
    `reservation(env, draw)` [I, N]: what agents get elsewhere, None where nobody is asked; `infeasibility(env, decision)` []: by how much
    more is given than there is; `scale(env)` []: the size of payoffs, in which temperatures and ties are measured; `deviations(env, rule,
    draw, action)` [K, I|1, N, …]: what to try instead of every pure action, each agent's best reply say; `begin(env, draw)`, `misfit(env,
    draw, decision, x, temperature)` and `learn(env, draw, decision, x, size)`: equilibria of a kind of their own (`equilibrium`), at
    which `score` takes x for the action; `payoffs(env, draw, decision)` [I, N, A]: the utility of each agent's pure actions, where that
    is sooner had than by trying them and others' do not matter; `temperature(env)` []: agents are quantal, and this is theirs;
    `redraw(env, key, seen, lead)` [*lead, N, T]: types of all agents given what is seen, whose own leading axes are the last of `lead`;
    `scenarios(env)`: several `env`, any of which may be true, for the worst of which rules are trained (`robust`) and judged;
    `population(env)`: boundedly rational agents among the others (`bounded`), None where all are rational;
    `preference(env)`, `shown`, `liked` and `imagined`: what people like of decisions, known from examples (`preferred`);
    `start(env, draw)` [I, N, T]: where to look for a stationary reply from; `export_inputs(env)`: example inputs of the compiled rule;
    `chances(env, draw, who)` [S, K, G], `menu(env, decision, who)` [S, K, G, A, (C)] and `alike`, the groups of agents who differ in
    nothing but their types: how likely each of K reports is the type of agent `who` [S, G] given the others', what decisions on each are
    worth to it if it is of each of A types, and which agents can stand for all (`every_report`);
    `imposed(env, draw, decision)` […, I, N]: what taking part costs agents, where utilities do not tell;
    and as constants `criteria`: C, where an agent's order of outcomes is partial and `utility` gives C numbers […, I, N, C] for each agent,
    any of which a deviation may raise; `sampled`: finite actions meet sampled profiles; `enumerated`: reports meet every profile with
    its weight;
    `separable`: no agent's utility depends on what others do; `constraints`, `averages`: the names of the signed constraints that
    `score` tells;
    `committed`: the decision is made before anyone acts, so that `decide` ignores the action and is asked once.
    """

    agents: int
    objective: tuple[str, ...]  # names of what the designer values
    margin: float  # by which the recommended action must beat every other; 0 unless ties must not decide
    rowwise: bool  # a decision on one information set never looks at another

    def draw(self, env: Tree, key: Array, count: int) -> Draw:
        """`count` profiles from the prior; or, where types are finite, all of them with their mass (`count` is then ignored)."""

    def space(self, env: Tree, draw: Draw) -> Box | Finite | Policies | Reports:
        """The actions open to each agent."""

    def recommended(self, env: Tree, draw: Draw) -> Array | None:
        """The action [I, N, …] the designer wants: the truth, obedience. None: whatever is best for the agents."""

    def decide(self, env: Tree, rule: Rule, seen: Tree, action: Array | None) -> Tree:
        """The decision the rule takes on `action` […, I, N, …], None where it is made before anyone acts; it never sees types."""

    def utility(self, env: Tree, draw: Draw, decision: Tree, action: Array) -> Array:
        """Utilities […, I, N, (C)] at the *true* types, conditional on the information set."""

    def weight(self, env: Tree, draw: Draw, decision: Tree) -> Array:
        """The probability [I, N] or [I, 1] of each information set for each agent."""

    def score(self, env: Tree, draw: Draw, decision: Tree, action: Array) -> Outcome:
        """The designer's objectives and constraints when `action` is played."""


def expectation(weight: Array, values: Array) -> Array:
    """Σ weight·values over all profiles: two arrays of one shape give a number."""
    return jnp.sum(weight * values)
