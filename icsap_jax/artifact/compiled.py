"""A rule compiled to StableHLO by jax.export: one file that runs without this package, for any number of rows.

What goes in is what the problem says a rule is asked (`export_inputs`), or the reports and the arrays that are seen beside them, where a
decision on one profile never looks at another. The first axis of each input, the rows, stays free. What comes out is the decision's
parts by name.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax import export

from icsap_jax.bilevel.types import Rule, Tree

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
# TPUs and recent GPUs multiply matrices in fewer bits unless told otherwise, and payments would differ in the third digit.
PRECISION = "float32"
EXAMPLES = 16


def questions(problem: Any, env: Tree) -> tuple[np.ndarray, ...] | None:
    """A few inputs the rule can be asked, each [rows, …] float32; None where a rule is not asked anything row by row. Always the
    same ones for the same problem."""
    if hasattr(problem, "export_inputs"):
        given = problem.export_inputs(env)
        return None if given is None else tuple(np.asarray(each) for each in given)
    if not getattr(problem, "rowwise", False):
        return None
    draw = problem.draw(env, jax.random.key(0), EXAMPLES)
    seen = () if draw.seen is None else draw.seen
    return tuple(np.asarray(each) for each in (problem.recommended(env, draw), *seen)) if isinstance(seen, tuple) else None


def answers(rule: Rule, *inputs: Any) -> dict[str, jax.Array]:
    """The rule's decision, part by part: allocation [rows, …], payment [rows, …]. Of the inputs it is given those it takes."""
    with jax.default_matmul_precision(PRECISION):
        decision = rule(*inputs[: rule.inputs])
    return {jax.tree_util.keystr(path, simple=True, separator="/") or "decision": leaf
            for path, leaf in jax.tree_util.tree_flatten_with_path(decision)[0]}


def serialised(rule: Rule, inputs: tuple[np.ndarray, ...]) -> bytes:
    """The rule as a StableHLO file that takes inputs shaped like these, with any number of rows."""
    scope = export.SymbolicScope()
    symbolic = [
        jax.ShapeDtypeStruct(export.symbolic_shape(", ".join(["b", *map(str, each.shape[1:])]), scope=scope), each.dtype) for each in inputs
    ]
    exported = export.export(jax.jit(lambda *rows: answers(rule, *rows)), platforms=PLATFORMS)(*symbolic)
    return bytes(exported.serialize())


def run(blob: bytes, inputs: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    """What a compiled rule answers. Raises whatever jax does when it cannot load a file a newer jax wrote."""
    found = export.deserialize(bytearray(blob)).call(*inputs)
    return {name: np.asarray(value) for name, value in found.items()}
