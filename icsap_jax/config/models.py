"""The bases every schema builds on.

A `Model` refuses unknown keys, NaN and infinity. A `Kind` is one of several ways to fill a place in a problem file, chosen by its
`kind` and naming the function that builds it. `OneOf[Base]` is such a place: it takes any subclass of Base, found when a file is
read, so that a plugin adds a kind by defining a class. Problems, rules and priors are kinds; a problem also names its domain's
optimum, baselines, pictures and table.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

# Plugin modules whose kinds and objectives may be used by the file now being read.
ACTIVE_PLUGINS: ContextVar[frozenset[str]] = ContextVar("active_plugins", default=frozenset())
PLUGIN_PREFIX = "icsap_plugin_"
# Stands for "$ref" until every kind's definition has been gathered: pydantic refuses references it did not make.
DEFINED = "x-defined-as"


def fault(*faults: tuple[Sequence[str | int], str, Any]) -> ValidationError:
    """An error to raise from a validator: each fault is (keys below the model, what would be right, the offending value)."""
    return ValidationError.from_exception_data("problem file", [
        InitErrorDetails(type=PydanticCustomError("fault", "{text}", {"text": text}), loc=tuple(keys), input=value)
        for keys, text, value in faults])


def nearest(name: str, valid: Iterable[str]) -> str:
    """A phrase that offers the valid names, the nearest first when one is near."""
    valid = list(valid)
    near = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.5)
    return (f"did you mean '{near[0]}'? It can be " if near else "it can be ") + ", ".join(valid)


class Model(BaseModel):
    """A mapping in a problem file. Unknown keys, NaN, infinity and truth values for numbers are errors; text such as "1e-3" is a
    number where a number belongs; a model never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [key for key in data if key not in cls.model_fields]
            if unknown:
                raise fault(*(([key], f"is not a key here; {nearest(key, cls.model_fields)}", data[key]) for key in unknown))
        return data

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_for_a_number(cls, value: Any, info: Any) -> Any:
        annotation = cls.model_fields[info.field_name].annotation
        if isinstance(value, bool) and {annotation, *get_args(annotation)} & {int, float}:
            raise PydanticCustomError("truth_value", "should be a number")
        return value


class Kind(Model):
    """One of several ways to fill a place in a problem file. A concrete kind has `kind: Literal["name"] = "name"`, a `builder`
    ("module:attribute", or a function; none where its properties say all there is to know) and at least one entry in `examples`, a
    valid mapping small enough to test with."""

    builder: ClassVar[Any] = None
    examples: ClassVar[list[dict[str, Any]]] = [{}]

    @classmethod
    def kind_name(cls) -> str | None:
        """The name in a problem file, or None for a base."""
        field = cls.model_fields.get("kind")
        names = get_args(field.annotation) if field else ()
        return names[0] if names else None

    def build(self, *args: Any, **keywords: Any) -> Any:
        """What this kind stands for: `builder(self, …)`. This is where jax is first imported."""
        return resolve(type(self).builder)(self, *args, **keywords)

    def hook(self, name: str) -> Callable | None:
        """The function of its domain that the hook `name` stands for, imported now; None where there is none."""
        target = getattr(type(self), name)
        return None if target is None else resolve(target)


def resolve(target: str | Callable) -> Callable:
    """The object "module:attribute" names; anything else is itself."""
    if not isinstance(target, str):
        return target
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


