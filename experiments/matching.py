"""The frontier between stability and strategyproofness of two-sided matching, four on a side (Ravindranath et al. 2021, figure 2).

    python experiments/matching.py classical uncorrelated strategyproof correlated
    python experiments/matching.py picture

Each learned point is trained by the command a user types, in a process of its own, and judged on 20 480 fresh profiles by every misreport
of every agent; so is guarded deferred acceptance, with which networks begin; other classical rules on 2 048. Writes
experiments/results/matching/NAME.json, and from those that are there the picture experiments/results/matching/frontier.png. What the
authors print is in their notebooks (saisrivatsan/deep-matching-markets, plots/front_4_corr_*.ipynb), the convolutional network's last line
of each log: (stability violation, strategyproofness violation).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from time_to_quality import RESULTS, machine, measure

from icsap_jax import config, runtime
from icsap_jax.choice.matching.baselines import GUARDED, classical_rules, violations
from icsap_jax.choice.matching.pictures import SHORT
from icsap_jax.figures import ACCENT, COLOURS, QUIET, page

FOLDER = RESULTS / "matching"
PROFILES, AS_LEARNED = 2048, 20480  # for classical rules, and for the one that stands beside learned ones
CORRELATIONS = (0.0, 0.75)
POINTS: dict[str, tuple[float, str, list[str]]] = {
    "uncorrelated": (0.0, "configs/choice/matching_4x4.yaml", []),
    "strategyproof": (0.0, "configs/choice/matching_4x4_strategyproof.yaml", []),
    "correlated": (0.75, "configs/choice/matching_4x4_correlated.yaml", []),
}
PRINTED = {
    0.0: [(0.197730, 0.0), (0.060762, 0.001684), (0.034706, 0.005410), (0.022062, 0.008688), (0.013314, 0.012726), (0.002058, 0.010780),
          (0.002018, 0.013430), (0.001807, 0.012570), (0.001539, 0.014539), (0.001270, 0.015463), (0.000458, 0.066956)],
    0.75: [(0.196378, 0.0), (0.022431, 0.002336), (0.010997, 0.003708), (0.000326, 0.001886), (0.000272, 0.002371), (0.000292, 0.002594),
           (0.000288, 0.002589), (0.000265, 0.002389), (0.000221, 0.003200), (0.000126, 0.004707), (0.000464, 0.020174)],
}  # fmt: skip


def learned(name: str) -> dict[str, Any]:
    """One point, trained and judged; beside it the printed points that it dominates, as small in both and smaller in one."""
    correlation, file, overrides = POINTS[name]
    result = measure(file, overrides)
    point = [-result["objective"]["value"], result["incentive_gap"]["mean"]]
    beaten = [printed for printed in PRINTED[correlation] if point[0] <= printed[0] and point[1] <= printed[1] and tuple(point) != printed]
    return {"correlation": correlation, "point": point, "dominates": beaten, **result}


def classical() -> dict[str, Any]:
    """The classical rules at each correlation."""
    runtime.prepare()
    started, found = time.monotonic(), {}
    for correlation in CORRELATIONS:
        problem, env = config.parse({"problem": {"kind": "matching", "correlation": correlation}}).problem.build(Path())
        found[str(correlation)] = {
            name: violations(problem, env, rule, AS_LEARNED if name == GUARDED else PROFILES) for name, rule in classical_rules().items()}
    return {"command": "python experiments/matching.py classical", "machine": machine(), "device": runtime.device_name(),
            "versions": runtime.versions(), "seconds": round(time.monotonic() - started, 1), "rules": found}  # fmt: skip


def picture() -> None:
    """Everything that is there, for each correlation."""
    rules = json.loads((FOLDER / "classical.json").read_text())["rules"]
    with page(FOLDER / "frontier.png", 10.4, 4.2, columns=len(CORRELATIONS)) as (_, axes):
        for axis, correlation in zip(axes[0], CORRELATIONS, strict=True):
            axis.plot(*zip(*PRINTED[correlation], strict=True), "x", color=QUIET, label="printed (Ravindranath et al. 2021)")
            for colour, (name, found) in zip(COLOURS, rules[str(correlation)].items(), strict=False):
                axis.plot(found["stability"][0], found["strategyproofness"][0], "o", color=colour, label=SHORT[name])
            ours = [json.loads(path.read_text())["point"] for path in sorted(FOLDER.glob("*.json"))
                    if path.stem in POINTS and POINTS[path.stem][0] == correlation]  # fmt: skip
            if ours:
                axis.plot(*zip(*ours, strict=True), "D", color=ACCENT, label="learned here")
            axis.set(title=f"correlation {correlation:g}", xlabel="stability violation", ylabel="strategyproofness violation",
                     xlim=(-0.004, 0.13))  # fmt: skip
            axis.grid(True)
        axes[0][0].legend()


def main() -> None:
    """Measure what is named on the command line, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="+", choices=[*POINTS, "classical", "picture"])
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in parser.parse_args().what:
        if name == "picture":
            picture()
            continue
        found = classical() if name == "classical" else learned(name)
        (FOLDER / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
        print(name, found.get("point", ""))


if __name__ == "__main__":
    main()
