"""`python -m icsap_jax.artifact.replay FOLDER`: ask an artifact, in a process of its own, what it was asked when it was saved.

Prints one JSON object: for the parameters and for the compiled rule, the largest difference from the saved answers as a share of
the largest answer, or null with a note where the compiled rule is not there or this jax cannot load it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from icsap_jax import runtime
from icsap_jax.artifact import compiled
from icsap_jax.artifact.store import REPLAY, STABLEHLO, Loaded, load


def replay(artifact: Loaded) -> dict[str, float | str | None]:
    """`parameters` and `stablehlo`: largest differences or None; `note`: why there is none."""
    path = artifact.folder / REPLAY
    if not path.exists():
        return {"parameters": None, "stablehlo": None, "note": "this rule is not asked anything row by row"}
    with np.load(path, allow_pickle=False) as file:
        saved = {name: file[name] for name in file.files}
    inputs = tuple(saved[f"input/{place}"] for place in range(sum(name.startswith("input/") for name in saved)))
    expected = {name.removeprefix("output/"): value for name, value in saved.items() if name.startswith("output/")}
    now = {name: np.asarray(value) for name, value in compiled.answers(artifact.rule, *inputs).items()}
    found = {"parameters": difference(now, expected), "stablehlo": None, "note": None}
    if not (artifact.folder / STABLEHLO).exists():
        return {**found, "note": "this artifact has no compiled rule"}
    try:
        answered = compiled.run((artifact.folder / STABLEHLO).read_bytes(), inputs)
    except Exception as error:  # jax has no one error for a file that a newer jax wrote
        reason = (str(error).splitlines() or [""])[0]
        return {**found, "note": f"this jax cannot load the compiled rule ({type(error).__name__}: {reason})"}
    return {**found, "stablehlo": difference(answered, expected)}


def difference(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """The largest difference of any number, as a share of the largest expected one of its part; infinite where parts, shapes or NaN
    differ."""
    if {name: value.shape for name, value in found.items()} != {name: value.shape for name, value in expected.items()}:
        return float("inf")
    shares = [np.abs(found[name] - value).max(initial=0.0) / max(np.abs(value).max(initial=0.0), 1e-30) for name, value in expected.items()]
    largest = float(np.max(shares, initial=0.0))  # NaN stays NaN, which Python's own max may lose
    return largest if np.isfinite(largest) else float("inf")


if __name__ == "__main__":
    runtime.prepare()
    answer = replay(load(Path(sys.argv[1])))
    print(json.dumps({key: str(value) if value == float("inf") else value for key, value in answer.items()}))
