"""The tables of fairness, of preferences and of the rules without money, made from the committed files in experiments/results/."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from icsap_jax.reproduce.text import short

RESULTS = Path(__file__).resolve().parent / "results"
SHOWN = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
CURVES = {"strategyproof": "strategyproof, fair by construction", "regretnet": "RegretNet, fair by construction",
          "proportionnet": "ProportionNet", "categories": "strategyproof, each bidder a category of its own"}  # fmt: skip


def rows_of(name: str) -> list[dict[str, Any]]:
    """The rows of a committed file, none where it is not there yet."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []


def most(values: Iterable[float]) -> str:
    """The largest, shortly."""
    return short(max(values))


FAIRNESS_HEAD = ["setting", "rule", *(f"d = {d:g}" for d in SHOWN), "mean gap, at most", "unfairness: mean, at most", "on any profile",
                 "seconds to train one"]  # fmt: skip


def fairness_rows() -> list[list[str]]:
    """One row for each curve: revenue by limit; and what is exactly known before each setting's."""
    rows, found = rows_of("fairness"), []
    for setting in dict.fromkeys(row["curve"].split()[0] for row in rows):
        own = [row for row in rows if row["curve"].split()[0] == setting]
        exact = {first(row["limit"]): row["optimum"]["value"] for row in own if not isinstance(row["limit"], list)}
        found.append([f"`{setting}`", "exact optimum", *(told(exact.get(d)) for d in SHOWN), "0", "0", "0", ""])
        for curve in dict.fromkeys(row["curve"] for row in own):
            line = {first(row["limit"]): row for row in own if row["curve"] == curve}
            told_of = line.values()
            found.append([
                "", CURVES[curve.split()[1]], *(told(line[d]["revenue"] if d in line else None) for d in SHOWN),
                *(most(row[key] for row in told_of) for key in ("gap_mean", "unfairness_mean", "unfairness_max")),
                f"{next(iter(told_of))['training_seconds'] / len(line):.0f}",
            ])  # fmt: skip
    return found


def first(limit: float | list[float]) -> float:
    """The limit, or that of the first category."""
    return limit[0] if isinstance(limit, list) else limit


def told(value: float | None) -> str:
    """A revenue, or nothing."""
    return "—" if value is None else f"{value:.4f}"


PREFERENCE_HEAD = ["setting", "rule", "liked", "accuracy without", "revenue", "gap", "accuracy with", "revenue", "gap",
                   "published: accuracy", "revenue", "gaps of both"]  # fmt: skip


def preference_rows() -> list[list[str]]:
    """One row for each preference and setting."""

    def judged(told: dict[str, Any]) -> list[str]:
        return [f"{100 * told['accuracy']:.1f} %", f"{told['revenue']:.4f}", short(told["gap_mean"])]

    found = []
    for row in rows_of("preferences"):
        theirs = (row["published"] or {}).get("preferencenet")
        printed = [f"{100 * theirs['accuracy']:.1f} %", f"{theirs['revenue']:.2f}", f"{theirs['gap_sum']:.3f}"] if theirs else [""] * 3
        found.append([f"`{row['setting']}`", f"`{row['rule']}`", row["preference"].replace("_", " "), *judged(row["plain"]),
                      *judged(row["preferred"]), *printed])  # fmt: skip
    return found


