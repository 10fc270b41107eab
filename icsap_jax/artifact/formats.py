"""A learned rule as one file that other programs read.

stablehlo: the compiled rule, run by anything that speaks XLA (`jax.export.deserialize(bytes).call(reports)`). npz: its parameters.
onnx: for ONNX runtimes, converted by jax2onnx, which the extra `export` installs, and compared with the rule before it is kept.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from icsap_jax.artifact import compiled, replay
from icsap_jax.artifact.checks import REPLAY_TOLERANCE
from icsap_jax.artifact.store import PARAMETERS, STABLEHLO, Loaded, load
from icsap_jax.config import ConfigError
from icsap_jax.files import replacing


def export(path: Path, format: str = "stablehlo", output: Path | None = None) -> Path:
    """Write the rule of a run or an artifact as `format` and return where: `output`, or RULE.FORMAT beside the artifact. Raises
    ConfigError for a format this rule has not, or whose extra is not installed."""
    artifact = load(path)
    if format not in WRITERS:
        kind = artifact.manifest["rule"]
        raise ConfigError(f"--format {format}: a {kind} is not a table; choose one of {', '.join(WRITERS)}.")
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


WRITERS: dict[str, Callable[[Loaded, Path], None]] = {"stablehlo": _stablehlo, "npz": _npz, "onnx": _onnx}
