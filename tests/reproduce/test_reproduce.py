"""Published tables rebuilt: that every row can be trained, and what a table says."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from icsap_jax.cli import app
from icsap_jax.config import ConfigError
from icsap_jax.reproduce import measure, rows, text
from icsap_jax.reproduce.rows import Budget

TINY = """
paper: A paper that printed two numbers
search: a weak search
profiles: 100
quick: {training: {steps: 4, batch: 64, response: {kind: exchange, reports: 8, anywhere: 0}},
        evaluation: {profiles: 2000, gap_profiles: 20, joint_grid: 5, starts: 2, steps: 2}}
rule: {kind: regretnet, hidden: [4]}
rows:
- name: one_item
  problem: {kind: auction, bidders: 1, items: 1, prior: {kind: uniform}}
  published: {revenue: 0.3, gap: 0.01}
  note: printed of another network
  quick:
- name: one_item_again
  problem: {kind: auction, bidders: 1, items: 1, prior: {kind: uniform}}
  quick: {training: {steps: 5}}
- name: too_large
  problem: {kind: auction, bidders: 1, items: 2, prior: {kind: uniform}}
  full: {training: {steps: 4}}
"""


def rebuild(folder, only=("one_item",)):
    """(the table, what was said) of the tiny table, which lies in `folder` and stands alone among tables, rebuilt beside itself: one of
    its rows, unless others are asked for."""
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "FOLDER", folder)
        return measure.reproduce("tiny", Budget.quick, folder / "out", said.append, list(only)), said


def sha256(folder, name):
    """The hash of the configuration of a row of the tiny table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "FOLDER", folder)
        return next(row.config.sha256() for row in rows.table("tiny", Budget.quick).rows if row.name == name)


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory):
    """(the tiny table, the folder it lies in)."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "tiny.yaml").write_text(TINY)
    return rebuild(folder)[0], folder


@pytest.mark.parametrize("budget", list(Budget))
@pytest.mark.parametrize("name", rows.names())
def test_every_row_is_a_problem_file_that_can_be_trained(name, budget) -> None:
    """And has a name of its own, under which its run is kept; a quick row is of a small setting, up to five pairs of bidder and item."""
    found = rows.table(name, budget)
    assert found.rows
    assert len({row.name for row in found.rows}) == len(found.rows)
    if budget is Budget.quick:
        assert all(row.config.problem.bidders * row.config.problem.items <= 5 for row in found.rows)


def test_a_budget_leaves_out_what_it_does_not_afford() -> None:
    """Quick rows are also in the full table, which has more."""
    quick, full = ({row.name for row in rows.table("regretnet", budget).rows} for budget in (Budget.quick, Budget.full))
    assert quick < full


def test_what_was_published_stands_beside_what_was_measured(rebuilt) -> None:
    """Errors apart are those of both samples; a published revenue above Myerson's 1/4 is named as what it is."""
    result, folder = rebuilt
    (row,) = result["rows"]
    assert row["optimum"] == pytest.approx(0.25, abs=1e-6)
    assert row["published"] == 0.3
    assert row["note"] == "printed of another network"
    assert (row["standard_errors_apart"] > 0) == (row["value"] > row["published"])
    # The published mean is over 100 profiles, whose error is at most half of the largest payment, 1, over its root.
    assert abs(row["standard_errors_apart"]) >= abs(row["value"] - row["published"]) / (0.5 / 10 + row["std_error"])
    printed = text.printed(result, folder)
    assert "0.3000 (gap 0.0100)" in printed
    assert "one_item: printed of another network; published 20 % above the most a strategyproof rule earns: its gap" in printed
    assert "0.2500" in printed


def test_the_weak_search_never_finds_more_than_there_is(rebuilt) -> None:
    """Both gaps are of the same profiles; refined from few starts the strong one may miss a little, here a tenth."""
    (row,) = rebuilt[0]["rows"]
    assert 0 < row["gap"]["weak"] <= 1.1 * row["gap"]["strong"]


def test_a_row_that_is_done_is_not_done_again(rebuilt) -> None:
    """The same table again trains nothing, and says the same."""
    result, folder = rebuilt
    assert rebuild(folder) == (result, ["tiny: one_item"])
    assert json.loads((folder / "out" / "table.json").read_text()) == result


def test_a_row_made_later_joins_those_that_are_done(rebuilt) -> None:
    """The table has both, in its own order; what is noted of a finished row today is what its file says today."""
    result, folder = rebuilt
    first = folder / "out" / "one_item" / "row.json"
    other = {**result["rows"][0], "name": "one_item_again", "config_sha256": sha256(folder, "one_item_again")}
    (folder / "out" / "one_item_again").mkdir()
    (folder / "out" / "one_item_again" / "row.json").write_text(json.dumps(other))
    first.write_text(json.dumps({**result["rows"][0], "note": "an older note"}))
    joined, said = rebuild(folder, ["one_item_again"])
    assert said == ["tiny: one_item_again"]
    assert joined["rows"] == [result["rows"][0], {**other, "note": ""}]
    assert joined["wall_seconds"] == pytest.approx(2 * result["wall_seconds"])


def test_what_is_left_once_the_gap_is_paid_for_is_what_the_run_says(rebuilt) -> None:
    """Said of a row from its own numbers."""
    result, folder = rebuilt
    run = json.loads((folder / "out" / "one_item" / "result.json").read_text())
    assert text.paid_for(result["rows"][0]) == pytest.approx(run["details"]["corrected_objective"], rel=1e-12)


def test_a_strategyproof_rule_that_was_published_above_the_optimum_has_no_gap_to_blame(rebuilt) -> None:
    """Its authors' sample earned more than the mean; and what is not above the bound is not remarked on."""
    row = rebuilt[0]["rows"][0] | {"note": "", "strategyproof": True}
    assert text.remarks(row).endswith(", as this one is: the sampling error of their test profiles")
    assert text.remarks(row | {"published": 0.25}) == ""


@pytest.mark.parametrize(("arguments", "told"), [
    (["rochetne"], "'rochetne' is no table that can be rebuilt; did you mean 'rochetnet'?"),
    (["regretnet", "--only", "additive_9x9"], "--only additive_9x9 is no row of regretnet; did you mean 'additive_"),
    (["regretnet", "--only", "additive_2x3_uniform"],
     "--only additive_2x3_uniform is a row of the budget full alone; write --budget full, or one of additive_1x2_uniform, "),
])
def test_what_cannot_be_rebuilt_is_named(arguments, told, tmp_path) -> None:
    """Status 2, one sentence, and nothing written."""
    done = CliRunner().invoke(app, ["reproduce", *arguments, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert told in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_names_its_tables_and_their_rows() -> None:
    """Help names every table, and --list the rows of a budget, one a line, without training any."""
    helped = CliRunner().invoke(app, ["reproduce", "--help"], env={"COLUMNS": "200"}).stdout
    assert all(name in helped for name in rows.names())
    listed = CliRunner().invoke(app, ["reproduce", "amenunet", "--budget", "full", "--list"])
    assert listed.stdout.split() == [row.name for row in rows.table("amenunet", Budget.full).rows]


def test_rows_of_a_table_that_is_none_are_refused() -> None:
    """From Python as from the command line."""
    with pytest.raises(ConfigError, match="is no table"):
        rows.table("nothing", Budget.full)