class RuleModel(Kind):
    """What the designer controls. `build(problem, env, key)` gives a Rule. `problems`: the kinds of problem it fits, () for all;
    `statements`: what holds by construction, whatever the parameters, as sentences its artifacts repeat; `serves`: to which of the
    problems in `problems` it is limited, as the page on problem files says it, "" for no limit; `starts`: the function
    (model, problem, env, key) of its domain that gives several rules side by side to train from, leaves [starts, …], where one
    start would end in one of many local optima; `optimum`: in place of the problem's hook, the best that rules of this kind reach;
    `polish`, `listing`: in place of the problem's; `heeds`: what of a problem's `demands` it knows to respect, and what
    else it is told where a problem has it; `strategyproof`: that nobody gains by lying, whatever the parameters, so that it is trained
    with the response `trained_by` and no other."""

    problems: ClassVar[tuple[str, ...]] = ()
    statements: ClassVar[tuple[str, ...]] = ()
    serves: ClassVar[str] = ""
    starts: ClassVar[Any] = None
    optimum: ClassVar[Any] = None
    polish: ClassVar[Any] = None
    listing: ClassVar[Any] = None
    strategyproof: ClassVar[bool] = False
    trained_by: ClassVar[str] = "truthful"
    heeds: ClassVar[tuple[str, ...]] = ()
    memory_keys: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """What rules of this kind want of `training` and `evaluation`, over the defaults of the problem, which is not yet checked."""
        return {}

    def unfit(self, problem: Problem) -> str | None:
        """Why this rule cannot serve a problem of a kind in `problems`, as the rest of a sentence that begins with it; None if it can."""
        return None

    def refuses(self, problem: Problem) -> str | None:
        """As `unfit`, and where the problem demands of its rules what this one knows nothing of."""
        ignored = [name for name in problem.demands() if name not in type(self).heeds]
        return f"knows nothing of {' and '.join(ignored)}" if ignored else self.unfit(problem)

    def memory(self, problem: Problem, training: Any) -> int | None:
        """Bytes one training step with this rule is expected to hold at once; None: as the problem says."""
        return None


class PriorModel(Kind):
    """A distribution of private values. `build(agents, items, folder)` gives a Prior with items' values [B, N, M]. `marginal`:
    whether it is also the distribution of one number, so that a copula may join it to others."""

    marginal: ClassVar[bool] = True

    def check(self, agents: int, items: int, folder: Path) -> None:
        """Raise `fault` unless the numbers fit this many agents and items, or the data file is right. Allocate nothing of that size."""

    def ties_agents(self, agents: int, items: int, folder: Path) -> bool:
        """Whether agents' values depend on each other, so that one agent's cannot be redrawn alone; asked before `check`."""
        return False


class Problem(Kind):
    """An environment. `build(folder)` gives (problem, env). The hooks name functions of its domain, None where there is none: `check`
    refuses, before anything is written, a problem without a solution; `judge` measures a rule where what agents do is an equilibrium of a
    kind of its own (`bilevel/judgement.py`); `optimum`, `baselines`, `control` and `pictures` are given the
    problem and its numbers; `bound` proves an upper bound on the objective, by multipliers that it learns or that the rule has; `polish`
    makes a trained rule exact where that is possible, `details` tells more about one, `table` applies one to a CSV, and `listing` gives
    the rows of one that is a list. What its accounts tell beyond values and transfers (`objectives.Account`) are the names in `tells`.
    `defaults` are the domain's values for rule, training and evaluation, laid under the user's."""

    optimum: ClassVar[Any] = None
    bound: ClassVar[Any] = None
    control: ClassVar[Any] = None
    baselines: ClassVar[Any] = None
    check: ClassVar[Any] = None
    judge: ClassVar[Any] = None
    polish: ClassVar[Any] = None
    details: ClassVar[Any] = None
    pictures: ClassVar[Any] = None
    table: ClassVar[Any] = None
    listing: ClassVar[Any] = None
    tells: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[dict[str, Any]] = {}
    memory_keys: ClassVar[tuple[str, ...]] = ("training.batch",)

    @classmethod
    def defaults_for(cls, problem: Mapping[str, Any]) -> dict[str, Any]:
        """The defaults for the problem a file describes, not yet checked, its data files by paths that can be opened: `defaults`,
        unless a domain knows better for some problems."""
        return cls.defaults

    @classmethod
    def completed(cls, defaults: dict[str, Any], problem: Mapping[str, Any]) -> dict[str, Any]:
        """The defaults of the problem a file describes once those of its rule are laid over them: as they are, unless a domain has
        something to put around what the rule wants."""
        return defaults

    def demands(self) -> tuple[str, ...]:
        """What rules have to know of this problem besides its kind, each to be found in a rule's `heeds`."""
        return ()

    def memory(self, training: Any, rule: RuleModel) -> int:
        """Bytes one training step is expected to hold at once; roughly, and before anything is allocated."""
        return 0


