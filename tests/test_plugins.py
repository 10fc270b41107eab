"""A user's own prior, rule and objective, in a file beside the problem file, without touching the package."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from icsap_jax import cli, run
from icsap_jax import config as files
from icsap_jax.config import ConfigError, register_objective
from icsap_jax.config.objectives import function_of

PRIOR = '''
from __future__ import annotations
from typing import Literal
from icsap_jax.config import PriorModel, RuleModel, register_objective

def build(model, agents, items, folder):
    return ("point", model.at, agents, items)

class Point(PriorModel):
    """All values the same."""
    kind: Literal["point"] = "point"
    builder = build
    at: float = 1.0

class Posted(RuleModel):
    kind: Literal["posted"] = "posted"
    builder = "icsap_jax.auctions.rules.regret.regretnet:regretnet"
    price: float = 0.5

def surplus(account):
    return account.value.sum(-1) - account.transfer.sum(-1)

register_objective("surplus_left", surplus)
'''


def problem(**prior: Any) -> dict[str, Any]:
    """A 1×2 auction with this prior."""
    return {"kind": "auction", "bidders": 1, "items": 2, "prior": prior}


def test_a_plugin_adds_a_prior_a_rule_and_an_objective(tmp_path: Path) -> None:
    """They are found by name relative to the problem file, validated like the package's own, built, and looked up."""
    (tmp_path / "mine.py").write_text(PRIOR)
    path = tmp_path / "mine.yaml"
    path.write_text("plugins: [mine.py]\nrule: {kind: posted}\nproblem:\n  {kind: auction, bidders: 1, items: 2, "
                    "prior: {kind: point, at: 2}, objective: {revenue: 1, surplus_left: .1}}\n")
    config = files.load(path)
    assert config.problem.prior.build(1, 2, tmp_path) == ("point", 2.0, 1, 2)
    assert config.rule.price == 0.5
    revenue, surplus = (function_of(name) for name in config.problem.objective)
    assert (revenue, surplus.__name__) == ("icsap_jax.objectives:revenue", "surplus")
    with pytest.raises(ConfigError, match=r"problem\.prior\.att .* 'at'"):
        files.load(path, ["problem.prior.att=3"])


def test_a_plugin_is_known_only_to_files_that_name_it(tmp_path: Path) -> None:
    """Another problem file read in the same process does not inherit its kinds."""
    (tmp_path / "mine.py").write_text(PRIOR)
    assert files.parse({"plugins": ["mine.py"], "problem": problem(kind="point")}, tmp_path).problem.prior.at == 1.0
    with pytest.raises(ConfigError, match=r"problem\.prior\.kind = 'point' is not a known kind"):
        files.parse({"problem": problem(kind="point")}, tmp_path)


def objectives_of(config: files.Config) -> tuple[str, ...]:
    """The names in a config that maximises one objective, as a built problem keeps them."""
    return (config.problem.objective,)


def reading(folder: Path, plugin: str, objective: Any, source: str) -> files.Config:
    """A problem file with this objective and one plugin with this content."""
    (folder / plugin).write_text(source)
    return files.parse({"plugins": [plugin], "problem": problem(kind="uniform") | {"objective": objective}}, folder, "mine.yaml")


LINEAR = "from icsap_jax.config import register_objective\nregister_objective('mine', lambda account: {} * account)\n"


def test_an_objective_is_known_only_to_files_that_name_its_plugin(tmp_path: Path) -> None:
    """Another problem file read later in the same process does not inherit it, and one that names the plugin again does."""
    assert reading(tmp_path, "a.py", "mine", LINEAR.format(2)).problem.objective == "mine"
    for objective in ("mine", {"revenue": 1, "mine": 1}):
        with pytest.raises(ConfigError, match=r"problem\.objective .* is not a known objective; .*revenue, welfare"):
            files.parse({"problem": problem(kind="uniform") | {"objective": objective}}, tmp_path)
    assert function_of(reading(tmp_path, "a.py", "mine", LINEAR.format(2)).problem.objective)(5) == 10


def test_one_name_of_two_plugins_is_two_objectives(tmp_path: Path) -> None:
    """Each file keeps its own plugin's function, in whatever order they are read; what was compiled for the one does not serve the
    other, because the names are not equal; and copies of a name keep its owner."""
    a, b = (reading(tmp_path, f"{factor}.py", "mine", LINEAR.format(factor)) for factor in (2, 3))
    again = reading(tmp_path, "2.py", {"mine": 1}, LINEAR.format(2))
    assert [function_of(config.problem.objective)(5) for config in (a, b)] == [10, 15]
    assert objectives_of(a) != objectives_of(b) and objectives_of(a) == tuple(again.problem.objective)
    assert function_of(pickle.loads(pickle.dumps(b.problem.objective)))(5) == 15
    # It is the text all the same, to whoever looks it up or writes it down.
    assert {a.problem.objective: 1}["mine"] == 1
    assert yaml.safe_load(yaml.safe_dump(again.resolved()))["problem"]["objective"] == {"mine": 1.0}


