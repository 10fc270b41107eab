"""Derivatives of a response by the implicit function theorem.

A response x solves F(params, x) = 0: a first-order condition, or a fixed point written as x − reply(x). Where it does so at a simple
root, dx/dparams = −(∂F/∂x)⁻¹ ∂F/∂params, whatever way x was found and however many iterations that took: nothing is unrolled, and
memory does not depend on the iterations. `solve` finds the root by Newton's method (optimistix) and hands it back as

    x − J⁻¹ F(params, x),   J = ∂F/∂x and x held constant,

(`attach`, which does it for a root found in any way), which is one more Newton step and has exactly that derivative, to first order.
optimistix's own adjoint is the same formula, but raises where J is singular; a solve inside a training loop must not, so here J is solved
with without raising, and `converged` tells. J is a matrix up to `MOST_DENSE` unknowns; beyond, only its products with vectors are ever
formed, and GMRES solves with them.

`converged` says that the numbers may be used. It asks that what is left of the way to the root is negligible, and that J is neither
singular nor about to be: displaced a little in the direction in which x moves most easily, J must stay nearly the same (Kantorovich's
condition). At a fold, where two roots meet and no derivative exists, it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
from jax.flatten_util import ravel_pytree
from jax.tree_util import register_dataclass

from icsap_jax.bilevel.types import Array, Tree

Solver = Callable[[Callable[[Array], Array], Array], Array]  # (product, vector) → x with product(x) = vector

STEPS = 40  # Newton's: from afar a handful; more only creep
MOST_DENSE = 400  # unknowns; a matrix of this size is inverted in about ten milliseconds
SPACE = 60  # vectors GMRES keeps before it begins anew
BENT = 0.5  # relative change of J beyond which a root is no longer simple; Newton's iterates at a double root have ½


@register_dataclass
@dataclass(frozen=True)
class Response:
    """What agents do, differentiable in what they respond to: the `action`, a pytree like the start; `residual` [], the largest
    |F| left at it; `converged` [], whether action and derivative may be used (where not, the derivative is zero); `value`, what
    it is worth to them where the caller fills it in."""

    action: Tree
    residual: Array
    converged: Array
    value: Tree = None


def solve(
    residual: Callable[[Tree, Tree], Tree], params: Tree, start: Tree,
    *, low: Tree = None, high: Tree = None, most_steps: int = STEPS,
) -> Response:  # fmt: skip
    """The root x of residual(params, x) = 0 that Newton's method reaches from `start` within `most_steps`.

    x, `start` and the residual are pytrees of one structure and precision, whose numbers decide the tolerance; `residual` must take
    everything that is to be differentiated from `params`, and may be used under jit, vmap and grad (first derivatives). Iterates are
    kept between `low` and `high` where these are given, pytrees like x. Never raises: see `converged`.
    """
    flat, rebuild = ravel_pytree(jax.lax.stop_gradient(start))
    kept = {
        name: ravel_pytree(jax.tree.map(jnp.broadcast_to, bound, jax.tree.map(jnp.shape, start)))[0]
        for name, bound in (("lower", low), ("upper", high)) if bound is not None
    }  # fmt: skip
    kept, frozen = jax.lax.stop_gradient((kept, params))

    def misfit(at: Array, given: Tree) -> Array:
        return ravel_pytree(residual(given, rebuild(at)))[0]

    eps = float(jnp.finfo(flat.dtype).eps)
    newton = optx.Newton(rtol=8 * eps, atol=8 * eps, linear_solver=lx.LU())
    found = optx.root_find(misfit, newton, flat, args=frozen, options=kept, max_steps=most_steps, throw=False).value
    action, worst, sound = _attached(misfit, params, found, flat)
    # Not maximum and minimum: they would halve the derivative of a root on the bound.
    action = jnp.where(action < kept["lower"], kept["lower"], action) if "lower" in kept else action
    action = jnp.where(action > kept["upper"], kept["upper"], action) if "upper" in kept else action
    return Response(action=rebuild(action), residual=worst, converged=sound)


def attach(
    residual: Callable[[Tree, Tree], Tree], params: Tree, found: Tree, inverse: Array | None = None, solver: Solver | None = None
) -> Response:
    """A root x = `found` of residual(params, x) = 0, by whatever method, with its derivative in `params`. Arguments as in `solve`.
    Where the caller has a better way, `inverse` [n, n] is J⁻¹ at the root, or `solver`(product, vector) solves with J, and with its
    transpose, from their products."""
    flat, rebuild = ravel_pytree(found)
    misfit = _flattened(residual, rebuild)
    action, worst, sound = _attached(misfit, params, flat, jnp.zeros_like(flat), inverse, solver)
    return Response(action=rebuild(action), residual=worst, converged=sound)


def _flattened(residual: Callable[[Tree, Tree], Tree], rebuild: Callable[[Array], Tree]) -> Callable[[Array, Tree], Array]:
    """The residual of one vector x [n] first, and of the params."""
    return lambda at, given: ravel_pytree(residual(given, rebuild(at)))[0]


def _attached(
    misfit: Callable[[Array, Tree], Array], params: Tree, found: Array, instead: Array, inverse: Array | None = None,
    solver: Solver | None = None,
) -> tuple[Array, Array, Array]:
    """(the root, differentiable; the largest |F| at it; whether it is sound) of what was found, or of `instead` if that is not finite."""
    found, frozen = jax.lax.stop_gradient((found, params))
    eps = float(jnp.finfo(found.dtype).eps)
    finite = jnp.isfinite(found).all()
    root = jnp.where(finite, found, instead)  # a number that is not finite would spoil even a derivative that is thrown away
    product = jax.linearize(lambda at: misfit(at, frozen), root)[1]
    undo = _inverse(product, root, solver) if inverse is None else lambda vector: inverse @ vector
    left = misfit(root, params)
    way = undo(jax.lax.stop_gradient(left))
    # Newton's last step is taken below, so that an error of eps^(2/3) in x is one of about eps^(4/3) in what comes back.
    near = jnp.abs(way).max() <= eps ** (2 / 3) * (1 + jnp.abs(root).max())
    sound = finite & near & _simple(lambda at: misfit(at, frozen), product, undo, root, eps)
    # The inner `where` keeps a singular matrix out of the derivative, the outer one out of the value.
    last = jnp.where(sound, undo(jnp.where(sound, left, 0.0)), 0.0)
    worst = jnp.where(finite, jnp.abs(jax.lax.stop_gradient(left)).max(), jnp.inf)
    return root - last, worst, sound


def _inverse(product: Callable[[Array], Array], root: Array, solver: Solver | None) -> Callable[[Array], Array]:
    """J⁻¹ as a function of a vector, differentiable in it, from J's products; not finite where J is singular, and nothing raises."""
    if solver is None and root.size <= MOST_DENSE:
        inverse = jnp.linalg.inv(jax.vmap(product, out_axes=1)(jnp.eye(root.size, dtype=root.dtype)))
        return lambda vector: inverse @ vector
    solver = solver or krylov
    return lambda vector: jax.lax.custom_linear_solve(product, vector, solver, solver)