def files(folder: str) -> dict[str, dict[str, Any]]:
    """What is committed in a folder, by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((RESULTS / folder).glob("*.json"))}


FACILITY_HEAD = ["problem (`configs/choice/`)", "rule", "cost", "mean gap", "largest", "best percentiles", "cheaper by", "first best",
                 "seconds"]  # fmt: skip
FACILITY_RULES = ("generalised_median", "facilitynet", "price0.5", "price1", "price20")


def facility_rows() -> list[list[str]]:
    """One row for each problem on a line and rule."""
    there, found = files("facility"), []
    for problem in ("facility_k1", "facility_k2", "facility_k3", "facility_weighted", "facility_weighted_k2", "facility_farthest"):
        for rule in FACILITY_RULES:
            row = there.get(f"{problem}-{rule}")
            if row is None:
                continue
            same, gap, price = row["same_profiles"], row["gap"], rule.removeprefix("price")
            better = same["better_than_percentiles"]
            told = "" if price == rule else f", gaps priced at {price} and not 5"
            found.append([
                f"`{problem}`{told}", f"`{row['rule']}`", f"{-same['learned']['mean']:.4f}", small(gap["mean"]), small(gap["max"]),
                f"{-same['best_percentiles']['mean']:.4f}", f"{better['mean'] + 0.0:+.5f} ± {better['std_error']:.5f}",
                f"{-same['first_best']['mean']:.4f}", f"{row['seconds']:.0f}",
            ])  # fmt: skip
    return found


VOTING_HEAD = ["problem", "rule", "welfare", "exact optimum", "mean gap", "profiles that can be manipulated",
               "by more than a thousandth"]  # fmt: skip


def voting_rows() -> list[list[str]]:
    """One row for each voting rule."""
    found = []
    for name, row in files("facility").items():
        if name.startswith("voting"):
            details = row["details"]
            found.append([
                f"`{name.split('-')[0]}`", f"`{row['rule']}`", f"{row['objective']['value']:.5f}", f"{row['optimum']['value']:.5f}",
                small(row["gap"]["mean"]), str(details["manipulable_profiles"]), str(details["manipulable_beyond_a_thousandth"]),
            ])  # fmt: skip
    return found


REBATE_HEAD = ["agents", "Cavallo", "worst-case optimal", "best linear", "some rule reaches", "no rule exceeds", "learned, linear",
               "learned, network", "its expected deficit", "its worst deficit", "largest gap"]  # fmt: skip


def rebate_rows() -> list[list[str]]:
    """One row for each redistribution problem: shares of what is collected."""

    def share(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    found = []
    for name, row in sorted(files("redistribution").items(), key=lambda each: (each[1]["agents"], each[0])):
        if name.startswith("redistribution"):
            by = {each["rule"]: each for each in row["learned"]}
            linear, network = by.get("linear_rebate", {}), by["redistributionnet"]
            found.append([
                f"{row['agents']}{'' if row['participation'] else ', rebates of any sign'}",
                *(share(row[key]) for key in ("cavallo", "guo_conitzer", "best_linear", "some_piecewise_linear_rule", "no_rule_above")),
                share(linear.get("returned")), share(network["returned"]), small(network["expected_deficit"]),
                f"{network['worst_deficit']:.3f}", small(network["gap_max"]),
            ])  # fmt: skip
    return found


SHARING_HEAD = ["agents", "values", "objective", "equal shares", "first best, a bound", "learned by", "reached", "mean gap", "largest",
                "mean imbalance"]  # fmt: skip
VALUES = {"uniform": "U[0, 1]", "mixture": "two peaks", "beta": "Beta(½, ½)"}


def sharing_rows() -> list[list[str]]:
    """One row for each cost-sharing problem and learned rule."""
    found = []
    for name, row in files("redistribution").items():
        if name.startswith("project"):
            found += [[
                str(row["agents"]), VALUES[row["prior"]["kind"]], row["objective"], f"{row['serial']:.4f}", f"{row['no_rule_above']:.4f}",
                f"`{each['rule']}`", f"{each[row['objective']]:.4f}", small(each["gap_mean"]), small(each["gap_max"]),
                small(each["imbalance"]),
            ] for each in row["learned"]]  # fmt: skip
    return found


MATCHING_HEAD = ["correlation", "rule", "stability violation", "strategyproofness violation", "seconds"]
# Printed in the logs of the authors' repository, saisrivatsan/deep-matching-markets, plots/.
PRINTED = {"0.0": ((0.0021, 0.0108), (0.0221, 0.0087), (0.0347, 0.0054), (0.0608, 0.0017)), "0.75": ((0.0003, 0.0019),)}


def matching_rows() -> list[list[str]]:
    """One row for each rule, and the authors' points that ours are set beside."""
    there, found = files("matching"), []
    for correlation, rules in there["classical"]["rules"].items():
        for kind, row in rules.items():
            found.append([correlation, f"`{kind}`", *(within(*row[each]) for each in ("stability", "strategyproofness")), ""])
        for row in sorted((row for name, row in there.items() if name != "classical"), key=lambda row: -row["objective"]["value"]):
            if row["correlation"] == float(correlation):
                gap, value = row["incentive_gap"], row["objective"]
                error = (gap["ci95"][1] - gap["ci95"][0]) / 3.92
                file = Path(row["command"].split()[2]).stem
                violation = within(-value["value"], value["std_error"])
                found.append([correlation, f"`matchingnet` by `{file}`, {row['steps']:,} steps", violation, within(gap["mean"], error),
                              f"{row['wall_seconds']:.0f}"])  # fmt: skip
        printed = PRINTED[correlation]
        found += [[correlation, "printed by the authors", f"{stable:.4f}", f"{truthful:.4f}", ""] for stable, truthful in printed]
    return found


def within(value: float, error: float) -> str:
    """A mean and its standard error; 0 for what is rounding."""
    return f"{abs(value):.5f} ± {error:.5f}" if abs(value) > 1e-9 else "0"


