"""The README's numbers are those of the committed results, and what it points to is there."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path


def test_the_table_is_made_from_the_committed_results(root: Path) -> None:
    """`python experiments/readme_table.py` would change nothing, neither in the README nor in a page of docs/."""
    sys.path.insert(0, str(root / "experiments"))
    made = runpy.run_path(str(root / "experiments" / "readme_table.py"))
    for page in made["PAGES"]:
        written = page.read_text(encoding="utf-8")
        assert made["rewritten"](written) == written, page


def test_every_committed_result_has_its_gap_and_what_made_it(root: Path) -> None:
    """No objective without an incentive gap, a command, a machine and versions."""
    found = sorted((root / "experiments" / "results" / "time_to_quality").glob("*.json"))
    assert found
    for path in found:
        result = json.loads(path.read_text(encoding="utf-8"))
        assert result["incentive_gap"]["mean"] >= 0, path
        assert all(result[key] for key in ("command", "machine", "versions", "process_seconds", "config_sha256")), path


def test_links_lead_somewhere(root: Path) -> None:
    """Every relative link and picture of the README."""
    for target in re.findall(r"\]\(([^)#:]+)\)", (root / "README.md").read_text(encoding="utf-8")):
        assert (root / target).exists(), target


def test_step_speeds_are_those_measured(root: Path) -> None:
    """The four speeds of the published algorithm on one thread, rounded."""
    text = (root / "experiments" / "results" / "regretnet_step_cpu.json").read_text(encoding="utf-8")
    readme = (root / "README.md").read_text(encoding="utf-8")
    speeds = [int(each) for each in re.search(r"at (\d+) \(1×2\), (\d+) \(2×2\), (\d+) \(3×10\) and (\d+) \(5×10\)", readme).groups()]
    measured = [round(float(each)) for each in re.findall(r'"steps_per_second": ([\d.]+)', text)]
    assert speeds == measured[:4]
