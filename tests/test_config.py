"""A problem file means one thing, and a mistake in it is named by file, key and value with what would be right."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from icsap_jax import config as files
from icsap_jax.config import Config, ConfigError, Kind, Numbers

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = sorted((ROOT / "configs").rglob("*.yaml"))
AUCTION: dict[str, Any] = {
    "problem": {"kind": "auction", "bidders": 2, "items": 3, "prior": {"kind": "uniform", "low": 0, "high": 1}}}


def read(*overrides: str, folder: Path = ROOT) -> Config:
    """Two bidders, three items, changed."""
    return files.parse(AUCTION, folder, "auction.yaml", overrides)


def complaint(*overrides: str, folder: Path = ROOT) -> str:
    """What is said about a mistake."""
    with pytest.raises(ConfigError) as caught:
        read(*overrides, folder=folder)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text, f"not a sentence: {text}"
    return text


def concrete_kinds() -> list[type[Kind]]:
    """Every kind that any schema of the package defines, and no test's."""
    read()
    bases: list[type[Kind]] = [Kind]
    for base in bases:
        bases.extend(base.__subclasses__())
    return [cls for cls in dict.fromkeys(bases) if cls.kind_name() and cls.__module__.startswith("icsap_jax.")]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_resolved_file_means_the_same(path: Path) -> None:
    """Writing a file out with every default and reading that gives the same Config: a run's config.yaml can be trusted."""
    loaded = files.load(path)
    again = files.parse(yaml.safe_load(yaml.safe_dump(loaded.resolved())), path.parent)
    assert again.resolved() == loaded.resolved()
    assert again.sha256() == loaded.sha256()


def test_regretnets_settings_are_shipped() -> None:
    """Each of the published settings has a file for a result and one with the published schedule, for the same problem."""
    names = {path.stem for path in SHIPPED if path.parent.name == "auctions"}
    assert names == {path.stem for path in SHIPPED if path.parent.name == "published"}
    assert len(names) == 14
    for name in names:
        quick, published = (files.load(ROOT / "configs" / "auctions" / part / f"{name}.yaml") for part in ("", "published"))
        assert quick.problem == published.problem
        # Dütting et al. 2019, section 5.2: 25 misreport steps of .1 for each of 400 000 minibatches of 128.
        assert published.training.steps == 400_000 and published.training.batch == 128
        assert (published.training.response.kind, published.training.response.steps) == ("ascent", 25)
        # ... and two hidden layers of 100, five for the largest settings.
        assert published.rule.hidden == [100] * (5 if name in {"additive_3x10_uniform", "additive_5x10_uniform"} else 2)


@pytest.mark.parametrize("cls", concrete_kinds(), ids=lambda cls: f"{cls.kind_name()}-{cls.__name__}")
def test_every_kind_shows_how_it_is_written(cls: type[Kind]) -> None:
    """A kind's examples are valid, name its kind, and it says who builds it, unless it says all there is to know by itself; one that
    reads a file may have none."""
    assert cls.builder is not None or any(isinstance(each, property) for each in vars(cls.__base__).values())
    for example in cls.examples:
        assert cls.model_validate(example).model_dump()["kind"] == cls.kind_name()
    assert cls.examples or "file" in cls.model_fields


@pytest.mark.parametrize(("written", "number"), [("1e-3", 1e-3), ("5E2", 500.0), (".5e1", 5.0), ("2", 2.0)])
def test_numbers_are_read_as_people_write_them(written: str, number: float) -> None:
    """YAML 1.1 takes 1e-3 for text; here it is a number, in an override, in YAML and as text in data."""
    assert read(f"training.learning_rate={written}").training.learning_rate == number
    assert read(f"training.learning_rate='{written}'").training.learning_rate == number
    data = copy.deepcopy(AUCTION)
    data["problem"]["prior"]["high"] = written
    loaded = files.parse(data)
    assert float(loaded.problem.prior.high) == number
    # Spelling is not meaning: the same file with a plain number has the same hash.
    data["problem"]["prior"]["high"] = number
    assert files.parse(data).sha256() == loaded.sha256()


