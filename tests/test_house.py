"""The house keeps its order: which folder may import which, what stays free of jax, and how long a file may grow.

Imports are read from the syntax tree, those inside functions too, so a late import is no way round a rule. A folder of the
package that has a schema.py and is not the core is a domain: a new one is held to the rules without being named here.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "icsap_jax"
LONGEST = 400  # lines; most files should stay under 300, a table of models or of exact answers may need more


def name(path: Path) -> str:
    """The path as a reader of the test's output wants it."""
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> str:
    """The dotted name a file is imported by."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = sorted(PACKAGE.rglob("*.py"))
CORE = {"bilevel", "exact"}
TOOLS = {"certify", "artifact", "sweep", "report", "reproduce"}
DOMAINS = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/**/schema.py")} - CORE - TOOLS
READERS = [path for path in FILES if path.stem.endswith("schema") or module(path).split(".")[1:2] == ["config"]]


def imports(source: str, importer: str, is_package: bool = False) -> Iterator[str]:
    """Every dotted name that `source` imports: `from a import b` gives a and a.b, and relative imports are made absolute."""
    package = importer.split(".") if is_package else importer.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports_of(path: Path) -> set[str]:
    """What one file of the package imports."""
    return set(imports(path.read_text(encoding="utf-8"), module(path), path.name == "__init__.py"))


def room(dotted: str) -> str | None:
    """The folder or file of the package that a dotted name lies in: icsap_jax.auctions.rules → auctions."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "icsap_jax" and len(parts) > 1 else None


def forbidden(path: Path) -> set[str]:
    """The rooms of the package that this file may not import, by where it stands: cli → tools → domains → core."""
    here = room(module(path))
    banned = set() if path.parent == PACKAGE and here in {"__main__", "cli"} else {"cli"}
    if here in CORE:
        banned |= DOMAINS | TOOLS
    if here in DOMAINS:
        banned |= DOMAINS - {here} | TOOLS
    return banned


def test_imports_are_found_wherever_they_are_written() -> None:
    """The reader of imports itself: late, relative and renamed ones, which the rules below rely on."""
    source = "import a.b as c\ndef f():\n    from ..auctions import rules as r\n    from . import gap\n"
    found = set(imports(source, "icsap_jax.bilevel.fit"))
    assert found == {"a.b", "icsap_jax.auctions", "icsap_jax.auctions.rules", "icsap_jax.bilevel", "icsap_jax.bilevel.gap"}
    assert set(imports("from . import gap", "icsap_jax.bilevel", is_package=True)) == {"icsap_jax.bilevel", "icsap_jax.bilevel.gap"}


def test_there_is_a_house() -> None:
    """Guards the rules below against passing because nothing was found."""
    assert DOMAINS
    assert READERS
    assert {path.name for path in PACKAGE.iterdir()} >= CORE


@pytest.mark.parametrize("path", FILES, ids=name)
def test_dependencies_point_one_way(path: Path) -> None:
    """The core knows no domain, a domain knows no other, and nothing but `python -m` knows the command line."""
    wrong = {dotted for dotted in imports_of(path) if room(dotted) in forbidden(path)}
    assert not wrong, f"{name(path)} imports {sorted(wrong)}"


def test_no_room_leads_back_to_itself() -> None:
    """From room to room by whatever imports, late ones too, one never comes back: what stands below can be read without what stands above.
    The problem file alone knows the models of its training, `bilevel/schema.py`, which know their base."""
    leads: dict[str | None, set[str | None]] = {}
    for path in FILES:
        here = room(module(path))
        found = {dotted for dotted in imports_of(path) if here != "config" or not dotted.startswith("icsap_jax.bilevel.schema")}
        leads.setdefault(here, set()).update({room(dotted) for dotted in found} - {None, here})
    TopologicalSorter(leads).prepare()


def test_what_reads_a_problem_file_names_no_jax() -> None:
    """A mistake in a problem file must be answered at once, so its readers import nothing that takes seconds."""
    slow = {"jax", "jaxlib", "flax", "optax", "chex", "orbax", "optimistix", "lineax", "equinox", "scipy", "matplotlib"}
    commands = {PACKAGE / "__init__.py", PACKAGE / "__main__.py", PACKAGE / "cli.py"} & set(FILES)
    for path in [*READERS, *commands]:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        if path in commands:
            # A command may import jax once it is called, so only what is imported with the file counts.
            body = [node for node in body if not isinstance(node, ast.FunctionDef)]
        found = imports(ast.unparse(ast.Module(body, [])), module(path), path.name == "__init__.py")
        wrong = {dotted for dotted in found if dotted.split(".")[0] in slow}
        assert not wrong, f"{name(path)} imports {sorted(wrong)}"


def test_reading_a_problem_file_never_loads_jax() -> None:
    """The same, for what those imports import in turn."""
    script = "import sys, importlib\nfor m in sys.argv[1:]:\n    importlib.import_module(m)\n    assert 'jax' not in sys.modules, m"
    readers = [module(path) for path in READERS]
    done = subprocess.run([sys.executable, "-c", script, *readers], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", [*FILES, *sorted(f for d in ("tests", "experiments") for f in (ROOT / d).rglob("*.py"))], ids=name)
def test_a_file_fits_in_the_head(path: Path) -> None:
    """No file is longer than a reader can hold."""
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST, f"{name(path)} has {lines} lines: one idea a file"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_what_is_public_says_what_it_is(path: Path) -> None:
    """Every file opens with a paragraph, and every public function and class at its top level has a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{name(path)} does not say what it is"
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    silent = [node.name for node in tree.body if isinstance(node, kinds) and node.name[0] != "_" and not ast.get_docstring(node)]
    assert not silent, f"{name(path)}: no docstring on {silent}"


# A value in a marker is a word or a version, so that no path and no address fits.
PIN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*==[0-9][0-9a-z.]*( ; CLAUSE( (and|or) CLAUSE)*)?".replace("CLAUSE", r"[a-z_]+ [<>=!]+ '[\w.*]+'"))


def test_pins_are_exact_and_carry_no_address() -> None:
    """constraints.txt says name==version and for which Python; where to get it is the machine's affair."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wrong = [line for line in lines if not PIN.fullmatch(line)]
    assert not wrong
    assert {"jax", "flax", "hatchling", "uv", "pytest"} <= {line.split("==")[0] for line in lines}


@pytest.mark.parametrize("line", ["jax>=0.10", "jax", "jax @ https://example.org/jax.whl", "-i https://example.org", "-e .",
                                  "jax==0.1 ; sys_platform == 'https://example.org'", "jax==0.1 ; sys_platform == '/srv/wheels'",
                                  "jax==0.1 ; sys_platform == 'linux' or"])
def test_the_reader_of_pins_refuses_the_rest(line: str) -> None:
    """The pattern above can fail."""
    assert not PIN.fullmatch(line)
