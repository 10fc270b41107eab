"""One network that answers any persuasion game with a scheme, and with the multipliers that prove how good it is.

It is a primal-dual iteration whose steps are learned, as networks for linear programmes are (Chen, Liu, Wang & Yin 2023). It keeps
numbers for every cell (state, action) of the game and for every pair (recommended action, deviation), from which come a scheme x and
multipliers λ; in each round it computes what the programme's two sides say of each other,

    reduced worth   G(ω,a) = v(ω,a) + Σ_b λ(a,b) (u(ω,a) − u(ω,b))          lead   o(a,b) = Σ_ω x(ω,a) (u(ω,a) − u(ω,b))

tells every cell its reduced worth, its state, its action and how it pulls at the deviation that tempts most, tells every pair its lead,
and corrects both. All cells go through the same weights and all pairs too, and rows and columns are summed over, so that the order of
states and actions does not matter (exchangeable, in the sense of Hartford et al. 2018).

How many operations a game takes is counted in `operations`: 3.0 million at 10 × 10 and the default sizes.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from icsap_jax.bilevel.ties import largest
from icsap_jax.bilevel.types import Array, Rule
from icsap_jax.persuasion.family.obedience import DEVIATIONS, Measured, completed, leads, measured, obeyed
from icsap_jax.persuasion.family.problem import FAR, Games, PersuasionFamily, Told, bound

HASTE = 10.0  # how soon a deviation that falls behind no longer counts, per unit of the receiver's utility
SHARPER = 1.5  # the power of a scheme's probabilities: a best scheme is sparse
APART = 0.3  # what a duality gap costs in training, as a share of the sender's utility

RELU, SMALL = 2.0, 0.1  # variances kept: before a relu, and of what begins as a small correction
CELLS, PAIRS = 5, 6  # what is known of a cell and of a pair before the first round
CELL_NEWS, PAIR_NEWS = 6, 4  # what a round tells them


class Numbers:
    """Initial weights: normal numbers that are drawn all at once, since every call of the generator takes half a second to compile."""

    def __init__(self, key: Array, count: int):
        self.numbers, self.taken = jax.random.normal(key, (count,)), 0

    def layer(self, inputs: int, outputs: int, size: float = 1.0, bias: bool = True) -> nnx.Linear:
        """A linear layer whose outputs have about `size` times the variance of its inputs."""
        here = self.numbers[self.taken : self.taken + inputs * outputs]
        self.taken += inputs * outputs

        def kernel(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32, out_sharding: Any = None) -> Array:
            return (here * (size / inputs) ** 0.5).reshape(shape).astype(dtype)

        return nnx.Linear(inputs, outputs, use_bias=bias, kernel_init=kernel, rngs=nnx.Rngs(0))


class Round(nnx.Module):
    """One correction of the numbers of cells [B, S, A, W] and pairs [B, A, A, P]."""

    def __init__(self, width: int, pair_width: int, numbers: Numbers):
        self.cell = numbers.layer(width + CELL_NEWS, width, RELU)
        self.of_state = numbers.layer(2 * width, width, bias=False)
        self.of_action = numbers.layer(2 * width, width, bias=False)
        self.corrected = numbers.layer(width, width, SMALL)
        self.logit = numbers.layer(width, 1, SMALL)
        self.pair = numbers.layer(pair_width + PAIR_NEWS, pair_width, RELU)
        self.of_recommended = numbers.layer(width, pair_width, bias=False)
        self.of_deviation = numbers.layer(width, pair_width, bias=False)
        self.pair_corrected = numbers.layer(pair_width, pair_width, SMALL)
        self.price = numbers.layer(pair_width, 1, SMALL)

    @staticmethod
    def size(width: int, pair_width: int) -> int:
        """How many weights it draws."""
        own = 6 * width + CELL_NEWS + 1, 2 * pair_width + 2 * width + PAIR_NEWS + 1
        return own[0] * width + own[1] * pair_width

    def cells(self, cells: Array, news: Array, state: Array, action: Array) -> Array:
        """With `news` [B, S, A, …] of every cell and what is known of its `state` [B, S, …] and `action` [B, A, …]."""
        heard = self.cell(jnp.concatenate([cells, news], -1)) + self.of_state(state)[:, :, None] + self.of_action(action)[:, None]
        return cells + self.corrected(jax.nn.relu(heard))

    def pairs(self, pairs: Array, news: Array, action: Array) -> Array:
        """With `news` [B, A, A, …] of every pair and what is known of its two actions [B, A, …]."""
        heard = self.pair(jnp.concatenate([pairs, news], -1))
        heard = heard + self.of_recommended(action)[:, :, None] + self.of_deviation(action)[:, None]
        return pairs + self.pair_corrected(jax.nn.relu(heard))


class Primaldual(nnx.Module):
    """Measured games to the scheme [R, B, S, A] and the multipliers [R, B, A, A], in the games' own units, of every round."""

    def __init__(self, width: int, pair_width: int, rounds: int, key: Array):
        first, later = jax.random.split(key)
        numbers = Numbers(first, CELLS * width + PAIRS * pair_width)
        self.first_cell, self.first_pair = numbers.layer(CELLS, width, RELU), numbers.layer(PAIRS, pair_width, RELU)
        size = Round.size(width, pair_width)
        self.rounds = nnx.vmap(lambda one: Round(width, pair_width, Numbers(one, size)))(jax.random.split(later, rounds))

    def __call__(self, game: Measured, prior: Array, legal: Array) -> tuple[Array, Array]:
        r, w = game.regret, game.gain
        apart, there = game.apart.astype(r.dtype), prior > 0
        even = legal.astype(r.dtype) / legal.sum(-1, keepdims=True)
        share = jnp.broadcast_to((prior * there.sum(-1, keepdims=True))[..., None], r.shape)  # 1 where states are alike
        graph, rounds = nnx.split(self.rounds)

        def correct(carry: tuple[Array, ...], weights: Any) -> tuple[tuple[Array, ...], tuple[Array, Array]]:
            cells, pairs, logits, price = carry
            step = nnx.merge(graph, weights)
            scheme, multiplier = _shares(logits, legal), jax.nn.softplus(price) * apart
            joint = prior[..., None] * scheme
            mass = joint.sum(1, keepdims=True)
            posterior = joint / (mass + 1e-6)
            worth = w + r * multiplier.sum(-1)[:, None] - jnp.einsum("bsc,bac->bsa", r, multiplier)
            reduced = worth - largest(jnp.where(legal[:, None], worth, -FAR))[..., None]
            lead = leads(posterior, r)
            tempting = jax.nn.softmax(jnp.where(game.apart, -HASTE * lead, -FAR), -1)
            pull = r - jnp.einsum("bsc,bac->bsa", r, tempting)
            news = jnp.stack([jnp.clip(logits, -10.0, 10.0) / 3, reduced, pull, scheme, posterior, jnp.broadcast_to(mass, r.shape)], -1)
            told = jnp.einsum("bsa,bsaw->baw", posterior, cells)
            state = jnp.concatenate([jnp.einsum("ba,bsaw->bsw", even, cells), jnp.einsum("bsa,bsaw->bsw", scheme, cells)], -1)
            cells = step.cells(cells, news, state, jnp.concatenate([jnp.einsum("bs,bsaw->baw", prior, cells), told], -1))
            logits = logits + step.logit(cells)[..., 0]
            pairs = step.pairs(pairs, jnp.stack([jnp.clip(lead, -3.0, 3.0), tempting, price / 3, multiplier], -1), told)
            price = price + step.price(pairs)[..., 0]
            return (cells, pairs, logits, price), (_shares(logits, legal), jax.nn.softplus(price) * apart)

        cells = jax.nn.relu(self.first_cell(jnp.stack([r, w, share, jnp.log(share + 1e-3), game.best], -1)))
        pairs = jax.nn.relu(self.first_pair(_compared(game, prior)))
        return jax.lax.scan(correct, (cells, pairs, 0.5 * w, jnp.full_like(apart, -1.0)), rounds)[1]


