"""Incentive-compatible mechanisms learned by gradient descent: design the rules, and let self-interest do the rest.

The public names, each imported when first used, so that `import icsap_jax` and reading a problem file never import jax:

    config = icsap_jax.load("configs/auctions/additive_1x2_uniform.yaml", ["training.steps=2000"])
    result = icsap_jax.train(config, "runs/first", print)
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    # problem files
    "load": "icsap_jax.config",
    "parse": "icsap_jax.config",
    "json_schema": "icsap_jax.config",
    "Config": "icsap_jax.config",
    "ConfigError": "icsap_jax.config",
    "register_objective": "icsap_jax.config",
    # what a user's own schema builds on
    "Kind": "icsap_jax.config",
    "Numbers": "icsap_jax.config",
    "OneOf": "icsap_jax.config",
    "PriorModel": "icsap_jax.config",
    "Problem": "icsap_jax.config",
    "RuleModel": "icsap_jax.config",
    # the objects of the core
    "Rule": "icsap_jax.bilevel.types",
    "Draw": "icsap_jax.bilevel.types",
    "Outcome": "icsap_jax.bilevel.types",
    # learn, measure, keep, use
    "train": "icsap_jax.run",
    "evaluate": "icsap_jax.run",
    "apply": "icsap_jax.artifact",
    "export": "icsap_jax.artifact",
    "verify": "icsap_jax.artifact",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'icsap_jax' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
