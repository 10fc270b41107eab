"""The whole problem file: `load` and `parse` give a `Config`, complete, checked, and small enough to write back.

Only `problem` is required. The problem's own defaults are laid under the user's `rule`, `training` and `evaluation`, so a domain
decides what a small problem of its kind needs. Memory is estimated before anything is allocated.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError, create_model

from icsap_jax.config.messages import blamed, sentence
from icsap_jax.config.models import DEFINED, Kind, Model, OneOf, Problem, RuleModel, definition, kinds, nearest
from icsap_jax.config.objectives import untold
from icsap_jax.config.plugins import active
from icsap_jax.config.reading import ConfigError, keys_of, map_files, merge, override, read_yaml

if TYPE_CHECKING:
    from icsap_jax.bilevel.schema import Evaluation, Training


@dataclass(frozen=True)
class Config:
    """A checked problem file. `folder`: where relative data files and plugins are looked up; `source`: what to call it in errors;
    `written`: what the file says and overrides say, without defaults."""

    problem: Problem
    rule: RuleModel
    training: Training
    evaluation: Evaluation
    sweep: dict[str, Any] | None
    seed: int
    plugins: list[str]
    folder: Path
    source: str
    written: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def resolved(self) -> dict[str, Any]:
        """Plain data with every default filled in; dumped as YAML it loads again, from the same folder, as the same Config."""
        parts = {name: getattr(self, name).model_dump(mode="json") for name in ("problem", "rule", "training", "evaluation")}
        return {**parts, "sweep": self.sweep, "seed": self.seed, "plugins": list(self.plugins)}

    def by_content(self) -> dict[str, Any]:
        """`resolved`, with each data file and plugin told by its content, wherever it lies."""

        def told(name: str) -> str:
            return f"a file with sha256 {self._content(name)}" if (self.folder / name).is_file() else f"no file {name}"

        return {**map_files(self.resolved(), told), "plugins": [told(path) for path in self.plugins]}

    def sha256(self) -> str:
        """A hash of what the file means: data files and plugins count by content."""
        return hashlib.sha256(json.dumps(self.by_content(), sort_keys=True).encode()).hexdigest()

    def gather(self, folder: Path) -> Config:
        """The same Config standing on its own in `folder`: data files and plugins are copied into folder/data/."""
        return parse(self.standing_alone(self.resolved(), folder), folder, self.source)

    def standing_alone(self, data: dict[str, Any], folder: Path) -> dict[str, Any]:
        """What a problem file in this one's folder says, as one in `folder` says it: data files and plugins are copied to folder/data/."""
        folder = Path(folder)

        def copy(name: str) -> str:
            if not (self.folder / name).is_file():  # only a sweep's may be missing, which whoever trains the file alone does not need
                return name
            content = self._content(name)
            stem = Path(name).stem.removesuffix(f"-{content[:8]}")  # a copy of a copy keeps its name
            place = folder / "data" / f"{stem}-{content[:8]}{Path(name).suffix}"
            if (self.folder / name).parent == place.parent:
                return name
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                shutil.copyfile(self.folder / name, place)
            return place.relative_to(folder).as_posix()

        return {**map_files(data, copy), "plugins": [copy(path) for path in data.get("plugins") or []]}

    def _content(self, name: str) -> str:
        return hashlib.sha256((self.folder / name).read_bytes()).hexdigest()


