"""What a problem file may name: the schemas of the package, found by looking, the user's own plugins, and objectives by name.

A plugin is a Python file beside the problem file. It defines subclasses of PriorModel, RuleModel, … with a `kind` and a `builder`,
and may call `register_objective`. It is imported before the file is validated; importing it is running it, as with any Python
file. A plugin is known by its content, so a copy in a run folder is the same plugin.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from icsap_jax.config.models import ACTIVE_PLUGINS, PLUGIN_PREFIX, Kind, kinds, nearest
from icsap_jax.config.reading import ConfigError

# Objectives by name: a function, or "module:attribute" so that naming one imports nothing.
OBJECTIVES: dict[str, str | Callable] = {}
_registered_by: dict[str, dict[str, str | Callable]] = {}


def register_objective(name: str, function: str | Callable) -> None:
    """Let problem files say `objective: name`. `function` maps an `objectives.Account` to the designer's value […]."""
    OBJECTIVES[name] = function


def _known_objective(value: Any) -> Any:
    if isinstance(value, dict) and not value:
        raise PydanticCustomError("objective", "should name at least one objective")
    for name in value if isinstance(value, dict) else [value]:
        if not isinstance(name, str) or name not in OBJECTIVES:
            raise PydanticCustomError("objective", "is not a known objective; {near}", {"near": nearest(name, OBJECTIVES)})
    return {name: _finite(weight) for name, weight in value.items()} if isinstance(value, dict) else value


def _finite(weight: Any) -> float:
    try:
        number = float("no" if isinstance(weight, bool) else weight)
    except (TypeError, ValueError):
        number = float("nan")
    if not math.isfinite(number):
        raise PydanticCustomError("objective", "should give each objective a finite number as its weight")
    return number


Objective = Annotated[str | dict[str, float], BeforeValidator(_known_objective)]
"""One objective's name, or weights by name."""


@cache
def import_schemas() -> None:
    """Import every `icsap_jax/*/schema.py`."""
    for path in sorted(Path(__file__).parents[1].glob("*/schema.py")):
        importlib.import_module(f"icsap_jax.{path.parent.name}.schema")


@contextmanager
def active(paths: Sequence[str], folder: Path, source: str) -> Iterator[None]:
    """Import the plugins; inside, exactly their kinds are known besides the package's own."""
    import_schemas()
    token = ACTIVE_PLUGINS.set(frozenset(_import_plugin(folder / path, source) for path in paths))
    try:
        yield
    finally:
        ACTIVE_PLUGINS.reset(token)


def _import_plugin(path: Path, source: str) -> str:
    """The plugin's module name."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{source}: plugins names {path}, which cannot be read ({error.strerror}); "
                          "give the path of a Python file relative to the problem file.") from error
    name = f"{PLUGIN_PREFIX}{hashlib.sha256(content).hexdigest()[:16]}"
    if name in sys.modules:
        OBJECTIVES.update(_registered_by.get(name, {}))
        return name
    builtin = _kinds_by_base()
    before = dict(OBJECTIVES)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{source}: plugins names {path}, which is not a Python file; its name should end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks annotations up here
    try:
        spec.loader.exec_module(module)
        _no_replacement(name, path, builtin)
    except ConfigError:
        del sys.modules[name]
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        line = _line_in(error, path)
        raise ConfigError(f"{path}{line}: this plugin of {source} failed on import with {type(error).__name__}: {error}") from error
    _registered_by[name] = {key: value for key, value in OBJECTIVES.items() if before.get(key) is not value}
    return name


def _bases(base: type[Kind] = Kind) -> Iterator[type[Kind]]:
    for cls in base.__subclasses__():
        if cls.kind_name() is None:
            yield cls
            yield from _bases(cls)


def _kinds_by_base() -> dict[type[Kind], set[str]]:
    """The kinds that come with the package, by the base they fill."""
    token = ACTIVE_PLUGINS.set(frozenset())
    try:
        return {base: set(kinds(base)) for base in _bases()}
    finally:
        ACTIVE_PLUGINS.reset(token)


def _no_replacement(name: str, path: Path, builtin: dict[type[Kind], set[str]]) -> None:
    """A plugin may not give a new meaning to a kind of the package: an old problem file would silently mean something else."""
    token = ACTIVE_PLUGINS.set(frozenset([name]))
    try:
        for base, names in builtin.items():
            for kind, cls in kinds(base).items():
                if cls.__module__ == name and kind in names:
                    raise ConfigError(f"{path}: {cls.__name__} calls itself kind '{kind}', which already exists; choose another name.")
                if cls.__module__ == name and cls.builder is None:
                    raise ConfigError(f"{path}: {cls.__name__} has no builder; set it to a function or to \"module:attribute\".")
    finally:
        ACTIVE_PLUGINS.reset(token)


def _line_in(error: BaseException, path: Path) -> str:
    """', line 7' where the plugin was when it failed."""
    line, trace = getattr(error, "lineno", None), error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}" if line else ""
