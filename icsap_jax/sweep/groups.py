"""A group of a sweep: members that share a program are trained batch by batch, judged, and written down as they finish.

Whatever stops it, the same call goes on: a batch from its last checkpoint, members that are done are not touched. How many members train
side by side is written down once (`plan.json`), since it decides how numbers are rounded.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from icsap_jax import files, runtime
from icsap_jax.bilevel.fit import TrainState
from icsap_jax.evaluation import Say
from icsap_jax.loop import METRICS, Averages, Begun, Stretch, bar, finite_mean, loop, metrics_until, resumed
from icsap_jax.sweep import folder, judged
from icsap_jax.sweep.expand import Sweep
from icsap_jax.sweep.programs import Batch, Posed, Programs, devices, size_for

PLAN = "plan.json"
NO_ROOM = "RESOURCE_EXHAUSTED"


@dataclass
class Tally:
    """How far the groups are that are run here: members in all and done, steps taken of all there are to take, and how long judging took;
    `after` is called when a member is done."""

    members: int
    steps: int
    done: int = 0
    taken: int = 0
    judging: float = 0.0
    judged: int = 0
    after: Callable[[], None] = lambda: None

    def line(self, running: int, taken: int, speed: float, averages: Averages) -> str:
        """The progress line while `running` members have taken so many steps each."""
        steps = self.taken + running * taken
        rate = running * speed
        left = (self.steps - steps) / max(rate, 1e-9) + (self.members - self.done) * self.judging / max(self.judged, 1)
        objective, gap = (finite_mean(averages[name]) for name in ("objective", "gap"))
        return (f"{bar(steps / max(self.steps, 1))}  {self.done} of {self.members} members done, {running} training  "
                f"{rate:,.0f} member-steps/s  mean objective {objective:.4f}  gap {gap:.5f} (training)  {left:.0f} s left")  # fmt: skip


def grouped(sweep: Sweep, programs: Programs) -> list[int]:
    """The group of each member, numbered in order of appearance. Raises ConfigError where a member's problem has no solution, or its rule
    cannot be built."""
    found: dict[Any, int] = {}
    return [found.setdefault(programs.signature(Posed.of(member)), len(found)) for member in sweep.members]


def of(sweep: Sweep, out: Path, number: int) -> list[Posed]:
    """The members of a group, in order."""
    there = folder.plan(out)["members"]
    return [Posed.of(member) for member, each in zip(sweep.members, there, strict=True) if each["group"] == number]


def run_group(out: Path, number: int, say: Say, sweep: Sweep | None = None, tally: Tally | None = None) -> None:
    """Train and judge what of a group is not done yet, under `out`. An interrupt finishes the chunk, writes, and is raised again. Raises
    ConfigError when the disk is full."""
    runtime.prepare()
    sweep = sweep or folder.reopened(out)
    members, programs = of(sweep, out, number), Programs()
    tally = tally or tally_of(sweep, out, [number])
    if sweep.options.halving:
        from icsap_jax.sweep import halving

        halving.run(sweep.options, members, number, out, programs, tally, say)
        return
    size = planned(members, sweep.options.together, out / folder.GROUPS / str(number), programs, say)
    while True:
        try:
            for batch, place in batches(members, size, out / folder.GROUPS / str(number)):
                run_batch(batch, number, place, out, programs, tally, say)
            break
        except jax.errors.JaxRuntimeError as error:
            if NO_ROOM not in str(error) or size == 1:
                raise
            size = -(-size // 2)
            say(f"group {number}: the device has no room for that many members side by side; going on with {size}")
            folder.cleared(out, number)
            plan(out / folder.GROUPS / str(number), size)
    folder.cleared(out, number)


def tally_of(sweep: Sweep, out: Path, numbers: Sequence[int]) -> Tally:
    """What there is to do in these groups, and what of it is done."""
    there = folder.plan(out)["members"]
    own = [(member, folder.done(out, each["id"])) for member, each in zip(sweep.members, there, strict=True) if each["group"] in numbers]
    steps = [member.config.training.steps for member, _ in own]
    done = [member.config.training.steps for member, finished in own if finished]
    return Tally(len(own), sum(steps), len(done), sum(done))


def planned(members: Sequence[Posed], wanted: int | None, place: Path, programs: Programs, say: Say) -> int:
    """How many members of a group train side by side, as it was written down or is now."""
    try:
        return int(files.read_sealed(place / PLAN)["together"])
    except FileNotFoundError:
        pass
    except ValueError:
        say(f"{place / PLAN} is damaged: the group starts over")
        shutil.rmtree(place)
    size = size_for(members, wanted, programs, say)
    plan(place, size)
    return size


def plan(place: Path, size: int) -> None:
    """Write down how many members train side by side."""
    with files.disk_faults(place):
        place.mkdir(parents=True, exist_ok=True)
    files.write_json(place / PLAN, files.sealed({"together": size}))


def batches(members: Sequence[Posed], size: int, place: Path) -> list[tuple[Batch, Path]]:
    """A group's members, `size` at a time, and where each batch trains."""
    mesh = devices()
    if mesh is not None and size % mesh.size:  # planned where there were other devices
        mesh = None
    starts = range(0, len(members), size)
    return [(Batch(tuple(members[start : start + size]), size, mesh), place / str(number)) for number, start in enumerate(starts)]


