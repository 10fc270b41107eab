"""The designer's objectives by name, and who made each known: the package, or one of the user's plugins.

An objective belongs to whoever registered it. A plugin's is known only to the problem files that name the plugin, so one name may
mean different things in two of them; the name a file is read into remembers which. Some objectives have options, such as how averse
to inequality they are: a problem file writes them beside the weight, `{isoelastic: {weight: 1, aversion: 2}}`, and the name it is read
into remembers them too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, NamedTuple

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from icsap_jax.config.models import ACTIVE_PLUGINS, Model, fault, nearest, under
from icsap_jax.config.reading import ConfigError

PACKAGE = ""  # the owner of what the package registers, and of what a user's own program does
class Known(NamedTuple):
    """What is registered under a name: its `function`, the model of its `options`, and what of an account it `looks_at` that not every
    problem tells."""

    function: str | Callable
    options: type[Model] | None
    looks_at: tuple[str, ...]


WEIGHT = "weight"  # the key beside an objective's options
_known: dict[str, dict[str, Known]] = {}
_registering: ContextVar[str] = ContextVar("registering", default=PACKAGE)


class ObjectiveName(str):
    """An objective as a problem file means it: its `base` name, the `options` it is given and its `owner`. It reads, hashes and is found as
    text, `isoelastic(aversion=2)`, but the same name from another plugin is not equal to it, so that nothing compiled for the one is
    ever used for the other."""

    base: str
    owner: str
    options: dict[str, Any]

    def __new__(cls, base: str, owner: str = PACKAGE, options: Mapping[str, Any] | None = None) -> ObjectiveName:
        told = ", ".join(f"{key}={json.dumps(value)}" for key, value in (options or {}).items())
        made = super().__new__(cls, f"{base}({told})" if told else base)
        made.base, made.owner, made.options = base, owner, dict(options or {})
        return made

    def __getnewargs__(self) -> tuple[str, str, dict[str, Any]]:  # type: ignore[override]  # copies and pickles keep all of it
        return self.base, self.owner, self.options

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and str.__eq__(self, other) and getattr(other, "owner", self.owner) == self.owner

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def register_objective(
    name: str, function: str | Callable, options: type[Model] | None = None, looks_at: tuple[str, ...] = ()
) -> None:
    """Let problem files say `objective: name`. `function` maps an `objectives.Account` to the designer's value […]; as
    "module:attribute", naming it imports nothing. Where it has `options`, a model of them, it is given each as a keyword. What it
    `looks_at` of the account beyond values and transfers are the names of those parts: problems that do not tell them are refused. Raises
    ConfigError where the name already has another function."""
    mine, new = _known.setdefault(_registering.get(), {}), Known(function, options, tuple(looks_at))
    known = mine.setdefault(name, new)
    if known != new:
        raise ConfigError(f"register_objective: '{name}' already names {known.function!r}; choose another name.")


@contextmanager
def registering(owner: str) -> Iterator[None]:
    """Inside, what is registered belongs to the plugin module `owner`; if the block fails, nothing does."""
    token = _registering.set(owner)
    try:
        yield
    except BaseException:
        _known.pop(owner, None)
        raise
    finally:
        _registering.reset(token)


def registered(owner: str) -> list[str]:
    """The names of an owner's objectives."""
    return list(_known.get(owner, {}))


def function_of(name: str) -> str | Callable:
    """What was registered under a name that a problem file was read into, or under a name of the package. Raises ConfigError."""
    return _registered(name).function


def options_of(name: str) -> dict[str, Any]:
    """The options that an objective is given, by what a problem file was read into, or else by default. Raises ConfigError."""
    model = _registered(name).options
    return {} if model is None else getattr(name, "options", None) or model().model_dump()


def untold(objective: Any, tells: tuple[str, ...]) -> ObjectiveName | None:
    """The first name of an objective that looks at what a problem which `tells` so much does not tell; None where all is told, and where
    this is no objective that was read from a problem file."""
    names = objective if isinstance(objective, Mapping) else [objective]
    return next((name for name in names if isinstance(name, ObjectiveName) and not set(_registered(name).looks_at) <= set(tells)), None)


def _registered(name: str) -> Known:
    owner, base = getattr(name, "owner", PACKAGE), getattr(name, "base", name)
    try:
        return _known[owner][base]
    except KeyError:
        raise ConfigError(f"objective = '{base}' is not a known objective; {nearest(base, registered(owner))}.") from None


def weights_of(objective: str | dict[str, float]) -> dict[str, float]:
    """Weights by name, of what was read from a problem file."""
    return {objective: 1.0} if isinstance(objective, str) else dict(objective)


def _owners() -> dict[str, str]:
    """Whose objective each name is for the file now being read."""
    return {name: owner for owner in (PACKAGE, *ACTIVE_PLUGINS.get()) for name in registered(owner)}


def _read(value: Any, info: ValidationInfo) -> str | dict[str, float]:
    """One name, or weights by name, each name with its owner and its options."""
    if isinstance(value, str):
        return _name(value, {}, info)
    if not isinstance(value, Mapping):
        raise PydanticCustomError("objective", "should be the name of an objective, or a mapping of weights by name")
    if not value:
        raise PydanticCustomError("objective", "should name at least one objective")
    weights: dict[str, float] = {}
    for name, weight in value.items():
        if isinstance(weight, Mapping):
            options = {key: each for key, each in weight.items() if key != WEIGHT}
            with under(str(name)):
                weights[_name(name, options, info)] = _finite(weight.get(WEIGHT, 1.0))
        else:
            weights[_name(name, {}, info)] = _finite(weight)
    if not any(weights.values()):
        raise PydanticCustomError("objective", "should give at least one objective a weight other than 0")
    return weights


def _name(name: Any, options: dict[str, Any], info: ValidationInfo) -> str:
    known = _owners()
    base = getattr(name, "base", name)
    if not isinstance(base, str) or base not in known:
        raise PydanticCustomError("objective", "is not a known objective; {near}", {"near": nearest(name, known)})
    model = _known[known[base]][base].options
    given = options or dict(getattr(name, "options", {}))
    if model is None:
        if given:
            raise fault(([next(iter(given))], f"is not a key here; '{base}' has no options, only a {WEIGHT}", next(iter(given.values()))))
        return ObjectiveName(base, known[base])
    return ObjectiveName(base, known[base], model.model_validate(given, context=info.context).model_dump(mode="json"))


def _finite(weight: Any) -> float:
    try:
        number = float("no" if isinstance(weight, bool) else weight)
    except (TypeError, ValueError):
        number = float("nan")
    if not math.isfinite(number):
        raise PydanticCustomError("objective", "should give each objective a finite number as its weight")
    return number


def _plain(value: str | dict[str, float]) -> Any:
    """As a problem file would write it."""
    if isinstance(value, str):
        options = getattr(value, "options", {})
        return {value.base: {WEIGHT: 1.0, **options}} if options else getattr(value, "base", value)  # type: ignore[attr-defined]
    told: dict[str, Any] = {}
    for name, weight in value.items():
        options = getattr(name, "options", {})
        told[getattr(name, "base", name)] = {WEIGHT: weight, **options} if options else weight
    return told


_BY_NAME = {"anyOf": [{"type": "number"}, {"type": "object", "properties": {WEIGHT: {"type": "number"}}}]}

Objective = Annotated[
    str | dict[str, float], PlainValidator(_read), PlainSerializer(_plain),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": _BY_NAME}]}),
]
"""One objective's name, or weights by name; the weight of an objective with options may be a mapping of it and of them."""
