"""From a problem file with a `sweep:` section to its members: for each an id, the keys it sets, and a checked problem file of its own.

No jax: a mistake is answered at once, and before anything is written.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from icsap_jax.config import Config, ConfigError, parse
from icsap_jax.config.messages import sentence
from icsap_jax.config.models import nearest
from icsap_jax.sweep.schema import Options, Range

LARGEST = 1000  # members beyond which a sweep has to be asked for twice
LONGEST = 80  # characters of an id: it becomes a folder's name


@dataclass(frozen=True)
class Member:
    """One point of a sweep: its id, the dotted keys it sets, and the whole problem file."""

    id: str
    set: dict[str, Any]
    config: Config


@dataclass(frozen=True)
class Sweep:
    """A problem file, what its `sweep:` section asks for besides keys, and its members in order."""

    base: Config
    options: Options
    members: tuple[Member, ...]

    @property
    def keys(self) -> list[str]:
        """The dotted keys that vary."""
        return list(self.members[0].set)


@dataclass(frozen=True)
class Axis:
    """Keys that move together, and what they may be: a list with one value for each of them, or a range to draw from."""

    keys: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...] | None
    ranges: tuple[Range, ...] = ()

    def drawn(self, generator: np.random.Generator) -> tuple[Any, ...]:
        """One of them."""
        if self.values is not None:
            return self.values[int(generator.integers(len(self.values)))]
        return tuple(each.drawn(generator) for each in self.ranges)


def expand(config: Config, allow_large: bool = False) -> Sweep:
    """The sweep that a problem file asks for. Raises ConfigError where it asks for none, a list is empty, a key is not one of the file's,
    two members come out alike, stages do not divide the steps, or there are more than a thousand and that is not said to be meant."""
    where = f"{config.source}: sweep"
    if not config.sweep:
        raise ConfigError(f"{where} is missing; list there what to vary, for example "
                          "sweep: {training.learning_rate: [1e-3, 1e-2], seeds: 3}.")
    options, axes = _read(config.sweep, where)
    count = options.draws or math.prod(len(axis.values or ()) for axis in axes)
    if count > LARGEST and not allow_large:
        raise ConfigError(f"{where} has {count:,} members, more than {LARGEST:,}; add --yes if that is meant, or list fewer values.")
    points = _drawn(axes, options) if options.draws else itertools.product(*(axis.values or () for axis in axes))
    keys = [key for axis in axes for key in axis.keys]
    settings = [dict(zip(keys, itertools.chain(*point), strict=True)) for point in points]
    names = _ids(settings, keys, where)
    members = tuple(Member(name, each, _member(each, config, f"{where}: member {name}"))
                    for name, each in zip(names, settings, strict=True))
    stages = options.halving.first if options.halving else 1
    for member in members:
        if member.config.training.steps % stages:
            raise ConfigError(f"{where}.halving.first = {stages} should divide training.steps, which is {member.config.training.steps} of "
                              f"member {member.id}.")
    return Sweep(config, options, members)


def _read(section: Mapping[str, Any], where: str) -> tuple[Options, list[Axis]]:
    dotted = {str(key): value for key, value in section.items() if "." in str(key)}
    rest = {key: value for key, value in section.items() if key not in dotted}
    try:
        options = Options.model_validate(rest)
    except ValidationError as error:
        raise sentence(error, rest, where) from None
    axes = [_axis({key: value}, options, where) for key, value in dotted.items()]
    axes += [_axis(group, options, f"{where}.zip.{place}") for place, group in enumerate(options.zip)]
    if options.seeds is not None:
        seeds = list(range(options.seeds)) if isinstance(options.seeds, int) else options.seeds
        axes.append(_axis({"seed": seeds}, options, where))
    if not axes:
        raise ConfigError(f"{where} varies nothing; list values for a dotted key, or seeds.")
    keys = [key for axis in axes for key in axis.keys]
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise ConfigError(f"{where} names {twice[0]} twice; leave one out.")
    return options, axes


def _axis(group: Mapping[str, Any], options: Options, where: str) -> Axis:
    """The values of keys that move together."""
    if not group:
        raise ConfigError(f"{where} is empty; give it keys with a list for each.")
    found = {key: _values(value, f"{where}.{key}") for key, value in group.items()}
    open_ended = [key for key, each in found.items() if isinstance(each, Range)]
    if open_ended and options.draws is None:
        raise ConfigError(f"{where}.{open_ended[0]}: a range should say how many numbers (count) or how far apart (step); without either, "
                          "set draws to draw from it.")
    if open_ended and len(found) > 1:
        raise ConfigError(f"{where}.{open_ended[0]}: what moves together should be listed or counted.")
    if open_ended:
        return Axis(tuple(found), None, tuple(each for each in found.values() if isinstance(each, Range)))
    lengths = {key: len(each) for key, each in found.items()}
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"{where}: should have lists of one length, not {', '.join(f'{key} of {n}' for key, n in lengths.items())}.")
    return Axis(tuple(found), tuple(zip(*found.values(), strict=True)))


def _values(value: Any, where: str) -> list[Any] | Range:
    if isinstance(value, Mapping) and {"from", "to"} & set(value):
        try:
            spaced = Range.model_validate(value)
        except ValidationError as error:
            raise sentence(error, value, where) from None
        values = spaced.values()
        return spaced if values is None else values
    if not isinstance(value, list):
        raise ConfigError(f"{where} = {value!r} should be a list, or a range such as {{from: 0, to: 1, count: 5}}.")
    if not value:
        raise ConfigError(f"{where}: is an empty list; give at least one value, or leave the key out.")
    return value


def _drawn(axes: Sequence[Axis], options: Options) -> list[tuple[tuple[Any, ...], ...]]:
    """As many points as asked for; what is drawn of one does not depend on how many there are."""
    points = []
    for place in range(options.draws or 0):
        generator = np.random.default_rng([options.draw_seed, place])
        points.append(tuple(axis.drawn(generator) for axis in axes))
    return points


def _ids(settings: Sequence[Mapping[str, Any]], keys: Sequence[str], where: str) -> list[str]:
    """A name for each member, from what it sets. Raises ConfigError where two would have one."""
    short = {key: key if [other.split(".")[-1] for other in keys].count(key.split(".")[-1]) > 1 else key.split(".")[-1] for key in keys}
    names: dict[str, int] = {}
    for place, each in enumerate(settings):
        name = _name("_".join(f"{short[key]}={_word(value)}" for key, value in each.items()))
        if name in names:
            told = ", ".join(f"{key} = {value}" for key, value in each.items())
            raise ConfigError(f"{where}: the members {names[name] + 1} and {place + 1} are both '{name}' ({told}); "
                              "a value is listed twice.")
        names[name] = place
    return list(names)


def _word(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[^A-Za-z0-9.+-]+", ",", text).strip(",.") or "none"


def _name(text: str) -> str:
    """At most `LONGEST` characters; of longer ones a hash tells the rest."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _member(settings: Mapping[str, Any], config: Config, where: str) -> Config:
    """The problem file of one member: what `train` would make of the base and these overrides. Raises ConfigError that begins with which
    member it is."""
    parts = config.resolved().keys() - {"sweep", "plugins"}
    wrong = next((key for key in settings if key.split(".")[0] not in parts), None)
    if wrong is not None:
        raise ConfigError(f"{where}: {wrong} is not a key of a problem file; {nearest(wrong.split('.')[0], sorted(parts))}.")
    written = {key: value for key, value in config.written.items() if key != "sweep"}
    try:
        return parse(written, config.folder, config.source, [f"{key}={json.dumps(value)}" for key, value in settings.items()])
    except ConfigError as error:
        what = re.sub(r"^Override '.*?': ", "", str(error))  # the override was ours
        raise ConfigError(f"{where}: {what}") from error
