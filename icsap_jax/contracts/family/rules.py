"""One network that answers any hidden-action problem with a contract.

The least-pay programme of a target action a is, in shares q of the expected payment spent on each outcome (payments s·q_j / F_aj):

    minimise s   subject to   s · (1 − Σ_j q_j F_bj / F_aj)  ≥  c_a − c_b   for every rival b,     q a distribution

So what has to be learned is q, a *direction* of payments; its scale s is then known. Along a direction the agent's utility is the upper
envelope of lines, so that for each action the least scale that induces it is where the best of its cheaper rivals falls behind: all of
these points are compared, exactly, for the directions of the most promising targets, and beside them for those that need no learning: the
rewards themselves, which are the linear contracts, and for each target the one outcome that tells most of it. A target is promising by
its reward less its cost, which no contract for it can exceed.

The network works on the bipartite graph of that programme, outcomes against rivals, as networks for linear programmes do (Chen, Liu,
Wang & Yin 2023): in each round it computes the shares it has come to and how far every rival then falls behind, tells outcomes and
rivals of one another, and corrects the shares. Every target, outcome and rival goes through the same weights, and is summed or compared
over, so that their order does not matter (exchangeable, in the sense of Hartford et al. 2018); money is measured by the most that any
action brings. It starts from likelihood ratios, which are what a contract should pay by.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.contracts.family.problem import ContractFamily, Offer, Settled

TINY = 1e-6  # an outcome less likely than this for the target is not paid by its likelihood ratio in full
FAR = 1e9
HASTE = 20.0  # how soon a rival that falls behind no longer counts, per unit of money


class Block(nnx.Module):
    """Two layers, of which the second begins small, on the last axis."""

    def __init__(self, inputs: int, width: int, rngs: nnx.Rngs):
        small = nnx.initializers.variance_scaling(0.1, "fan_in", "truncated_normal")
        self.inner = nnx.Linear(inputs, width, kernel_init=nnx.initializers.he_normal(), rngs=rngs)
        self.outer = nnx.Linear(width, width, kernel_init=small, rngs=rngs)

    def __call__(self, inputs: Array) -> Array:
        return self.outer(jax.nn.relu(self.inner(inputs)))


class Directions(nnx.Module):
    """F [B, A, K], costs [B, A], rewards [B, K], legal [B, A] to the M most promising targets [B, M], the directions of payments for them
    that each round began with and at last the one it all led to, [B, rounds + 1, M, K], and the unit of money [B]. A direction is worth 1
    to an agent who takes the target. An instance takes rounds·M·((6 A + 8 K)·width² + 6 A·K·width) operations, 1.1 million at 10 × 10."""

    def __init__(self, width: int, rounds: int, targets: int, rngs: nnx.Rngs):
        self.targets = targets
        self.outcome, self.rival = Block(5, width, rngs), Block(2, width, rngs)
        self.of_rivals = nnx.List([Block(2 * width + 4, width, rngs) for _ in range(rounds)])
        self.of_outcomes = nnx.List([Block(3 * width + 3, width, rngs) for _ in range(rounds)])
        self.corrections = nnx.List([nnx.Linear(width, 1, use_bias=False, kernel_init=nnx.initializers.normal(0.02), rngs=rngs)
                                     for _ in range(rounds)])  # fmt: skip
        self.prior = nnx.Param(jnp.array([2.0, 1.0]))  # what a likelihood ratio, and a likelihood, count for in the first shares

    def __call__(self, F: Array, costs: Array, rewards: Array, legal: Array) -> tuple[Array, Array, Array]:
        money = most_brought(F, rewards)
        brings, costs = jnp.einsum("bak,bk->ba", F, rewards) / money[:, None], costs / money[:, None]
        target = jax.lax.top_k(jnp.where(legal, brings - costs, -FAR), min(self.targets, F.shape[1]))[1]
        own = jax.nn.one_hot(target, F.shape[1], dtype=bool)  # [B, M, A]
        rival = legal[:, None] & ~own
        likely = jnp.take_along_axis(F, target[..., None], axis=1)  # F of the targets [B, M, K]
        need = jnp.take_along_axis(costs, target, axis=1)[..., None] - costs[:, None]  # by how much the target costs more
        ratio = F[:, None] / (likely[:, :, None] + TINY)  # [B, M, A, K]
        towards = F[:, None] / (F[:, None] + likely[:, :, None] + TINY)  # the same in [0, 1)
        against = _log_ratio(likely, F, rival)
        x = self.outcome(jnp.stack([
            jnp.log(likely + TINY) / 4, against / 2, _log_ratio(likely, F, rival & (need > 0)) / 2, likely,
            jnp.broadcast_to((rewards / money[:, None])[:, None], likely.shape)], axis=-1))  # fmt: skip
        gain = jnp.take_along_axis(brings, target, axis=1)[..., None] - brings[:, None]
        y = self.rival(jnp.stack([need, gain], axis=-1))
        possible = (F > 0).any(1)[:, None]  # outcomes there are
        scores = self.prior[0] * against + self.prior[1] * jnp.log(likely + TINY)
        found = [_shares(scores, possible)]
        for of_rivals, of_outcomes, correction in zip(self.of_rivals, self.of_outcomes, self.corrections, strict=True):
            q = found[-1]
            lead = 1.0 - jnp.einsum("bmak,bmk->bma", ratio, q)
            asked = jnp.where(rival & (need > 0), need / jnp.maximum(lead, 0.03), 0.0)  # the scale each rival asks for
            scale = asked.max(-1, keepdims=True)
            behind = jnp.clip(scale * lead - need, -1.0, 1.0)
            heard = jnp.einsum("bmak,bmk,bmkh->bmah", towards, q, x)
            told = [jnp.clip(lead, -2.0, 1.0), (asked / (scale + TINY)) ** 8, behind, jnp.exp(-HASTE * jax.nn.relu(behind))]
            y = y + of_rivals(jnp.concatenate([y, heard, jnp.stack(told, axis=-1)], axis=-1))
            binding = jax.nn.softmax(jnp.where(rival, -HASTE * behind, -FAR), axis=-1)
            every = jnp.where(rival, 1.0, 0.0) / jnp.maximum(rival.sum(-1, keepdims=True), 1)
            heard = [jnp.einsum("bmak,bma,bmah->bmkh", towards, weight, y) for weight in (every, binding)]
            told = [q, jnp.einsum("bmak,bma->bmk", towards, binding), jnp.clip(scores, -20.0, 20.0) / 5]
            x = x + of_outcomes(jnp.concatenate([x, *heard, jnp.stack(told, axis=-1)], axis=-1))
            scores = scores + correction(x)[..., 0]
            scores = scores - jnp.where(possible, scores, -FAR).max(-1, keepdims=True)
            found.append(_shares(scores, possible))
        return target, jnp.stack(found, axis=1) / (likely + TINY)[:, None], money


class Proposing(nnx.Module):
    """The network in training: a contract for each target, as large as its cheaper rivals ask for, and the shares of targets, which
    rise with what a target promises. A contract that no scale makes work is given a size that grows with how far it is from working,
    so that there is always a slope; what it leaves undone is an incentive gap."""

    def __init__(self, network: Directions, margin: float, heat: float = 0.05):
        self.network, self.margin, self.heat = network, margin, heat

    def __call__(self, F: Array, costs: Array, rewards: Array, legal: Array) -> Offer:
        target, every, money = self.network(F, costs, rewards, legal)
        direction = every[:, -1]
        unit = money[:, None, None]
        own = jax.nn.one_hot(target, F.shape[1], dtype=F.dtype)
        gets = jnp.einsum("bak,bmk->bma", F, direction)
        lead = (gets * own).sum(-1, keepdims=True) - gets
        cost = jnp.take_along_axis(costs, target, axis=1)[..., None]
        need = (cost - costs[:, None]) / unit + self.margin
        asks = legal[:, None] & (own == 0) & (need > 0)
        works = lead > need  # by a contract that costs the principal less than the most any action brings
        beyond = 1.0 + jnp.log1p(jnp.where(works | ~asks, 0.0, need - lead) / jnp.maximum(need, 0.05))
        asked = jnp.where(works, need / jnp.where(works, lead, 1.0), beyond)
        payments = unit * jnp.where(asks, asked, 0.0).max(-1, keepdims=True) * direction
        surplus = (jnp.einsum("bak,bk->ba", F, rewards) - costs) / money[:, None]
        promise = jnp.where(jnp.take_along_axis(legal, target, axis=1), jnp.take_along_axis(surplus, target, axis=1), -FAR)
        share = jax.nn.softmax(promise / self.heat, axis=-1)
        return Offer(jnp.einsum("bma,bmk->bak", own, payments), jnp.einsum("bma,bm->ba", own, share))


class Settling(nnx.Module):
    """The finished rule: of all points on the network's directions and on those that need no learning the best."""

    def __init__(self, network: Directions, margin: float):
        self.network, self.margin = network, margin

    def __call__(self, F: Array, costs: Array, rewards: Array, legal: Array) -> Settled:
        target, learned, money = self.network(F, costs, rewards, legal)
        learned = learned.reshape(learned.shape[0], -1, learned.shape[-1])
        linear = rewards / money[:, None]
        direction = jnp.concatenate([learned, telling(F, legal, target), linear[:, None]], axis=1)
        value, scale = points(F, costs, rewards, legal, direction, self.margin * money)
        best = jnp.argmax(value.reshape(value.shape[0], -1), axis=-1)
        along, action = best // F.shape[1], best % F.shape[1]
        chosen = jnp.take_along_axis(direction, along[:, None, None], axis=1)[:, 0]
        return Settled(jnp.take_along_axis(scale.reshape(scale.shape[0], -1), best[:, None], axis=1) * chosen, action)