def run_batch(batch: Batch, group: int, place: Path, out: Path, programs: Programs, tally: Tally, say: Say) -> None:
    """Train the members of a batch together, and judge those that are not done."""
    waiting = [(at, each) for at, each in enumerate(batch.posed) if not folder.done(out, each.member.id)]
    if not waiting:
        return
    with files.disk_faults(place):
        place.mkdir(parents=True, exist_ok=True)
    training = batch.posed[0].member.config.training
    begun = resumed(batch.states(programs), training.steps, place, say)
    state, lines = train(batch, begun, training.steps, place, tally, say)
    seconds = max((line["seconds"] for line in lines), default=0.0) / len(batch.posed)
    tally.taken += len(waiting) * training.steps
    for at, each in waiting:
        started = time.monotonic()
        own = jax.tree.map(lambda leaf, at=at: leaf[batch.place(at)], state)
        result = judged.judge(each, own, of_member(lines, batch, at), seconds, group, out, lambda line: None)
        tally.done, tally.judged, tally.judging = tally.done + 1, tally.judged + 1, tally.judging + time.monotonic() - started
        say(told(result, tally))
        tally.after()


def train(batch: Batch, begun: Begun, steps: int, place: Path, tally: Tally, say: Say) -> tuple[TrainState, list[dict[str, Any]]]:
    """All steps of a stretch of a batch, and the metrics of it."""
    training = batch.posed[0].member.config.training
    which = [""] if batch.seeds == 1 else [f", seed {seed}" for seed in range(batch.seeds)]
    names = tuple(each.member.id + seed for each in batch.posed for seed in which)
    stretch = Stretch(steps, training.chunk, training.checkpoint_every, names)

    def tell(taken: int, speed: float, averages: Averages) -> str:
        return tally.line(len(batch.posed), taken, speed, {name: values[: len(names)] for name, values in averages.items()})

    state = loop(batch.advance, stretch, begun, place, say, tell)
    return state, metrics_until(place / METRICS, steps)


def of_member(lines: Sequence[dict[str, Any]], batch: Batch, at: int) -> list[dict[str, Any]]:
    """The metrics of one member, its seeds counted from 0."""
    where = batch.place(at)
    return [{**line, "member": line["member"] - where.start} for line in lines if where.start <= line["member"] < where.stop]


def told(result: dict[str, Any], tally: Tally) -> str:
    """The line about a member that is done: its objective never without its gap."""
    name, objective, gap, bad = result["sweep"]["id"], result["objective"], result["incentive_gap"], result["sweep"]["bad_step"]
    note = "" if bad is None else f", not finite at step {bad}: its last good state was judged"
    note += f" ({tally.done} of {tally.members})"
    if objective["value"] is None:
        return f"{name}: no finite result{note}"
    return f"{name}: {objective['name']} {objective['value']:.4f} at a mean gap of {gap['mean']:.2g}{note}"
