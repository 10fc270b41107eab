"""The page tells what the folder holds, no less and no more, and nothing in a folder can make the page do anything."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from icsap_jax.config import ConfigError
from icsap_jax.report import gathered
from icsap_jax.report.page import content, document, write

RATE = "training.learning_rate"
MEMBERS = [
    ("slow", {RATE: 0.001, "seed": 0}, 0.51, 1e-4),
    ("fast", {RATE: 0.01, "seed": 0}, 0.53, 5e-4),
    ("worse", {RATE: 0.003, "seed": 0}, 0.50, 2e-4),
    ("given-up", {RATE: 0.1, "seed": 0}, None, None, "dropped"),
]


class Parsed(HTMLParser):
    """A page as a browser takes it apart: each element with its attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[dict[str, str | None], str]] = []
        self.inside: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside = tag
            self.raw.append(({"tag": tag, **dict(attrs)}, ""))

    def handle_endtag(self, tag: str) -> None:
        self.inside = None if tag == self.inside else self.inside

    def handle_data(self, data: str) -> None:
        if self.inside:
            attributes, text = self.raw[-1]
            self.raw[-1] = (attributes, text + data)


@pytest.fixture
def sweep(tmp_path: Path, sweep_folder: Callable[..., Path]) -> Path:
    """Four finished members, the second of them selected."""
    return sweep_folder(tmp_path / "sweep", MEMBERS, best="fast")


def told(path: Path) -> dict[str, Any]:
    """What the page of a folder is made of, without pictures."""
    return content.of(gathered.gather(path), {})


def test_a_row_a_member_with_the_gap_beside_the_objective(sweep: Path) -> None:
    """In the order of the sweep; what was given up has neither, and only what nothing beats is on the front."""
    found = told(sweep)
    assert [row["id"] for row in found["rows"]] == ["slow", "fast", "worse", "given-up"]
    assert [(row["objective"], row["gap_mean"]) for row in found["rows"]] == [(0.51, 1e-4), (0.53, 5e-4), (0.50, 2e-4), (None, None)]
    assert [row["front"] for row in found["rows"]] == [True, True, False, False]
    assert [row["selected"] for row in found["rows"]] == [False, True, False, False]
    assert (found["rows"][3]["training_objective"], found["rows"][3]["training_gap"]) == (0.47, 0.002)
    assert found["keys"] == [RATE, "seed"]
    assert found["rule"] == "highest revenue subject to a mean gap ≤ 0.001"
    assert found["optimum"] == {"value": 0.55, "words": "exact optimum, Somebody 2006, closed form"}
    heading = dict(found["heading"])
    assert heading["members"] == "all 4 done, of them 1 dropped"
    assert heading["varied"] == "training.learning_rate: 0.001, 0.01, 0.003, 0.1; seed: 0"
    assert "16 s of training" in heading["time"]


def test_problem_files_and_curves_come_back_as_they_were(sweep: Path) -> None:
    """They are stored by lines and by steps that are shared."""
    (sweep / "members" / "fast" / "config.yaml").write_text("seed: 7\nplugins: []\n")
    found = told(sweep)
    texts = ["".join(found["lines"][line] + "\n" for line in row["config"]) for row in found["rows"]]
    assert texts == ["seed: 0\n", "seed: 7\nplugins: []\n", "seed: 0\n", "seed: 0\n"]
    steps, objective, gap = found["rows"][0]["curve"]
    assert found["steps"][steps] == tuple(range(20, 401, 20))
    assert (objective[1], gap[1]) == (0.55, 0.005)
    assert len(found["steps"]) == 1


def test_optima_that_differ_are_not_one_line(tmp_path: Path, sweep_folder: Callable[..., Path]) -> None:
    """Members of two problems have an optimum each and are not compared with one another."""
    path = sweep_folder(tmp_path / "sweep", [("a", {"problem.items": 1}, 0.2, 1e-3), ("b", {"problem.items": 2}, 0.5, 1e-4)])
    other = json.loads((path / "members/a/result.json").read_text())
    other["optimum"]["value"] = other["optimum"]["upper_bound"] = 0.25
    (path / "members/a/result.json").write_text(json.dumps(other))
    found = told(path)
    assert found["optimum"] is None
    assert [row["optimum"] for row in found["rows"]] == [0.25, 0.55]
    assert [row["front"] for row in found["rows"]] == [True, True]
    assert found["rows"][0]["problem"] != found["rows"][1]["problem"]


