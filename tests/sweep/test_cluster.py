"""A sweep on a cluster ends where one here ends, whoever is stopped or killed on the way.

A sweep of two groups runs undisturbed in this process, and once more on a Ray cluster of two workers, processes of their own: one of them
is killed in the middle of its group, or both are interrupted and go on. What needs no Ray is tried without.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from icsap_jax.config import ConfigError, load
from icsap_jax.sweep import cluster, expand, folder, groups, programs, table, worker

STEPS = 400
FILE: dict[str, Any] = {
    "problem": {"kind": "auction", "bidders": 1, "items": 1, "prior": {"kind": "uniform", "low": 0, "high": 1}},
    "rule": {"kind": "rochetnet", "menu_size": 4},
    "training": {"steps": STEPS, "chunk": 40, "checkpoint_every": 0},
    "evaluation": {"profiles": 500, "gap_profiles": 20, "starts": 2, "steps": 2, "joint_grid": 5, "item_grid": 5},
    "sweep": {"training.batch": [16, 24], "training.learning_rate": [0.01, 0.003], "together": 2},
    "plugins": ["slow.py"],
}  # fmt: skip
# What a tiny group does takes a moment; to be stopped in the middle of it, it waits after every checkpoint where that is asked for.
SLOW = """from __future__ import annotations

import os
import time

from icsap_jax import loop

if os.environ.get("SLOW_CHECKPOINTS") and not hasattr(loop.checkpoints, "quick"):
    loop.checkpoints.quick = loop.checkpoints.save

    def save(*what):
        loop.checkpoints.quick(*what)
        time.sleep(float(os.environ["SLOW_CHECKPOINTS"]))

    loop.checkpoints.save = save
"""
NOT_IN_A_TABLE = {"seconds_training", "seconds_evaluation", "selected"}
ray_is_here = pytest.mark.skipif(find_spec("ray") is None, reason="no Ray for this Python: the cluster was not tried")


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    """The problem file of the sweep, and its plugin."""
    (tmp_path / "slow.py").write_text(SLOW)
    path = tmp_path / "two-groups.yaml"
    path.write_text(yaml.safe_dump(FILE))
    return path


@pytest.fixture
def two_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster of this machine for two tasks at a time, and nothing left of it afterwards."""
    place = tempfile.mkdtemp(prefix="ray-")  # short: sockets lie below it, whose names may not be long
    for name, value in {"RAY_TMPDIR": place, "SLOW_CHECKPOINTS": "0.2", **cluster.ALONE, **cluster.QUIET, "RAY_ADDRESS": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cluster, "cores", lambda: 2)
    with cluster.connected() as ray:
        yield ray
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def default_signals() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt even where the tests run in the background, in which case the shell has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def once(condition: Callable[[], Any], act: Callable[[Any], None]) -> Callable[[], bool]:
    """In a thread: wait for a condition, and act on what it finds. The function given back joins the thread, and tells whether it acted."""
    acted, over = list[bool](), threading.Event()

    def watch() -> None:
        while not over.is_set():
            found = None
            with contextlib.suppress(OSError):  # a folder that is looked through may just go
                found = condition()
            if found:
                act(found)
                acted.append(True)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()

    def joined() -> bool:
        over.set()
        thread.join(timeout=60)
        return bool(acted)

    return joined


def steps(out: Path, group: int) -> set[int]:
    """The steps of which a group has checkpoints."""
    return {int(path.name.removeprefix("step_")) for path in (out / "groups" / str(group)).glob("*/checkpoints/step_*")}


def owners(out: Path, group: int) -> list[int]:
    """The processes that hold a group."""
    return [json.loads(path.read_text())["pid"] for path in (out / "groups").glob(f"{group}.lease-*")]


def rows(out: Path) -> list[dict[str, Any]]:
    """The table, without times and what was selected."""
    return [{key: value for key, value in row.items() if key not in NOT_IN_A_TABLE} for row in table.rows(out)]


