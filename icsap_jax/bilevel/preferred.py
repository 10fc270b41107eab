"""A designer who knows what people like from examples alone: a network learns it from them, and its score is part of the objective (Peri,
Curry, Dooley & Dickerson 2021, "PreferenceNet", section 4).

The preference network maps what people are shown of a decision, [F] numbers, to the probability that they like it, σ(f(·)). The loss of
the rule is that of `inner`, less the weight of the preference times the mean score of the rule's own decisions on fresh profiles.

In every step, too, the network takes some Adam steps of its own on the cross-entropy of labelled decisions, a third each (or half) of

    decisions drawn at random,      the rule's own as it stands,      rows that people have labelled, where there are any.

The authors train it before the auction and then anew every few epochs; in small steps it never has far to go, and what it is asked about
is what the rule does now. They label the rule's own decisions by the network itself, which makes it surer of what it believes already;
here they are labelled as all others are, so that it also learns where it is wrong.

The score of a step is by the network as the last step left it. So the loss is a function of the rule whose slope is exact, and the share
of a step's decisions that the network takes for what they are is a measure on examples it has never seen (`network_accuracy`).

A problem that has a preference offers `preference(env)`, a `Preference`, None where there is none; `shown(env, draw, decision)`
[B, F]; `liked(env, draw, decision)` [B], 1 where it is liked and 0 where not; and `imagined(env, key, count)`, a draw and random feasible
decisions on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.lagrangian import handed_on
from icsap_jax.bilevel.responses import Play, as_recommended
from icsap_jax.bilevel.truthful import Truthful, softened
from icsap_jax.bilevel.types import Array, Draw, Problem, Rule, Tree, expectation
from icsap_jax.config import ConfigError

HIDDEN = (100, 100)  # layers of the network that judges a rule, as of the published one
LESSONS, LESSON, STEP_SIZE = 600, 512, 3e-3  # what it learns from: steps, decisions in each, and Adam's steps at first


@register_dataclass
@dataclass(frozen=True)
class Preference:
    """`weight` []: what it is worth to the designer that a decision is surely liked and not surely disliked, in the unit of its objective;
    `shown` [K, F] and `said` [K]: what people were shown and whether they liked it, K = 0 where labels follow from a formula."""

    weight: Array
    shown: Array
    said: Array


def preference_of(problem: Any, env: Tree) -> Any:
    """The preference a problem tells of; None where there is none."""
    return problem.preference(env) if hasattr(problem, "preference") else None


def network(key: Array, sizes: tuple[int, ...]) -> list[dict[str, Array]]:
    """A preference network from `sizes[0]` numbers through hidden layers to one."""
    glorot = jax.nn.initializers.glorot_uniform()
    return [
        {"kernel": glorot(jax.random.fold_in(key, place), shape), "bias": jnp.zeros(shape[1])}
        for place, shape in enumerate(pairwise((*sizes, 1)))
    ]  # fmt: skip


def logit(layers: list[dict[str, Array]], shown: Array) -> Array:
    """What the network thinks of what is shown [B, F]: the logarithm of the odds that it is liked, [B]."""
    hidden = shown
    for place, layer in enumerate(layers):
        hidden = hidden if place == 0 else jax.nn.relu(hidden)
        hidden = hidden @ layer["kernel"] + layer["bias"][None]
    return hidden[:, 0]


def surprise(layers: list[dict[str, Array]], shown: Array, liked: Array) -> Array:
    """The mean cross-entropy of labels [B], []."""
    found = logit(layers, shown)
    return (jax.nn.softplus(found) - liked * found).mean()


def agreement(layers: list[dict[str, Array]], shown: Array, liked: Array) -> Array:
    """The share of labels [B] that the network gets right, []."""
    return ((logit(layers, shown) > 0) == (liked > 0.5)).mean()


def lesson(learned: Tree, shown: Array, liked: Array, size: Array | float) -> Tree:
    """The network and its moments after one Adam step."""
    layers, moments = learned
    updates, moments = optax.scale_by_adam().update(jax.grad(surprise)(layers, shown, liked), moments)
    return jax.tree.map(lambda leaf, update: leaf - size * update, layers, updates), moments


def labelled(problem: Any, env: Tree, draw: Draw, decision: Tree) -> tuple[Array, Array]:
    """What people are shown of decisions, [B, F], and whether they like them, [B]; constants."""
    return jax.lax.stop_gradient((problem.shown(env, draw, decision), problem.liked(env, draw, decision)))


def material(problem: Any, env: Tree, own: tuple[Array, Array], key: Array) -> tuple[Array, Array]:
    """To learn from: the rule's own decisions, shown and liked, as many random ones, and as many of the rows people have labelled."""
    random_key, row_key = jax.random.split(key)
    count, preference = own[1].shape[0], problem.preference(env)
    parts = [own, labelled(problem, env, *problem.imagined(env, random_key, count))]
    if preference.said.size:
        rows = jax.random.randint(row_key, (count,), 0, preference.said.size)
        parts.append((preference.shown[rows], preference.said[rows]))
    shown, liked = zip(*parts, strict=True)
    return jnp.concatenate(shown), jnp.concatenate(liked)