def small(value: float) -> str:
    """A gap, which may be rounding and is then nothing."""
    if abs(value) < 1e-9:
        return "0"
    return short(value) if abs(value) >= 1e-4 else f"{value:.0e}"


SUMMARY_HEAD = ["problem", "what is measured", "learned", "incentive gap, mean", "beside it"]


def summary_rows() -> list[list[str]]:
    """The README's: a line for each kind of problem."""
    return [*fair_lines(), *matched_lines(), *chosen_lines()]


def fair_lines() -> list[list[str]]:
    """Auctions whose items go together, and auctions that people like."""
    fair, found = {(row["curve"], first(row["limit"])): row for row in rows_of("fairness")}, []
    for setting, words in (("additive_1x2_uniform", "fair auction, one bidder"), ("additive_2x2_uniform", "fair auction, two bidders")):
        row = fair[f"{setting} strategyproof", 0.0]
        found.append([
            words, "revenue where both items go together", f"{row['revenue']:.4f} ± {row['std_error']:.4f}", small(row["gap_mean"]),
            f"exact optimum {row['optimum']['value']:.4f}",
        ])  # fmt: skip
    for row in rows_of("preferences"):
        if row["setting"] == "uniform":
            found.append([
                f"auction people like: {row['preference'].replace('_', ' ')}", "test bids whose allocation is liked",
                f"{100 * row['preferred']['accuracy']:.1f} %", small(row["preferred"]["gap_mean"]),
                f"RegretNet {100 * row['plain']['accuracy']:.1f} %",
            ])  # fmt: skip
    return found


def matched_lines() -> list[list[str]]:
    """What networks reach of either side of the trade-off; beside them what they begin with, or the dictators who decide in part."""
    rows, found = matching_rows(), []
    classical = {(correlation, rule): (violation, gap) for correlation, rule, violation, gap, _ in rows}
    for correlation, rule, violation, gap, _ in rows:
        if "matchingnet" in rule:
            partly = "strategyproof" in rule
            kind = "random_serial_dictatorship_with_consent" if partly else "guarded_deferred_acceptance"
            unstable, gained = classical[correlation, f"`{kind}`"]
            setting = f"matching 4×4, correlation {correlation}{', dictators in part' if partly else ''}"
            found.append([setting, "stability violation", violation, gap, f"{kind.replace('_', ' ')}: {unstable}, with a gap of {gained}"])
    return found


def chosen_lines() -> list[list[str]]:
    """Facilities, votes, and money that goes around."""
    there, back, found = files("facility"), files("redistribution"), []
    for name, words in (("facility_k2-facilitynet", "two facilities, five agents"), ("facility_k3-facilitynet", "three facilities")):
        same = there[name]["same_profiles"]
        found.append([
            words, "social cost", f"{-same['learned']['mean']:.4f}", small(there[name]["gap"]["mean"]),
            f"best percentiles {-same['best_percentiles']['mean']:.4f}, first best {-same['first_best']['mean']:.4f}",
        ])  # fmt: skip
    vote, row, shared = there["voting_3x3-votingnet"], back["redistribution_4"], back["project_two_peaks_3_served"]
    network = next(each for each in row["learned"] if each["rule"] == "redistributionnet")
    service = next(each for each in shared["learned"] if each["rule"] == "unanimous")
    return [*found, [
        "three voters, three alternatives", "welfare", f"{vote['objective']['value']:.4f}", small(vote["gap"]["mean"]),
        f"exact optimum {vote['optimum']['value']:.4f}, random dictator {vote['baselines']['random_dictator']:.4f}",
    ], [
        "VCG's payments handed back to four", "share handed back", f"{network['returned']:.4f}", small(network["gap_max"]),
        f"Cavallo {row['cavallo']:.4f}, no rule above {row['no_rule_above']:.4f}",
    ], [
        "a project shared by three", "agents served", f"{service['served']:.4f}", small(service["gap_mean"]),
        f"equal shares {shared['serial']:.4f}",
    ]]  # fmt: skip


CHOICE = {
    "choice": (SUMMARY_HEAD, summary_rows),
    "preferences": (PREFERENCE_HEAD, preference_rows), "fairness": (FAIRNESS_HEAD, fairness_rows),
    "facility": (FACILITY_HEAD, facility_rows), "voting": (VOTING_HEAD, voting_rows), "matching": (MATCHING_HEAD, matching_rows),
    "rebates": (REBATE_HEAD, rebate_rows), "sharing": (SHARING_HEAD, sharing_rows),
}  # fmt: skip
