"""Games and cakes: every named problem learned, each beside its exact optimum and what happens without a rule; and three pictures.

Trains each file of configs/games/ and configs/division/ as `icsap train` does and writes what it reached to experiments/results/games/,
one file each, so that halves of them may run side by side, a core each. Then prints one table of all that are there, and the rules for one
and the same society (two_state_commons) beside each other, by their instruments. `--pictures` draws docs/pictures/games_multiplicity.png,
cake_path.png and price_of_fairness.png.

    python experiments/games.py                        all of them, the table and the pictures
    python experiments/games.py veil_eta_2 cake_n3_maximin
    python experiments/games.py --half 0               every other one, beginning with the first
    python experiments/games.py --pictures --none      only the table and the pictures
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from time_to_quality import machine

from icsap_jax import audit, run, runtime
from icsap_jax.bilevel.types import Rule
from icsap_jax.config import load
from icsap_jax.division.optimum import best
from icsap_jax.figures import ACCENT, COLOURS, INK, QUIET, page
from icsap_jax.games.judge import Exact, worth
from icsap_jax.games.problem import leaves
from icsap_jax.games.rules import Payment

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results" / "games"
PICTURES = ROOT / "docs" / "pictures"
PATHS = {path.stem: path for folder in ("games", "division") for path in sorted((ROOT / "configs" / folder).glob("*.yaml"))}
LEFT_OUT = ("gap_histogram", "members", "gap_quantiles", "seconds")  # of the details, for whoever wants to see a run's
AUDITED = "goodhart"
SAME_SOCIETY = "two_state_commons"
WALKED = "cut_and_choose_from_the_wrong_end"
CAKES, PIECES = 60, 8  # random cakes of each number of agents, for the price of fairness


def learned(name: str) -> dict[str, Any]:
    """What `icsap train` reaches on one problem file; for the proxy's problem, what `icsap audit` tells."""
    started = time.monotonic()
    path = PATHS[name]
    with tempfile.TemporaryDirectory() as scratch:
        result = run.train(load(path), Path(scratch) / "run", lambda line: None)
        seconds = time.monotonic() - started
        if name == WALKED:
            (PICTURES / "cake_path.png").write_bytes((Path(scratch) / "run" / "plots" / "path.png").read_bytes())
        audited = audit.audit(load(path), "proxy", "utility", Path(scratch) / "audit", lambda line: None) if name == AUDITED else None
    return {
        "command": f"icsap train {path.relative_to(ROOT).as_posix()}", "machine": machine(), "device": runtime.device_name(),
        "versions": runtime.versions(), "problem": result["problem"], "rule": result["rule"], "objective": result["objective"],
        "gap": result["incentive_gap"], "optimum": result["optimum"], "ratio": result["ratio_to_optimum"], "shortfall": result["shortfall"],
        "baselines": result["baselines"], "details": {key: each for key, each in result["details"].items() if key not in LEFT_OUT},
        "steps": result["steps"], "seconds": round(seconds, 1), **({} if audited is None else {"audit": audited}),
    }  # fmt: skip


def results() -> dict[str, dict[str, Any]]:
    """Everything that was written, by name, in the order of the problem files."""
    return {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in PATHS if (RESULTS / f"{name}.json").exists()}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """As text: ours, at the worst equilibrium or ties, exact, proven bound, without a rule, the gap."""
    columns = ("ours", "worst", "exact", "bound", "no rule")
    lines = [f"{'problem':<40}" + "".join(f"{name:>13}" for name in columns) + f"{'gap':>9}{'seconds':>9}"]
    for name, row in rows.items():
        value, exact = row["objective"], row["optimum"]
        cells = [value["value"], value["adversarial_ties"], exact["value"], exact["upper_bound"], without(row)]
        told = "".join(("—" if cell is None else f"{cell:.5f}").rjust(13) for cell in cells)
        lines.append(f"{name:<40}{told}{row['gap']['max']:>9.0e}{row['seconds']:>9.1f}")
    return "\n".join(lines)


def without(row: dict[str, Any]) -> float | None:
    """What there is without a rule, by whatever name its domain calls it."""
    for name in ("no_rule", "no_tax", "free_market", "nash", "no_transfers", "no_subsidy", "equal_shares", "no_payment"):
        if row["baselines"].get(name) is not None:
            return row["baselines"][name]
    return None


