"""What a pytree's leaves are called, the same in checkpoints and in artifacts."""

from __future__ import annotations

from typing import Any

import jax

from icsap_jax.bilevel.types import Tree


def named(state: Tree) -> dict[str, Any]:
    """The leaves of a pytree by their slash-joined path: rule/params/allocation/layers/0/kernel."""
    leaves = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        # An nnx variable is itself a node, whose one child is called `value`: that says nothing.
        steps = [jax.tree_util.keystr((step,), simple=True) for step in path]
        leaves["/".join(steps[:-1] if len(steps) > 1 and steps[-1] == "value" else steps)] = leaf
    return leaves