def telling(F: Array, legal: Array, target: Array) -> Array:
    """For each target [B, M] the direction [B, M, K] that pays one outcome alone: the likeliest against the likeliest of its rivals."""
    likely = jnp.take_along_axis(F, target[..., None], axis=1)
    rival = legal[:, None] & ~jax.nn.one_hot(target, F.shape[1], dtype=bool)
    outcome = jnp.argmax(jnp.where(likely > 0, _log_ratio(likely, F, rival), -FAR), axis=-1)
    return jax.nn.one_hot(outcome, F.shape[2], dtype=F.dtype) / (likely + TINY)


def points(F: Array, costs: Array, rewards: Array, legal: Array, direction: Array, margin: Array) -> tuple[Array, Array]:
    """For each direction of payments [B, D, K] and action: the least scale ≥ 0 at which the agent takes it by a margin [B], and the
    principal's value there, [B, D, A] each; −∞ where there is none. Actions that get alike along a direction differ in cost alone."""
    gets = jnp.einsum("bak,bdk->bda", F, direction)
    lead = gets[..., :, None] - gets[..., None, :]  # of an action over a rival
    cheaper = (costs[:, :, None] - costs[:, None, :])[:, None]
    need = cheaper + margin[:, None, None, None]
    alike = jnp.abs(lead) <= TINY * gets.max(-1)[..., None, None]
    asked = need / jnp.where(alike, 1.0, lead)
    rival = (legal[:, None, :] & ~jnp.eye(F.shape[1], dtype=bool)[None])[:, None]
    least = jnp.where(rival & ~alike & (lead > 0), asked, 0.0).max(-1, initial=0.0)
    most = jnp.where(rival & ~alike & (lead < 0), asked, jnp.inf).min(-1)
    taken = (least <= most) & ~(rival & alike & (cheaper > 0)).any(-1) & legal[:, None]
    value = jnp.einsum("bak,bk->ba", F, rewards)[:, None] - least * gets
    return jnp.where(taken, value, -jnp.inf), least


