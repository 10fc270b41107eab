"""A pydantic error, said as a sentence for the person who wrote the problem file: where, what is there, what would be right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from icsap_jax.config.reading import ConfigError, keys_of

SHOWN = 3  # mistakes listed before "and 4 more"


def sentence(error: ValidationError, data: Any, source: str, overrides: Sequence[str] = ()) -> ConfigError:
    """Every mistake in the validated `data`, the first few in full. A key the user overrode is blamed on the override."""
    lines = error.errors()
    # What is wrong with the problem comes first: the defaults of the other parts, a missing rule among them, hang on it.
    lines = [line for line in lines if line["loc"][:1] == ("problem",)] or lines
    faults = [_fault(line, data, source, overrides) for line in lines]
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return ConfigError("; ".join(dict.fromkeys(faults[:SHOWN])) + more + ".")


def _fault(line: Any, data: Any, source: str, overrides: Sequence[str]) -> str:
    keys = _path(line["loc"], data)
    key = ".".join(keys) or "the file"
    value = "" if line["type"] == "missing" or line["input"] is None else f" = {_short(line['input'])}"
    return f"{blamed(key, source, overrides)}: {key}{value} {_right(line)}"


def blamed(key: str, source: str, overrides: Sequence[str]) -> str:
    """Where the value of a dotted key came from: the last override that set it, or else the file."""
    for text, named in zip(overrides, keys_of(overrides), strict=True):
        if key == named or key.startswith(named + "."):
            source = f"Override '{text}'"
    return source


def _right(line: Any) -> str:
    if line["type"] == "missing":
        return "is missing"
    text = line["msg"].strip().rstrip(".")
    return text.replace("Input should be", "should be").replace(", unable to parse string as a number", "").replace(
        ", unable to parse string as an integer", "").replace(", got a number with a fractional part", "")


def _path(loc: Sequence[str | int], data: Any) -> list[str]:
    """The keys as the user wrote them. pydantic also names the branch of a union it tried; that is not a key."""
    keys = []
    for place, key in enumerate(loc):
        if isinstance(data, dict) and (key in data or place == len(loc) - 1):
            data = data.get(key)
        elif isinstance(data, list) and isinstance(key, int) and key < len(data):
            data = data[key]
        else:
            continue
        keys.append(str(key))
    return keys


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