def assert_alike(out: Path, other: Path) -> None:
    """Both folders have all four members, with the same rows and, to the bit, the same parameters; and no two of the four are the same."""
    assert rows(out) == rows(other) and len({row["objective"] for row in rows(out)}) == 4
    for row in rows(out):
        one, two = (np.load(each / "members" / row["id"] / "artifact" / "parameters.npz") for each in (out, other))
        assert set(one) == set(two) and all(np.array_equal(one[name], two[name]) for name in one)


@pytest.fixture
def undisturbed(problem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sweep as it ends here."""
    monkeypatch.delenv("SLOW_CHECKPOINTS", raising=False)
    out = opened(problem, tmp_path / "here")
    for number in folder.unfinished(out):
        groups.run_group(out, number, lambda line: None)
    return out


def opened(problem: Path, out: Path) -> Path:
    """The sweep's folder, nothing trained."""
    sweep = expand.expand(load(problem))
    folder.open_for(sweep, groups.grouped(sweep, programs.Programs()), out)
    return out


@ray_is_here
@pytest.mark.usefixtures("two_workers")
def test_a_sweep_ends_alike_though_a_worker_is_killed(undisturbed: Path, problem: Path, tmp_path: Path) -> None:
    """In the middle of its group. No member is lost, none is counted twice, and every number is that of the undisturbed sweep."""
    out, said, finished = opened(problem, tmp_path / "there"), list[str](), list[int]()
    killed = once(lambda: steps(out, 0) and owners(out, 0), lambda found: os.kill(found[0], signal.SIGKILL))
    cluster.run(out, [0, 1], said.append, lambda: finished.append(len(rows(out))))
    assert killed() and sum("is gone, and" in line for line in said) == 1, said
    (line,) = (line for line in said if "resuming" in line)
    assert line.startswith("group 0: ") and 0 < int(line.split()[-3]) < STEPS, line
    names = [each["id"] for each in folder.plan(out)["members"]]
    assert [sum(f" {name}: revenue" in line for line in said) for name in names] == [1] * 4, said
    assert sorted(path.name for path in (out / "members").iterdir()) == sorted(names)
    assert_alike(out, undisturbed)
    assert finished[-1] == 4 and folder.unfinished(out) == []
    assert not list((out / "groups").iterdir()) and not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
@ray_is_here
@pytest.mark.usefixtures("two_workers", "default_signals")
def test_an_interrupted_sweep_goes_on_where_it_was(undisturbed: Path, problem: Path, tmp_path: Path) -> None:
    """Ctrl-C lets every task finish its chunk and write, is raised again, and leaves nobody at work."""
    out, said = opened(problem, tmp_path / "there"), list[str]()
    stopped = once(lambda: steps(out, 0) and steps(out, 1), lambda _: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        cluster.run(out, [0, 1], said.append)
    assert stopped() and sum("the same command resumes it" in line for line in said) == 2, said
    assert all(0 < max(steps(out, number)) < STEPS for number in (0, 1)) and not rows(out)
    assert not owners(out, 0) and not owners(out, 1)
    said.clear()
    cluster.run(out, folder.unfinished(out), said.append)
    assert sum("resuming" in line for line in said) == 2, said
    assert_alike(out, undisturbed)


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is begun."""
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_ADDRESS", "local")
    with pytest.raises(ConfigError, match=r"Ray is not installed here; install it by the extra `cluster`"):
        cluster.run(tmp_path, [0], print)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:port", "ray://127.0.0.1:1"])
def test_a_cluster_that_does_not_answer_is_named_at_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would try for minutes."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigError, match=rf"the cluster at {address} cannot be joined"):
        cluster.named()


def test_the_cluster_of_this_machine_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ray start` leaves its address in a file; without one, a cluster is started for the time."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert cluster.named() == "local"
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1\n")
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:1 cannot be joined"):
        cluster.named()


def test_a_machine_that_does_not_see_the_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it trains anything there."""
    monkeypatch.setattr(worker, "PATIENCE", 0)
    with cluster.shared(tmp_path) as mark:
        assert worker._seen(mark)
    kind, text = worker.work(str(mark), 0, None)
    assert kind == worker.ELSEWHERE and "does not see this folder; give --out a folder on a file system" in text


def test_lines_name_their_group_and_a_lost_worker() -> None:
    """A progress line stays one, and whoever follows a worker that is gone says so."""
    said, done, begun = list[str](), list[int](), dict[int, str]()
    first = [(3, worker.BEGUN, "process 1 on a"), (3, worker.SAYS, "\r█░ 50%"), (4, worker.SAYS, "resuming"), (3, worker.DONE, "")]
    cluster.relay(first, begun, said.append, lambda: done.append(1))
    cluster.relay([(3, worker.BEGUN, "process 2 on b")], begun, said.append, lambda: done.append(1))
    assert said == ["group 3: with process 1 on a", "\rgroup 3  █░ 50%", "group 4: resuming",
                    "group 3: process 1 on a is gone, and process 2 on b goes on with it"]  # fmt: skip
    assert done == [1]


class PretendedRay:
    """As much of Ray as the driver uses: tasks have ended or not, and what was cancelled ends with that."""

    class Fault(Exception):
        """What is Ray's own fault."""

    class Raised(Fault):
        """What a task raised, as Ray tells it."""

    class Cancelled(Fault):
        """Nothing was begun."""

    exceptions = SimpleNamespace(RayError=Fault, RayTaskError=Raised, TaskCancelledError=Cancelled)

    def __init__(self, ended: dict[str, Any]) -> None:
        self.ended, self.stopped = ended, list[bool]()
        self.ear = SimpleNamespace(hear=SimpleNamespace(remote=list), stop=SimpleNamespace(remote=lambda: self.stopped.append(True)))

    def wait(self, tasks: list[str], num_returns: int, timeout: float) -> tuple[list[str], list[str]]:
        """Those that have ended, and those that have not."""
        return [task for task in tasks if task in self.ended], [task for task in tasks if task not in self.ended]

    def cancel(self, task: str) -> None:
        """End what was not begun."""
        self.ended[task] = self.Cancelled()

    def get(self, task: Any) -> Any:
        """How a task ended, or what the ear answers."""
        ending = self.ended[task] if isinstance(task, str) else task
        if isinstance(ending, Exception):
            raise ending
        return ending


def raised(cause: Exception) -> PretendedRay.Raised:
    """What a task raised, as Ray gives it back."""
    error = PretendedRay.Raised("pages of text")
    error.cause = cause
    return error


@pytest.mark.parametrize(("ending", "kind", "words"), [
    ((worker.WRONG, "x: a sentence"), ConfigError, "^x: a sentence$"),
    (raised(KeyError("a fault of ours")), KeyError, "a fault of ours"),
    (raised(RuntimeError("The remote function failed to import on the worker.")), ConfigError, "does not find icsap_jax; install the same"),
    (PretendedRay.Fault("The worker died unexpectedly\nand more"), ConfigError, r"died 9 times \(The worker died unexpectedly\)"),
])  # fmt: skip
def test_what_is_wrong_in_one_group_is_told_once_the_others_are_done(ending: Any, kind: type[Exception], words: str) -> None:
    """A sentence of a task's comes back as it was, and what nobody expected as what it was."""
    ray, said = PretendedRay({"a": ending, "b": (worker.FINISHED, "")}), list[str]()
    with pytest.raises(kind, match=words):
        cluster._gathered(ray, ray.ear, {"a": 0, "b": 1}, said.append, lambda: None)
    assert len(said) == 1 and said[0].startswith("group 0: ") and not ray.stopped


def test_where_a_machine_does_not_see_the_folder_nothing_more_is_begun() -> None:
    """It would take every group that waits, and run none of them."""
    ray, said = PretendedRay({"a": (worker.ELSEWHERE, "far does not see it")}), list[str]()
    with pytest.raises(cluster.Elsewhere, match="far does not see it"):
        cluster._gathered(ray, ray.ear, {"a": 0, "b": 1}, said.append, lambda: None)
    assert ray.stopped == [True] and isinstance(ray.ended["b"], PretendedRay.Cancelled)
