"""The tables of results in the README and the pages of docs/, made from the committed files in experiments/results/ and from nothing else.

    python experiments/readme_table.py            rewrite the tables
"""

from __future__ import annotations

import json
from pathlib import Path

from choice_tables import CHOICE
from sweep_tables import SWEEPS

from icsap_jax.reproduce.text import HEAD as TABLE_HEAD
from icsap_jax.reproduce.text import cells, remarks, short

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results"
# What the authors of RegretNet report (Dütting et al. 2019, tables 1 to 3), with gaps by their weaker search.
PUBLISHED = {
    "additive_1x2_uniform": 0.554, "additive_1x2_uniform_416_47": 9.734, "additive_1x2_uniform_triangle": 0.392,
    "unit_1x2_uniform": 0.384, "unit_1x2_uniform_23": 2.137, "additive_2x2_uniform": 0.878, "additive_2x3_uniform": 1.317,
    "additive_3x10_uniform": 5.541, "additive_5x10_uniform": 6.778, "CA_sym_uniform_12": 2.871, "CA_asym_uniform_12_15": 4.27,
}  # fmt: skip
HEAD = ["setting", "revenue, fresh profiles", "incentive gap: mean for each bidder, max", "exact optimum",
        "best classical rule", "published (weak search)", "seconds, 2 cores"]  # fmt: skip


def rows() -> list[list[str]]:
    """One row for each committed result, in order of setting."""
    found = []
    for path in sorted((RESULTS / "time_to_quality").glob("*.json")):
        result = json.loads(path.read_text())
        value, gap, optimum = result["objective"], result["incentive_gap"], result["optimum"]["value"]
        classical = {name: worth for name, worth in result["baselines"].items() if worth is not None}
        best = max(classical, key=classical.get) if classical else None
        found.append([
            f"`{path.stem}`",
            f"{value['value']:.4f} ± {value['std_error']:.4f}",
            f"{', '.join(short(each) for each in gap['per_agent'])}; {short(gap['max'])}",
            "unknown" if optimum is None else f"{optimum:.4f}",
            "" if best is None else f"{classical[best]:.4f} ({best.replace('_', ' ')})",
            str(PUBLISHED.get(path.stem, "")),
            f"{result['process_seconds']:.0f}",
        ])  # fmt: skip
    return found


ROUNDING = 1e-12  # of sums of a few numbers of size one in float64
CONTRACT_HEAD = ["problem", "learned", "exact optimum", "ties against", "incentive gap", "best linear contract", "first best",
                 "seconds"]  # fmt: skip


def contract_rows() -> list[list[str]]:
    """One row for each named contracting problem."""
    found = []
    for name, row in json.loads((RESULTS / "contracts.json").read_text())["named"].items():
        baselines = row["baselines"]
        numbers = [row["value"], row["optimum"]["value"], row["adversarial_ties"]]
        found.append([
            f"`{name}`", *("—" if each is None else f"{round(each, 4) + 0.0:.4f}" for each in numbers),
            "0" if row["gap"]["max"] < ROUNDING else f"{row['gap']['max']:.0e}",
            *("" if baselines.get(each) is None else f"{baselines[each]:.4f}" for each in ("best_linear", "first_best")),
            f"{row['seconds']:.0f}",
        ])  # fmt: skip
    return found


SHARES = ("before_mean", "before_worst", "after_mean", "after_worst", "best_linear_mean")


def family_rows() -> list[list[str]]:
    """One row for each size of random hidden-action problems."""
    rows = json.loads((RESULTS / "contracts.json").read_text())["hidden_action_families"]
    return [[row["size"], str(row["instances"]), *(f"{row[key]:.4f}" for key in SHARES), f"{row['seconds_each']:.1f}"] for row in rows]


FAMILY_HEAD = ["actions × outcomes", "instances", "learned: mean", "worst", "polished: mean", "worst", "best linear contract: mean",
               "seconds"]  # fmt: skip
PERSUASION_HEAD = ["problem", "learned", "exact optimum", "proven bound", "ties against", "incentive gap", "saying nothing",
                   "saying all", "seconds"]  # fmt: skip


