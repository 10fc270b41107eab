"""What a person meets first: the command answers from a bare checkout, quickly, and a wheel would hold the whole package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in the checkout, as a person there would."""
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_the_command_runs_from_a_checkout() -> None:
    """`python -m icsap_jax --help` lists the commands of the public interface and needs no installation."""
    done = run("-m", "icsap_jax", "--help")
    assert done.returncode == 0, done.stderr
    # typer draws boxes and colours: look for words.
    assert {"train", "evaluate", "apply", "export", "verify", "optimum", "sweep", "schema"} <= set(re.findall(r"[a-z]+", done.stdout))


def test_help_answers_before_jax_is_loaded() -> None:
    """jax takes seconds; a person asking for help should not wait for it."""
    script = (
        "import sys\nsys.argv = ['icsap', '--help']\nfrom icsap_jax.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\nassert 'jax' not in sys.modules"
    )
    done = run("-c", script)
    assert done.returncode == 0, done.stderr


def test_an_unknown_command_is_the_users_mistake() -> None:
    """Exit status 2 and one sentence, not a traceback."""
    done = run("-m", "icsap_jax", "trian")
    assert done.returncode == 2
    assert "trian" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wheel_holds_the_whole_package() -> None:
    """The build takes every file below the listed folders; an importable folder is one with an __init__.py."""
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["icsap_jax"]
    folders = {path.parent for path in (ROOT / "icsap_jax").rglob("*.py")}
    assert folders
    missing = sorted(str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").is_file())
    assert not missing, f"no __init__.py in {missing}"


def test_git_ignores_nothing_of_the_package() -> None:
    """The build leaves out what git ignores, so a pattern in .gitignore that meets the package would empty a room of the wheel."""
    patterns = [line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    caches = {"__pycache__", "*.egg-info"}
    met = [pattern for pattern in patterns if pattern not in caches and any((ROOT / "icsap_jax").rglob(pattern))]
    assert not met


def test_what_is_pinned_is_what_is_asked_for() -> None:
    """Every package that pyproject.toml names is pinned, so that nothing newer slips in on a new machine."""
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    extras = PROJECT["project"]["optional-dependencies"].values()
    asked = {re.split(r"[^A-Za-z0-9_-]", need)[0].lower() for needs in [PROJECT["project"]["dependencies"], *extras] for need in needs}
    assert asked - {"icsap-jax"} <= pinned


def test_slow_tests_are_run_by_asking_for_them() -> None:
    """`make test` leaves out what `make test-slow` runs, and pytest knows the marker by which they are told apart."""
    assert [marker.split(":")[0] for marker in PROJECT["tool"]["pytest"]["ini_options"]["markers"]] == ["slow"]
    for target, which in (("test", '-m "not slow"'), ("test-slow", "-m slow")):
        plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # tests may be run by make themselves
        done = subprocess.run(["make", "-n", target], cwd=ROOT, env=plain, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.rstrip().endswith(which) and "pytest" in done.stdout