@pytest.mark.parametrize(("override", "says"), [
    ("training.stepz=100", ["training.stepz", "100", "'steps'"]),
    ("trainig={}", ["trainig", "'training'"]),
    ("problem.prior.hight=1", ["problem.prior.hight", "'high'"]),
    ("problem.kind=auctoin", ["problem.kind", "'auctoin'", "'auction'", "persuasion"]),
    ("problem.prior.kind=exponentail", ["problem.prior.kind", "'exponential'", "copula"]),
    ("training.response.kind=foo", ["training.response.kind", "candidates", "ascent"]),
    ("rule.kind=signal", ["rule.kind", "'signal'", "regretnet"]),
    ("training.steps=-5", ["training.steps", "-5", "greater than or equal to 0"]),
    ("training.steps=many", ["training.steps", "'many'", "integer"]),
    ("training.steps=1.5", ["training.steps", "1.5", "integer"]),
    ("training.batch=true", ["training.batch", "True", "number"]),
    ("training.learning_rate=.nan", ["training.learning_rate", "nan", "finite"]),
    ("training.clip=.inf", ["training.clip", "inf", "finite"]),
    ("training.decay=linear", ["training.decay", "'linear'", "'cosine'"]),
    ("problem.prior.high=.nan", ["problem.prior.high", "nan", "finite"]),
    ("problem.prior.high=[1, .inf, 1]", ["problem.prior.high", "inf", "finite"]),
    ("problem.prior.high=[1, two, 3]", ["problem.prior.high", "'two'"]),
    ("problem.prior.high=[[1, 2], [3]]", ["problem.prior.high", "equal length"]),
    ("problem.prior.low=1", ["problem.prior.low", "below high", "1"]),
    ("problem.prior={kind: uniform, low: [0, 2], high: [1, 1, 3]}", ["problem.prior.low", "low is 2", "high is 1"]),
    ("problem.prior.high=[1, 2, 3, 4]", ["problem.prior.high", "[4]", "[3] (one per item)", "[2] (one per bidder)", "[2][3]"]),
    ("problem.prior.high=[[1, 2], [1, 2]]", ["problem.prior.high", "[2, 2]", "[2][3]"]),
    ("problem.prior={kind: triangle}", ["problem.prior.kind", "two items", "3"]),
    ("problem.prior={kind: truncated_normal, mean: 5, std: 1}", ["problem.prior.high", "missing"]),
    ("problem.prior={kind: beta, a: 0, b: 1}", ["problem.prior.a", "0", "greater than 0"]),
    ("problem.prior={kind: discrete, values: [1, 2], probabilities: [.5, .4]}", ["problem.prior.probabilities", "sum to 1"]),
    ("problem.prior={kind: discrete, values: [1, 2], probabilities: [1]}", ["problem.prior.probabilities", "[1]", "[2]"]),
    ("problem.prior={kind: mixture, weights: [1], parts: [{kind: uniform, low: 4}]}", ["problem.prior.parts.0.low", "below high"]),
    ("problem.prior={kind: copula, correlation: -.6, marginals: {kind: uniform}}", ["problem.prior.correlation", "-0.5 and 1"]),
    ("problem.prior={kind: copula, correlation: 0, marginals: {kind: empirical, file: x}}", ["problem.prior.marginals.kind", "copula"]),
    ("problem.prior={kind: copula, correlation: 0, marginals: [{kind: uniform}]}", ["problem.prior.marginals", "1", "3 items"]),
    ("problem.prior={kind: copula, correlation: [[1]], marginals: {kind: uniform}}", ["problem.prior.correlation", "[6][6]"]),
    ("problem.prior={kind: empirical, file: absent.csv}", ["problem.prior.file", "absent.csv", "no such file"]),
    ("problem.prior.high={file: absent.npy}", ["problem.prior.high", "absent.npy", "no such file"]),
    ("problem.synergy={kind: uniform}", ["problem.synergy", "combinatorial"]),
    ("problem.objective=revenu", ["problem.objective", "'revenu'", "'revenue'"]),
    ("problem.objective={welfare: .inf}", ["problem.objective", "finite"]),
    ("problem.objective={revenue: 0, welfare: 0}", ["problem.objective", "other than 0"]),
    ("rule.hidden=[10, 0]", ["rule.hidden.1", "0", "greater than or equal to 1"]),
    ("seed=-1", ["seed", "-1"]),
])
def test_a_mistake_is_named(override: str, says: list[str]) -> None:
    """Where, what, and what would be right; blamed on the override it came from."""
    text = complaint(override)
    assert text.startswith(f"Override '{override}': ")
    assert [part for part in says if part not in text] == [], text