class Proposing(nnx.Module):
    """The network in training: the obeyed scheme of the last round; besides, it is charged for how far apart every round leaves what its
    scheme is worth and what its multipliers prove, the duality gap; for an earlier round half as much."""

    def __init__(self, network: Primaldual, margin: float):
        self.network, self.margin = network, margin

    def __call__(self, prior: Array, sender: Array, receiver: Array, legal: Array) -> Told:
        games = Games(prior, sender, receiver, legal)
        game = measured(games)
        schemes, multipliers = self.network(game, prior, legal)
        kept, gains = _kept(schemes, prior, game, self.margin)
        prices, proven = _priced(multipliers, games, game)
        told = jnp.einsum("bs,bsa,bsa->b", prior, sender, game.best)
        apart = proven - told[None] - game.sender_unit[None] * gains
        price = APART * 0.5 ** jnp.arange(len(apart))[::-1]
        return Told(completed(kept[-1], game, prior), prices[-1], (price[:, None] * apart).sum(0))


class Settling(nnx.Module):
    """The finished rule: of the obeyed schemes of the last two rounds, of the last one made sharper, of full disclosure and none the best,
    and of the multipliers of the last two rounds and none those that prove most."""

    def __init__(self, network: Primaldual, margin: float):
        self.network, self.margin = network, margin

    def __call__(self, prior: Array, sender: Array, receiver: Array, legal: Array) -> Told:
        games = Games(prior, sender, receiver, legal)
        game = measured(games)
        schemes, multipliers = self.network(game, prior, legal)
        sharp = schemes[-1:] ** SHARPER
        schemes = jnp.concatenate([schemes[-2:], sharp / sharp.sum(-1, keepdims=True)])
        kept, gains = _kept(schemes, prior, game, self.margin)
        silent = _silent(game, prior, legal)[None]
        schemes = jnp.concatenate([kept, silent, jnp.zeros_like(silent)])
        worth = jnp.concatenate([gains, (game.gain[None] * silent).sum((-1, -2)), jnp.zeros_like(gains[:1])])
        prices, proven = _priced(jnp.concatenate([multipliers[-2:], jnp.zeros_like(multipliers[:1])]), games, game)
        return Told(completed(_at(schemes, jnp.argmax(worth, 0)), game, prior), _at(prices, jnp.argmin(proven, 0)),
                    jnp.zeros_like(game.sender_unit))  # fmt: skip


