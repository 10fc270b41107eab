"""The schemas of the package, found by looking, and the user's own plugins.

A plugin is a Python file beside the problem file. It defines subclasses of PriorModel, RuleModel, … with a `kind` and a `builder`,
and may call `register_objective`. It is imported before the file is validated; importing it is running it, as with any Python
file. A plugin is known by its content, so a copy in a run folder is the same plugin.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType

from icsap_jax.config.models import ACTIVE_PLUGINS, PLUGIN_PREFIX, Kind, definition
from icsap_jax.config.objectives import PACKAGE, registered, registering
from icsap_jax.config.reading import ConfigError


@cache
def import_schemas() -> None:
    """Import every `schema.py` of the package, those of its domains and of what stands in a domain's folders."""
    package = Path(__file__).parents[1]
    for path in sorted(package.glob("*/**/schema.py")):
        importlib.import_module(".".join(["icsap_jax", *path.relative_to(package).with_suffix("").parts]))


@contextmanager
def active(paths: Sequence[str], folder: Path, source: str) -> Iterator[None]:
    """Import the plugins; inside, exactly their kinds and objectives are known besides the package's own."""
    import_schemas()
    plugins = {_import_plugin(folder / path, source): folder / path for path in paths}
    _check_names(plugins)
    token = ACTIVE_PLUGINS.set(frozenset(plugins))
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
        return name
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{source}: plugins names {path}, which is not a Python file; its name should end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks annotations up here
    try:
        with registering(name):
            spec.loader.exec_module(module)
    except ConfigError as error:
        del sys.modules[name]
        raise ConfigError(f"{path}{_line_in(error, name)}: {error}") from error
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ConfigError(f"{path}{_line_in(error, name)}: this plugin of {source} failed on import with {_told(error)}") from error
    return name


@contextmanager
def faults_named() -> Iterator[None]:
    """Inside, and in a function this decorates, an exception that came out of a plugin is a ConfigError with the plugin's file and
    line: a mistake in it is its author's to mend, and not ours."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        inner = _innermost(error, PLUGIN_PREFIX)
        if inner is None:
            raise
        raise ConfigError(f"{inner.tb_frame.f_code.co_filename}, line {inner.tb_lineno}: this plugin failed with {_told(error)}") from error


def _kinds_of(owner: str, base: type[Kind] = Kind) -> Iterator[type[Kind]]:
    """Every kind that this plugin module, or the package, brings."""
    for cls in base.__subclasses__():
        if cls.kind_name() and (cls.__module__ if cls.__module__.startswith(PLUGIN_PREFIX) else PACKAGE) == owner:
            yield cls
        yield from _kinds_of(owner, cls)


def _check_names(plugins: dict[str, Path]) -> None:
    """A plugin may not give a new meaning to a name of the package, or to one of another plugin of the same file: a problem file
    would silently mean something else."""
    taken = dict.fromkeys(_named_by(PACKAGE), "icsap_jax") if plugins else {}
    for owner, path in plugins.items():
        for name, claim in _named_by(owner).items():
            if name in taken:
                raise ConfigError(f"{path}: {claim}, which already exists in {taken[name]}; choose another name.")
            taken[name] = str(path)
        for cls in _kinds_of(owner):
            if cls.builder is None:
                raise ConfigError(f"{path}: {cls.__name__} has no builder; set it to a function or to \"module:attribute\".")


def _named_by(owner: str) -> dict[str, str]:
    """Every name that problem files owe to this owner, told apart by what it names, with a claim to it in words."""
    claims = {definition(cls): f"{cls.__name__} calls itself kind '{cls.kind_name()}'" for cls in _kinds_of(owner)}
    return {**claims, **{f"objective {name}": f"it registers the objective '{name}'" for name in registered(owner)}}


def _line_in(error: BaseException, name: str) -> str:
    """', line 7' where the plugin module was when it failed; a syntax error knows its line itself."""
    inner = _innermost(error, name)
    line = inner.tb_lineno if inner else getattr(error, "lineno", None)
    return f", line {line}" if line else ""


def _innermost(error: BaseException, name: str) -> TracebackType | None:
    """The last place an exception passed through in modules whose names begin so. Names, because a file has several paths."""
    found, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith(name):
            found = trace
        trace = trace.tb_next
    return found


def _told(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
