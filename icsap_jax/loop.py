"""The loop around compiled chunks of training: metrics as they come, checkpoints, a progress line, and signals that wait.

What is trained together, the seeds of one run or the members of a sweep, is one state with leaves [S, …]. A stretch of training lies in a
folder of its own, `metrics.jsonl` and `checkpoints/`, and goes on from its last checkpoint: on a CPU it ends bit for bit where it would
have ended, since chunks have a fixed length and every draw is a function of the seed, the member and the step alone.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from icsap_jax import checkpoints, files
from icsap_jax.bilevel.fit import TrainState
from icsap_jax.evaluation import Say

Averages = dict[str, np.ndarray]
Advance = Callable[[TrainState, int], tuple[TrainState, dict[str, Any]]]
METRICS, CHECKPOINTS = "metrics.jsonl", "checkpoints"


@dataclass(frozen=True)
class Stretch:
    """`steps` to take, `chunk` of them at a time, with a checkpoint every so many seconds and at the end. `names` of those members that
    are to be told of; what stands on the member axis behind them fills it up."""

    steps: int
    chunk: int
    checkpoint_every: float
    names: tuple[str, ...]

    @classmethod
    def of(cls, training: Any) -> Stretch:
        """The whole training of a problem file."""
        return cls(training.steps, training.chunk, training.checkpoint_every, tuple(map(str, range(training.members))))


@dataclass(frozen=True)
class Begun:
    """Where a stretch stands: its state after `taken` steps, which took so many seconds."""

    state: TrainState
    taken: int = 0
    seconds: float = 0.0


def resumed(state: TrainState, steps: int, out: Path, say: Say) -> Begun:
    """The last checkpoint under `out`, or `state` where there is none; the metrics there end with it. `steps`: of the whole stretch."""
    metrics = out / METRICS
    restored = checkpoints.restore_latest(out / CHECKPOINTS, state, say)
    taken, lines = 0, list[dict[str, Any]]()
    if restored is not None:
        taken, state = restored
        lines = metrics_until(metrics, taken)
        there = Counter(line["step"] for line in lines)  # a line for each member
        if taken not in there or len(set(there.values())) > 1:
            say(f"{metrics} is damaged: of what it told of the steps up to {taken} only {len(lines)} lines are left")
        say(f"resuming {out} at step {taken} of {steps}")
    files.write_text(metrics, "".join(json.dumps(line) + "\n" for line in lines))
    return Begun(state, taken, lines[-1]["seconds"] if lines else 0.0)


def loop(
    advance: Advance, stretch: Stretch, begun: Begun, out: Path, say: Say, tell: Callable[[int, float, Averages], str] | None = None
) -> TrainState:
    """Train from where it stands to the last step of the stretch, under `out`. `tell` gives the progress line after so many steps, at so
    many a second. A first interrupt finishes the chunk, writes a checkpoint and is then raised again. Raises ConfigError when the disk is
    full."""
    started = saved = time.monotonic()
    state, taken = begun.state, begun.taken
    tell = tell or (lambda taken, speed, averages: progress_line(taken, stretch.steps, speed, averages))
    named: set[int] = set()
    with postponed_interrupts() as interrupted, (out / METRICS).open("a", encoding="utf-8") as stream:
        while taken < stretch.steps:
            count = min(stretch.chunk, stretch.steps - taken)
            state, averages = advance(state, count)
            averages = jax.tree.map(np.asarray, averages)  # waits for the device
            taken += count
            seconds = time.monotonic() - started
            with files.disk_faults(out):
                lines = metrics_lines(taken, begun.seconds + seconds, averages, len(stretch.names))
                stream.writelines(json.dumps(line) + "\n" for line in lines)
                stream.flush()
            name_bad_members(state, stretch.names, named, say)
            say(tell(taken, (taken - begun.taken) / seconds, averages))
            stopping = bool(interrupted)  # asked once: what arrives later waits for the next chunk, and its checkpoint
            if stopping or taken == stretch.steps or time.monotonic() - saved > stretch.checkpoint_every:
                checkpoints.save(out / CHECKPOINTS, taken, state)
                saved = time.monotonic()
            if stopping:
                say(f"stopped at step {taken} of {stretch.steps}; the same command resumes it")
                break
    if interrupted:
        signal.raise_signal(interrupted[0])
        raise KeyboardInterrupt  # the handler there was before let it pass, but a run stopped half-way is not to be evaluated
    return state


@contextmanager
def postponed_interrupts() -> Iterator[list[int]]:
    """Inside, SIGINT and SIGTERM only append to the list given; a second one acts at once. What the process was told to ignore
    stays ignored (a job started in the background, by nohup). Outside the main thread: nothing."""
    received: list[int] = []
    try:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        previous = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}

        def note(number: int, frame: Any) -> None:
            received.append(number)
            signal.signal(number, previous[number])

        for number in previous:
            signal.signal(number, note)
    except ValueError:
        previous = {}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def metrics_lines(step: int, seconds: float, averages: Averages, count: int) -> Iterator[dict[str, Any]]:
    """One line for each of the first `count` members: chunk averages at `step`; a number that is not finite is null."""
    for place in range(count):
        values = {name: finite_or_none(values[place]) for name, values in averages.items()}
        yield {"step": step, "seconds": round(seconds, 3), "member": place, **values}


def finite_or_none(value: np.ndarray) -> Any:
    """As JSON: numbers to six digits, None for what is not finite."""
    if value.ndim:
        return [finite_or_none(part) for part in value]
    return float(f"{float(value):.6g}") if np.isfinite(value) else None


def metrics_until(path: Path, step: int) -> list[dict[str, Any]]:
    """The lines of a metrics file up to a step; what comes after one that is damaged, or cut off in the middle, is dropped."""
    kept = []
    for text in path.read_bytes().splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:
            break
        if not (isinstance(line, dict) and all(isinstance(line.get(name), int | float) for name in ("step", "seconds", "member"))):
            break
        kept.append(line)
    return [line for line in kept if line["step"] <= step]


def name_bad_members(state: TrainState, names: Sequence[str], named: set[int], say: Say) -> None:
    """Name, once, each member that stopped being finite."""
    for place, bad in enumerate(np.asarray(state.bad_step)[: len(names)]):
        if bad >= 0 and place not in named:
            named.add(place)
            say(f"member {names[place]} was not finite at step {bad}: it keeps its last good state, the others go on")


def progress_line(taken: int, steps: int, speed: float, averages: dict[str, np.ndarray]) -> str:
    """A bar, the speed, the batch's objective with its gap, and the time left."""
    objective, gap = (finite_mean(averages[name]) for name in ("objective", "gap"))
    left = (steps - taken) / max(speed, 1e-9)
    return (f"{bar(taken / steps)}  {taken}/{steps} steps  {speed:.0f}/s  "
            f"objective {objective:.4f}  gap {gap:.5f} (training)  {left:.0f} s left")  # fmt: skip


def bar(share: float) -> str:
    """How a progress line begins, which replaces the one before it."""
    return "\r" + "█" * round(24 * share) + "░" * (24 - round(24 * share)) + f" {share:4.0%}"


def finite_mean(values: np.ndarray) -> float:
    """The mean over the members that are still finite; NaN where none is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")