def most_brought(F: Array, rewards: Array) -> Array:
    """The most that any action of each instance brings [B]: the unit of money."""
    return jnp.maximum(jnp.einsum("bak,bk->ba", F, rewards).max(-1), TINY)


def _log_ratio(likely: Array, F: Array, rival: Array) -> Array:
    """How much likelier each outcome is under the target than under any of the rivals [B, M, A], as a logarithm [B, M, K] in ±8."""
    others = jnp.where(rival[..., None], F[:, None], 0.0).max(2)
    return jnp.clip(jnp.log(likely + TINY) - jnp.log(others + TINY), -8.0, 8.0)


def _shares(scores: Array, possible: Array) -> Array:
    return jax.nn.softmax(jnp.where(possible, scores, -FAR), axis=-1)


def network(model: Any, key: Array) -> Directions:
    """A fresh network."""
    return Directions(model.width, model.rounds, model.targets, nnx.Rngs(key))


def settled(model: Any, problem: ContractFamily, env: Any, key: Array) -> Rule:
    """The finished rule, with a fresh network."""
    return Rule.of(Settling(network(model, key), float(model.margin)))


def proposing(model: Any, problem: ContractFamily, env: Any, key: Array) -> Rule:
    """What is trained, leaves [1, …]: a single start."""
    rule = Rule.of(Proposing(network(model, key), float(model.margin)))
    return jax.tree.map(lambda leaf: leaf[None], rule)


def finished(model: Any, problem: ContractFamily, env: Any, trained: Rule) -> Rule:
    """The finished rule with the network of a trained one."""
    blank = jax.eval_shape(lambda key: settled(model, problem, env, key), jax.random.key(0))
    return Rule(params=jax.tree.unflatten(jax.tree.structure(blank.params), jax.tree.leaves(trained.params)), graph=blank.graph)