@pytest.mark.parametrize(("source", "says"), [
    ("from icsap_jax import register_objective\nregister_objective('revenue', abs)\n", ["'revenue'", "already exists in icsap_jax"]),
    (LINEAR.format(2) + "register_objective('mine', abs)\n", [", line 3", "'mine'", "already"]),
])
def test_an_objective_may_not_be_given_another_meaning(tmp_path: Path, source: str, says: list[str]) -> None:
    """Neither one of the package nor its own; and what the package's means stays as it was."""
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            reading(tmp_path, "mine.py", "revenue", source)
        assert [part for part in ["mine.py", *says] if part not in str(caught.value)] == []
    assert function_of(files.parse({"problem": problem(kind="uniform")}).problem.objective) == "icsap_jax.objectives:revenue"
    with pytest.raises(ConfigError, match="'revenue' already names"):
        register_objective("revenue", abs)


@pytest.mark.parametrize(("first", "second", "says"), [
    (LINEAR.format(2), LINEAR.format(3), "objective 'mine'"),
    (PRIOR, PRIOR.replace("surplus_left", "surplus_kept"), "kind 'posted'"),
])
def test_two_plugins_of_one_file_may_not_share_a_name(tmp_path: Path, first: str, second: str, says: str) -> None:
    """Which of the two was meant could not be told. A plugin named twice is one plugin."""
    for name, source in (("a.py", first), ("b.py", second)):
        (tmp_path / name).write_text(source)
    with pytest.raises(ConfigError, match=rf"b\.py: .*{says}, which already exists in .*a\.py"):
        files.parse({"plugins": ["a.py", "b.py"], "problem": problem(kind="uniform")}, tmp_path)
    assert files.parse({"plugins": ["a.py", "a.py"], "problem": problem(kind="uniform")}, tmp_path).plugins == ["a.py", "a.py"]


def test_a_family_of_priors_shares_its_names(tmp_path: Path) -> None:
    """A plugin that extends a base between its kind and PriorModel may not take a name from a sibling either."""
    source = PRIOR.replace("import PriorModel", "import PriorModel as _").replace("(PriorModel)", "(Elementwise)").replace(
        '"point"', '"triangle"').replace("def build", "from icsap_jax.auctions.prior_schema import Elementwise\ndef build", 1)
    with pytest.raises(ConfigError, match="'triangle', which already exists in icsap_jax"):
        reading(tmp_path, "mine.py", "revenue", source)


def test_two_files_may_use_one_name_for_different_things(tmp_path: Path) -> None:
    """Each problem file gets its own plugin's meaning, in whatever order they are read."""
    for name, at in (("a.py", "1.0"), ("b.py", "7.0")):
        (tmp_path / name).write_text(PRIOR.replace("at: float = 1.0", f"at: float = {at}"))
    found = [files.parse({"plugins": [name], "problem": problem(kind="point")}, tmp_path).problem.prior.at
             for name in ("a.py", "b.py", "a.py")]
    assert found == [1.0, 7.0, 1.0]


def test_a_run_takes_its_plugins_along(tmp_path: Path) -> None:
    """A gathered config loads from its copy, means the same, and a changed plugin is another meaning."""
    (tmp_path / "mine.py").write_text(PRIOR)
    config = files.parse({"plugins": ["mine.py"], "problem": problem(kind="point")}, tmp_path)
    hashed, gathered = config.sha256(), config.gather(tmp_path / "run")
    (tmp_path / "mine.py").write_text(PRIOR + "\n# edited\n")
    assert gathered.sha256() == hashed != files.parse(config.resolved(), tmp_path).sha256()
    assert files.parse(gathered.resolved(), tmp_path / "run").problem.prior.at == 1.0


@pytest.mark.parametrize(("source", "says"), [
    ("import nothing_of_this_name\n", ["mine.py, line 1", "ModuleNotFoundError", "nothing_of_this_name"]),
    ("x = 1\ny = 1 / 0\n", ["mine.py, line 2", "ZeroDivisionError"]),
    ("def broken(:\n", ["mine.py, line 1", "SyntaxError"]),
    ("raise SystemExit(0)\n", ["SystemExit"]),
    (PRIOR.replace('"point"', '"uniform"'), ["Point", "'uniform'", "already exists"]),
    (PRIOR.replace("    builder = build\n", ""), ["Point", "builder"]),
])
def test_a_plugin_that_fails_is_named(tmp_path: Path, source: str, says: list[str]) -> None:
    """Where, and what it raised; and it stays failed when it is tried again."""
    (tmp_path / "mine.py").write_text(source)
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            files.parse({"plugins": ["mine.py"], "problem": problem(kind="uniform")}, tmp_path, "mine.yaml")
        assert [part for part in says if part not in str(caught.value)] == [], str(caught.value)


