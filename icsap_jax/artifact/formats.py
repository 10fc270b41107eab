"""A learned rule as one file that other programs read.

stablehlo: the compiled rule, run by anything that speaks XLA (`jax.export.deserialize(bytes).call(reports)`). npz: its parameters.
onnx: for ONNX runtimes, converted by jax2onnx, which the extra `export` installs, and compared with the rule before it is kept. csv
and json: the rule itself, where it is a list that can be read, such as a contract's payments.
"""

from __future__ import annotations

import csv
import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.artifact import compiled, replay
from icsap_jax.artifact.checks import REPLAY_TOLERANCE
from icsap_jax.artifact.store import PARAMETERS, STABLEHLO, Loaded, load
from icsap_jax.config import ConfigError
from icsap_jax.files import as_json, replacing


def export(path: Path, format: str = "stablehlo", output: Path | None = None) -> Path:
    """Write the rule of a run or an artifact as `format` and return where: `output`, or RULE.FORMAT beside the artifact. Raises
    ConfigError for a format this rule has not, or whose extra is not installed."""
    artifact = load(path)
    choices = [name for name in WRITERS if name not in LISTS or _listing(artifact)]
    if format not in choices:
        kind = artifact.manifest["rule"]
        why = f"a {kind} is not a list" if format in LISTS else "is not a format"
        raise ConfigError(f"--format {format}: {why}; choose one of {', '.join(choices)}.")
    place = Path(output) if output is not None else artifact.folder.parent / f"{artifact.manifest['rule']}.{format}"
    with replacing(place) as partial:
        WRITERS[format](artifact, partial)
    return place


def _stablehlo(artifact: Loaded, path: Path) -> None:
    source = artifact.folder / STABLEHLO
    if not source.exists():
        raise ConfigError(f"{artifact.folder}: this rule was not compiled, because it is not asked anything row by row; choose npz.")
    path.write_bytes(source.read_bytes())


def _npz(artifact: Loaded, path: Path) -> None:
    path.write_bytes((artifact.folder / PARAMETERS).read_bytes())


def _onnx(artifact: Loaded, path: Path) -> None:
    inputs = compiled.questions(artifact.problem, artifact.env)
    if inputs is None:
        raise ConfigError(f"{artifact.folder}: this rule is not asked anything row by row, so there is no ONNX of it; choose npz.")
    if importlib.util.find_spec("jax2onnx") is None:
        raise ConfigError("--format onnx: needs the packages of the extra 'export'; pip install 'icsap-jax[export]'.")
    import jax2onnx

    outputs = compiled.answers(artifact.rule, *inputs)
    names = [f"input{place}" for place in range(len(inputs))]
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it warns of every shape it computes itself
    model = jax2onnx.to_onnx(
        lambda *rows: tuple(compiled.answers(artifact.rule, *rows).values()), [("B", *each.shape[1:]) for each in inputs],
        model_name=artifact.manifest["rule"], input_names=names, output_names=list(outputs))  # fmt: skip
    path.write_bytes(model.SerializeToString())
    found = _run_onnx(path, dict(zip(names, inputs, strict=True)), list(outputs))
    apart = replay.difference(found, {name: np.asarray(value) for name, value in outputs.items()})
    if apart > REPLAY_TOLERANCE:
        raise ConfigError(f"--format onnx: the converted rule answers otherwise than this one, by {apart:.1e} of the largest answer, so it "
                          "was not written; choose stablehlo, and report this with the versions of jax and jax2onnx.")


def _run_onnx(path: Path, inputs: dict[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
    import onnxruntime  # comes with jax2onnx

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, inputs), strict=True))


def _listing(artifact: Loaded) -> Any:
    """How rules of this kind, or any for its problem, are listed; None where they cannot be."""
    return artifact.config.rule.hook("listing") or artifact.config.problem.hook("listing")


def _rows(artifact: Loaded) -> list[dict[str, Any]]:
    """The rule as its domain lists it."""
    return _listing(artifact)(artifact.problem, artifact.env, artifact.config.problem, artifact.config.rule, artifact.rule)


def _csv(artifact: Loaded, path: Path) -> None:
    rows = _rows(artifact)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _json(artifact: Loaded, path: Path) -> None:
    path.write_text(as_json(_rows(artifact)), encoding="utf-8")


LISTS = ("csv", "json")
WRITERS: dict[str, Callable[[Loaded, Path], None]] = {"stablehlo": _stablehlo, "npz": _npz, "onnx": _onnx, "csv": _csv, "json": _json}
