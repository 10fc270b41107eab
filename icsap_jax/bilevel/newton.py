"""Newton's method for one problem or for many side by side, which does not run away, does not get stuck where a root has just vanished,
and does not wait for its slowest.

Of several lengths of each step the one that leaves least is taken. Where none leaves markedly less, the search would be stuck between two
roots that have just met and vanished; it is then pushed along for some steps by Newton's matrix with its diagonal made heavier, which is
an implicit step of the dynamics x' = −misfit(x): they leave such a place for another root. The problem may change in stages, each problem
at its own pace; those that are not done yet are put together as they become few.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from icsap_jax.bilevel import implicit
from icsap_jax.bilevel.types import Array, Tree

LENGTHS = (1.0, 0.5, 0.2, 0.05)  # of a step, tried side by side
BETTER = 0.9  # of what a step must leave at most, or the search is pushed
PUSHES = 6  # heavier steps in a row
FEWER = 4  # times fewer than are side by side: so many that are not done yet go on by themselves
FEWEST = 8  # of those; below, nothing is gained


def newton(
    misfit: Callable[[Array, Array], Array], start: Array, most_steps: int, near: Callable[[Array], Array], stages: int = 0,
    solver: Callable[[Callable[[Array], Array], Array, Array], Array] | None = None,
) -> Array:
    """Where misfit(x [n], stage []) → [n] vanishes at the last of the `stages`, sought from `start` [n]: at each earlier one until it is
    below `near`(stage), at the last until nothing but rounding is left or `most_steps` are over. `solver`(product, vector, heavier) solves
    with the Jacobian, its diagonal made heavier, where the caller has a better way."""
    dense = start.size <= implicit.MOST_DENSE

    def beside(_: None, at: Array, stage: Array) -> Array:
        return misfit(at[:, 0], stage[0])[:, None]

    def step(_: None, at: Array, stage: Array, heavier: Array, left: Array) -> Array:
        product = jax.linearize(lambda x: misfit(x, stage[0]), at[:, 0])[1]
        if solver is not None:
            return solver(product, left[:, 0], heavier[0])[:, None]
        if not dense:
            return implicit.krylov(product, left[:, 0])[:, None]
        matrix = jax.vmap(product, out_axes=1)(jnp.eye(start.size, dtype=start.dtype))
        return jnp.linalg.solve(matrix + jnp.diag(jnp.abs(jnp.diagonal(matrix)) * heavier), left)

    search = RootSearch(beside, step, lambda _, stage: near(stage[0])[None], stages, PUSHES if dense or solver else 0)
    return search(None, start[:, None], most_steps)[:, 0]


@dataclass(frozen=True)
class RootSearch:
    """Newton's method for B problems side by side, each at its own pace. With `given` a pytree of leaves [..., B or 1]: the misfit(given,
    x [n, B], stage [B]) [n, B]; the step(given, x, stage, heavier [B], misfit) [n, B]; and near(given, stage) [B], below which the next
    stage begins. Those that are not done are put together as they become few, so that a slow one does not hold up the others."""

    misfit: Callable[[Tree, Array, Array], Array]
    step: Callable[[Tree, Array, Array, Array, Array], Array]
    near: Callable[[Tree, Array], Array]
    stages: int
    pushes: int

    def __call__(self, given: Tree, start: Array, most_steps: int) -> Array:
        """The roots [n, B] from `start` [n, B]."""
        count = start.shape[1]
        none = jnp.zeros((count,), jnp.int32)
        state = (start, self.misfit(given, start, none), none, none, jnp.zeros((count,), bool))
        steps = jnp.zeros((), jnp.int32)
        pieces = []
        while True:
            fewer = count // FEWER if count >= FEWEST * FEWER else 0
            state, steps = jax.lax.while_loop(
                lambda carry, fewer=fewer: ((~carry[0][4]).sum() > fewer) & (carry[1] < most_steps),
                lambda carry, given=given: (self._go(given, carry[0]), carry[1] + 1), (state, steps),
            )  # fmt: skip
            if not fewer:
                break
            order = jnp.argsort(state[4])
            pieces.append((jnp.argsort(order), pick(state[0], order[fewer:], count)))
            state, given = pick((state, given), order[:fewer], count)
            count = fewer
        found = state[0]
        for back, rest in reversed(pieces):
            found = pick(jnp.concatenate([found, rest], 1), back, back.size)
        return found

    def _go(self, given: Tree, state: tuple[Array, ...]) -> tuple[Array, ...]:
        """One step of those that are not done."""
        at, left, pushes, stage, over = state
        eps = float(jnp.finfo(at.dtype).eps)
        lengths = jnp.asarray(LENGTHS, at.dtype)
        step = self.step(given, at, stage, pushes.astype(at.dtype) / PUSHES, left)
        tried = at[None] - lengths[:, None, None] * step[None]
        leaves = jax.vmap(lambda x: self.misfit(given, x, stage))(tried)
        sizes, before = size_of(leaves.swapaxes(0, 1)), size_of(left)
        # The shortest way of what is best: among few, written out.
        smallest, best, ahead = sizes[0], tried[0], leaves[0]
        pushed = pushes > 0
        for place in range(1, len(LENGTHS)):
            less = (sizes[place] < smallest) & ~pushed
            smallest = jnp.where(less, sizes[place], smallest)
            best, ahead = jnp.where(less[None], tried[place], best), jnp.where(less[None], leaves[place], ahead)
        taken = (smallest < jnp.inf) & (pushed | (smallest < before)) & ~over
        better = ~pushed & (smallest < BETTER * before)
        at, left = jnp.where(taken[None], best, at), jnp.where(taken[None], ahead, left)
        size = jnp.where(taken, smallest, before)
        # How large the terms are of which the misfit is the difference.
        terms = jax.jvp(lambda x: self.misfit(given, x, stage), (at,), (at,))[1]
        rounding = eps * (1 + size_of(terms))
        # Near rounding no step leaves markedly less, and there is nothing to be pushed from.
        done = (size <= 4 * rounding) | (~pushed & ~better & (size <= 64 * rounding))
        pushes = jnp.where(pushed, pushes - 1, jnp.where(better | done, 0, self.pushes))
        cools = (stage < self.stages) & (size <= self.near(given, stage)) & ~over
        stage = stage + cools
        left = jnp.where(cools[None], self.misfit(given, at, stage), left)
        stuck = ~taken & ~cools & (pushes == 0)
        return at, left, jnp.where(cools, 0, pushes), stage, over | (((done & ~cools) | stuck) & (stage == self.stages))


def size_of(left: Array) -> Array:
    """The largest |number| along the first axis, infinite where one is not finite."""
    found = jnp.abs(left)
    while found.shape[0] > 1:
        half = found.shape[0] // 2
        found = jnp.concatenate([jnp.maximum(found[:half], found[half : 2 * half]), found[2 * half :]])
    return jnp.where(found[0] < jnp.inf, found[0], jnp.inf)


def pick(tree: Tree, order: Array, count: int) -> Tree:
    """Those of `count` problems side by side that `order` names; numbers shared by all stay."""
    return jax.tree.map(lambda leaf: jnp.take(leaf, order, -1, mode="clip") if leaf.shape[-1] == count else leaf, tree)


def side_by_side(search: Callable[..., Array], given: Tree) -> Array:
    """search(given) of leaves with a last axis, along which problems lie side by side. Under vmap they lie there too, which a processor
    does several at a time, and not along a first axis."""
    laid = jax.custom_batching.custom_vmap(search)

    def together(size: int, batched: Tree, given: Tree) -> tuple[Array, bool]:
        inner = max(leaf.shape[-1] for leaf in jax.tree.leaves(given))

        def beside(leaf: Array, is_batched: bool) -> Array:
            if not is_batched and leaf.shape[-1] == 1:
                return leaf
            leaf = leaf if is_batched else jnp.broadcast_to(leaf, (size, *leaf.shape))
            leaf = jnp.broadcast_to(jnp.moveaxis(leaf, 0, -2), (*leaf.shape[1:-1], size, inner))
            return leaf.reshape(*leaf.shape[:-2], size * inner)

        found = side_by_side(search, jax.tree.map(beside, given, batched[0]))
        return jnp.moveaxis(found.reshape(*found.shape[:-1], size, -1), -2, 0), True

    laid.def_vmap(together)
    return laid(given)


def flat_of(tree: Tree, last: int = 1) -> tuple[Array, Callable[[Array], Tree]]:
    """(a pytree of leaves [..., B] as [n, B], or with more than one `last` axis; what makes such a pytree of [n, …])."""
    leaves, shape = jax.tree.flatten(tree)
    sizes = [leaf.shape[:-last] for leaf in leaves]
    ends = [0]
    for size in sizes:
        ends.append(ends[-1] + math.prod(size))

    def rebuild(flat: Array) -> Tree:
        return jax.tree.unflatten(shape, [flat[begin:end].reshape(*size, *flat.shape[1:])
                                          for size, begin, end in zip(sizes, ends, ends[1:], strict=False)])  # fmt: skip

    return jnp.concatenate([leaf.reshape(math.prod(size), *leaf.shape[-last:]) for leaf, size in zip(leaves, sizes, strict=True)]), rebuild
