"""The designer's objectives by name, and who made each known: the package, or one of the user's plugins.

An objective belongs to whoever registered it. A plugin's is known only to the problem files that name the plugin, so one name may
mean different things in two of them; the name a file is read into remembers which.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from icsap_jax.config.models import ACTIVE_PLUGINS, nearest
from icsap_jax.config.reading import ConfigError

PACKAGE = ""  # the owner of what the package registers, and of what a user's own program does
_known: dict[str, dict[str, str | Callable]] = {}
_registering: ContextVar[str] = ContextVar("registering", default=PACKAGE)


class OwnedName(str):
    """The name of a plugin's objective. It reads, hashes and is found as that text, but the same name from another plugin is not
    equal to it, so that nothing compiled for the one is ever used for the other."""

    owner: str

    def __new__(cls, name: str, owner: str) -> OwnedName:
        made = super().__new__(cls, name)
        made.owner = owner
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # copies and pickles keep the owner
        return str(self), self.owner

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and str.__eq__(self, other) and getattr(other, "owner", self.owner) == self.owner

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def register_objective(name: str, function: str | Callable) -> None:
    """Let problem files say `objective: name`. `function` maps an `objectives.Account` to the designer's value […]; as
    "module:attribute", naming it imports nothing. Raises ConfigError where the name already has another function."""
    mine = _known.setdefault(_registering.get(), {})
    if mine.get(name, function) != function:
        raise ConfigError(f"register_objective: '{name}' already names {mine[name]!r}; choose another name.")
    mine[name] = function


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
    owner = getattr(name, "owner", PACKAGE)
    try:
        return _known[owner][name]
    except KeyError:
        raise ConfigError(f"objective = '{name}' is not a known objective; {nearest(name, registered(owner))}.") from None


def _owners() -> dict[str, str]:
    """Whose objective each name is for the file now being read."""
    return {name: owner for owner in (PACKAGE, *ACTIVE_PLUGINS.get()) for name in registered(owner)}


def _check(value: Any) -> Any:
    if isinstance(value, dict) and not value:
        raise PydanticCustomError("objective", "should name at least one objective")
    known = _owners()
    for name in value if isinstance(value, dict) else [value]:
        if not isinstance(name, str) or name not in known:
            raise PydanticCustomError("objective", "is not a known objective; {near}", {"near": nearest(name, known)})
    if not isinstance(value, dict):
        return value
    weights = {name: _finite(weight) for name, weight in value.items()}
    if not any(weights.values()):
        raise PydanticCustomError("objective", "should give at least one objective a weight other than 0")
    return weights


def _finite(weight: Any) -> float:
    try:
        number = float("no" if isinstance(weight, bool) else weight)
    except (TypeError, ValueError):
        number = float("nan")
    if not math.isfinite(number):
        raise PydanticCustomError("objective", "should give each objective a finite number as its weight")
    return number


def _own(value: str | dict[str, float]) -> str | dict[str, float]:
    """Each name with its owner, where that is a plugin."""
    owners = _owners()

    def owned(name: str) -> str:
        return OwnedName(name, owners[name]) if owners[name] else name

    return {owned(name): weight for name, weight in value.items()} if isinstance(value, dict) else owned(value)


Objective = Annotated[str | dict[str, float], BeforeValidator(_check), AfterValidator(_own)]
"""One objective's name, or weights by name."""

for _name in ("revenue", "welfare", "utility", "maximin", "equality", "profit"):
    register_objective(_name, f"icsap_jax.objectives:{_name}")
