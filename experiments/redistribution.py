"""VCG redistribution and cost sharing: what classical, exact and learned rules come to, side by side.

    python experiments/redistribution.py [NAME …]

For 3, 4, 5 and 10 agents with one unit and values U[0, 1], and for four of whom some may lose by taking part: the share of what is
collected that Cavallo's rule, the worst-case optimal one and the best linear one hand back, what linear programmes say is possible, and
learned rules with their deficits. For a project that costs 1: equal shares, learned shares and a network, for priors as in Wang et al.
2021 (two peaks being normals around .15 and .85). Writes experiments/results/redistribution/NAME.json for those named, or for all.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from time_to_quality import RESULTS, machine

from icsap_jax import config, run, runtime
from icsap_jax.choice.redistribution.optimum import returned_bounds
from icsap_jax.choice.redistribution.programmes import best_linear, handed_back_on_average
from icsap_jax.choice.redistribution.rules import cavallo_coefficients, worst_case_coefficients

PEAKS = {"kind": "mixture", "weights": [0.5, 0.5], "parts": [
    {"kind": "truncated_normal", "mean": mean, "std": 0.1, "low": 0, "high": 1} for mean in (0.15, 0.85)]}  # fmt: skip
EXTREMES = {"kind": "beta", "a": 0.5, "b": 0.5}
# By name: how many agents, whether nobody may lose by taking part, and the rules learned.
MARKETS: dict[str, tuple[int, bool, tuple[str, ...]]] = {
    "redistribution_4": (4, True, ("linear_rebate", "redistributionnet")),
    "redistribution_3": (3, True, ("redistributionnet",)),
    "redistribution_5": (5, True, ("redistributionnet",)),
    "redistribution_10": (10, True, ("linear_rebate", "redistributionnet")),
    "redistribution_4_any_sign": (4, False, ("redistributionnet",)),
}
# By name: how many agents, the prior of their values, the objective, and the rules learned.
PROJECTS: dict[str, tuple[int, dict[str, Any], str, tuple[str, ...]]] = {
    "project_two_peaks_3_served": (3, PEAKS, "served", ("unanimous",)),
    "project_uniform_3_welfare": (3, {"kind": "uniform"}, "welfare", ("unanimous",)),
    "project_two_peaks_3_welfare": (3, PEAKS, "welfare", ("unanimous",)),
    "project_two_peaks_5_served": (5, PEAKS, "served", ("unanimous",)),
    "project_beta_3_served": (3, EXTREMES, "served", ("unanimous",)),
    "project_two_peaks_3_served_costnet": (3, PEAKS, "served", ("costnet",)),
    "project_uniform_3_welfare_costnet": (3, {"kind": "uniform"}, "welfare", ("costnet",)),
}


def trained(data: dict[str, Any], told: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The result of a run as the command makes it, without its pictures, and its row: with what its details tell under a name."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        result = run.train(config.parse(data), Path(scratch) / "run", lambda line: None)
    gap, objective = result["incentive_gap"], result["objective"]
    row = {
        "rule": data["rule"]["kind"], "value": objective["value"], "std_error": objective["std_error"], "gap_mean": gap["mean"],
        "gap_max": gap["max"], "steps": result["steps"], "seed": result["seed"], "seconds": round(time.monotonic() - started, 1),
        **result["details"][told],
    }  # fmt: skip
    print(row, flush=True)
    return result, row


def market(agents: int, participation: bool, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Shares of what one unit collects that are handed back."""
    data: dict[str, Any] = {"problem": {"kind": "redistribution", "agents": agents, "participation": participation}}
    model = config.parse(data).problem
    means = np.arange(agents, 0, -1) / (agents + 1)
    collected = means[1]
    reached, bound = returned_bounds(*model.build(Path()), model)

    def share(coefficients: np.ndarray) -> float:
        return handed_back_on_average(np.append(0.0, coefficients), means) / collected

    return {
        "agents": agents, "participation": participation, "collected": collected,
        "cavallo": share(cavallo_coefficients(agents, 1)), "guo_conitzer": share(worst_case_coefficients(agents, 1)),
        "guo_conitzer_on_worst_profile": 1 - (agents - 1) / sum(comb(agents - 1, j) for j in range(1, agents)),
        "best_linear": best_linear(means, 1, 0.0, 1.0, participation).returned / collected,
        "some_piecewise_linear_rule": None if reached is None else reached / collected,
        "no_rule_above": None if bound is None else bound / collected,
        "learned": [trained({**data, "rule": {"kind": kind}}, "redistribution")[1] for kind in kinds],
    }  # fmt: skip


def project(agents: int, prior: dict[str, Any], objective: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    """What rules are worth that share the cost of a project."""
    data = {"problem": {"kind": "cost_sharing", "agents": agents, "cost": 1, "prior": prior, "objective": objective}}
    found = [trained({**data, "rule": {"kind": kind}}, "cost_sharing") for kind in kinds]
    result = found[0][0]
    return {"agents": agents, "prior": prior, "objective": objective, "serial": result["baselines"]["serial"],
            "no_rule_above": result["optimum"]["upper_bound"], "learned": [row for _, row in found]}  # fmt: skip


def main() -> None:
    """Measure what is named, or all of it, and write."""
    runtime.prepare()
    folder = RESULTS / "redistribution"
    folder.mkdir(exist_ok=True)
    for name in sys.argv[1:] or [*MARKETS, *PROJECTS]:
        started = time.monotonic()
        found = market(*MARKETS[name]) if name in MARKETS else project(*PROJECTS[name])
        told = {"command": f"python experiments/redistribution.py {name}", "machine": machine(), "device": runtime.device_name(),
                "versions": runtime.versions(), "seconds": round(time.monotonic() - started, 1), **found}  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
