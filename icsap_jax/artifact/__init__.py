"""A learned rule on disk, with everything needed to trust it and to run it.

`save` writes the folder (`keep` the same without what has to be compiled), `load` reads it, `verify` checks it, `apply` runs it on a
table and `export` writes it for other programs. The files: `parameters.npz` and `config.yaml` (with `data/`) are the rule;
`rule.stablehlo` is the same rule compiled for any number of rows; `replay.npz` holds questions and the answers given when it was saved;
`result.json` is what was measured; `manifest.json`, written last, says what all of it is and its sha256. Each name here is imported
when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {"save": "store", "keep": "store", "load": "store", "locate": "store", "Loaded": "store", "apply": "tables", "export": "formats",
         "verify": "checks", "Check": "checks"}

__all__ = ["Check", "Loaded", "apply", "export", "keep", "load", "locate", "save", "verify"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'icsap_jax.artifact' has no attribute '{name}'")
    return getattr(importlib.import_module(f"icsap_jax.artifact.{_HOME[name]}"), name)
