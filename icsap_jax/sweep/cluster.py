"""The groups of a sweep on a Ray cluster, a group a task: `icsap sweep --runner ray`.

A task does what the local runner does (`worker.py`), in the sweep's own folder, which every machine has to see. One whose worker died is
run again, and goes on from the group's last checkpoint; a lease (`lease.py`) keeps two tasks from one group, should Ray take a worker for
dead that is not. What tasks say, and the wish that they stop, goes through one small actor beside the driver, the ear. Ray is the extra
`cluster`, and is imported only when it is used.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from icsap_jax import files
from icsap_jax.config import ConfigError
from icsap_jax.sweep.worker import BEGUN, DONE, ELSEWHERE, PAUSE, SAYS, WRONG, Ear, Event, work

RETRIES = 8  # a group whose worker died so often and once more is given up: what kills it is likely its own
ABSENT = "failed to import on the worker"  # Ray's own words
ANSWER = 5.0  # seconds for a cluster to answer
STORE = 80 * 2**20  # bytes for a local cluster's objects, near the least Ray takes: ours are a few words
# For a cluster of this machine alone: on loopback and by a secret of its own, since Ray runs whatever it is told by whoever reaches it.
# Ray reads the first when it is imported.
ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
# What Ray has to say of a lost worker it would print among the results. Read then too.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}

Say = Callable[[str], None]


class Elsewhere(ConfigError):
    """A machine does not see the folder, so that no group can be run there."""


def run(
    out: Path, numbers: Sequence[int], say: Say, after: Callable[[], None] = lambda: None, cpus: float = 1, accelerators: float = 1
) -> None:
    """Run these groups of the sweep under `out` on the Ray cluster that RAY_ADDRESS names, or that `ray start` made here, or on one of this
    machine for the time. A task takes `cpus` processors and, where the cluster has any, `accelerators` GPUs or TPUs. `after` is called when
    members were finished. An interrupt lets every task finish its chunk and write, and is raised again. Raises ConfigError where Ray is not
    installed or cannot be reached, a machine does not see the folder, or a group cannot be run, once the others are done."""
    if not numbers:
        return
    with connected() as ray, shared(Path(out).resolve()) as mark:
        ear = ray.remote(Ear).options(num_cpus=0, scheduling_strategy=_here(ray)).remote()
        task = ray.remote(work).options(max_retries=RETRIES, **needed(ray, cpus, accelerators, say))
        tasks = {task.remote(str(mark), number, ear): number for number in numbers}
        _gathered(ray, ear, tasks, say, after)


def _gathered(ray: Any, ear: Any, tasks: dict[Any, int], say: Say, after: Callable[[], None]) -> None:
    """Wait for all tasks, saying what they say. Raises what stopped this process, or else the first thing that was wrong."""
    from icsap_jax.loop import postponed_interrupts

    waiting, begun, wrong, stopping = dict(tasks), dict[int, str](), list[Exception](), False
    with postponed_interrupts() as interrupted:
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=PAUSE)
            relay(ray.get(ear.hear.remote()), begun, say, after)
            for reference in ready:
                number = waiting.pop(reference)
                error = ending(ray, reference)
                if error is not None:
                    say(f"group {number}: {error}")
                    wrong.append(error)
            if not stopping and (interrupted or any(isinstance(error, Elsewhere) for error in wrong)):
                stopping = True
                say("stopping: every group finishes its chunk and writes")
                ray.get(ear.stop.remote())
                for reference, number in waiting.items():
                    if number not in begun:
                        ray.cancel(reference)
    if interrupted:
        signal.raise_signal(interrupted[0])
        raise KeyboardInterrupt  # as in training: whoever handled the signal let it pass, but the groups are not done
    if wrong:
        raise wrong[0]


def relay(events: Sequence[Event], begun: dict[int, str], say: Say, after: Callable[[], None]) -> None:
    """Say what the tasks said, each line with its group named. `begun` takes note of the worker each group is with."""
    for number, kind, text in events:
        if kind == BEGUN:
            say(f"group {number}: " + (f"{begun[number]} is gone, and {text} goes on with it" if number in begun else f"with {text}"))
            begun[number] = text
        elif kind == SAYS:
            say(f"\rgroup {number}  {text[1:]}" if text.startswith("\r") else f"group {number}: {text}")
    if any(kind == DONE for _, kind, _ in events):
        after()


def ending(ray: Any, reference: Any) -> Exception | None:
    """What was wrong with a task that has ended; None where it is done, or stopped because it was told to."""
    try:
        kind, text = ray.get(reference)
    except ray.exceptions.TaskCancelledError:
        return None
    except ray.exceptions.RayTaskError as error:
        if ABSENT in str(error.cause):
            return ConfigError("a machine of the Ray cluster does not find icsap_jax; install the same version there.")
        error.cause.__cause__ = error  # which tells where in the worker
        return error.cause
    except ray.exceptions.RayError as error:
        return ConfigError(f"its worker died {RETRIES + 1} times ({_first_line(error)}). Most often that is for want of memory: set "
                           "sweep.together or training.batch lower. What is finished is kept, and the same command goes on.")
    return {WRONG: ConfigError, ELSEWHERE: Elsewhere}[kind](text) if kind in (WRONG, ELSEWHERE) else None


def needed(ray: Any, cpus: float, accelerators: float, say: Say) -> dict[str, Any]:
    """What a task asks of a machine, as Ray's options. `say` hears where no machine has that."""
    there = ray.cluster_resources()
    kind = next((name for name in ("GPU", "TPU") if there.get(name)), None)
    wanted = {"CPU": cpus} if kind is None else {"CPU": cpus, kind: accelerators}
    if not any(all(node["Resources"].get(name, 0) >= amount for name, amount in wanted.items()) for node in ray.nodes() if node["Alive"]):
        say(f"no machine of the Ray cluster has {' and '.join(f'{amount:g} {name}' for name, amount in wanted.items())}; waiting for one")
    if kind == "GPU":
        return {"num_cpus": cpus, "num_gpus": accelerators}
    return {"num_cpus": cpus, "resources": {kind: accelerators} if kind else {}}