def test_an_unfinished_sweep_tells_how_much_of_it_is_done(tmp_path: Path, sweep_folder: Callable[..., Path]) -> None:
    """What is finished is shown, and nothing is called selected yet."""
    found = told(sweep_folder(tmp_path / "sweep", MEMBERS, waiting=5))
    assert len(found["rows"]) == 4
    assert dict(found["heading"])["members"] == "4 of 9 done so far, of them 1 dropped"
    assert found["rule"] is None
    assert not any(row["selected"] for row in found["rows"])


def test_a_run_is_a_page_with_one_row(tmp_path: Path, run_folder: Callable[..., Path]) -> None:
    """Of the member that was kept, with the pictures that it drew when it ended."""
    path = run_folder(tmp_path / "run")
    (path / "plots").mkdir()
    for name in ("training.png", "allocation.png", "scatter.png"):
        (path / "plots" / name).write_bytes(name.encode())
    page = Parsed(write(path, pictures=1, say=lambda text: None).read_text())
    (row,) = json.loads(page.raw[1][1])["rows"]
    assert (row["id"], row["objective"], row["gap_mean"], row["set"], row["status"]) == ("run", 0.5, 1e-4, {}, "finished")
    assert [name for name, _ in row["pictures"]] == ["allocation", "training"]
    assert row["pictures"][0][1] == "data:image/png;base64," + base64.b64encode(b"allocation.png").decode()
    assert sorted(file.name for file in (path / "plots").iterdir()) == ["allocation.png", "curves.png", "scatter.png", "training.png"]


