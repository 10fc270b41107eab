"""Writing an artifact and reading it back.

The folder is written beside its place and renamed when complete, the manifest last. The manifest carries a hash of every file and
of itself, so `load` uses nothing that changed since. An artifact of another format is refused by its number, before anything else
in it is believed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from icsap_jax import config as files_of
from icsap_jax import runtime
from icsap_jax.artifact import compiled, parameters
from icsap_jax.bilevel.types import Rule, Tree
from icsap_jax.config import Config, ConfigError
from icsap_jax.files import MANIFEST, as_json, damaged, digests, replacing_folder, sealed

SCHEMA = 1
# 2: what a rule is given and does not learn is among the parameters. 3: features of a matching network have one length. 4: it begins with
# guarded deferred acceptance.
FORMAT = 4
PARAMETERS, CONFIG, RESULT, REPLAY, STABLEHLO = "parameters.npz", "config.yaml", "result.json", "replay.npz", "rule.stablehlo"


@dataclass(frozen=True)
class Loaded:
    """An artifact in memory: where it lies, its configuration, the problem with its numbers, the rule, and the manifest."""

    folder: Path
    config: Config
    problem: Any
    env: Tree
    rule: Rule
    manifest: dict[str, Any]


def save(folder: Path, config: Config, problem: Any, env: Tree, rule: Rule, result: dict[str, Any], say: Callable[[str], None]) -> Path:
    """Write one trained rule (no member axis) and its `result` as the artifact `folder`, replacing one that is there. `say` hears
    when the rule could not be compiled; the artifact is then written without it."""
    inputs = compiled.questions(problem, env)
    with _written(folder, config, rule, result) as partial:
        if inputs is not None:
            np.savez(partial / REPLAY, **replay_of(rule, inputs))
            try:
                (partial / STABLEHLO).write_bytes(compiled.serialised(rule, inputs))
            except (ValueError, TypeError, NotImplementedError) as error:
                reason = (str(error).splitlines() or [""])[0]
                say(f"{folder}: this rule could not be compiled to StableHLO, so {STABLEHLO} is left out ({reason}).")
    return Path(folder)


def keep(folder: Path, config: Config, rule: Rule, result: dict[str, Any]) -> Path:
    """As `save`, without what takes seconds to compile: enough to load the rule, to apply it and to measure it again."""
    with _written(folder, config, rule, result):
        return Path(folder)


@contextmanager
def _written(folder: Path, config: Config, rule: Rule, result: dict[str, Any]) -> Iterator[Path]:
    """An artifact in the making, complete when the block ends; the manifest comes last."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(folder) as partial:
        gathered = config.gather(partial)
        (partial / CONFIG).write_text(yaml.safe_dump(gathered.resolved(), sort_keys=False, allow_unicode=True), encoding="utf-8")
        (partial / RESULT).write_text(as_json(result), encoding="utf-8")
        parameters.write(partial / PARAMETERS, rule)
        yield partial
        (partial / MANIFEST).write_bytes(_sealed(_manifest(partial, config, result)))


def load(folder: Path) -> Loaded:
    """The artifact in `folder`, which may also be a run folder that holds one. Raises ConfigError when it is none, is of another
    format, or is not what it was when it was written."""
    folder = locate(folder)
    manifest = read_manifest(folder)
    wrong = damaged(folder, manifest["files"])
    if wrong:
        raise ConfigError(f"{folder}: {wrong[0]} is not what it was when this artifact was written; get a fresh copy.")
    config = files_of.load(folder / CONFIG)
    problem, env = config.problem.build(config.folder)
    return Loaded(folder, config, problem, env, parameters.read(folder / PARAMETERS, config, problem, env), manifest)


def locate(path: Path) -> Path:
    """The artifact at `path`, or in the run folder `path`."""
    path = Path(path)
    for folder in (path, path / "artifact"):
        if (folder / MANIFEST).is_file():
            return folder
    if (path / "config.yaml").is_file() and (path / "metrics.jsonl").is_file():
        raise ConfigError(f"{path}: this run is not finished; run the same train command to resume it.")
    raise ConfigError(f"{path}: neither an artifact (a folder with {MANIFEST}) nor a run folder that holds one; train first.")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the artifact `folder`, with its own seal checked. Raises ConfigError."""
    path = folder / MANIFEST
    content = path.read_bytes()
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise ConfigError(f"{path}: this file is damaged ({error}); get a fresh copy of the artifact.") from error
    for key, supported in (("schema", SCHEMA), ("format", FORMAT)):
        found = manifest.get(key) if isinstance(manifest, dict) else None
        if found != supported:
            raise ConfigError(f"{path}: this artifact has {key} {found}, and this version of icsap_jax reads {key} {supported} only; "
                              "use the version named under 'versions' in that file, or train again.")
    if content != _sealed({key: value for key, value in manifest.items() if key != "seal"}):
        raise ConfigError(f"{path}: this file is not what it was when the artifact was written; get a fresh copy.")
    return manifest


def replay_of(rule: Rule, inputs: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    """Questions and answers as named arrays: input/0, …, and output/allocation, …, rows first."""
    outputs = compiled.answers(rule, *inputs)
    return {**{f"input/{place}": each for place, each in enumerate(inputs)},
            **{f"output/{name}": np.asarray(value) for name, value in outputs.items()}}


def _manifest(folder: Path, config: Config, result: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": SCHEMA, "format": FORMAT,
        "domain": config.problem.kind_name(), "rule": config.rule.kind_name(),
        # What holds for every parameter of this kind of rule, so that it needs no evidence.
        "statements": list(getattr(type(config.rule), "statements", ())),
        "evidence": {name: result.get(name) for name in ("objective", "incentive_gap", "optimum")},
        "versions": runtime.versions(), "platforms": list(compiled.PLATFORMS) if (folder / STABLEHLO).exists() else [],
        "files": digests(folder),
    }  # fmt: skip


def _sealed(manifest: dict[str, Any]) -> bytes:
    """The manifest as it is written, with a hash of all the rest of it at the end."""
    return as_json(sealed(manifest)).encode()