def multiplicity() -> None:
    """Welfare against a tax in the two-state commons, at the best and at the worst equilibrium, and what other rules reach there."""
    config = load(PATHS[f"{SAME_SOCIETY}_tax_least"])
    problem, env = config.problem.build(config.folder)
    taxes = np.linspace(0.0, 1.0, 201)
    ends = []
    with jax.enable_x64(True):
        env64 = leaves(env)
        for tax in taxes:
            rule = Rule.of(Payment(jnp.asarray([tax]), "instruments", 1.0, None, False))
            changed = problem.decide(env64, rule, None, None)
            found = Exact(jax.tree.map(np.asarray, changed), problem.clear).equilibria() or []
            welfare = [worth(problem, env64, changed, each)[1]["welfare"] for each in found]
            ends.append((min(welfare), max(welfare)))
    low, high = np.array(ends).T
    rows = results()
    with page(PICTURES / "games_multiplicity.png", 7.4, 4.2) as (_, axes):
        axis = axes[0, 0]
        axis.fill_between(taxes, low, high, step="post", color=COLOURS[4], alpha=0.4, linewidth=0, label="left to the agents")
        axis.step(taxes, high, where="post", color=COLOURS[0], label="best equilibrium")
        axis.step(taxes, low, where="post", color=COLOURS[3], linestyle="--", label="worst equilibrium")
        for name, label in (("tax_least", "learned, partial"), ("tax_full", "learned, full")):
            row = rows.get(f"{SAME_SOCIETY}_{name}")
            if row is not None:
                axis.plot(row["details"]["instruments"]["tax"], row["details"]["objectives"]["welfare"], "o", color=ACCENT)
                axis.annotate(label, (row["details"]["instruments"]["tax"], row["details"]["objectives"]["welfare"]), xytext=(6, -14),
                              textcoords="offset points", fontsize=9)  # fmt: skip
        row = rows.get(f"{SAME_SOCIETY}_quota")
        if row is not None:
            axis.axhline(row["objective"]["value"], color=QUIET, linewidth=1, linestyle=":")
            axis.annotate("quota enforced 95 times in 100", (1.0, row["objective"]["value"]), xytext=(0, -12), textcoords="offset points",
                          ha="right", fontsize=9, color=QUIET)  # fmt: skip
        axis.set_xlabel("tax on harvesting, handed back")
        axis.set_ylabel("welfare")
        axis.legend(frameon=False, loc="center left")
        axis.set_title("Two-state commons: what a tax decides, and what it leaves open")


def fairness() -> None:
    """By how much the utilitarian optimum of random cakes exceeds what is left of it under each idea of fairness."""
    rng = np.random.default_rng(6)
    counts = range(2, 7)
    ideas = {"proportional": ("utilitarian", ("proportional",)), "envy-free": ("utilitarian", ("envy_free",)),
             "Nash welfare": ("nash_welfare", ()), "maximin": ("maximin", ())}  # fmt: skip
    prices = {name: [] for name in ideas}
    for count in counts:
        values = rng.dirichlet(np.ones(PIECES), size=(CAKES, count))
        whole = np.array([best(each, "utilitarian").value for each in values])
        for name, (wish, constraints) in ideas.items():
            left = [float((best(each, wish, constraints).shares * each).sum()) for each in values]
            prices[name].append(whole / np.array(left))
    with page(PICTURES / "price_of_fairness.png", 6.6, 4.0) as (_, axes):
        axis = axes[0, 0]
        for place, (name, found) in enumerate(prices.items()):
            means = [each.mean() for each in found]
            axis.plot(list(counts), means, "o-", color=COLOURS[place], label=name)
            axis.fill_between(list(counts), [np.quantile(each, 0.1) for each in found], [np.quantile(each, 0.9) for each in found],
                              color=COLOURS[place], alpha=0.12, linewidth=0)  # fmt: skip
        axis.axhline(1.0, color=INK, linewidth=0.8)
        axis.set_xticks(list(counts))
        axis.set_xlabel("agents")
        axis.set_ylabel("utilitarian optimum / total utility")
        axis.legend(frameon=False)
        axis.set_title(f"The price of fairness: {CAKES} random cakes of {PIECES} pieces, mean and middle 80 %")


def main() -> None:
    """What is named on the command line, or everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="names under configs/games/ and configs/division/")
    parser.add_argument("--half", type=int, choices=(0, 1), help="every other problem")
    parser.add_argument("--none", action="store_true", help="train nothing")
    parser.add_argument("--pictures", action="store_true", help="draw the pictures")
    arguments = parser.parse_args()
    runtime.prepare()
    names = arguments.names or list(PATHS)
    names = [] if arguments.none else names if arguments.half is None else names[arguments.half :: 2]
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in names:
        row = learned(name)
        (RESULTS / f"{name}.json").write_text(json.dumps(row, indent=1) + "\n")
        print(f"{name}: {row['objective']['value']:.6f}, exact {row['optimum']['value']}, gap {row['gap']['max']:.1e}, {row['seconds']} s",
              flush=True)  # fmt: skip
        jax.clear_caches()  # ninety problems' programs would fill the memory
    print(table(results()))
    if arguments.pictures or not (arguments.names or arguments.half is not None):
        multiplicity()
        fairness()


if __name__ == "__main__":
    main()