def test_the_page_and_its_plots_stand_where_one_says(sweep: Path, tmp_path: Path) -> None:
    """Elsewhere, the plots lie beside the page and not among somebody else's files, and the sweep's own folder is left as it was."""
    before = sorted(path.name for path in sweep.iterdir())
    output = write(sweep, tmp_path / "there" / "ours.html", pictures=0, contrast=True, say=lambda text: None)
    assert output == tmp_path / "there" / "ours.html"
    assert sorted(path.name for path in output.parent.iterdir()) == ["ours-plots", "ours.html"]
    for name in ("scatter.png", "curves.png"):
        assert (output.parent / "ours-plots" / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert sorted(path.name for path in sweep.iterdir()) == before
    assert Parsed(output.read_text()).elements[0] == ("html", {"lang": "en", "data-contrast": "on"})


HOSTILE = "</script><script>alert(1)</script><!--<script> & {{script}} \u2028 ' \" ]]>"


def test_nothing_from_a_file_becomes_a_part_of_the_page(tmp_path: Path, sweep_folder: Callable[..., Path]) -> None:
    """Ids, keys, values, problem files and names that try to break out of the script block or the heading stay text, unchanged."""
    name = "<img src=x onerror=alert(1)>&amp;"
    path = sweep_folder(tmp_path / "<b>sweep", [(name, {HOSTILE: HOSTILE}, 0.5, 1e-4)], config=f"a: {HOSTILE.replace(chr(0x2028), '')}\n")
    result = json.loads((path / "members" / name / "result.json").read_text())
    result["problem"] = result["objective"]["name"] = HOSTILE
    (path / "members" / name / "result.json").write_text(json.dumps(result))
    found = told(path)
    text = document.page(found, contrast=False)
    page, plain = Parsed(text), Parsed(document.page({**found, "title": "plain", "rows": []}, contrast=False))
    assert page.elements == plain.elements
    assert [attributes.get("type") for attributes, _ in page.raw] == [None, "application/json", None]
    assert json.loads(page.raw[1][1]) == json.loads(json.dumps(found))
    assert json.loads(page.raw[1][1])["rows"][0]["set"] == {HOSTILE: HOSTILE}
    assert text.count("onerror") == 1  # in the block of data, where nothing is parsed


def test_the_page_asks_for_nothing_and_runs_nothing_but_itself(sweep: Path) -> None:
    """Its policy names its one style and its one script by their hashes; it names no address but that of SVG's vocabulary."""
    text = document.page(told(sweep), contrast=False)
    page = Parsed(text)
    policy = next(attributes["content"] for tag, attributes in page.elements if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert (rules["default-src"], rules["img-src"]) == ("'none'", "data:")
    for kind, block in (("style-src", page.raw[0][1]), ("script-src", page.raw[2][1])):
        assert rules[kind] == f"'sha256-{base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()}'"
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}
    assert not [attributes for _, attributes in page.elements if attributes.get("src") or (attributes.get("href") or "data:,") != "data:,"]
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|\bfetch\(|XMLHttpRequest", page.raw[2][1])


def test_512_members_fit_into_ten_megabytes(sweep: Path) -> None:
    """With curves of 200 points that all differ and twelve pictures of the usual 170 kB."""
    found = gathered.gather(sweep)
    steps = list(range(100, 20_100, 100))
    curves = [gathered.curves.Curve(steps, [0.50000 + 1e-5 * ((7 * k + m) % 4999) for k in range(200)],
                                    [1e-4 + 1e-9 * ((11 * k + m) % 9973) for k in range(200)]) for m in range(512)]  # fmt: skip
    config = "".join(f"  setting_{line}: {line}\n" for line in range(80))
    members = tuple(gathered.Member(found.rows[0], found.members[0].result, curve, f"{config}seed: {place}\n", found.members[0].folder)
                    for place, curve in enumerate(curves))  # fmt: skip
    picture = sweep / "picture.png"
    picture.write_bytes(bytes(range(256)) * 664)
    many = gathered.Gathered(sweep, members, 512, None, True)
    text = document.page(content.of(many, {place: [picture] for place in range(12)}), contrast=False)
    assert 2e6 < len(text) < 1e7


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "there is no such folder"),
        (lambda path: path.write_text(""), "is a file; name the folder"),
        (lambda path: path.mkdir(), "neither a run folder (with result.json) nor a sweep's (with members.json)"),
        (lambda path: [path.mkdir(), (path / "config.yaml").touch(), (path / "metrics.jsonl").touch()], "this run is not finished"),
        (lambda path: [path.mkdir(), (path / "result.json").write_text("{")], "result.json: this file cannot be read"),
        (lambda path: [path.mkdir(), (path / "result.json").write_text("[]")], "result.json: should be a mapping"),
        (lambda path: [path.mkdir(), (path / "result.json").write_text("{}")], "is not the result of a run"),
    ],
)
def test_what_is_no_run_and_no_sweep_is_refused(make: Callable[[Path], Any], sentence: str, tmp_path: Path) -> None:
    """In a sentence that names the place, and nothing is written."""
    path = tmp_path / "folder"
    make(path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        write(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_other_bad_input(sweep: Path, tmp_path: Path, sweep_folder: Callable[..., Path]) -> None:
    """A sweep of which nothing is done, an id that points elsewhere, a folder as output, fewer than no pictures."""
    with pytest.raises(ConfigError, match="none of the sweep's 3 members is finished"):
        write(sweep_folder(tmp_path / "begun", [], waiting=3))
    with pytest.raises(ConfigError, match=re.escape("'../../elsewhere' is not the name of a folder")):
        write(sweep_folder(tmp_path / "a" / "b" / "odd", [("../../elsewhere", {}, 0.5, 1e-4)]))
    with pytest.raises(ConfigError, match="is a folder; name a file"):
        write(sweep, output=tmp_path)
    with pytest.raises(ConfigError, match="--pictures -1: should be at least 0"):
        write(sweep, pictures=-1)
    assert not list(tmp_path.rglob("*.html"))
