"""A rule's parameters, and the numbers it was given, as a file of named arrays, and back into a rule.

The names are the slash-joined paths of the parameters, `allocation/layers/0/kernel`; any program that reads numpy's npz reads
them. A restored rule must have exactly the parameters its configuration calls for, each with its shape and dtype.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icsap_jax.bilevel.types import Rule, Tree
from icsap_jax.config import Config, ConfigError
from icsap_jax.trees import named

GIVEN = "given"  # before the names of numbers that were not learned
EXACT = {"float32": "float64"}  # what a parameter may also be, where it was not trained but computed


def write(path: Path, rule: Rule) -> None:
    """The parameters at `path`, as they are: float32, which they were trained in, or float64 where they were computed exactly."""
    np.savez(path, **{name: np.asarray(leaf) for name, leaf in _numbers(rule).items()})


def read(path: Path, config: Config, problem: Any, env: Tree) -> Rule:
    """The rule of `config` with the parameters at `path`. Raises ConfigError where one is missing, left over or misshapen."""
    blank = outline(config, problem, env)
    wanted = _numbers(blank)
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: the parameters cannot be read ({error}); the file is damaged.") from error
    for name in [*wanted, *found]:
        if name not in found:
            raise ConfigError(f"{path}: the parameter {name} is missing, which the rule in config.yaml has.")
        if name not in wanted:
            raise ConfigError(f"{path}: the parameter {name} is not one of the rule's in config.yaml: {', '.join(wanted)}.")
        have, want = (found[name].shape, str(found[name].dtype)), (wanted[name].shape, str(wanted[name].dtype))
        if have != want and have != (want[0], EXACT.get(want[1])):
            raise ConfigError(f"{path}: the parameter {name} is {have[1]} {list(have[0])}; the rule in config.yaml has {want[1]} "
                              f"{list(want[0])} there.")
    leaves = [found[name] if str(found[name].dtype) in EXACT.values() else jnp.asarray(found[name]) for name in wanted]
    params, fixed = jax.tree.unflatten(jax.tree.structure((blank.params, blank.fixed)), leaves)
    return Rule(params=params, graph=blank.graph, fixed=fixed)


def _numbers(rule: Rule) -> dict[str, Any]:
    """By name: what was learned, then what was given."""
    return {**named(rule.params), **{f"{GIVEN}/{name}": leaf for name, leaf in named(rule.fixed).items()}}


def outline(config: Config, problem: Any, env: Tree) -> Rule:
    """The rule of `config` with shapes and dtypes for parameters. Nothing is initialised, which would take seconds; only what a
    builder computes from the problem's own numbers is."""

    def build(key: jax.Array) -> Rule:
        with jax.ensure_compile_time_eval():
            return config.rule.build(problem, env, key)

    return jax.eval_shape(build, jax.random.key(0))
