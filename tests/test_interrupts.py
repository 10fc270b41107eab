"""Signals that reach a training run: the first waits for the end of the chunk, and what was kept can be resumed.

That a stopped run ends where it would have ended is shown in test_run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from icsap_jax import checkpoints, loop

CHUNK = 20
ENDLESS: dict[str, Any] = {
    "problem": {"kind": "auction", "bidders": 1, "items": 2, "prior": {"kind": "uniform", "low": 0, "high": 1}},
    "rule": {"kind": "regretnet", "hidden": [8]},
    "training": {
        "steps": 10_000_000, "batch": 32, "chunk": CHUNK, "checkpoint_every": 1e6,
        "response": {"kind": "exchange", "reports": 32, "anywhere": 0},
    },
}  # fmt: skip


@pytest.fixture
def default_signals() -> Any:
    """SIGINT raises KeyboardInterrupt even where the tests run in the background, in which case the shell has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_what_the_process_ignores_stays_ignored() -> None:
    """A job started in the background has SIGINT ignored: Ctrl-C for its neighbour in the foreground must not stop it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with loop.postponed_interrupts() as received:
            signal.raise_signal(signal.SIGINT)
        assert received == []
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_signals")
def test_a_second_ctrl_c_acts_at_once() -> None:
    """The first waits for the end of the chunk, the second does not; afterwards handlers are as they were."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), loop.postponed_interrupts() as received:
        signal.raise_signal(signal.SIGINT)
        assert received == [signal.SIGINT]
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second was not heard")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_terminated_command_leaves_a_checkpoint(root: Path, tmp_path: Path) -> None:
    """SIGTERM from a cluster to `python -m icsap_jax train`: status 143, a whole checkpoint, and no result that was never measured."""
    path, out = tmp_path / "long.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(ENDLESS))
    command = [sys.executable, "-m", "icsap_jax", "train", str(path), "--out", str(out)]
    process = subprocess.Popen(command, cwd=root, env=os.environ.copy(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        first = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "steps" in first and "gap" in first, first + errors
    assert process.returncode == 143, errors
    assert "the same command resumes it" in errors and output == ""
    ((step, whole),) = checkpoints._found(out / "checkpoints")
    assert step % CHUNK == 0 and checkpoints._fault(whole) is None
    assert json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["step"] == step
    assert not (out / "result.json").exists()
