"""A user's own prior, rule and objective, in a file beside the problem file, without touching the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from icsap_jax import config as files
from icsap_jax.config import ConfigError

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
    builder = "icsap_jax.auctions.rules:regretnet"
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
    assert files.OBJECTIVES["surplus_left"].__name__ == "surplus"
    with pytest.raises(ConfigError, match=r"problem\.prior\.att .* 'at'"):
        files.load(path, ["problem.prior.att=3"])


def test_a_plugin_is_known_only_to_files_that_name_it(tmp_path: Path) -> None:
    """Another problem file read in the same process does not inherit its kinds."""
    (tmp_path / "mine.py").write_text(PRIOR)
    assert files.parse({"plugins": ["mine.py"], "problem": problem(kind="point")}, tmp_path).problem.prior.at == 1.0
    with pytest.raises(ConfigError, match=r"problem\.prior\.kind = 'point' is not a known kind"):
        files.parse({"problem": problem(kind="point")}, tmp_path)


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


@pytest.mark.parametrize("plugins", ["mine.py", ["absent.py"], [3], ["."]])
def test_what_is_no_plugin_is_refused(tmp_path: Path, plugins: Any) -> None:
    """Not a list, absent, not a name, a folder."""
    with pytest.raises(ConfigError, match="plugins"):
        files.parse({"plugins": plugins, "problem": problem(kind="uniform")}, tmp_path)
