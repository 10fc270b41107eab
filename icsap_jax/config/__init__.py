"""A problem file becomes validated models, and every mistake in it becomes one sentence. Nothing here imports jax.

`load` reads a YAML file, applies `key=value` overrides and returns a `Config`; `parse` does the same from a dict. What a file may
say is defined by the pydantic models in `icsap_jax/*/schema.py`, which are found by looking for such files, never listed, and by
the user's own `plugins`. The parts: `models` (the bases those schemas build on), `numbers` (arrays inline or in a file),
`reading` (YAML, overrides, merging), `objectives` (their names; those of the package in `known_objectives`), `constraints` (what any
domain's rules may have to keep), `plugins` (schemas and plugins), `messages` (errors as sentences), `file` (the whole problem file).
"""

from __future__ import annotations

from icsap_jax.config.constraints import Constraint
from icsap_jax.config.file import Config, json_schema, load, parse
from icsap_jax.config.models import Kind, Model, OneOf, OneOrEach, PriorModel, Problem, RuleModel, fault, kinds, resolve
from icsap_jax.config.numbers import Numbers
from icsap_jax.config.objectives import Objective, register_objective
from icsap_jax.config.reading import ConfigError

__all__ = [
    "Config",
    "ConfigError",
    "Constraint",
    "Kind",
    "Model",
    "Numbers",
    "Objective",
    "OneOf",
    "OneOrEach",
    "PriorModel",
    "Problem",
    "RuleModel",
    "fault",
    "json_schema",
    "kinds",
    "load",
    "parse",
    "register_objective",
    "resolve",
]
