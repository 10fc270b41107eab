"""Facilities on a line and votes: what is learned beside the best percentiles, the first best, and what is exactly known.

Trains each row as `icsap train` does and writes it to experiments/results/facility/, one file each, so that parts of them may run side by
side. What two rules for the same peaks are worth is compared on the same 100 000 profiles, since it differs by less than what it varies
from sample to sample. Then prints a table of all that are there; `--pictures` draws docs/pictures/facility_frontier.png.

    python experiments/facility.py                        all of them, the table and the picture
    python experiments/facility.py facility_k2-facilitynet
    python experiments/facility.py --none --pictures      only the table and the picture
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from time_to_quality import machine

from icsap_jax import artifact, evaluation, run, runtime
from icsap_jax.choice.facility.baselines import best_percentiles
from icsap_jax.choice.facility.optimum import first_bests
from icsap_jax.choice.facility.problem import peaks_drawn, worth
from icsap_jax.config import load
from icsap_jax.figures import ACCENT, COLOURS, QUIET, page

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs" / "choice"
RESULTS = ROOT / "experiments" / "results" / "facility"
PICTURE = ROOT / "docs" / "pictures" / "facility_frontier.png"
LEFT_OUT = ("gap_histogram", "members", "gap_quantiles", "seconds")
PRICES = (0.5, 1.0, 20.0)  # of gaps when training ends, beside the default's 5
FILES = ("facility_k1", "facility_k2", "facility_k3", "facility_weighted", "facility_weighted_k2", "facility_farthest")
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{f"{file}-{rule}": (file, (f"rule.kind={rule}",)) for file in FILES for rule in ("facilitynet", "generalised_median")},
    **{f"facility_k2-price{price:g}": ("facility_k2", (f"training.lagrangian.multiplier_end={price}",)) for price in PRICES},
    "facility_k1-median": ("facility_k1", ("rule.kind=median",)),
    **{f"{file}-votingnet": (file, ()) for file in ("voting_3x3", "voting_3x3_first_counts")},
    **{f"voting_3x3-{rule}": ("voting_3x3", (f"rule.kind={rule}",)) for rule in ("plurality", "borda", "random_dictator")},
}


def compared(folder: Path) -> dict[str, Any]:
    """On the same profiles: what a saved rule is worth, what the best percentiles and the first best are, and by how much it is better than
    the former, each with its standard error."""
    learned = artifact.load(folder)
    problem, env, model = learned.problem, learned.env, learned.config.problem
    peaks = peaks_drawn(problem, env, 100_000)
    with jax.enable_x64(True):
        env64, rule64 = evaluation.as_judged(problem, env, learned.rule)

        @jax.jit
        def value(part: jax.Array) -> jax.Array:
            decision = problem.decide(env64, rule64, None, part[..., None])
            return problem.scored(env64, env64.worth - problem.distances(part[..., None], decision.places), decision.chance).value

        ours = np.concatenate([np.asarray(value(part)) for part in np.split(peaks, 50)])
    percentiles = best_percentiles(problem, env)
    theirs = worth(problem, env, peaks, np.sort(peaks, -1)[:, list(percentiles)])
    first = first_bests(problem, env, model)
    best = {**told(theirs), "orders": [each + 1 for each in percentiles]}
    return {"profiles": len(peaks), "learned": told(ours), "best_percentiles": best,
            "better_than_percentiles": told(ours - theirs), "first_best": None if first is None else told(first)}  # fmt: skip


def told(values: np.ndarray) -> dict[str, float]:
    """A mean and its standard error."""
    return {"mean": float(values.mean()), "std_error": float(values.std() / np.sqrt(len(values)))}


def learned(name: str) -> dict[str, Any]:
    """What `icsap train` reaches on one row."""
    started = time.monotonic()
    file, overrides = ROWS[name]
    path = CONFIGS / f"{file}.yaml"
    with tempfile.TemporaryDirectory() as scratch:
        result = run.train(load(path, overrides), Path(scratch) / "run", lambda line: None)
        same = compared(Path(scratch) / "run" / "artifact") if result["problem"] == "facility" else None
    return {
        "command": " ".join(["icsap train", path.relative_to(ROOT).as_posix(), *overrides]), "machine": machine(),
        "device": runtime.device_name(), "versions": runtime.versions(), "rule": result["rule"], "objective": result["objective"],
        "gap": result["incentive_gap"], "optimum": result["optimum"], "baselines": result["baselines"], "same_profiles": same,
        "details": {key: each for key, each in result["details"].items() if key not in LEFT_OUT},
        "steps": result["steps"], "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip


def results() -> dict[str, dict[str, Any]]:
    """Everything that was written, by name, in the order of the rows."""
    return {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in ROWS if (RESULTS / f"{name}.json").exists()}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """As text: what is learned, the mean and the largest strong gap, the best percentiles, the first best or the exact optimum."""
    lines = [f"{'row':<44}{'learned':>10}{'gap':>9}{'largest':>9}{'percent.':>10}{'better':>10}{'±':>8}{'best':>10}{'steps':>7}{'s':>7}"]
    for name, row in rows.items():
        same, gap = row["same_profiles"], row["gap"]
        value = row["objective"]["value"] if same is None else same["learned"]["mean"]
        cells = [f"{value:>10.5f}", f"{gap['mean']:>9.1e}", f"{gap['max']:>9.1e}"]
        if same is None:
            cells += [" " * 28, f"{row['optimum']['value']:>10.5f}"]
        else:
            better = same["better_than_percentiles"]
            cells += [f"{same['best_percentiles']['mean']:>10.5f}", f"{better['mean']:>10.5f}", f"{better['std_error']:>8.5f}",
                      f"{same['first_best']['mean']:>10.5f}"]  # fmt: skip
        lines.append(f"{name:<44}" + "".join(cells) + f"{row['steps']:>7}{row['seconds']:>7.0f}")
    return "\n".join(lines)


def frontier(rows: dict[str, dict[str, Any]]) -> None:
    """Two facilities: social cost against the mean gap, as the price of a gap is raised."""
    names = ["facility_k2-price0.5", "facility_k2-price1", "facility_k2-facilitynet", "facility_k2-price20"]
    there = [rows[name] for name in names if name in rows]
    cost = [-row["same_profiles"]["learned"]["mean"] for row in there]
    gap = [row["gap"]["mean"] for row in there]
    with page(PICTURE, 6.4, 4.0) as (_, axes):
        axis = axes[0, 0]
        axis.plot(gap, cost, "o-", color=COLOURS[0], label="network, as the price of gaps rises")
        same = there[0]["same_profiles"]
        axis.axhline(-same["best_percentiles"]["mean"], color=QUIET, linewidth=1, linestyle="--", label="best percentiles, no gap")
        if (row := rows.get("facility_k2-generalised_median")) is not None:
            reached = -row["same_profiles"]["learned"]["mean"]
            axis.plot([row["gap"]["mean"]], [reached], "s", color=ACCENT, label="generalised medians, no gap")
        axis.axhline(-same["first_best"]["mean"], color=QUIET, linewidth=1, linestyle=":", label="first best, peaks known")
        axis.set_xlabel("mean strong gap, in lengths of the line")
        axis.set_ylabel("social cost, all five agents'")
        axis.set_xlim(left=-2e-5)
        axis.legend(frameon=False)
        axis.set_title("Two facilities for five agents")


def main() -> None:
    """What is named on the command line, or everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*ROWS, []], metavar="ROW", help="as in the table")
    parser.add_argument("--none", action="store_true", help="train nothing")
    parser.add_argument("--pictures", action="store_true", help="draw the picture")
    arguments = parser.parse_args()
    runtime.prepare()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in [] if arguments.none else arguments.names or list(ROWS):
        row = learned(name)
        (RESULTS / f"{name}.json").write_text(json.dumps(row, indent=1) + "\n")
        print(f"{name}: {row['objective']['value']:.5f}, gap {row['gap']['mean']:.1e}, {row['seconds']} s", flush=True)
        jax.clear_caches()
    print(table(results()))
    if arguments.pictures or not arguments.names:
        frontier(results())


if __name__ == "__main__":
    main()
