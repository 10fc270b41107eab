"""A whole sweep: opened or continued, its groups run here or on a cluster, one table, and the best member exported."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icsap_jax import files, runtime
from icsap_jax.config import ConfigError
from icsap_jax.config.plugins import faults_named
from icsap_jax.evaluation import Say
from icsap_jax.sweep import folder, groups, judged, lease, table
from icsap_jax.sweep.expand import Sweep
from icsap_jax.sweep.programs import Posed, Programs

EVERY = 10.0  # seconds at least between two writings of the table
LOCAL, RAY = "local", "ray"


@dataclass(frozen=True)
class Done:
    """What a sweep ends with: its rows, the best of them, and the rule by which it is."""

    rows: list[table.Row]
    members: int
    best: table.Row | None
    rule: str
    out: Path

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        best = self.best and self.best["id"]
        return {"members": self.members, "best": best, "rule": self.rule, "folder": str(self.out), "rows": self.rows}


@faults_named()
def sweep(wanted: Sweep, out: Path, runner: str = LOCAL, say: Say = print) -> Done:
    """Run a sweep (`expand` makes it of a problem file) under `out`; one that is there goes on where it stopped. Raises ConfigError, before
    anything is written, where a member cannot be built or `out` holds something else."""
    out = Path(out)
    folder.check(wanted, out)
    runtime.prepare("cpu" if runner == RAY else None)  # an accelerator here is for the tasks
    if (out / folder.MEMBERS).exists():
        folder.look_over(wanted, out, say)
    else:
        folder.open_for(wanted, groups.grouped(wanted, Programs()), out)
    there, numbers = folder.reopened(out), folder.unfinished(out)
    try:
        if runner == RAY:
            from icsap_jax.sweep import cluster

            cluster.run(out, numbers, say, _table_now_and_then(out))
        else:
            _locally(there, out, numbers, say)
    except BaseException:
        with suppress(ConfigError):  # what stopped the rest is to be said, and not that the table has no room either
            table.write(out, table.rows(out))
        raise
    with lease.held(out / folder.BEST):  # it removes what is half-written, so nobody else may be writing
        return finish(there, out, say)


def _locally(sweep: Sweep, out: Path, numbers: list[int], say: Say) -> None:
    """One group after the other, in this process."""
    tally = groups.tally_of(sweep, out, numbers)
    tally.after = _table_now_and_then(out)
    if tally.done:
        say(f"{out}: {tally.done} of {tally.members} members of these groups are there already")
    for number in numbers:
        with lease.held(out / folder.GROUPS / str(number)) as own:

            def still_ours(text: str, own: lease.Lease = own) -> None:
                own.check()
                say(text)

            groups.run_group(out, number, still_ours, sweep, tally)


def _table_now_and_then(out: Path) -> Callable[[], None]:
    """To be called when a member is done: writes the table, unless that was a moment ago."""
    written = time.monotonic()

    def after() -> None:
        nonlocal written
        if time.monotonic() - written > EVERY:
            table.write(out, table.rows(out))
            written = time.monotonic()

    return after


def finish(sweep: Sweep, out: Path, say: Say) -> Done:
    """The table, and the best member as a whole run."""
    found = table.rows(out)
    best, rule = table.best(found, sweep.options.select)
    if best is not None and {"id": best["id"], "rule": rule} != _there(out):
        say(f"exporting {best['id']}: {rule}")
        posed = next(Posed.of(member) for member in sweep.members if member.id == best["id"])
        judged.full_run(posed, out, out / folder.BEST, lambda line: None)
        files.write_json(out / folder.BEST_RULE, {"id": best["id"], "rule": rule})
        found = table.rows(out)
    table.write(out, found)
    for place in (out, out / folder.DONE):
        files.remove_partial(place)
    for number in {row["group"] for row in found} - set(folder.unfinished(out)):
        folder.cleared(out, number)  # again: whoever was killed while clearing left the rest
    return Done(found, len(sweep.members), best, rule, out)


def _there(out: Path) -> dict[str, Any] | None:
    """What was exported before, if it is still there."""
    try:
        return json.loads((out / folder.BEST_RULE).read_text(encoding="utf-8")) if (out / folder.BEST / "result.json").exists() else None
    except (OSError, ValueError):
        return None


def outlook(wanted: Sweep) -> dict[str, Any]:
    """What a sweep would do: its groups with their members, what varies inside them, the memory of a state and of a step, and what will be
    compiled. Nothing is written or trained."""
    runtime.prepare()
    programs = Programs()
    numbers = groups.grouped(wanted, programs)
    told = []
    for number in range(max(numbers) + 1):
        own = [member for member, group in zip(wanted.members, numbers, strict=True) if group == number]
        posed = Posed.of(own[0])
        training, values = own[0].config.training, {key: {json.dumps(each.set[key]) for each in own} for key in wanted.keys}
        told.append({
            "group": number, "members": len(own), "seeds": training.members, "steps": training.steps,
            "varies": [key for key, each in values.items() if len(each) > 1],
            "fixed": {key: own[0].set[key] for key, each in values.items() if len(each) == 1},
            "state_bytes": posed.state_bytes, "step_bytes": posed.step_bytes,
            "programs": 1 + (training.steps % training.chunk > 0 and training.steps > training.chunk),
        })  # fmt: skip
    return {"members": len(wanted.members), "ids": [member.id for member in wanted.members], "groups": told}


def outlook_printed(told: dict[str, Any]) -> str:
    """The lines a person reads before a sweep."""
    programs = sum(each["programs"] for each in told["groups"])
    lines = [f"{told['members']} members, groups: {len(told['groups'])}; to be compiled: {programs} for training, and the "
             "strong search once for each kind of problem"]
    for each in told["groups"]:
        fixed = ", ".join(f"{key} = {value}" for key, value in each["fixed"].items())
        total = each["members"] * each["state_bytes"]
        lines.append(f"group {each['group']}: {each['members']} members of {each['steps']:,} steps{', ' + fixed if fixed else ''}")
        lines.append(f"  on the member axis: {', '.join(each['varies']) or 'nothing'}")
        memory = f"{_bytes(each['state_bytes'])} of state a member, {_bytes(total)} in all"
        lines.append(f"  memory: {memory}; a step of one is expected to hold {_bytes(each['step_bytes'])}")
    return "\n".join(lines)


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