def _kept(schemes: Array, prior: Array, game: Measured, margin: float) -> tuple[Array, Array]:
    """What of schemes [R, B, S, A] is obeyed, joint with the state, and what it gains over full disclosure [R, B], in the game's unit."""
    kept = jax.lax.map(lambda scheme: obeyed(prior[..., None] * scheme, game, margin), schemes)
    return kept, (game.gain[None] * kept).sum((-1, -2))


def _priced(multipliers: Array, games: Games, game: Measured) -> tuple[Array, Array]:
    """Multipliers [R, B, A, A] in the units of the utilities given, and what they prove [R, B]."""
    prices = multipliers * (game.sender_unit / game.receiver_unit)[None, :, None, None]
    return prices, jax.lax.map(lambda price: bound(games, price), prices)


def _at(answers: Array, place: Array) -> Array:
    """Of answers [R, B, …] for each game the one at its place [B]."""
    return jnp.take_along_axis(answers, place[None, :, None, None], axis=0)[0]


def _compared(game: Measured, prior: Array) -> Array:
    """What is known of a pair of actions from the start [B, A, A, 6]: how they differ for each side, and how that goes together."""
    mean_r, mean_w = (jnp.einsum("bs,bsa->ba", prior, each) for each in (game.regret, game.gain))

    def together(one: Array, other: Array) -> Array:
        """Σ_ω μ₀ (one_a − one_b)(other_a − other_b)."""
        cross = jnp.einsum("bs,bsa,bsc->bac", prior, one, other)
        own = jnp.einsum("bs,bsa,bsa->ba", prior, one, other)
        return own[:, :, None] + own[:, None] - cross - jnp.swapaxes(cross, 1, 2)

    def size(one: Array) -> Array:
        return jnp.sqrt(jax.nn.relu(together(one, one)) + 1e-6)

    told = jnp.einsum("bs,bsa,bsc->bac", prior, game.best, game.gain)
    return jnp.stack([
        mean_r[:, :, None] - mean_r[:, None], size(game.regret), mean_w[:, :, None] - mean_w[:, None], size(game.gain),
        together(game.regret, game.gain), told], -1)  # fmt: skip


def _shares(logits: Array, legal: Array) -> Array:
    """A distribution over the actions there are, in every state."""
    return jax.nn.softmax(jnp.where(legal[:, None], logits, -FAR), -1)


def _silent(game: Measured, prior: Array, legal: Array) -> Array:
    """The joint masses [B, S, A] of saying nothing: whatever the state, the receiver's best action at the prior."""
    expected = jnp.where(legal, jnp.einsum("bs,bsa->ba", prior, game.regret), -FAR)
    return prior[..., None] * jax.nn.one_hot(jnp.argmax(expected, -1), expected.shape[-1], dtype=prior.dtype)[:, None]


def operations(states: int, actions: int, width: int, pair_width: int, rounds: int) -> int:
    """Of the matrix products of one game, an addition and a multiplication counted as two."""
    cells, pairs = states * actions, actions * actions
    first = 2 * cells * CELLS * width + 2 * pairs * PAIRS * pair_width + 5 * 2 * pairs * states
    linear = cells * (width + CELL_NEWS + width + 1) * width + pairs * (2 * pair_width + PAIR_NEWS + 1) * pair_width
    heard = (states + actions) * 2 * width * width + 2 * actions * width * pair_width + 4 * cells * width
    sides = 3 * cells * actions
    repair = DEVIATIONS * 2 * cells * actions + 2 * cells * actions + cells * actions
    return first + 2 * rounds * (linear + heard + sides) + 6 * repair


def network(model: Any, key: Array) -> Primaldual:
    """A fresh network."""
    return Primaldual(model.width, model.pair_width, model.rounds, key)


def settled(model: Any, problem: PersuasionFamily, env: Any, key: Array) -> Rule:
    """The finished rule, with a fresh network."""
    return Rule.of(Settling(network(model, key), float(model.margin)))


def proposing(model: Any, problem: PersuasionFamily, env: Any, key: Array) -> Rule:
    """What is trained, leaves [1, …]: a single start."""
    rule = Rule.of(Proposing(network(model, key), float(model.margin)))
    return jax.tree.map(lambda leaf: leaf[None], rule)


def finished(model: Any, problem: PersuasionFamily, env: Any, trained: Rule) -> Rule:
    """The finished rule with the network of a trained one."""
    blank = jax.eval_shape(lambda key: settled(model, problem, env, key), jax.random.key(0))
    return Rule(params=jax.tree.unflatten(jax.tree.structure(blank.params), jax.tree.leaves(trained.params)), graph=blank.graph)
