"""What a sweep survives: it is killed, its disk filled, its files damaged; continued, it must end in the table of one left alone.

A small sweep (two groups of four auctions) runs once undisturbed. Then it is disturbed, each time in a folder of its own, and the same
command is given again: killed with SIGKILL at moments drawn from a seed, some of them while a checkpoint, a member, the best run or the
table is being written; bits flipped in checkpoints, in what the sweep notes down and in what is finished; a disk with no room; SIGINT and
SIGTERM; two attempts at once in one folder. What must be equal, bit for bit: the table without its columns of seconds, and every
member's parameters. Whether the metrics are, without their seconds, is told beside it. Written to experiments/results/survival.json:

    python experiments/survival.py [kills] [damage] [disk] [signals] [two] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import disturbed
import numpy as np
import yaml
from disturbed import BEST, CHECKPOINT, MEMBER, SMALL, TABLE, Place, appears, reached
from time_to_quality import RESULTS, machine

KINDS = ("kills", "damage", "disk", "signals", "two")
LAST = f"groups/*/*/checkpoints/step_{SMALL['training']['steps']}"
DAMAGED = {  # what is damaged of a sweep that stopped in its second group: which files, and a text to change in them, or None for any bit
    "the newest checkpoint": (["groups/1/0/checkpoints/@newest/**/*"], None),
    "both checkpoints": (["groups/1/0/checkpoints/step_*/manifest.json"], None),
    "metrics of a group": (["groups/1/0/metrics.jsonl"], None),
    "how many train together": (["groups/1/plan.json"], None),
    "how many train together, as another number": (["groups/1/plan.json"], (b"4", b"6")),
    "the list of members": (["members.json"], None),
    "the list of members, as another setting": (["members.json"], (b"0.01", b"0.03")),
    "the problem file": (["sweep.yaml"], None),
    "the problem file, as another batch": (["sweep.yaml"], (b"batch: 16", b"batch: 18")),
    "a member's result": (["members/@first/result.json"], None),
    "a member's result, as another number": (["members/@first/result.json"], (b'"seed": 0', b'"seed": 4')),
    "a member's problem file": (["members/@first/config.yaml"], None),
    "a member's metrics": (["members/@first/metrics.jsonl"], None),
    "a member's parameters": (["members/@first/artifact/parameters.npz"], None),
}
Report = dict[str, Any]


class Disturbances:
    """All of them, on folders under `scratch`, against a sweep left alone."""

    def __init__(self, scratch: Path, seed: int) -> None:
        self.scratch, self.generator = scratch, np.random.default_rng(seed)
        (scratch / "small.yaml").write_text(yaml.safe_dump(SMALL), encoding="utf-8")
        self.place("warm").ended()  # what is compiled for the first time is kept for all
        place, started = self.place("undisturbed"), time.monotonic()
        if place.ended() != 0:
            raise SystemExit("\n".join(place.told()))
        self.takes, self.wanted, self.curves = time.monotonic() - started, disturbed.record(place.out), disturbed.curves(place.out)
        self.bytes = sum(path.stat().st_size for path in place.out.rglob("*") if path.is_file())

    def place(self, name: str) -> Place:
        """A new folder for a sweep."""
        return Place(self.scratch / "small.yaml", self.scratch / name)

    def continued(self, place: Place, told: Report) -> Report:
        """Give the command again: what it says, how it ends, and whether the table is the one of a sweep left alone."""
        since, started = place.said(), time.monotonic()
        status = place.ended()
        wrong = disturbed.difference(disturbed.record(place.out), self.wanted) if status == 0 else "it did not end well"
        return {**told, "said": place.told(since), "status": status, "identical": wrong is None,
                **({"curves_identical": disturbed.curves(place.out) == self.curves} if wrong is None else {"difference": wrong[:500]}),
                "left_over": disturbed.leftovers(place.out), "seconds": round(time.monotonic() - started, 1)}  # fmt: skip

    def kills(self) -> Iterator[Report]:
        """Twenty of them."""
        draw = self.generator
        kinds = ["at random"] * 6 + [CHECKPOINT] * 6 + [MEMBER] * 3 + [LAST] * 2 + [BEST] * 2 + [TABLE]
        for number, kind in enumerate(kinds):
            told: Report = {"killed": False}
            for attempt in range(9):  # one that ended before its moment, or within what was waited after it, was not disturbed
                place = self.place(f"kill-{number}-{attempt}")
                if kind == "at random":
                    wait = float(draw.uniform(0.05, 0.95)) * self.takes
                    told = {"moment": f"{wait:.2f} s after the start", **disturbed.killed(place, disturbed.seconds(wait))}
                else:
                    nth = int(draw.integers(1, {CHECKPOINT: 9, MEMBER: 9, LAST: 3}.get(kind, 2)))
                    wait = float(draw.uniform(0, {CHECKPOINT: 0.03, LAST: 1.5, BEST: 2.0}.get(kind, 0.002)))
                    told = disturbed.killed(place, appears(place.out, kind, nth), wait)
                    told = {"moment": f"{1000 * wait:.0f} ms after {kind} appears for the {nth}. time", **told}
                if told["killed"]:
                    break
            yield self.continued(place, {"kind": "SIGKILL", **told})

    def damage(self) -> Iterator[Report]:
        """Bits flipped in what a sweep leaves that was killed in its second group."""
        stopped = self.place("stopped")
        disturbed.killed(stopped, appears(stopped.out, "groups/1/*/checkpoints/step_30"))
        first = json.loads((stopped.out / "members.json").read_text(encoding="utf-8"))["members"][0]["id"]
        newest = max((stopped.out / "groups/1/0/checkpoints").glob("step_*"), key=lambda path: int(path.name[5:])).name
        for name, (patterns, change) in DAMAGED.items():
            patterns = [each.replace("@newest", newest).replace("@first", first) for each in patterns]
            files = [path for each in patterns for path in sorted(stopped.out.glob(each)) if path.is_file() and path.stat().st_size]
            together = name == "both checkpoints"
            for number, file in enumerate(files[:1] if together else files):
                place = self.place(f"{name.replace(' ', '-')}-{number}")
                shutil.copytree(stopped.out, place.out)
                which = [place.out / each.relative_to(stopped.out) for each in (files if together else [file])]
                where = [self.damaged(each, change) for each in which]
                told = {"kind": "damage", "moment": name, "files": [str(each.relative_to(place.out)) for each in which], "bytes": where}
                report = self.continued(place, told)
                if report["status"] == 2 and (said := report["said"]) and "remove it" in said[-1]:
                    which[0].unlink()
                    report = {**self.continued(place, told), "said": [*said, f"(removed {told['files'][0]})"]}
                yield report

    def damaged(self, path: Path, change: tuple[bytes, bytes] | None) -> int:
        """Change a file: the place of the byte."""
        if change is None:
            return disturbed.flip(path, self.generator)
        content = path.read_bytes()
        path.write_bytes(content.replace(*change, 1))
        return content.index(change[0])

    def disk(self) -> Iterator[Report]:
        """A disk of its own, too small by different amounts, and then larger."""
        for share in (0.05, 0.2, 0.4, 0.6, 0.75, 0.9):
            disk = self.scratch / f"disk-{share}"
            disk.mkdir()
            size = int(share * self.bytes)
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)], capture_output=True, text=True)
            told = {"kind": "full disk", "moment": f"{size:,} bytes, {share:.0%} of what the sweep takes"}
            if mounted.returncode != 0:
                yield {**told, "skipped": f"a disk cannot be mounted here: {mounted.stderr.strip()}"}
                return
            try:
                place = Place(self.scratch / "small.yaml", disk / "out")
                place = Elsewhere(place.config, place.out)
                status = place.ended()
                told |= {"said_when_full": place.told(), "status_when_full": status, **place.stands()}
                subprocess.run(["mount", "-o", f"remount,size={10 * self.bytes}", str(disk)], check=True)
                yield self.continued(place, told)
            finally:
                subprocess.run(["umount", str(disk)], check=True)

    def signals(self) -> Iterator[Report]:
        """SIGINT and SIGTERM, while training, while judging, while compiling."""
        moments = {"training": ("groups/1/0/checkpoints/step_10", 0.0), "judging": (LAST, 0.5), "compiling": ("members.json", 0.3)}
        for number, wanted in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            for name, (pattern, wait) in moments.items():
                place = self.place(f"{number.name}-{name}")
                process = place.begun()
                reached(process, appears(place.out, pattern))
                time.sleep(wait)
                os.kill(process.pid, number)
                process.join()
                told = {"kind": number.name, "moment": name, "said_when_stopped": place.told(), "status_when_stopped": process.exitcode,
                        "status_wanted": wanted, **place.stands()}  # fmt: skip
                yield self.continued(place, told)

    def two(self) -> Iterator[Report]:
        """A second attempt while the first one is at it."""
        for wait in (0.0, 0.4 * self.takes):
            place = self.place(f"two-{wait:.0f}")
            process = place.begun()
            time.sleep(wait)
            second = place.ended()
            process.join()
            told = {"kind": "two at once", "moment": f"{wait:.1f} s apart", "statuses": [process.exitcode, second]}
            yield self.continued(place, {**told, "both_said": place.told()})


class Elsewhere(Place):
    """A sweep on a disk of its own, whose log lies outside."""

    @property
    def log(self) -> Path:
        """Beside the disk."""
        return self.out.parent.with_name(f"{self.out.parent.name}.log")


def main() -> None:
    """Disturb, and write down what came of it, kind by kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; left out: all of them")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the bits")
    arguments = parser.parse_args()
    from icsap_jax import runtime

    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{scratch}/compiled")
        disturbances = Disturbances(Path(scratch), arguments.seed)
        about = {"command": "python experiments/survival.py", "seed": arguments.seed, "device": "cpu", "machine": machine(),
                 "versions": runtime.versions(), "sweep": SMALL, "undisturbed_seconds": round(disturbances.takes, 1)}  # fmt: skip
        for kind in arguments.kinds or KINDS:
            found = []
            for report in getattr(disturbances, kind)():
                found.append(report)
                print(f"{report['kind']}, {report['moment']}: {'identical' if report.get('identical') else report}", flush=True)
            _keep(RESULTS / "survival.json", about, kind, found)


def _keep(path: Path, about: Report, kind: str, found: list[Report]) -> None:
    """Write down one kind of disturbance beside those that are there."""
    there = json.loads(path.read_text(encoding="utf-8")).get("disturbances", {}) if path.exists() else {}
    disturbances = {**there, kind: found}
    every = [each for reports in disturbances.values() for each in reports if "skipped" not in each]
    counts = {"disturbed": len(every), "identical": sum(each["identical"] for each in every)}
    content = {**about, **counts, "disturbances": disturbances}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