@pytest.mark.parametrize("override", ["training", "=3", "training.=3", "training.steps.more=1", "rule.hidden.7=1", "seed={"])
def test_a_bad_override_is_named(override: str) -> None:
    """An override that cannot be applied says which one it is."""
    assert override in complaint("rule.hidden=[1, 2]", "training.steps=3", override)


def test_overrides_reach_places_in_lists() -> None:
    """Dotted keys descend into lists by place, values are YAML, and the data given is left alone."""
    before = copy.deepcopy(AUCTION)
    changed = read("rule.hidden=[1, 2]", "rule.hidden.1=30", "problem.prior={kind: exponential, scale: [1, 2, 3]}")
    assert changed.rule.hidden == [1, 30]
    assert np.array_equal(np.asarray(changed.problem.prior.scale), [1, 2, 3])
    assert before == AUCTION


def test_a_correlation_that_no_values_can_have_is_refused() -> None:
    """Three values cannot each be opposed to the other two: the matrix has a negative eigenvalue. An asymmetric one is no
    correlation either, and a possible one is accepted."""
    base = ["problem.bidders=1", "problem.prior={kind: copula, marginals: {kind: uniform}}"]
    opposed, lopsided = [[1, -0.9, -0.9], [-0.9, 1, -0.9], [-0.9, -0.9, 1]], [[1, 0.5, 0], [0, 1, 0], [0, 0, 1]]
    assert "semidefinite" in complaint(*base, f"problem.prior.correlation={opposed}")
    assert "symmetric" in complaint(*base, f"problem.prior.correlation={lopsided}")
    assert read(*base, "problem.prior.correlation=[[1, .5, 0], [.5, 1, 0], [0, 0, 1]]").problem.prior.correlation.shape == (3, 3)


def test_low_is_compared_with_high_once_the_shapes_are_known() -> None:
    """Per bidder against per item: only the pair (bidder 2, item 1) is wrong, and it is found."""
    assert "low is 3 where high is 2" in complaint("problem.prior={kind: uniform, low: [0, 3], high: [2, 9, 9]}")
    assert read("problem.prior={kind: uniform, low: [0, 1], high: [2, 9, 9]}").problem.prior.low.shape == (2,)


def test_bundles_are_of_two_items() -> None:
    """The file's three items do not go with an override's valuation, and it is the items that are named."""
    text = complaint("problem.valuation=combinatorial")
    assert text == "auction.yaml: problem.items = 3 should be 2 when valuation is combinatorial."
    assert read("problem.items=2", "problem.valuation=combinatorial").problem.synergy.kind == "uniform"


def test_defaults_fill_in_but_do_not_leak() -> None:
    """Only `problem` is needed; and naming another kind drops the default's other keys, which would not fit it."""
    assert read().rule.kind_name() == "regretnet"
    prosecutor = ROOT / "configs" / "persuasion" / "prosecutor_0.3.yaml"
    assert files.load(prosecutor).training.response.kind == "enumerate"
    assert files.load(prosecutor, ["training.steps=7"]).training.response.kind == "enumerate"
    assert read("training.response={kind: ascent}").training.response.model_dump()["steps"] == 25