def persuasion_rows() -> list[list[str]]:
    """One row for each named persuasion problem."""
    found = []
    for name, row in json.loads((RESULTS / "persuasion.json").read_text())["named"].items():
        numbers = [row["value"], row["optimum"]["value"], row["bound"], row["adversarial_ties"]]
        baselines = [row["baselines"].get(each) for each in ("no_disclosure", "full_disclosure")]
        found.append([
            f"`{name}`", *("—" if each is None else f"{round(each, 4) + 0.0:.4f}" for each in numbers),
            "0" if row["gap"]["max"] < ROUNDING else f"{row['gap']['max']:.0e}",
            *("" if each is None else f"{round(each, 4) + 0.0:.4f}" for each in baselines), f"{row['seconds']:.0f}",
        ])  # fmt: skip
    return found


GAMES_HEAD = ["utilities", "states × actions", "games", "learned: mean", "worst", "polished: mean", "worst", "bound above optimum",
              "saying all: mean", "seconds"]  # fmt: skip
GAME_SHARES = ("before_mean", "before_worst", "after_mean", "after_worst")


def game_rows() -> list[list[str]]:
    """One row for each family and size of random persuasion games."""
    rows = json.loads((RESULTS / "persuasion.json").read_text())["random_games"]
    return [[{"uniform": "U[0, 1]", "state_indep": "sender's by action alone"}[row["family"]], row["size"], str(row["instances"]),
             *(f"{row[key]:.4f}" for key in GAME_SHARES), f"{max(row['bound_above_mean'], 0.0):.0e}",
             f"{row['full_disclosure_mean']:.4f}", f"{row['seconds_each']:.1f}"] for row in rows]  # fmt: skip


SOCIETY_HEAD = ["problem", "learned", "at worst", "exact optimum", "proven bound", "without a rule", "incentive gap",
                "seconds"]  # fmt: skip
UNTOLD = (
    "_equilibria", "two_skills", "veil_eta_0.5", "veil_eta_1", "veil_eta_5", "_N3", "_N5", "eps0.5", "eps1.5", "population_n2",
    "population_n5", "fish_war_5", "_maximin_1", "_maximin_3", "_nash_1", "_nash_3", "n3_envy_free", "n5_nash", "unequal_2", "unequal_3",
    "brackets_laffer", "brackets_utilitarian", "brackets_equality", "rebates", "third_party", "all_three", "learners",
)  # fmt: skip
WITHOUT = ("no_rule", "no_tax", "free_market", "nash", "no_transfers", "no_subsidy", "equal_shares", "no_payment")


def society_rows() -> list[list[str]]:
    """One row for each named game or cake, but for close relatives."""
    found = []
    for path in sorted((RESULTS / "games").glob("*.json")):
        if any(part in path.stem for part in UNTOLD):
            continue
        row = json.loads(path.read_text())
        bare = next((row["baselines"][name] for name in WITHOUT if row["baselines"].get(name) is not None), None)
        value, exact = row["objective"], row["optimum"]
        numbers = [value["value"], value["adversarial_ties"], exact["value"], exact["upper_bound"], bare]
        found.append([
            f"`{path.stem}`", *("—" if each is None else f"{round(each, 4) + 0.0:.4f}" for each in numbers),
            "0" if row["gap"]["max"] < 1e-9 else f"{row['gap']['max']:.0e}", f"{row['seconds']:.0f}",
        ])  # fmt: skip
    return found


SIDE_BY_SIDE = "methods"  # the table in which a row is shown that stands in others too


def rebuilt() -> list[tuple[str, dict]]:
    """(tables, row) for every row of the rebuilt tables, that of the fuller budget where there are two. Rows of several tables that are
    the same run are there once, with the names of all."""
    found: dict[tuple[str, str], dict] = {}
    for budget in ("quick", "full"):
        for path in sorted((RESULTS / "tables").glob(f"*-{budget}.json")):
            result = json.loads(path.read_text())
            found |= {(result["table"], row["name"]): row for row in result["rows"]}
    owners: dict[str, list[str]] = {}
    for (name, _), row in found.items():
        owners.setdefault(row["config_sha256"], []).append(name)
    shown = []
    for (name, _), row in sorted(found.items(), key=lambda each: each[0][0]):
        all_names = sorted(owners[row["config_sha256"]], key=lambda each: each != SIDE_BY_SIDE)
        if name == all_names[0]:
            shown.append((", ".join(f"`{each}`" for each in all_names), row))
    return shown


