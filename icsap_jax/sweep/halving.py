"""Successive halving on the member axis: what falls behind is stopped early, and its place goes to the next member in line.

All places advance together, a stage of `first` steps at a time, each from wherever its member stands. A member that has come to a rung
(first, first/keep, first/keep², … steps) goes on if it is among the best share `keep` of all that came there so far (Li et al. 2020, the
stopping form of asynchronous halving; who comes early is judged among few). What counts is the training objective once the training gaps
are paid for (`worth`), and not whether a gap is small enough to be selected in the end: while prices of gaps still rise only those have
small gaps who give nothing away. Members that reach the last step are judged as ever.

`ledger.json` holds every stage with its scores. All else follows from it, so that whoever stopped goes on where it was.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from icsap_jax import checkpoints, files
from icsap_jax.bilevel.fit import TrainState
from icsap_jax.evaluation import Say, corrected
from icsap_jax.loop import CHECKPOINTS, METRICS, Begun, metrics_until, resumed
from icsap_jax.sweep import folder, groups, judged
from icsap_jax.sweep.programs import Batch, Posed, Programs, devices, evenly
from icsap_jax.sweep.schema import Halving, Options

LEDGER = "ledger.json"


@dataclass
class Stage:
    """Members side by side, by their number in the group, and the steps each had taken before; `size` of the axis; what each scored."""

    members: list[int]
    taken: list[int]
    size: int
    scores: list[float] | None = None


@dataclass
class Ledger:
    """All stages so far; the last has no scores while it is trained. `steps` is where a member is done."""

    rule: Halving
    steps: int
    count: int
    stages: list[Stage] = field(default_factory=list)

    @property
    def rungs(self) -> list[int]:
        """After how many steps members are compared."""
        found, rung = [], self.rule.first
        while rung < self.steps:
            found.append(rung)
            rung = self.rule.first * max(round(rung / self.rule.keep / self.rule.first), rung // self.rule.first + 1)
        return found

    def goes_on(self, stage: Stage, place: int) -> bool:
        """Whether a member of a finished stage is trained further."""
        reached = stage.taken[place] + self.rule.first
        if reached not in self.rungs:
            return reached < self.steps
        scores = [score for each in self.stages if each.scores for at, score in enumerate(each.scores)
                  if each.taken[at] + self.rule.first == reached]  # fmt: skip
        own = (stage.scores or [])[place]
        return math.isfinite(own) and sum(score > own for score in scores) < max(1, math.floor(self.rule.keep * len(scores)))

    def following(self, devices: int) -> Stage | None:
        """The stage after the last, whose scores are known; None when nobody is left. The axis shrinks once half of it would be empty."""
        places = min(self.rule.places, self.count)
        if not self.stages:
            return Stage(list(range(places)), [0] * places, evenly(places, places, devices))
        last = self.stages[-1]
        on = [place for place in range(len(last.members)) if self.goes_on(last, place)]
        begun = max(member for stage in self.stages for member in stage.members) + 1
        fresh = list(range(begun, min(self.count, begun + places - len(on))))
        members = [last.members[place] for place in on] + fresh
        if not members:
            return None
        size = last.size if 2 * len(members) > last.size else evenly(len(members), len(members), devices)
        return Stage(members, [last.taken[place] + self.rule.first for place in on] + [0] * len(fresh), size)


def run(options: Options, members: Sequence[Posed], number: int, out: Path, programs: Programs, tally: groups.Tally, say: Say) -> None:
    """A group by successive halving: what is not done yet."""
    rule, training = options.halving, members[0].member.config.training
    place, mesh = out / folder.GROUPS / str(number), devices()
    with files.disk_faults(place):
        place.mkdir(parents=True, exist_ok=True)
    ledger = read(place / LEDGER, rule, training.steps, len(members))
    while True:
        if not ledger.stages or ledger.stages[-1].scores is not None:
            following = ledger.following(mesh.size if mesh else 1)
            if following is None:
                break
            ledger.stages.append(following)
            write(place / LEDGER, ledger)
        stage = ledger.stages[-1]
        batch = Batch(tuple(members[each] for each in stage.members), stage.size, mesh)
        begun = begin(ledger, batch, place, programs, say)
        if begun is None:
            say(f"group {number}: the state before stage {len(ledger.stages)} is lost; its members start over")
            shutil.rmtree(place)
            run(options, members, number, out, programs, tally, say)
            return
        spot = place / str(len(ledger.stages) - 1)
        state, lines = groups.train(batch, begun, rule.first, spot, tally, say)
        stage.scores = [score(groups.of_member(lines, batch, at)) for at in range(len(stage.members))]
        leave(ledger, batch, state, number, place, out, tally, say)
        write(place / LEDGER, ledger)
        for old in range(len(ledger.stages) - 1):
            shutil.rmtree(place / str(old) / CHECKPOINTS, ignore_errors=True)
    folder.cleared(out, number)


def begin(ledger: Ledger, batch: Batch, place: Path, programs: Programs, say: Say) -> Begun | None:
    """Where the last stage stands; before its first checkpoint, its members as the stage before left them, and new ones. None where that
    cannot be read any more."""
    number, stage = len(ledger.stages) - 1, ledger.stages[-1]
    spot = place / str(number)
    with files.disk_faults(spot):
        spot.mkdir(exist_ok=True)
    fresh = [programs.begin(each) for each in batch.posed]
    states = batch.filled(fresh)
    if not any(stage.taken) or any((spot / CHECKPOINTS).glob("step_*")):
        there = resumed(states, ledger.rule.first, spot, say)
        if there.taken or not any(stage.taken):
            return there
    last = ledger.stages[-2]
    earlier = Batch((batch.posed[0],) * len(last.members), last.size, batch.mesh)
    restored = checkpoints.restore_latest(place / str(number - 1) / CHECKPOINTS, earlier.filled([fresh[0]] * len(last.members)), say)
    if restored is None or restored[0] != ledger.rule.first:  # an earlier step of that stage is not what this one begins with
        return None
    _, before = restored
    for at, member in enumerate(stage.members):
        if stage.taken[at]:
            where = earlier.place(last.members.index(member))
            fresh[at] = jax.tree.map(lambda leaf, where=where: leaf[where], before)
    return resumed(batch.filled(fresh), ledger.rule.first, spot, say)


def leave(
    ledger: Ledger, batch: Batch, state: TrainState, group: int, place: Path, out: Path, tally: groups.Tally, say: Say
) -> None:
    """Judge the members of a stage that are done, and write down those that are stopped."""
    stage = ledger.stages[-1]
    for at, posed in enumerate(batch.posed):
        reached = stage.taken[at] + ledger.rule.first
        tally.taken += ledger.rule.first
        if ledger.goes_on(stage, at) or folder.done(out, posed.member.id):
            continue
        own = jax.tree.map(lambda leaf, at=at: leaf[batch.place(at)], state)
        lines = history(ledger, stage.members[at], batch, place)
        seconds = sum(line["seconds_of_stage"] for line in lines)
        lines = [{name: value for name, value in line.items() if name != "seconds_of_stage"} for line in lines]
        if reached == ledger.steps:
            result = judged.judge(posed, own, lines, seconds, group, out, lambda line: None)
        else:
            tally.steps -= ledger.steps - reached
            result = judged.dropped(posed, own, reached, lines, seconds, group, out)
        tally.done += 1
        say(groups.told(result, tally) if reached == ledger.steps else f"{posed.member.id}: stopped at step {reached:,}, behind others")
        tally.after()


def history(ledger: Ledger, member: int, batch: Batch, place: Path) -> list[dict[str, Any]]:
    """The metrics of a member through all its stages, its own steps counted."""
    found, before = [], 0.0
    for number, stage in enumerate(ledger.stages):
        if member not in stage.members:
            continue
        at = stage.members.index(member)
        lines = groups.of_member(metrics_until(place / str(number) / METRICS, ledger.rule.first), batch, at)
        share = (lines[-1]["seconds"] if lines else 0.0) / len(stage.members)
        for line in lines:
            last = line is lines[-1]
            found.append({**line, "step": stage.taken[at] + line["step"], "seconds": round(before + line["seconds"], 3),
                          "seconds_of_stage": share if last else 0.0})  # fmt: skip
        before += lines[-1]["seconds"] if lines else 0.0
    return found


def score(lines: Sequence[dict[str, Any]]) -> float:
    """What a member's last chunk is worth, on average over its seeds; −∞ where that is not finite."""
    last = [line for line in lines if line["step"] == lines[-1]["step"]] if lines else []
    told = [(line["objective"], line["gap"]) for line in last if line["objective"] is not None and None not in line["gap"]]
    return float(np.mean([worth(objective, sum(gaps)) for objective, gaps in told])) if told else -math.inf


def worth(objective: float, gaps: float) -> float:
    """An objective P once gaps R, all agents' together, are paid for: (√P − √R)² (`evaluation.corrected`); P − R where R is the larger, so
    that the two meet."""
    return corrected(objective, gaps) if objective > gaps else objective - gaps


def read(path: Path, rule: Halving, steps: int, count: int) -> Ledger:
    """The ledger as it was left; an empty one where there is none, or it is damaged: the stages then come to the same once more."""
    try:
        stages = files.read_sealed(path)["stages"]
        return Ledger(rule, steps, count, [Stage(each["members"], each["taken"], each["size"], _scores(each["scores"])) for each in stages])
    except (OSError, ValueError, KeyError):
        return Ledger(rule, steps, count)


def _scores(written: list[float | None] | None) -> list[float] | None:
    return None if written is None else [-math.inf if value is None else value for value in written]


def write(path: Path, ledger: Ledger) -> None:
    """Write every stage down."""
    stages = [asdict(stage) for stage in ledger.stages]
    for stage in stages:
        stage["scores"] = stage["scores"] and [files.number_or_none(value) for value in stage["scores"]]
    files.write_json(path, files.sealed({"stages": stages}))
