"""Whether an artifact is what it says: its files, its answers in a fresh process, and its evidence measured again.

Each check says what was compared and how closely. Answers are compared as float32: the same machine gives the same bits, another
order of summation a few units in the last place. Evidence is measured with the same seed, so the same versions on the same kind of
device must find the same numbers; elsewhere other random profiles may be drawn, and the standard errors decide.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import icsap_jax
from icsap_jax import evaluation, runtime
from icsap_jax.artifact.store import RESULT, Loaded, load, locate, read_manifest
from icsap_jax.files import damaged

# About 80 units in the last place of float32: sums over a hundred terms in another order, through a few layers.
REPLAY_TOLERANCE = 1e-5
# Of the measured value: evaluation is in float64, but refining a deviation by many steps magnifies its last places.
SAME_TOLERANCE = 1e-6
# Standard errors of a difference of two independent measurements; by chance exceeded once in 15 000 times.
ERRORS = 4.0


@dataclass(frozen=True)
class Check:
    """One thing verified: its name, whether it holds, and in one line what was found."""

    name: str
    passed: bool
    detail: str


def verify(folder: Path, say: Callable[[str], None] = lambda line: None) -> list[Check]:
    """All checks of the artifact `folder` (or of the run that holds one); where its files are damaged nothing else is tried.
    Raises ConfigError when `folder` holds no artifact, or one of another format."""
    runtime.prepare()
    folder = locate(folder)
    files = _files(folder)
    if not files.passed:
        return [files]
    artifact = load(folder)
    say("asking it in a fresh process what it was asked when it was saved")
    return [files, *_replay(folder), *_evidence(artifact, say)]


def _files(folder: Path) -> Check:
    manifest = read_manifest(folder)
    wrong = damaged(folder, manifest["files"])
    if wrong:
        return Check("files", False, f"not as they were written: {', '.join(wrong)}; nothing else was tried")
    return Check("files", True, f"the manifest and {len(manifest['files'])} files are as they were written (sha256)")


def _replay(folder: Path) -> Iterator[Check]:
    """In a process of its own, so that nothing this one has computed or cached can help."""
    package = Path(icsap_jax.__file__).parents[1]
    path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run([sys.executable, "-m", "icsap_jax.artifact.replay", str(folder.absolute())], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": path})
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        yield Check("replay", False, f"the fresh process failed: {reason}")
        return
    found = json.loads(done.stdout.strip().splitlines()[-1])
    for name, key in (("replay", "parameters"), ("compiled rule", "stablehlo")):
        if found[key] is None:
            # Not a fault of the artifact: the parameters are the truth, the compiled rule rides along.
            yield Check(name, True, f"not compared: {found['note']}")
            continue
        largest = float(found[key])
        yield Check(name, largest <= REPLAY_TOLERANCE,
                    f"largest difference from the saved answers {largest:.1e} of the largest answer (at most {REPLAY_TOLERANCE:.0e})")


def _evidence(artifact: Loaded, say: Callable[[str], None]) -> Iterator[Check]:
    """The objective and the gap, measured again with the artifact's own seed and effort."""
    claimed = artifact.manifest["evidence"]
    result = json.loads((artifact.folder / RESULT).read_text(encoding="utf-8"))
    if any(result.get(name) != value for name, value in claimed.items()):
        yield Check("evidence", False, f"the manifest and {RESULT} claim different things")
        return
    if not claimed.get("objective") or not claimed.get("incentive_gap"):
        yield Check("evidence", True, "not compared: none was saved with this artifact")
        return
    measured = evaluation.evaluate(artifact.config, artifact.problem, artifact.env, artifact.rule, say)
    alike = result.get("versions") == runtime.versions() and result.get("device") == runtime.device_name()
    yield _agreement("objective", claimed["objective"]["value"], measured["objective"]["value"],
                     claimed["objective"]["std_error"], measured["objective"]["std_error"], alike)
    yield _agreement("incentive gap", claimed["incentive_gap"]["mean"], measured["incentive_gap"]["mean"],
                     _error(claimed["incentive_gap"]), _error(measured["incentive_gap"]), alike)


def _error(gap: dict[str, Any]) -> float | None:
    """The standard error behind a 95 % interval. Its upper half: the lower one is cut off at 0."""
    return (gap["ci95"][1] - gap["mean"]) / 1.96 if gap.get("ci95") else None


def _agreement(name: str, claimed: float, measured: float, error: float | None, other: float | None, alike: bool) -> Check:
    """Same versions and device: the same number. Otherwise: within the standard errors of both."""
    difference, same = abs(claimed - measured), SAME_TOLERANCE * max(1.0, abs(claimed))
    allowed, reason = same, f"{same:.0e}, the same seed on the same versions and device"
    if not alike:
        allowed = max(same, ERRORS * math.hypot(error or 0.0, other or 0.0))
        reason = f"{allowed:.1e}, {ERRORS:.0f} standard errors, as versions or device differ"
    return Check(name, difference <= allowed, f"claimed {claimed:.6g}, measured {measured:.6g}: they differ by {difference:.1e} "
                                              f"(at most {reason})")