def krylov(product: Callable[[Array], Array], vector: Array) -> Array:
    """The solution of product(x) = vector by GMRES, from products alone."""
    eps = float(jnp.finfo(vector.dtype).eps)
    return jax.scipy.sparse.linalg.gmres(product, vector, tol=eps ** (5 / 6), restart=SPACE, maxiter=20, solve_method="batched")[0]


def _simple(
    misfit: Callable[[Array], Array], product: Callable[[Array], Array], undo: Callable[[Array], Array], root: Array, eps: float
) -> Array:
    """Whether the Jacobian is regular at the root and, about √eps away from it, still nearly the same."""
    # A direction without symmetries: whatever is nearly singular, it has a part in it.
    aslant = jnp.asarray(np.random.default_rng(0).uniform(0.5, 1.5, root.shape), root.dtype)
    easiest = undo(aslant)
    longest = jnp.abs(easiest).max()
    size = jnp.abs(product(aslant)).max()
    regular = jnp.isfinite(longest) & (size * longest < 0.1 / eps)
    easiest = jnp.where(regular, easiest / jnp.maximum(longest, 1e-30), 0.0)
    aside = eps**0.5 * (1 + jnp.abs(root).max()) * easiest
    turned = jax.jvp(misfit, (root + aside,), (easiest,))[1] - product(easiest)
    return regular & (jnp.abs(undo(turned)).max() <= BENT)