def test_another_kind_drops_the_keys_of_the_old_one() -> None:
    """In a file that spells them out, as `--dry-run` prints one; what an override sets stays, whichever comes first."""
    spelled = read().resolved()
    changed = files.parse(spelled, ROOT, "auction.yaml", ["problem.prior.scale=3", "problem.prior.kind=exponential",
                                                           "training.response.kind=ascent", "training.response.steps=7"])  # fmt: skip
    assert (changed.problem.prior.kind_name(), float(changed.problem.prior.scale)) == ("exponential", 3.0)
    assert (changed.training.response.kind_name(), changed.training.response.steps) == ("ascent", 7)
    same = files.parse({**spelled, "rule": {"kind": "regretnet", "hidden": [7]}}, ROOT, "auction.yaml", ["rule.kind=regretnet"])
    assert same.rule.hidden == [7]
    unnamed = {"problem": spelled["problem"], "rule": {"hidden": [7]}}  # the problem's own kind, though it is not said
    assert files.parse(unnamed, ROOT, "auction.yaml", ["rule.kind=contest"]).rule.hidden != [7]


def test_another_rule_is_trained_in_its_own_way() -> None:
    """A file's training goes where the new rule has no use for its search for lies, and stays where it has, or where it is asked for."""
    training = {"steps": 7, "response": {"kind": "exchange", "reports": 3}, "lagrangian": {"kind": "augmented"}}
    given = {**read().resolved(), "training": training}

    def trained(*overrides: str) -> Any:
        return files.parse(given, ROOT, "auction.yaml", overrides).training

    assert trained("rule.kind=vvca").response.kind == "truthful"
    assert trained("rule.kind=vvca").steps > 7
    assert trained("rule.kind=vvca", "training.steps=9").steps == 9
    assert (trained("rule.kind=contest").response.reports, trained("rule.kind=contest").steps) == (3, 7)
    with pytest.raises(ConfigError, match=r"'exchange' searches for lies that pay.*write truthful, or leave it out"):
        trained("rule.kind=vvca", "training.response.kind=exchange")
    with pytest.raises(ConfigError, match=r"'truthful' is not for rule.kind = 'gemnet'; write compatible, or leave it out"):
        trained("rule.kind=gemnet", "training.response.kind=truthful")


CROSSED = [[1, 0, 0.5, 0], [0, 1, 0, 0], [0.5, 0, 1, 0], [0, 0, 0, 1]]  # two bidders, two items: item 1's values move together
WITHIN = [[1, 0.5, 0, 0], [0.5, 1, 0, 0], [0, 0, 1, 0.5], [0, 0, 0.5, 1]]


@pytest.mark.parametrize(("prior", "kind"), [
    ({"kind": "copula", "marginals": {"kind": "uniform"}, "correlation": CROSSED}, "candidates"),
    ({"kind": "copula", "marginals": {"kind": "uniform"}, "correlation": WITHIN}, "exchange"),
    ({"kind": "copula", "marginals": {"kind": "uniform"}, "correlation": 0.5}, "exchange"),
    *(({"kind": "empirical", "file": f"profiles.{form}"}, "candidates") for form in ("csv", "npy", "parquet")),
    *(({"kind": "empirical", "file": f"bidders.{form}"}, "exchange") for form in ("csv", "npy", "parquet")),
])
def test_bidders_who_depend_on_each_other_are_searched_by_candidates(tmp_path: Path, prior: dict[str, Any], kind: str) -> None:
    """Unless the file says otherwise: an exchange of reports redraws one bidder alone. The built prior agrees."""
    if (form := str(prior.get("file", "")).rpartition(".")[2]) == "parquet":
        pytest.importorskip("pyarrow")
    for name, width in (("profiles", 4), ("bidders", 2)):
        table = np.random.default_rng(0).random((10, width))
        if form == "csv":
            np.savetxt(tmp_path / f"{name}.csv", table, delimiter=",", header="a" + ",a" * (width - 1), comments="")
        elif form == "npy":
            np.save(tmp_path / f"{name}.npy", table)
        elif form == "parquet":
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.table({str(k): column for k, column in enumerate(table.T)}), tmp_path / f"{name}.parquet")
    config = files.parse({"problem": {"kind": "auction", "bidders": 2, "items": 2, "prior": prior}}, tmp_path)
    assert config.training.response.kind_name() == kind
    problem, env = config.problem.build(tmp_path)
    assert problem.independent(env) == (kind == "exchange")