_K = TypeVar("_K", bound=Kind)


def kinds(base: type[_K]) -> dict[str, type[_K]]:
    """Every concrete subclass of `base` by its kind, in order of definition; plugins only where the file being read names them."""
    found: dict[str, type[_K]] = {}
    for cls in base.__subclasses__():
        hidden = cls.__module__.startswith(PLUGIN_PREFIX) and cls.__module__ not in ACTIVE_PLUGINS.get()
        name = cls.kind_name()
        if name and not hidden:
            found[name] = cls
        found.update(kinds(cls))
    return found


class _Choice:
    """The validator behind OneOf and OneOrEach."""

    def __init__(self, base: type[Kind], each: bool):
        self.base, self.each = base, each

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._pick_each if self.each else self._pick,
            serialization=core_schema.plain_serializer_function_ser_schema(_plain))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        one = {"oneOf": [{DEFINED: definition(cls)} for cls in kinds(self.base).values()]}
        return {"anyOf": [one, {"type": "array", "items": one}]} if self.each else one

    def _pick_each(self, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, (list, tuple)):
            return self._pick(value, info)
        picked = []
        for place, part in enumerate(value):
            with under(place):
                picked.append(self._pick(part, info))
        return picked

    def _pick(self, value: Any, info: ValidationInfo) -> Kind:
        if isinstance(value, self.base):
            return value
        known = kinds(self.base)
        if not isinstance(value, Mapping):
            raise fault(([], f"should be a mapping with a kind: {', '.join(known)}", value))
        if "kind" not in value:
            raise fault((["kind"], f"is missing; it can be {', '.join(known)}", None))
        name = value["kind"]
        chosen = known.get(name) if isinstance(name, str) else None
        if chosen is None:
            raise fault((["kind"], f"is not a known kind; {nearest(name, known)}", name))
        return chosen.model_validate(dict(value), context=info.context)


def definition(cls: type[Kind]) -> str:
    """The name of a kind's definition in the JSON Schema: the base it fills, then its kind."""
    base = next(ancestor for ancestor in reversed(cls.__mro__) if issubclass(ancestor, Kind) and ancestor is not Kind)
    return f"{base.__name__}.{cls.kind_name()}"


def folder_of(info: ValidationInfo) -> Path:
    """Where relative files are looked up, inside a validator."""
    return (info.context or {}).get("folder", Path())


@contextmanager
def under(*keys: str | int) -> Iterator[None]:
    """Faults raised inside are reported below `keys`."""
    try:
        yield
    except ValidationError as error:
        raise fault(*(([*keys, *line["loc"]], line["msg"], line["input"]) for line in error.errors())) from None


def _plain(value: Any) -> Any:
    return [part.model_dump(mode="json") for part in value] if isinstance(value, (list, tuple)) else value.model_dump(mode="json")


if TYPE_CHECKING:
    _T = TypeVar("_T")
    OneOf = Annotated[_T, "one kind"]
    OneOrEach = Annotated[_T | list[_T], "one kind, or a list of them"]
else:

    class OneOf:
        """`OneOf[Base]`: any subclass of Base, chosen by `kind`."""

        def __class_getitem__(cls, base: type[Kind]) -> Any:
            return Annotated[base, _Choice(base, each=False)]

    class OneOrEach:
        """`OneOrEach[Base]`: one of them for all places, or a list with one for each."""

        def __class_getitem__(cls, base: type[Kind]) -> Any:
            return Annotated[base | list[base], _Choice(base, each=True)]
