"""The tables of the page on sweeps, made from the committed files in experiments/results/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from icsap_jax.reproduce.text import short

RESULTS = Path(__file__).resolve().parent / "results"

SPEED_HEAD = ["device", "setting", "members", "member-steps a second", "cost of a member's step, alone = 1", "vmapped on a CPU",
              "seconds to compile", "first step of a sweep of 8: cold, warm"]  # fmt: skip
FOUND_HEAD = ["sweep", "members", "steps of all together", "best member", "objective", "mean gap", "exact optimum",
              "seconds, whole process"]


def speed_rows() -> list[list[str]]:
    """One row for each device, setting and number of members."""
    path = RESULTS / "sweep.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    found = []
    for device, entry in entries.items():
        for setting, told in entry["settings"].items():
            starts = f"{told['first_step']['cold_seconds']} s, {told['first_step']['warm_seconds']} s"
            for row in told["rows"]:
                vmapped = row.get("vmapped_member_steps_per_second")
                found.append([
                    f"{device}, {entry['machine']}", setting, str(row["members"]), f"{row['member_steps_per_second']:,.0f}",
                    f"{row['cost_of_a_member_step']:.2f}", "" if vmapped is None else f"{vmapped:,.0f}",
                    f"{row['compile_seconds']:.1f}", starts if row is told["rows"][0] else "",
                ])  # fmt: skip
    return found


def found_rows() -> list[list[str]]:
    """One row for each committed sweep: what it found, and what that took."""
    found = []
    for path in sorted((RESULTS / "sweeps").glob("*.json")):
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        best = next(row for row in record["rows"] if row["id"] == record["best"])
        optimum = "—" if best["optimum"] is None else f"{best['optimum']:.4f}"
        found.append([
            f"`{record['command']}`", str(record["members"]), f"{record['member_steps']:,}", f"`{best['id']}`",
            f"{best['objective_name']} {best['objective']:.4f} ± {best['objective_std_error']:.4f}", short(best["gap_mean"]), optimum,
            f"{record['process_seconds']:.0f}",
        ])  # fmt: skip
    return found


SWEEPS = {"speed": (SPEED_HEAD, speed_rows), "sweeps": (FOUND_HEAD, found_rows)}