@pytest.mark.parametrize(("text", "says"), [
    ("problem: {kind: auction", "not valid YAML"), ("- 1\n", "mapping"), ("", "is empty; it needs a 'problem'"),
    ("seed: 1\n", "problem is missing"),
    ("kind: auction\nbidders: 1\nseed: 1\n", "put these under problem: kind, bidders\\."), ("problem:\nbidders: 1\n", "put these under"),
    ("problem: {kind: auction}\n", "problem.bidders is missing"), ("seed: 1\nseed: 2\n", "'seed' appears twice")])
def test_a_file_that_is_not_a_problem_is_named(tmp_path: Path, text: str, says: str) -> None:
    """Broken YAML, no mapping, nothing in it, something missing, something twice."""
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        files.load(path)
    assert str(path) in str(caught.value)


def test_a_path_that_is_no_file_is_named(tmp_path: Path) -> None:
    """Absent, a folder, and not text."""
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    for path, says in ((tmp_path / "absent.yaml", "no such file"), (tmp_path, "folder"), (binary, "not a text file")):
        with pytest.raises(ConfigError, match=says):
            files.load(path)


@pytest.mark.parametrize("change", [["problem.bidders=100000", "problem.items=100000"], ["training.batch=1000000000000"],
                                    ["training.response={kind: ascent, pool: 1000000000}"]])
def test_what_cannot_fit_in_memory_is_refused_before_it_is_allocated(change: list[str]) -> None:
    """Each of these needs terabytes; the estimate, what there is, and the keys to shrink are said."""
    text = complaint(*change)
    assert "GB of memory" in text
    assert all(key in text for key in ("problem.bidders", "problem.items", "training.batch"))


def test_a_table_may_lie_in_a_file(tmp_path: Path) -> None:
    """The same numbers inline, as .npy and as .csv are the same prior, found relative to the problem file."""
    high = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    np.save(tmp_path / "high.npy", high)
    (tmp_path / "high.csv").write_text("1,2,3\n4,5,6\n")
    inline = read(f"problem.prior.high={high}")
    for name in ("high.npy", "high.csv"):
        named = read(f"problem.prior.high={{file: {name}}}", folder=tmp_path)
        assert named.problem.prior == inline.problem.prior
        assert named.resolved()["problem"]["prior"]["high"] == {"file": name}


@pytest.mark.parametrize(("name", "content", "says"), [
    ("t.csv", b"1,2,3\n4,five,6\n", "row 2, column 2: 'five'"), ("t.csv", b"1,2,3\n4,5\n", "row 2"), ("t.csv", b"", "empty"),
    ("t.csv", b"1,2,nan\n", "(1, 3)"), ("t.npy", b"not numpy", "not a .npy file"), ("t.xlsx", b"", "'.xlsx'")])
