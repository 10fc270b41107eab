"""What the documents say is so: pages made from the code are up to date, what they name exists, and their examples run."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from functools import cache, reduce
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from icsap_jax import run
from icsap_jax.auctions.optimum import optimum
from icsap_jax.bilevel import fit
from icsap_jax.bilevel.lagrangian import numbers
from icsap_jax.config import Config, ConfigError, Problem, json_schema, kinds, load, parse
from icsap_jax.config.objectives import registering
from icsap_jax.config.plugins import import_schemas
from icsap_jax.objectives import Account

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
PAGES = [ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
SMALL = ("training.steps=20", "training.batch=32", "training.chunk=20")
QUICK = ("evaluation.gap_profiles=8", "evaluation.profiles=64", "evaluation.joint_grid=5", "evaluation.item_grid=5", "evaluation.starts=2",
         "evaluation.steps=2")  # fmt: skip


def text(path: Path) -> str:
    """A page, whatever its name."""
    return path.read_text(encoding="utf-8")


def name(path: Path) -> str:
    """The path as a reader of the test's output wants it."""
    return path.relative_to(ROOT).as_posix()


# ---- pages and what they name


def test_the_page_on_problem_files_is_what_the_models_say(tmp_path: Path) -> None:
    """In a process of its own: plugins of other tests are no part of the package."""
    written = tmp_path / "page.md"
    command = [sys.executable, str(DOCS / "generate.py"), str(written)]
    subprocess.run(command, check=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert text(written) == text(DOCS / "problem-files.md"), "the models have changed: run make docs"


def test_the_file_at_the_top_of_the_page_on_problem_files_is_one(tmp_path: Path) -> None:
    """It loads, and what it printed with every default filled in loads again as the same problem."""
    path = tmp_path / "auction.yaml"
    path.write_text(re.search(r"```yaml\n(.*?)```", text(DOCS / "problem-files.md"), re.S)[1])
    config = load(path)
    path.write_text(yaml.safe_dump(config.resolved()))
    assert load(path).sha256() == config.sha256()


def test_a_key_that_takes_a_mapping_links_to_the_keys_of_that_mapping() -> None:
    """In the page on problem files: under the heading that is linked to, a row for each of them."""
    page, schema = text(DOCS / "problem-files.md"), json_schema()
    sections = {part.partition("\n")[0].lower().replace(" ", "-"): part for part in page.split("\n## ")[1:]}
    links = re.findall(r"^\| `(\w+)` \| \[mapping\]\(#([\w-]+)\)", page, re.M)
    fields = {key: json.dumps(field) for part in (schema, *schema["$defs"].values()) for key, field in part.get("properties", {}).items()
              if key in dict(links) and "$ref" in json.dumps(field)}  # fmt: skip
    assert {"training", "evaluation", "population"} <= fields.keys()
    for key, anchor in links:
        definition = schema["$defs"][re.search(r"\$defs/(\w+)\"", fields[key])[1]]
        assert [inside for inside in definition["properties"] if f"| `{inside}` |" not in sections[anchor]] == [], key


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links name files, and anchors name headings of the page they point into."""
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text(page))
    for target, anchor in links:
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), f"{name(page)} links to {target}"
        if anchor:
            headings = [re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in text(place).splitlines()
                        if line.startswith("#")]  # fmt: skip
            assert anchor in headings, f"{name(page)} links to #{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_and_commands_that_are_named_exist(page: Path) -> None:
    """Every `icsap_jax/…`, `tests/…`, `docs/…` path, every `make` target and every `icsap` command in code spans."""
    spans = re.findall(r"`([^`\n]+)`", text(page))
    folders = "|".join(("icsap_jax", "tests", "docs", "configs", "experiments"))
    paths = {span for span in spans if re.fullmatch(rf"({folders})/[\w./]*", span)}
    assert [path for path in paths if not (ROOT / path).exists()] == []
    targets = set(re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.M))
    assert {span.split()[1] for span in spans if span.startswith("make ")} <= targets
    commands = set(re.findall(r"^def (\w+)\(", text(ROOT / "icsap_jax" / "cli.py"), re.M))
    assert {match[1] for span in spans if (match := re.match(r"icsap (\w+)", span))} <= commands


def test_pages_say_nothing_of_a_machine() -> None:
    """No absolute path and no address."""
    local = re.compile(r"(?<![\w.])/(?:home|work|tmp|root|usr)/\S*|https?://\S+")
    assert [(name(page), found) for page in PAGES for found in local.findall(text(page))] == []


def test_the_page_on_tables_names_every_column() -> None:
    """Of every example of every problem that can be applied to a table; the second bidder's are like the first's, and what is
    numbered from 0 is like the 0th."""
    import_schemas()
    page, applied = text(DOCS / "tables.md"), 0
    for cls in kinds(Problem).values():
        for example in cls.examples if cls.table and cls.__module__.startswith("icsap_jax.") else ():
            config = parse({"problem": example})
            table = config.problem.hook("table")(*config.problem.build(config.folder))
            every = (re.sub(r"(bidder|agent|piece)\d", r"\g<1>1", column) for column in (*table.columns, *table.output_columns))
            columns = {re.sub(r"_\d+$", "_0", column) for column in every}
            assert {column for column in columns if not re.search(rf"\b{column}\b", page)} == set(), cls.kind_name()
            applied += 1
    assert applied > 3


# ---- equations


def rows() -> list[list[str]]:
    """The cells of every row of every table of equations."""
    tables = [line for line in text(DOCS / "equations.md").splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in tables if "function | test" not in line]


def test_every_equation_of_the_position_paper_has_its_row() -> None:
    """Numbers 1 to 21, each once."""
    first = [row[0] for row in rows() if row[0][0].isdigit()]
    parts = [part for cell in first for part in cell.replace("–", "-").split(", ")]
    ends = [[int(end) for end in part.split("-")] for part in parts]
    assert [number for pair in ends for number in range(pair[0], pair[-1] + 1)] == list(range(1, 22))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_an_equation_is_where_the_table_says(row: list[str]) -> None:
    """Functions import, tests are defined, and what is not there yet says so: a row has both a function and a test or says *not yet*."""
    functions, tests = re.findall(r"`([\w./]+):([\w.]+)`", row[-2]), re.findall(r"`(tests/[\w./]+)::(\w+)`", row[-1])
    assert (functions and tests) or "*not yet*" in row[-2]
    assert bool(functions) == bool(tests)
    for module, attribute in functions:
        home = plugin(ROOT / module) if module.endswith(".py") else importlib.import_module(module)
        assert reduce(getattr, attribute.split("."), home)
    for path, test in tests:
        assert f"\ndef {test}(" in text(ROOT / path), f"{path} has no {test}"


@cache
def plugin(path: Path) -> Any:
    """An example plugin as a module; its kinds and objectives are known to no problem file by this."""
    spec = importlib.util.spec_from_file_location(f"icsap_plugin_docs_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with registering(spec.name):
        spec.loader.exec_module(module)
    return module


# ---- examples


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.*")), ids=name)
def test_an_example_is_shown_as_it_is(path: Path) -> None:
    """The page shows the file that is run here, and the file lies beside a problem file that uses it."""
    assert f"```{'python' if path.suffix == '.py' else 'yaml'}\n{text(path)}```" in text(DOCS / "extending.md")
    assert {each.suffix for each in EXAMPLES.glob(f"{path.stem}.*")} == {".py", ".yaml"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=name)
def test_an_example_trains(path: Path) -> None:
    """Twenty steps from the file as it stands but for the size of its nets leave finite numbers and moved parameters."""
    config = load(path, SMALL)
    if config.rule.kind_name() == "regretnet":
        config = load(path, [*SMALL, "rule.hidden=[8]"])
    state, after, metrics = trained(config)
    assert all(np.isfinite(leaf).all() for leaf in metrics.values())
    pairs = zip(jax.tree.leaves(state.rule.params), jax.tree.leaves(after.rule.params), strict=True)
    assert all(bool((one != other).any()) for one, other in pairs)


def trained(config: Config) -> tuple[fit.TrainState, fit.TrainState, dict[str, np.ndarray]]:
    """The state before and after all steps of a config of one member, and the metrics of the only chunk."""
    problem, env = config.problem.build(config.folder)
    trainer = fit.Trainer.of(problem, config.training)
    state = run.initial_state(config, trainer, problem, env)
    before = jax.tree.map(jnp.copy, state)  # a run consumes the state it is given
    after, metrics = fit.run(trainer, env, state, config.training.steps)
    return before, after, metrics


def test_exact_answers_know_the_example_prior() -> None:
    """F(v) = v² and one item: the monopoly price 1/√3 earns 2/(3√3). Quadrature is good to 1e-7 of the value."""
    config = load(EXAMPLES / "power.yaml", ["problem.items=1"])
    problem, env = config.problem.build(config.folder)
    assert optimum(problem, env, config.problem)["value"] == pytest.approx(2 / (3 * math.sqrt(3)), rel=1e-6)


def test_the_example_prior_draws_what_it_says() -> None:
    """Mean and variance of 20 000 draws within five standard errors of E v^k = a/(a + k), for an exponent that is not the default."""
    config = load(EXAMPLES / "power.yaml", ["problem.prior.exponent=0.5"])
    prior = config.problem.prior.build(2, 3, config.folder)
    sample = np.asarray(prior.sample(jax.random.key(0), 20_000), np.float64)
    exact = [0.5 / (0.5 + power) for power in (1, 2)]
    assert sample.shape == (20_000, 2, 3)
    for power, moment in enumerate(exact, 1):
        error = (sample**power).std(0) / math.sqrt(20_000)
        assert (np.abs((sample**power).mean(0) - moment) <= 5 * error).all()
    np.testing.assert_allclose([prior.mean(), prior.variance()], np.broadcast_to([[[exact[0]]], [[exact[1] - exact[0] ** 2]]], (2, 2, 3)),
                               rtol=1e-6)  # fmt: skip
    with pytest.raises(ConfigError, match=r"problem\.prior\.exponent"):
        load(EXAMPLES / "power.yaml", ["problem.prior.exponent=0"])


@pytest.mark.parametrize("sharpness", [3.0, 30.0])
def test_a_softly_picked_menu_leaves_no_more_to_gain_than_it_says(sharpness: float) -> None:
    """The entropy bound log(entries + 1)/sharpness on the gap and on what taking part can cost; blunt choice leaves something."""
    config = load(EXAMPLES / "soft_menu.yaml", [f"rule.sharpness={sharpness}"])
    problem, env = config.problem.build(config.folder)
    rule = config.rule.build(problem, env, jax.random.key(1))
    bound = math.log(config.rule.entries + 1) / sharpness
    search = config.training.response.build()
    settings = numbers(config.training.response)
    memory = search.init(problem, env, settings, jax.random.key(0), 256)
    play = search.play(problem, env, rule, memory, jax.random.key(2), 0, 256, settings)
    assert 0 < float(play.gap[0]) <= bound
    draw = problem.draw(env, jax.random.key(3), 256)
    utility = problem.utility(env, draw, problem.decide(env, rule, None, draw.types), draw.types)
    assert float(utility.min()) >= -bound


def test_a_menu_is_for_one_bidder() -> None:
    """The example refuses what it cannot do, in a sentence."""
    config = load(EXAMPLES / "soft_menu.yaml", ["problem.bidders=2"])
    problem, env = config.problem.build(config.folder)
    with pytest.raises(ConfigError, match="one additive bidder"):
        config.rule.build(problem, env, jax.random.key(0))


def test_proportional_fairness_prefers_the_poorer_bidder() -> None:
    """One more unit counts half as much for who has two as for who has one less than that, and nothing is worth nothing."""
    fairness = plugin(EXAMPLES / "proportional_fairness.py").proportional_fairness
    value = jnp.asarray([[1.0, 2.0], [2.0, 2.0], [1.0, 3.0], [0.0, 0.0]])
    found = np.asarray(fairness(Account(value=value, transfer=jnp.asarray([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]))))
    np.testing.assert_allclose(found, np.log([2.0, 4.0, 3.0, 1.0]), rtol=1e-6)  # float32


# ---- results


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of a whole small run of an example, plugin and all, in which every field a sampled problem can have is there."""
    config = load(EXAMPLES / "soft_menu.yaml", [*SMALL, *QUICK, "rule.entries=4", "rule.sharpness=3"])
    return run.train(config, tmp_path_factory.mktemp("docs") / "run", lambda line: None)


def fields(tree: dict[str, Any], above: str = "") -> set[str]:
    """The dotted names of everything in a result that is not itself a mapping."""
    found: set[str] = set()
    for key, value in tree.items():
        found |= fields(value, f"{above}{key}.") if isinstance(value, dict) else {above + key}
    return found


def test_every_field_of_a_result_is_explained(result: dict[str, Any]) -> None:
    """And everything explained is there, but for what the page says is there only sometimes."""
    tables = [line for line in text(DOCS / "results-file.md").split("## Beside it")[0].splitlines() if line.startswith("| `")]
    explained = {field: line for line in tables for field in re.findall(r"`([\w.]+)`", line.split("|")[1])}
    open_ended = {field for field, line in explained.items() if " by " in line.split("|")[2]}
    found = {next((name for name in open_ended if field.startswith(f"{name}.")), field) for field in fields(result)}
    assert found - explained.keys() == set()
    sampled = {field for field, line in explained.items() if "*only " not in line or "*only in sampled" in line}
    assert sampled - found == set()


def test_what_is_left_once_the_gap_is_paid_for(result: dict[str, Any]) -> None:
    """(√P − √R)², R the sum of the agents' mean gaps (Rahme et al. 2021)."""
    value, gap = result["objective"]["value"], sum(result["incentive_gap"]["per_agent"])
    assert gap > 0
    assert result["details"]["corrected_objective"] == pytest.approx((math.sqrt(value) - math.sqrt(gap)) ** 2)