def test_the_line_is_told_wherever_the_command_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a problem file named by a relative path."""
    (tmp_path / "mine.py").write_text("x = 1\nimport nothing_of_this_name\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"mine\.py, line 2: .*nothing_of_this_name"):
        files.parse({"plugins": ["mine.py"], "problem": problem(kind="uniform")}, ".", "mine.yaml")


RULE = """
import jax, jax.numpy as jnp
from flax import nnx
from typing import Literal
from icsap_jax import Rule, RuleModel
from icsap_jax.auctions.problem import Decision
from icsap_jax.config import register_objective

class Share(nnx.Module):
    def __init__(self):
        self.share = nnx.Param(jnp.asarray(0.5))
    def __call__(self, reports):
        given = self.share[...] * reports
        return {decision}

def build(model, problem, env, key):
    return Rule.of(Share())

class ShareRule(RuleModel):
    kind: Literal["share"] = "share"
    builder = build

register_objective("mine", lambda account: {objective})
"""
GOOD = {"decision": "Decision(given, given.sum(-1))", "objective": "account.transfer.sum(-1)"}


@pytest.mark.parametrize(("wrong", "says"), [
    ({"decision": "Decision(given, given.sums(-1))"}, r"mine\.py, line 14: this plugin failed with AttributeError: .*sums"),
    ({"decision": "Decision(given, given.reshape(3, 5))"}, r"mine\.py, line 14: this plugin failed with TypeError: .*reshape"),
    ({"decision": "Decision(given, given)"}, r"mine\.yaml: rule: .* its payment has shape \[.*, 1, 2\]; it should have \[.*, 1\]"),
    ({"decision": "given"}, r"mine\.yaml: rule: .* its allocation is no array"),
    ({"objective": "account.transfers"}, r"mine\.py, line 23: this plugin failed with AttributeError: .*transfers"),
    ({"objective": "account.transfer"}, r"mine\.yaml: problem\.objective = 'mine': .* has shape \[.*, 1\] and should have shape"),
    ({"objective": "account.transfer.sum()"}, r"problem\.objective = 'mine': .* has shape \[\] and should have shape"),
    ({"objective": "1.0"}, r"problem\.objective = 'mine': .* is a float and should have shape"),
])
def test_a_mistake_inside_a_plugin_shows_before_a_folder_is_made(tmp_path: Path, wrong: dict[str, str], says: str) -> None:
    """Where it is, what it raised or which shape it gave: it is its author's to mend."""
    (tmp_path / "mine.py").write_text(RULE.format(**{**GOOD, **wrong}))
    config = files.parse({"plugins": ["mine.py"], "rule": {"kind": "share"}, "training": {"batch": 128},
                          "problem": problem(kind="uniform") | {"objective": "mine"}}, tmp_path, "mine.yaml")  # fmt: skip
    with pytest.raises(ConfigError, match=says):
        run.train(config, tmp_path / "run", pytest.fail)
    assert not (tmp_path / "run").exists()


def test_every_command_names_the_plugin_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 2 and its line; and the whole way there for who asks."""
    (tmp_path / "mine.py").write_text(PRIOR.replace('return ("point"', 'return model.att, ("point"'))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"plugins": ["mine.py"], "problem": problem(kind="point")}))
    done = CliRunner().invoke(cli.app, ["optimum", str(tmp_path / "mine.yaml")])
    assert done.exit_code == 2
    assert "mine.py, line 7: this plugin failed with AttributeError" in done.stderr
    monkeypatch.setenv("ICSAP_TRACEBACK", "1")
    told = CliRunner().invoke(cli.app, ["optimum", str(tmp_path / "mine.yaml")])
    assert isinstance(told.exception, ConfigError) and isinstance(told.exception.__cause__, AttributeError)


def test_a_plugin_without_mistakes_is_rehearsed_without_complaint(tmp_path: Path) -> None:
    """The same plugin as above with nothing wrong in it."""
    (tmp_path / "mine.py").write_text(RULE.format(**GOOD))
    config = files.parse({"plugins": ["mine.py"], "rule": {"kind": "share"}, "training": {"batch": 128},
                          "problem": problem(kind="uniform") | {"objective": "mine"}}, tmp_path, "mine.yaml")  # fmt: skip
    posed, env = run.posed(config)
    trainer = run.Trainer.of(posed, config.training)
    run.rehearse(trainer, env, run.member(run.initial_state(config, trainer, posed, env), 0))


@pytest.mark.parametrize("plugins", ["mine.py", ["absent.py"], [3], ["."]])
def test_what_is_no_plugin_is_refused(tmp_path: Path, plugins: Any) -> None:
    """Not a list, absent, not a name, a folder."""
    with pytest.raises(ConfigError, match="plugins"):
        files.parse({"plugins": plugins, "problem": problem(kind="uniform")}, tmp_path)