def load(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """The problem file at `path` with `dotted.key=value` overrides. Raises ConfigError."""
    path = Path(path)
    return parse(read_yaml(path), path.parent, str(path), overrides)


def parse(data: Any, folder: Path | str = ".", source: str = "problem", overrides: Sequence[str] = ()) -> Config:
    """A Config from plain data; relative files are looked up in `folder`, errors call the data `source`."""
    folder = Path(folder)
    if data is None:
        raise ConfigError(f"{source}: is empty; it needs a 'problem'.")
    if not isinstance(data, Mapping):
        raise ConfigError(f"{source}: should be a mapping with the key 'problem', not {type(data).__name__}.")
    given, named = data, keys_of(overrides)
    data = override(_with_rule_named(data), overrides)
    written, plugins = data, data.get("plugins") or []
    if not isinstance(plugins, list) or not all(isinstance(path, str) for path in plugins):
        raise ConfigError(f"{source}: plugins = {plugins!r} should be a list of Python files.")
    with active(plugins, folder, source):
        _check_problem_is_there(data, source)
        data = _with_defaults(data, folder)
        try:
            read = _file_model().model_validate(data, context={"folder": folder})
        except ValidationError as error:
            raise sentence(error, data, source, overrides) from None
        config = Config(**{name: getattr(read, name) for name in type(read).model_fields},
                        folder=folder, source=source, written=written)
        if "rule.kind" in named and not _suits(config) and (without := _untrained(given, named)) is not None:
            return parse(without, folder, source, overrides)
        _check_rule(config, overrides)
    _check_objectives(config, overrides)
    _check_memory(config)
    return config


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a problem file, for editors and checkers."""
    with active([], Path(), "schema"):
        schema = _file_model().model_json_schema()
        definitions = schema.pop("$defs", {})
        for cls in _every_kind():
            part = cls.model_json_schema()
            definitions.update(part.pop("$defs", {}))
            definitions[definition(cls)] = {**part, "required": list(dict.fromkeys(["kind", *part.get("required", [])]))}
    # The problem's defaults fill in every other key.
    return _refer({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "icsap problem file",
                   "required": ["problem"], "$defs": definitions})


def _every_kind() -> list[type[Kind]]:
    """Every concrete kind of the package, whatever it fills."""
    bases: list[type[Kind]] = [Kind]
    found: dict[type[Kind], None] = {}
    for base in bases:
        bases.extend(cls for cls in base.__subclasses__() if cls.kind_name() is None)
        found.update({cls: None for cls in kinds(base).values()})
    return list(found)


def _refer(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {"$ref": f"#/$defs/{tree[DEFINED]}"} if DEFINED in tree else {key: _refer(value) for key, value in tree.items()}
    return [_refer(value) for value in tree] if isinstance(tree, list) else tree


@cache
def _file_model() -> type[Model]:
    """The top level. Made on first use, because the core's schema is itself built on `icsap_jax.config`."""
    from icsap_jax.bilevel.schema import Evaluation, Training

    return create_model(
        "ProblemFile", __base__=Model,
        problem=(OneOf[Problem], Field(description="who the agents are, what they know, what may happen")),
        rule=(OneOf[RuleModel], Field(description="what is designed; each problem has a default")),
        training=(Training, Field(default_factory=Training, description="how it is learned")),
        evaluation=(Evaluation, Field(default_factory=Evaluation, description="how hard it is tested in the end")),
        sweep=(dict[str, Any] | None, Field(None, description="what `icsap sweep` varies: dotted keys with lists or ranges")),
        seed=(int, Field(0, ge=0, lt=2**31, description="of everything random in training")),
        plugins=(list[str], Field(default_factory=list, description="Python files with kinds and objectives of your own")))


def _check_problem_is_there(data: Mapping[str, Any], source: str) -> None:
    """Raise ConfigError where the keys of a problem stand at the top of the file."""
    loose = {key for cls in kinds(Problem).values() for key in cls.model_fields} - set(_file_model().model_fields)
    found = [key for key in data if key in loose]
    if found and data.get("problem") is None:
        raise ConfigError(f"{source}: problem is missing; put these under problem: {', '.join(found)}.")


def _with_rule_named(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data with the kind of its rule, where that is its problem's default: an override by another kind then replaces its keys too."""
    problem, rule = data.get("problem"), data.get("rule")
    cls = kinds(Problem).get(str(problem.get("kind"))) if isinstance(problem, Mapping) else None
    if cls is None or not isinstance(problem, Mapping) or not isinstance(rule, Mapping) or "kind" in rule:
        return data
    kind = cls.defaults_for(problem).get("rule", {}).get("kind")
    return data if kind is None else {**data, "rule": {"kind": kind, **rule}}


def _untrained(data: Mapping[str, Any], named: list[str]) -> dict[str, Any] | None:
    """The data without how its own rule was trained, so that another is trained in its own way; None where no response is to be taken
    away, or an override asks for one."""
    training = data.get("training")
    if any(key.startswith("training.response") for key in named) or not isinstance(training, Mapping) or "response" not in training:
        return None
    return {key: value for key, value in data.items() if key != "training"}


def _with_defaults(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The user's data over the defaults of its problem; a key left empty is a key left out."""
    data = {key: value for key, value in data.items() if value is not None}
    problem = data.get("problem")
    name = problem.get("kind") if isinstance(problem, Mapping) else None
    cls = kinds(Problem).get(name) if isinstance(name, str) else None
    if cls is None or not isinstance(problem, Mapping):
        return data
    located = map_files(problem, lambda file: str(folder / file))
    under = cls.defaults_for(located)
    chosen = merge(under, data).get("rule")
    rule = kinds(RuleModel).get(str(chosen.get("kind"))) if isinstance(chosen, Mapping) else None
    laid = under if rule is None else merge(under, rule.defaults_for(located))
    return merge(cls.completed(laid, located), data)


def _check_objectives(config: Config, overrides: Sequence[str]) -> None:
    """What is valued, and what is bounded, has to be something that problems of this kind tell."""
    tells, constraints = type(config.problem).tells, getattr(config.problem, "constraints", [])
    asked = [("problem", config.problem), *((f"problem.constraints.{place}", each) for place, each in enumerate(constraints))]
    for key, model in asked:
        name = untold(getattr(model, "objective", None), tells)
        if name is not None:
            raise ConfigError(f"{blamed(f'{key}.objective', config.source, overrides)}: {key}.objective = '{name.base}' looks at who gets "
                              f"what, which problems of kind '{config.problem.kind_name()}' do not tell; choose another.")


def _check_rule(config: Config, overrides: Sequence[str]) -> None:
    fits, kind = type(config.rule).problems, config.problem.kind_name()
    if fits and kind not in fits:
        known = [name for name, cls in kinds(RuleModel).items() if not cls.problems or kind in cls.problems]
        name = config.rule.kind_name() or ""
        raise ConfigError(f"{blamed('rule.kind', config.source, overrides)}: rule.kind = '{name}' is not a rule for a problem of kind "
                          f"'{kind}'; {nearest(name, known)}.")
    unfit = config.rule.refuses(config.problem)
    if unfit is not None:
        others = ", ".join(name for name, cls in kinds(RuleModel).items() if kind in cls.problems and _serves(cls, config.problem))
        raise ConfigError(f"{blamed('rule.kind', config.source, overrides)}: rule.kind = '{config.rule.kind_name()}' {unfit}; "
                          f"rules that can serve this problem are {others}.")
    _check_response(config, overrides)


def _check_response(config: Config, overrides: Sequence[str]) -> None:
    rule, (response, key) = type(config.rule), _innermost(config)
    if _suits(config):
        return
    said = f"{blamed(f'{key}.kind', config.source, overrides)}: {key}.kind = '{response.kind_name()}' "
    if not rule.strategyproof:
        raise ConfigError(f"{said}takes it for granted that nobody gains by lying, and under rule.kind = '{config.rule.kind_name()}' they "
                          "may; write another.")
    if response.trusts():
        raise ConfigError(f"{said}is not for rule.kind = '{config.rule.kind_name()}'; write {rule.trained_by}, or leave it out.")
    raise ConfigError(f"{said}searches for lies that pay, and under rule.kind = '{config.rule.kind_name()}' none does; write "
                      f"{rule.trained_by}, or leave it out.")


def _innermost(config: Config) -> tuple[Any, str]:
    """The response that stands innermost, which decides, and its key."""
    response, key = config.training.response, "training.response"
    while (inside := getattr(response, "inner", None)) is not None:
        response, key = inside, f"{key}.inner"
    return response, key


def _suits(config: Config) -> bool:
    """Whether the response is one to train the rule with."""
    rule, (response, _) = type(config.rule), _innermost(config)
    return response.kind_name() == rule.trained_by if rule.strategyproof else not response.trusts()


def _serves(cls: type[RuleModel], problem: Problem) -> bool:
    """Whether a rule of this kind, as its first example has it, can serve a problem."""
    try:
        return cls.model_validate(cls.examples[0]).refuses(problem) is None
    except ValidationError:
        return False


def _check_memory(config: Config) -> None:
    needed, there, keys = config.rule.memory(config.problem, config.training), available_memory(), config.rule.memory_keys
    if needed is None:
        needed, keys = config.problem.memory(config.training, config.rule), config.problem.memory_keys
    if there is not None and needed > there:
        raise ConfigError(f"{config.source}: one training step would need about {_gigabytes(needed)}, and {_gigabytes(there)} of memory "
                          f"is available; make one of these smaller: {', '.join(keys)}.")


def available_memory() -> int | None:
    """Bytes a new process could use now: what the system counts as available, within a container's limit. None: unknown."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError):
        found += [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        found += [] if limit == "max" else [int(limit)]
    except (OSError, ValueError):
        pass
    return min(found, default=None)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
