"""What people like of an auction: rules trained with a preference network (Peri, Curry, Dooley & Dickerson 2021) beside the same without.

    python experiments/preferences.py
    python experiments/preferences.py --only uniform

Two additive bidders and two items, values uniform on [0, 1]; and the setting of which the authors' repository keeps a table, where the
second bidder's values are uniform on [0, 8]. For each of three preferences (total variation, entropy, quota: the files of
configs/auctions/preference/) a RegretNet is trained with it; a plain one is judged by all three. So, in the first setting, are lotteries
of an affine maximiser, under which nobody gains by lying. The accuracy is the share of 100 000 test bids whose allocation is liked, the
gap that of the strong search. Writes experiments/results/preferences.json; rows of settings that are not asked for are kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from time_to_quality import RESULTS, ROOT, machine

from icsap_jax import artifact, run, runtime
from icsap_jax.config import Config, load

PREFERENCES = ("total_variation", "entropy", "quota")
PLAIN = "configs/auctions/additive_2x2_uniform.yaml"
# What of a setting differs from the files. Where five times as much is earned, a preference weighs five times as much.
SETTINGS: dict[str, dict[str, list[str]]] = {
    "uniform": {"both": ["training.steps=10000"], "preference": []},
    "strategyproof": {"both": ["rule.kind=lottery_ama"], "preference": []},
    "asymmetric": {"both": ["training.steps=10000", "problem.prior.high=[[1, 1], [8, 8]]"], "preference": ["problem.preference.weight=5"]},
}  # fmt: skip
SOURCE = ("Peri, Curry, Dooley & Dickerson 2021, repository neeharperi/PreferenceNet, compare_mechanism/table.txt: '2x2 am', values of the "
          "second bidder on [0, 8] by compare_models.py. 'direct' is RegretNet whose loss has the measure itself, not plain RegretNet; "
          "their gap is added up over bidders, on their own search.")  # fmt: skip
PUBLISHED: dict[str, dict[str, Any]] = {
    "total_variation": {"direct": {"accuracy": 0.965, "gap_sum": 0.019, "revenue": 4.66},
                        "preferencenet": {"accuracy": 1.0, "gap_sum": 0.021, "revenue": 4.57}},
    "entropy": {"direct": {"accuracy": 0.729, "gap_sum": 0.020, "revenue": 4.62},
                "preferencenet": {"accuracy": 0.962, "gap_sum": 0.054, "revenue": 4.35}},
    "quota": {"direct": {"accuracy": 0.171, "gap_sum": 0.020, "revenue": 4.71},
              "preferencenet": {"accuracy": 1.0, "gap_sum": 0.151, "revenue": 3.07}},
}  # fmt: skip


def trained(file: str, overrides: list[str], folder: Path) -> dict[str, Any]:
    """What `icsap train` reaches with a file, and in which time."""
    started = time.monotonic()
    result = run.train(load(ROOT / file, overrides), folder, lambda line: None)
    gap = result["incentive_gap"]
    return {
        "command": " ".join(["icsap train", file, *(f"'{each}'" for each in overrides)]), "revenue": result["objective"]["value"],
        "revenue_std_error": result["objective"]["std_error"], "gap_mean": gap["mean"], "gap_max": gap["max"], "gap_method": gap["method"],
        "steps": result["steps"], "seconds": round(time.monotonic() - started, 1), **told(result["details"].get("preference", {})),
    }  # fmt: skip


def told(preference: dict[str, Any]) -> dict[str, Any]:
    """Of what a result tells of a preference what the table shows."""
    names = ("accuracy", "std_error", "network_accuracy", "network_accuracy_on_its_own", "share_of_random_allocations")
    return {("accuracy_std_error" if name == "std_error" else name): preference[name] for name in names if name in preference}


def judged(config: Config, folder: Path) -> dict[str, Any]:
    """What people who prefer as `config` says think of a rule in a run folder that was trained for something else."""
    problem, env = config.problem.build(config.folder)
    rule = artifact.load(folder / "artifact").rule
    return told(config.problem.hook("details")(problem, env, config.problem, config.rule, rule)["preference"])


def rows(name: str, scratch: Path) -> list[dict[str, Any]]:
    """The three rows of a setting."""
    both, more = SETTINGS[name]["both"], SETTINGS[name]["preference"]
    plain = trained(PLAIN, both, scratch / name)
    found = []
    for preference in PREFERENCES:
        file = f"configs/auctions/preference/{preference}.yaml"
        config = load(ROOT / file, [*both, *more])
        found.append({
            "setting": name, "preference": preference, "labels": config.problem.preference.labels.model_dump(mode="json"),
            "weight": config.problem.preference.weight, "rule": config.rule.kind_name(),
            "plain": {**plain, **judged(config, scratch / name)},
            "preferred": trained(file, [*both, *more], scratch / f"{name}-{preference}"),
            "published": PUBLISHED[preference] if name == "asymmetric" else None,
        })  # fmt: skip
        print(line(found[-1]), flush=True)
    return found


def line(row: dict[str, Any]) -> str:
    """A row for the eye: accuracy, revenue, gap, without the preference and with it."""
    shown = [f"{who} {row[who]['accuracy']:.1%}, {row[who]['revenue']:.4f} at {row[who]['gap_mean']:.5f}"
             for who in ("plain", "preferred")]  # fmt: skip
    return f"{row['setting']} {row['preference']}: {'; '.join(shown)}"


def main() -> None:
    """Train, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], choices=list(SETTINGS), help="a setting")
    wanted = parser.parse_args().only or list(SETTINGS)
    runtime.prepare()
    place = RESULTS / "preferences.json"
    kept = json.loads(place.read_text())["rows"] if place.exists() else []
    with tempfile.TemporaryDirectory() as scratch:
        started = time.monotonic()
        made = {name: rows(name, Path(scratch)) for name in wanted}
    only = [f"--only {name}" for name in wanted] if len(wanted) < len(SETTINGS) else []
    made_by = {"command": " ".join(["python experiments/preferences.py", *only]),
               "machine": machine(), "device": runtime.device_name(), "versions": runtime.versions(),
               "process_seconds": round(time.monotonic() - started, 1)}  # fmt: skip
    fresh = {name: [{**row, "made_by": made_by} for row in found] for name, found in made.items()}
    told = [row for name in SETTINGS for row in fresh.get(name, [row for row in kept if row["setting"] == name])]
    place.write_text(json.dumps({"published": SOURCE, "rows": told}, indent=1) + "\n")


if __name__ == "__main__":
    main()