def table_rows() -> list[list[str]]:
    """The rebuilt rows, each with its tables before it and after it the cores or the accelerator it was made on."""
    return [[names, *cells(row), made_on(row["made_by"])] for names, row in rebuilt()]


def made_on(made: dict) -> str:
    """The number of cores, or the accelerator."""
    return made["machine"].rsplit(", ", 1)[-1] if made["device"] == "cpu" else made["device"]


def table_remarks() -> str:
    """What is to be remarked of rebuilt rows, as a list; what is said of several rows once."""
    told: dict[str, list[str]] = {}
    for names, row in rebuilt():
        if remarks(row):
            told.setdefault(remarks(row), []).append(f"{names}, {row['name']}")
    return "\n".join(f"- {'; '.join(places)}: {text}" for text, places in told.items())


AIMS_HEAD = ["problem", "rule", "objective", "learned", "exact optimum", "constraint missed by", "incentive gap", "seconds"]


def aim_rows() -> list[list[str]]:
    """One row for each committed auction with an aim, a response or bidders of another kind."""
    found = []
    for path in sorted((RESULTS / "auctions").glob("*/*.json")):
        row = json.loads(path.read_text())
        value, best, missed = row["objective"], row["optimum"]["value"], row["details"].get("averages") or {}
        gap = row["incentive_gap"]["mean"]
        found.append([
            f"`{path.parent.name}/{path.stem}`", f"`{row['rule']}`", value["name"], f"{value['value']:.4f} ± {value['std_error']:.4f}",
            "—" if best is None else f"{best:.4f}", ", ".join(f"{each['value']:.4f} ± {each['std_error']:.4f}" for each in missed.values()),
            short(gap), f"{row['process_seconds']:.0f}",
        ])  # fmt: skip
    return found


GEMNET_HEAD = ["rule", "seeds", "revenue: mean", "least", "most", "incentive gap, at most", "seconds each"]


def gemnet_rows() -> list[list[str]]:
    """One row for each rule of experiments/gemnet.py."""
    rows = json.loads((RESULTS / "gemnet.json").read_text())["rows"]
    found = []
    for kind in dict.fromkeys(row["rule"] for row in rows):
        same = [row for row in rows if row["rule"] == kind]
        earned, gap = [row["revenue"] for row in same], max(row["gap"] for row in same)
        found.append([
            f"`{kind}`", str(len(same)), f"{sum(earned) / len(earned):.5f}", f"{min(earned):.5f}", f"{max(earned):.5f}",
            short(gap), f"{sum(row['seconds'] for row in same) / len(same):.0f}",
        ])  # fmt: skip
    return found


BLOCKS = {
    "aims": (AIMS_HEAD, aim_rows), "gemnet": (GEMNET_HEAD, gemnet_rows),
    "tables": (["table", *TABLE_HEAD, "made on"], table_rows),
    "results": (HEAD, rows), "contracts": (CONTRACT_HEAD, contract_rows), "families": (FAMILY_HEAD, family_rows),
    "persuasion": (PERSUASION_HEAD, persuasion_rows), "games": (GAMES_HEAD, game_rows), "societies": (SOCIETY_HEAD, society_rows),
    **CHOICE, **SWEEPS,
}  # fmt: skip
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REMARKS = {"tables": table_remarks}  # below a block's table


def table(head: list[str], body: list[list[str]]) -> str:
    """A table as Markdown."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def rewritten(page: str) -> str:
    """A page with its tables made anew."""
    for name, (head, body) in BLOCKS.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if begin not in page:
            continue
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        below = f"\n\n{REMARKS[name]()}" if name in REMARKS else ""
        page = f"{before}{begin}\n{table(head, body())}{below}\n{end}{after}"
    return page


if __name__ == "__main__":
    for place in PAGES:
        place.write_text(rewritten(place.read_text()))
