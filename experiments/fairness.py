"""The price of fairness: what an auction earns whose items have to be given away alike, Σ_{i ∈ C} |z_ij − z_ij′| ≤ d (Kuo et al. 2020).

    python experiments/fairness.py
    python experiments/fairness.py --only additive_1x2_uniform

For every setting three rules, each for several limits d in one compiled program, a member for each: a menu, or an affine maximiser, that is
strategyproof and fair by construction; RegretNet that is fair by construction; and ProportionNet, RegretNet with a price on unfairness.
Two bidders are also taken as categories of their own. All are judged by the strong search, with the exact best revenue beside it where it
is known, and bounds elsewhere. Writes experiments/results/fairness.json, where rows that are not asked for are kept, and the picture
experiments/results/fairness.png. The table of preferences, with the published rows beside ours, is made by experiments/preferences.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from time_to_quality import RESULTS, ROOT, machine

from icsap_jax import evaluation, figures, runtime
from icsap_jax.bilevel import fit
from icsap_jax.config import Config, load
from icsap_jax.sweep.expand import Member
from icsap_jax.sweep.programs import Batch, Posed, Programs

CHUNK = 500  # steps compiled as one scan
FOLDER = "configs/auctions/fair"
TENTHS, FIFTHS = [d / 10 for d in range(11)], [d / 5 for d in range(6)]
# Of each curve: the file of its setting, what differs from it, where the limit is written, and the limits.
BY_CONSTRUCTION = ["problem.constraints.0.by=construction"]
CURVES: dict[str, tuple[str, list[str], str, list[Any]]] = {
    f"{setting}{name}": (f"{FOLDER}/{setting}{file}.yaml", changes, "problem.constraints.0.limit", limits)
    for setting in ("additive_1x2_uniform", "additive_1x2_uniform_416_47", "additive_2x2_uniform")
    for name, file, changes, limits in (
        (" strategyproof", "", [], TENTHS), (" regretnet", "_proportionnet", BY_CONSTRUCTION, FIFTHS),
        (" proportionnet", "_proportionnet", [], FIFTHS),
    )
}  # fmt: skip
CURVES["additive_2x2_uniform categories"] = (
    f"{FOLDER}/additive_2x2_uniform_categories.yaml", [], "problem.constraints.0.limit", [[d, d] for d in FIFTHS])
TITLES = {"additive_1x2_uniform": "one bidder, U[0, 1]", "additive_1x2_uniform_416_47": "one bidder, U[4, 16] × U[4, 7]",
          "additive_2x2_uniform": "two bidders, U[0, 1]"}  # fmt: skip


def together(configs: Sequence[Config]) -> tuple[list[Posed], list[Any]]:
    """Each posed, and the rules they end with: trained in one compiled program, a member for each. They may differ in numbers alone."""
    posed = [Posed.of(Member(str(number), {}, config)) for number, config in enumerate(configs)]
    batch = Batch(tuple(posed), len(posed), None)
    state = batch.states(Programs())
    for _ in range(configs[0].training.steps // CHUNK):
        state, _ = batch.advance(state, CHUNK)
    return posed, [fit.member(state, place).rule for place in range(len(configs))]


def curve(name: str) -> list[dict[str, Any]]:
    """What a rule earns at each limit, how far it can be exploited and how unfair it is."""
    file, changes, key, limits = CURVES[name]
    started = time.monotonic()
    configs = [load(ROOT / file, [*changes, f"{key}={json.dumps(limit)}"]) for limit in limits]
    posed, rules = together(configs)
    trained = time.monotonic() - started
    rows = []
    for config, each, rule, limit in zip(configs, posed, rules, limits, strict=True):
        found = evaluation.evaluate(config, each.problem, each.env, rule)
        gap, details = found["incentive_gap"], found["details"]
        rows.append({
            "curve": name, "limit": limit, "revenue": found["objective"]["value"], "std_error": found["objective"]["std_error"],
            "gap_mean": gap["mean"], "gap_max": gap["max"], "gap_method": gap["method"],
            "unfairness_mean": details["constraint_means"]["total_variation"], "unfairness_max": details["constraints"]["total_variation"],
            "optimum": found["optimum"], "baselines": found["baselines"], "steps": config.training.steps,
        })  # fmt: skip
        print({key: value for key, value in rows[-1].items() if key not in ("optimum", "baselines", "gap_method")}, flush=True)
    seconds = {"training_seconds": round(trained, 1), "evaluation_seconds": round(time.monotonic() - started - trained, 1)}
    return [{**row, "members": len(limits), **seconds, **made()} for row in rows]


def made() -> dict[str, Any]:
    """By what a row was made."""
    return {"machine": machine(), "device": runtime.device_name(), "versions": runtime.versions()}


def draw(rows: list[dict[str, Any]]) -> None:
    """Revenue against d for every setting: what rules reach, and what is exactly known."""
    labels = {"strategyproof": ("strategyproof, fair by construction", "o-"), "regretnet": ("RegretNet, fair by construction", "s--"),
              "proportionnet": ("ProportionNet", "^:"), "categories": ("strategyproof, each bidder a category", "d-")}  # fmt: skip
    with figures.page(RESULTS / "fairness.png", 12.5, 4.2, columns=len(TITLES)) as (figure, axes):
        for axis, (setting, title) in zip(axes[0], TITLES.items(), strict=True):
            own = [row for row in rows if row["curve"].split()[0] == setting]
            for colour, (kind, (label, style)) in zip(figures.COLOURS, labels.items(), strict=False):
                line = [row for row in own if row["curve"].split()[1] == kind]
                if line:
                    limits = [np.ravel(row["limit"])[0] for row in line]
                    axis.plot(limits, [row["revenue"] for row in line], style, color=colour, label=label, markersize=4)
            known = {np.ravel(row["limit"])[0]: row["optimum"]["value"] for row in own if row["optimum"]["value"] is not None}
            if known:
                axis.plot(list(known), list(known.values()), "*", color=figures.INK, label="exact optimum", markersize=9)
            axis.set_title(title)
            axis.set_xlabel("limit d on unfairness")
            axis.grid(True)
        axes[0][0].set_ylabel("revenue")
        axes[0][-1].legend(fontsize=8)
        figure.suptitle("The price of fairness")


def main() -> None:
    """Train, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a setting, or one of its curves")
    chosen = parser.parse_args().only
    runtime.prepare()
    path = RESULTS / "fairness.json"
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    for name in CURVES:
        if not chosen or name in chosen or name.split()[0] in chosen:
            kept = [row for row in kept if row["curve"] != name] + curve(name)
            kept.sort(key=lambda row: list(CURVES).index(row["curve"]))
            path.write_text(json.dumps({"command": "python experiments/fairness.py", "rows": kept}, indent=1) + "\n")
            draw(kept)


if __name__ == "__main__":
    main()
