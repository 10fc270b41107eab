"""The folder of a sweep: what lies where, whose it is, and which members are done.

    sweep.yaml     the problem file as it was written, with its `sweep:` section and its data files beside it
    members.json   the members in order: id, group, and the keys they set
    groups/N/      what a group needs while it trains
    members/ID/    one finished member, an ordinary run folder, there whole or not at all
    sweep.parquet  the table        best/, best.json  the member that was selected        report.html

A finished member is a folder that was written beside its place and renamed: whoever is killed in the middle leaves nothing half done, and
one that is written twice counts once. It holds the hash of each of its files (`digests.json`), so that one that was damaged since is found
and trained again. No jax here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from icsap_jax import files
from icsap_jax.config import Config, ConfigError, load
from icsap_jax.config.reading import map_files
from icsap_jax.sweep.expand import Member, Sweep, expand

SWEEP, MEMBERS, GROUPS, DONE, BEST, BEST_RULE = "sweep.yaml", "members.json", "groups", "members", "best", "best.json"
DIGESTS = "digests.json"
RUN_MARKS = ("metrics.jsonl", "result.json", "audit.json", "artifact")


def identity(sweep: Sweep) -> str:
    """A hash of what the sweep means: every member's problem file, data by content, and what is asked for besides."""
    told = {"members": {member.id: member.config.sha256() for member in sweep.members},
            "halving": sweep.options.halving.model_dump() if sweep.options.halving else None}  # fmt: skip
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def check(sweep: Sweep, out: Path) -> None:
    """Raise ConfigError unless `out` is free for this sweep, or holds it already."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; name a folder for the sweep.")
    if (out / MEMBERS).exists():
        there = plan(out)
        if there["sha256"] != identity(sweep):
            raise ConfigError(f"--out {out}: holds another sweep, {_told(there['members'], sweep)}; choose another folder, or give the "
                              "same problem file to continue it.")
    elif any((out / name).exists() for name in RUN_MARKS):
        raise ConfigError(f"--out {out}: holds a single run; choose another folder for the sweep.")


def _told(there: Sequence[dict[str, Any]], sweep: Sweep) -> str:
    """How the members in a folder differ from those wanted, as the middle of a sentence."""
    old, new = {each["id"] for each in there}, {each.id for each in sweep.members}
    if old == new:
        return "whose members have the same names and other settings"
    only = sorted(old - new) or sorted(new - old)
    return f"of {len(old)} members, and '{only[0]}' is {'not one of these' if old - new else 'not among them'}"


def open_for(sweep: Sweep, groups: Sequence[int], out: Path) -> None:
    """Make the folder, and write down the sweep and the group of each member; as it is where that was done before."""
    check(sweep, out)
    if (out / MEMBERS).exists():
        return
    _write_down(sweep, out)
    rows = [{"id": member.id, "group": group, "set": member.set} for member, group in zip(sweep.members, groups, strict=True)]
    files.write_json(out / MEMBERS, files.sealed({"sha256": identity(sweep), "members": rows}))


def _write_down(sweep: Sweep, out: Path) -> None:
    """`sweep.yaml`, and the data files it names."""
    with files.disk_faults(out):
        out.mkdir(parents=True, exist_ok=True)
        written = sweep.base.standing_alone(sweep.base.written, out)
    files.write_text(out / SWEEP, yaml.safe_dump(written, sort_keys=False, allow_unicode=True))


def reopened(out: Path) -> Sweep:
    """The sweep that lies in a folder. Members are called as they were when it was opened, also those that name data files. Raises
    ConfigError where its problem file is not what it was then."""
    sweep, there = expand(load(out / SWEEP), allow_large=True), plan(out)
    members = (replace(member, id=each["id"], set=each["set"]) for member, each in zip(sweep.members, there["members"], strict=False))
    sweep = replace(sweep, members=tuple(members))
    if identity(sweep) != there["sha256"]:
        raise ConfigError(f"{out / SWEEP}: is not what it was when this sweep began; give the same sweep command again, which mends it.")
    return sweep


def look_over(sweep: Sweep, out: Path, say: Callable[[str], None]) -> None:
    """Mend the folder of `sweep` before it is continued: its problem file is written anew where it is damaged, and finished members that
    are not what they were are taken away, to be trained again. `say` hears of each."""
    try:
        reopened(out)
    except ConfigError:
        say(f"{out / SWEEP} is damaged: it is written anew")
        _write_down(sweep, out)
    for member, each in zip(sweep.members, plan(out)["members"], strict=True):
        place = out / DONE / each["id"]
        fault = _fault(place, member) if place.exists() else None
        if fault:
            say(f"{place} is damaged ({fault}): this member is trained again")
            shutil.rmtree(place)


def _fault(place: Path, member: Member) -> str | None:
    """What is wrong with a finished member, or None."""
    try:
        wrong = files.damaged(place, files.read_sealed(place / DIGESTS)["files"])
    except OSError:
        return f"it has no {DIGESTS}"
    except ValueError:
        return f"file {DIGESTS}"
    if wrong:
        return f"file {wrong[0]}"
    other = json.loads((place / "result.json").read_text(encoding="utf-8"))["config_sha256"] != member.config.sha256()
    return "it is of another problem file" if other else None


def seal(place: Path) -> None:
    """Write down the hash of each file of a finished member."""
    files.write_json(place / DIGESTS, files.sealed({"files": files.digests(place)}))


def plan(out: Path) -> dict[str, Any]:
    """`members.json`. Raises ConfigError where a folder holds no sweep."""
    path = out / MEMBERS
    try:
        return files.read_sealed(path)
    except FileNotFoundError:
        raise ConfigError(f"{out}: is not the folder of a sweep; it has no {MEMBERS}.") from None
    except ValueError as error:
        raise ConfigError(f"{path}: is damaged ({error}); remove it and give the same sweep command again: what is "
                          "finished is kept.") from None


def done(out: Path, name: str) -> bool:
    """Whether a member is finished."""
    return (out / DONE / name / "result.json").exists()


def unfinished(out: Path) -> list[int]:
    """The groups of which a member is not finished, in order."""
    return sorted({each["group"] for each in plan(out)["members"] if not done(out, each["id"])})


def cleared(out: Path, group: int) -> None:
    """Remove what a group needed while it trained."""
    shutil.rmtree(out / GROUPS / str(group), ignore_errors=True)


def member_yaml(config: Config, out: Path, folder: Path) -> str:
    """A member's problem file as it stands in `folder`, whose data lie in the sweep's."""
    alone = config.standing_alone(config.resolved(), out)
    depth = "/".join([".."] * len(folder.relative_to(out).parts))
    alone = map_files(alone, lambda name: f"{depth}/{name}")
    return yaml.safe_dump({**alone, "plugins": [f"{depth}/{name}" for name in alone["plugins"]]}, sort_keys=False, allow_unicode=True)