@contextmanager
def connected() -> Iterator[Any]:
    """Ray, connected to a cluster, which is left alone afterwards, or to one of this machine, which is then stopped. Raises ConfigError."""
    address = named()
    for name, value in {**QUIET, **(ALONE if address == "local" else {})}.items():
        os.environ.setdefault(name, value)
    ray = imported()
    if ray.is_initialized():
        yield ray
        return
    own = {"num_cpus": cores(), "include_dashboard": False, "object_store_memory": STORE} if address == "local" else {}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # of forks beside jax; these only start other programs
            ray.init(address=address, log_to_driver=False, logging_level="CRITICAL", **own)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise _unreached(address, error) from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


def named() -> str:
    """The address of the cluster that is meant, `auto` for Ray to look for one, or `local` for none. Raises ConfigError where nobody
    answers: Ray itself would try for minutes."""
    address = os.environ.get("RAY_ADDRESS") or (_current().read_text(encoding="utf-8").strip() if _current().exists() else "local")
    host, _, port = address.rpartition(":")
    if host:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER).close()
        except (OSError, ValueError) as error:
            raise _unreached(address, error) from error
    return address


def _unreached(address: str, error: BaseException) -> ConfigError:
    where = "no cluster could be started here" if address == "local" else f"the cluster at {address} cannot be joined"
    return ConfigError(f"--runner ray: {where} ({_first_line(error)}). RAY_ADDRESS says which is meant, as host:port; what is left of a "
                       "cluster that is gone, `ray stop` clears away.")


def imported() -> Any:
    """Ray. Raises ConfigError where it is not installed."""
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise ConfigError("--runner ray: Ray is not installed here; install it by the extra `cluster` (pip install 'icsap-jax[cluster]'), "
                          "or leave --runner out.") from None
    return ray


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def shared(out: Path) -> Iterator[Path]:
    """A file in the folder `out`, by which other machines know that they see the same one."""
    mark = out / f".seen-{uuid.uuid4().hex}"
    files.write_text(mark, "")
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def _here(ray: Any) -> Any:
    """Where the ear has to be: on the driver's machine, since it is of no use without it."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def _current() -> Path:
    """The file in which `ray start` tells the programs of this machine of its cluster."""
    return Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / "ray_current_cluster"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
