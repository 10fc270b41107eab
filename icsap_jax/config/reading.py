"""Text to plain data: YAML with the numbers people write, `key=value` overrides, and defaults laid under what the user said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml


class ConfigError(Exception):
    """The user's input is wrong. The message is a sentence for that user: where, what, and what would be right."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads `1e-3` as text and lets a later key silently replace an earlier one of the same name; here the first is a
    number and the second an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        names = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if names.count(key.value) > 1 and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"the key '{key.value}' appears twice", key.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))


def parse_yaml(text: str, source: str) -> Any:
    """The plain data in `text`; a syntax error names `source`, line and column."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{source}{where}: this is not valid YAML: {getattr(error, 'problem', None) or error}.") from error


def read_yaml(path: Path) -> Any:
    """The plain data in a YAML file."""
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file; give the path of a problem file (YAML).")
    if path.is_dir():
        raise ConfigError(f"{path}: this is a folder; give the path of a problem file (YAML).")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: this is not a text file; a problem file is YAML in UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"{path}: the file cannot be read ({error.strerror or error}).") from error
    return parse_yaml(text, str(path))


def override(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of `data` with every `dotted.key=value` applied in order; values are YAML, list places are numbers from 0. Another `kind`
    drops the keys that the old one had beside it and no override sets: they would not fit it."""
    changed, named = _copy(data), keys_of(overrides)
    for text, key in zip(overrides, named, strict=True):
        steps, value = key.split("."), text.partition("=")[2]
        if "=" not in text or not all(steps):
            raise ConfigError(f"Override '{text}': write it as dotted.key=value, for example training.steps=1000.")
        node: Any = changed
        for step in steps[:-1]:
            node = _descend(node, step, text)
        new = parse_yaml(value, f"Override '{text}'")
        if steps[-1] == "kind" and isinstance(node, dict) and node.get("kind", new) != new:
            above = key.removesuffix("kind")
            for old in [old for old in node if not any(f"{name}.".startswith(f"{above}{old}.") for name in named)]:
                del node[old]
        _assign(node, steps[-1], new, text)
    return changed


def keys_of(overrides: Sequence[str]) -> list[str]:
    """The dotted keys that overrides set."""
    return [text.partition("=")[0].strip() for text in overrides]


def merge(under: Any, over: Any) -> Any:
    """`over` with what it leaves out taken from `under`, mapping by mapping. A mapping of another `kind` replaces the default
    whole: the default's other keys would not fit it."""
    if not (isinstance(under, Mapping) and isinstance(over, Mapping)):
        return _copy(over)
    if over.get("kind", under.get("kind")) != under.get("kind"):
        return _copy(over)
    return {key: merge(under[key], over[key]) if key in under and key in over else _copy(over[key] if key in over else under[key])
            for key in (*under, *(key for key in over if key not in under))}


def map_files(tree: Any, change: Any) -> Any:
    """A copy of plain data in which every `file: NAME` became `file: change(NAME)`: a mapping's key `file` always names a file, and a
    sweep's key that ends in it lists some."""
    if isinstance(tree, Mapping):
        return {key: _changed(value, change) if key == "file" or str(key).endswith(".file") else map_files(value, change)
                for key, value in tree.items()}  # fmt: skip
    return [map_files(value, change) for value in tree] if isinstance(tree, list) else tree


def _changed(files: Any, change: Any) -> Any:
    if isinstance(files, list):
        return [_changed(each, change) for each in files]
    return change(files) if isinstance(files, str) else files


def _copy(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _copy(value) for key, value in tree.items()}
    return [_copy(value) for value in tree] if isinstance(tree, (list, tuple)) else tree


def _place(node: list, step: str, text: str) -> int:
    if not step.isdigit() or int(step) >= len(node):
        raise ConfigError(f"Override '{text}': '{step}' is not a place in a list of {len(node)}; places count from 0.")
    return int(step)


def _descend(node: Any, step: str, text: str) -> Any:
    if isinstance(node, list):
        return node[_place(node, step, text)]
    if not isinstance(node, dict):
        raise ConfigError(f"Override '{text}': there is nothing under '{step}', because what holds it is the value {node!r}.")
    if node.get(step) is None:
        node[step] = {}
    return node[step]


def _assign(node: Any, step: str, value: Any, text: str) -> None:
    if isinstance(node, list):
        node[_place(node, step, text)] = value
    elif isinstance(node, dict):
        node[step] = value
    else:
        raise ConfigError(f"Override '{text}': there is nothing under '{step}', because what holds it is the value {node!r}.")