def test_a_bad_table_is_named_by_row_and_column(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    """Text, ragged rows, nothing, NaN, another format."""
    (tmp_path / name).write_bytes(content)
    text = complaint(f"problem.prior.high={{file: {name}}}", folder=tmp_path)
    assert name in text and says in text


@pytest.mark.parametrize(("content", "says"), [
    ("a,b\n1,2\n", "2 columns"), ("a,b,c\n1,2,x\n", "row 2"), ("", "empty"), ("1,2,-3\n", "-3"), ("1,2,3\n", "holdout")])
def test_bad_observations_are_found_when_the_file_is_read(tmp_path: Path, content: str, says: str) -> None:
    """Wrong columns, text, nothing, a negative value, and too few rows to hold any out: before anything is trained."""
    (tmp_path / "bids.csv").write_text(content)
    assert says in complaint("problem.prior={kind: empirical, file: bids.csv}", folder=tmp_path)


def test_a_gathered_config_stands_alone(tmp_path: Path) -> None:
    """Copies of the data make a run independent of where the data lay: the meaning, and so the hash, is the same."""
    there, run = tmp_path / "there", tmp_path / "run"
    there.mkdir()
    (there / "bids.csv").write_text("\n".join(f"{i},{i + 1},{i + 2}" for i in range(20)))
    original = read("problem.prior={kind: empirical, file: bids.csv}", folder=there)
    gathered, hashed = original.gather(run), original.sha256()
    (there / "bids.csv").unlink()
    assert gathered.sha256() == hashed
    again = files.parse(gathered.resolved(), run)
    assert again.sha256() == hashed
    assert again.gather(run).resolved() == again.resolved()
    # A copy of a copy, as the artifact of a run holds one, keeps its name and is not told apart by a second hash.
    copied = again.gather(run / "artifact")
    assert copied.problem.prior.file == again.problem.prior.file and (run / "artifact" / copied.problem.prior.file).is_file()
    with open(run / again.problem.prior.file, "a") as file:
        file.write("\n9,9,9")
    assert files.parse(gathered.resolved(), run).sha256() != hashed


@pytest.mark.parametrize(("change", "says"), [
    ({"prior": [0.7, 0.2]}, "problem.prior"), ({"sender": [[0, 1]]}, "problem.sender"), ({"receiver": [[1, 0]]}, "problem.receiver"),
    ({"states": ["one"]}, "problem.states"), ({"obedience_margin": -1}, "problem.obedience_margin")])
def test_a_persuasion_problem_must_fit_together(change: dict[str, Any], says: str) -> None:
    """A prior that sums to one, tables of states × actions, a name for each."""
    problem = {"kind": "persuasion", "prior": [0.7, 0.3], "sender": [[0, 1], [0, 1]], "receiver": [[1, 0], [0, 1]]}
    with pytest.raises(ConfigError, match=says):
        files.parse({"problem": {**problem, **change}})


def test_numbers_read_as_arrays() -> None:
    """What a builder does with them: arithmetic in numpy, on numbers nobody can change."""
    numbers = Numbers([[1, 2], [3, 4]])
    assert (np.asarray(numbers) * 2).sum() == 20
    with pytest.raises(ValueError, match="read-only"):
        numbers.values[0, 0] = 9


def test_the_json_schema_names_everything() -> None:
    """Each reference leads somewhere, and every kind is there to complete."""
    schema = files.json_schema()
    references = set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', json.dumps(schema)))
    assert references and references <= set(schema["$defs"])
    written = {part["properties"]["kind"]["const"] for part in schema["$defs"].values() if "kind" in part.get("properties", {})}
    assert written == {cls.kind_name() for cls in concrete_kinds()}
    assert schema["required"] == ["problem"]


def test_a_kind_is_defined_under_the_place_it_fills() -> None:
    """Whatever bases stand in between: a prior is a PriorModel to whoever reads the schema."""
    places = {name.split(".")[0] for name in files.json_schema()["$defs"] if "." in name}
    assert places == {
        "Problem", "RuleModel", "PriorModel", "Response", "Lagrangian", "ContextModel", "Constraint", "AgentUtility", "EffortCost",
        "TypePrior", "Worth", "Generator", "SignalCost", "ReceiverResponse", "GameGenerator", "StatePrior", "MeanReceiver", "StateSender",
        "NamedGame", "Stock", "SocialValue", "MarketAim", "Labels"}


def test_every_key_says_what_it_means() -> None:
    """In the schema, and so in editors and in docs/problem-files.md; that numbers may stand there is no meaning."""
    schema = files.json_schema()
    silent = [f"{name}.{key}" for name, part in [("file", schema), *schema["$defs"].items()]
              for key, field in part.get("properties", {}).items()
              if key != "kind" and field.get("description", "a number, nested").startswith("a number, nested")]
    assert silent == []


def test_a_problem_file_is_read_without_jax() -> None:
    """Loading every shipped file, hashing it and refusing a bad one leaves jax alone."""
    script = """
import sys
from icsap_jax import config
for path in sys.argv[1:]:
    config.load(path).sha256()
try:
    config.load(sys.argv[1], ["training.steps=-1"])
except config.ConfigError:
    pass
assert "jax" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script, *map(str, SHIPPED)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