@dataclass(frozen=True)
class Preferred:
    """Deviations, and all else, by `inner`; a preference network of `hidden` layers, which takes `updates` Adam steps in each step of the
    rule, on `profiles` decisions of each kind."""

    inner: Any
    updates: int
    profiles: int
    hidden: tuple[int, ...]

    @property
    def constraints(self) -> tuple[str, ...]:
        """What the inner response adds to the problem's."""
        return getattr(self.inner, "constraints", ())

    def init(self, problem: Any, env: Tree, numbers: dict[str, Array], key: Array, batch: int) -> Tree:
        """The network, which knows nothing, its moments, and what `inner` remembers. Raises ConfigError where nobody prefers anything."""
        if preference_of(problem, env) is None:
            raise ConfigError("training.response.kind = preferred: is for what people like of a rule's decisions, and here nobody was "
                              "asked; in an auction write problem.preference, or the response that stands under inner alone.")
        # By tracing alone: call by call, drawing decisions compiles for seconds.
        shown = jax.eval_shape(lambda: problem.shown(env, *problem.imagined(env, jax.random.key(0), 1)))
        layers = network(jax.random.fold_in(key, 1), (shown.shape[-1], *self.hidden))
        remembered = self.inner.init(problem, env, handed_on(numbers), key, batch)
        return {"network": layers, "moments": optax.scale_by_adam().init(layers), "inner": remembered}

    def play(self, problem: Any, env: Tree, rule: Rule, memory: Tree, key: Array, step: Array, batch: int, numbers: Any) -> Play:
        """See the module. Among the parts are the mean score, the share of the rule's decisions that are liked, and the share of all
        decisions of this step that the network knew."""
        inner_key, draw_key, lesson_key = jax.random.split(key, 3)
        given = handed_on(numbers)
        found = self.inner.play(problem, env, rule, memory["inner"], inner_key, step, batch, given)
        _, draw, decision = as_recommended(problem, env, self._asked(problem, env, rule, given), draw_key, self.profiles)
        score = expectation(draw.weight, jax.nn.sigmoid(logit(memory["network"], problem.shown(env, draw, decision))))
        own = labelled(problem, env, draw, decision)

        def learn(learned, at):
            shown, liked = material(problem, env, own, jax.random.fold_in(lesson_key, at))
            return lesson(learned, shown, liked, numbers["step_size"]), agreement(learned[0], shown, liked)

        start = memory["network"], memory["moments"]
        (layers, moments), knew = jax.lax.scan(learn, start, jnp.arange(self.updates))
        parts = {"preference_score": score, "preference_accuracy": expectation(draw.weight, own[1]), "network_accuracy": knew[0]}
        return replace(
            found, value=found.value + problem.preference(env).weight * score, parts={**found.parts, **parts},
            memory={"network": layers, "moments": moments, "inner": found.memory},
        )  # fmt: skip

    def _asked(self, problem: Problem, env: Tree, rule: Rule, numbers: Any) -> Rule:
        """The rule as it is while it is trained: one that picks from a list picks softly, wherever the response stands that says so."""
        innermost = self.inner
        while hasattr(innermost, "inner"):
            innermost, numbers = innermost.inner, handed_on(numbers)
        return softened(problem, env, rule, numbers) if isinstance(innermost, Truthful) else rule


@partial(jax.jit, static_argnames=("problem", "steps"))
def another_opinion(problem: Any, env: Tree, rule: Rule, key: Array, steps: int = LESSONS) -> dict[str, Array]:
    """What a network thinks that learned from other examples than the one a rule was trained with, from decisions of the rule and others,
    by `steps` Adam steps: the mean score of the rule's decisions, the share of them that it takes to be liked, and the share of random
    decisions, and of the rule's own, of which it knows whether they are; all of decisions it has not learned from, [] each."""
    start_key, learn_key, own_key, random_key = jax.random.split(key, 4)
    size = jax.eval_shape(lambda: problem.shown(env, *problem.imagined(env, key, 1))).shape[-1]
    layers = network(start_key, (size, *HIDDEN))

    def learn(learned, at):
        own_at, rest_at = jax.random.split(jax.random.fold_in(learn_key, at))
        own = labelled(problem, env, *as_recommended(problem, env, rule, own_at, LESSON // 2)[1:])
        return lesson(learned, *material(problem, env, own, rest_at), STEP_SIZE * (1 - at / steps)), None

    (layers, _), _ = jax.lax.scan(learn, (layers, optax.scale_by_adam().init(layers)), jnp.arange(steps))
    own = labelled(problem, env, *as_recommended(problem, env, rule, own_key, 8 * LESSON)[1:])
    others = labelled(problem, env, *problem.imagined(env, random_key, 8 * LESSON))
    thought = logit(layers, own[0])
    return {"score": jax.nn.sigmoid(thought).mean(), "accuracy_by_network": (thought > 0).mean(),
            "network_accuracy": agreement(layers, *others), "network_accuracy_on_its_own": agreement(layers, *own)}  # fmt: skip


def preferred(model: Any) -> Preferred:
    """From its model in a problem file."""
    return Preferred(inner=model.inner.build(), updates=model.updates, profiles=model.profiles, hidden=tuple(model.hidden))
