"""The command `icsap`. Progress goes to standard error, results to standard output.

Exit status: 0 done; 2 what the user gave is wrong, said in one sentence; 1 our fault; 130 interrupted, 143 terminated, in both
cases with a checkpoint written. `--help` and mistakes in a problem file are answered before jax is imported, which takes seconds:
every command imports what it runs only when it runs it.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

import icsap_jax
from icsap_jax import config as files
from icsap_jax.command import Progress, command, listen
from icsap_jax.config import ConfigError
from icsap_jax.reproduce.rows import Budget, chosen, names

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

Problem = Annotated[Path, typer.Argument(metavar="CONFIG", help="a problem file (YAML)")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="key=value", help="changes, for example training.steps=1000")]
BUDGETS = "quick: the small settings, 1 to 17 minutes a table on one core or two; full: the larger ones too, for an accelerator"
KEPT = "folder of the table; finished rows in it are kept, a stopped one goes on  [default: runs/NAME-BUDGET]"
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]


class Device(StrEnum):
    """Where to compute."""

    cpu = "cpu"
    gpu = "gpu"
    tpu = "tpu"


class Format(StrEnum):
    """What a rule can be exported as."""

    stablehlo = "stablehlo"
    onnx = "onnx"
    npz = "npz"
    csv = "csv"
    json = "json"


class Runner(StrEnum):
    """Who trains a sweep."""

    local = "local"
    ray = "ray"


Where = Annotated[Device | None, typer.Option("--device", help="compute there; left out: the best jax finds")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"icsap {icsap_jax.__version__}")
        raise typer.Exit


@app.callback()
def icsap(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print it and leave")] = False) -> None:
    """Learn the rules of a game in which telling the truth is everyone's best move."""


def main() -> None:
    """The entry point of the command."""
    listen()
    app(prog_name="icsap")


def _choose_device(device: Device | None) -> None:
    """Make jax compute on `device`, or say that it is not there, before anything else is imported or begun."""
    if device is not None:
        from icsap_jax import runtime

        runtime.prepare(device.value)


def _refuse_unattainable(loaded: files.Config) -> None:
    """What `train` refuses because no rule can keep what the problem asks for. Where it asks for nothing, nothing is imported."""
    if getattr(loaded.problem, "constraints", ()) and type(loaded.problem).check is not None:
        from icsap_jax import run

        run.posed(loaded)


def _json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def _print_run(result: dict[str, Any], folder: Path, as_json: bool) -> None:
    """The result of a run, which lies in `folder`."""
    if as_json:
        _json(result)
    else:
        from icsap_jax.summary import table

        typer.echo(table(result, folder))


@app.command()
@command
def train(
    config: Problem, overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option("--out", help="run folder; an existing run resumes  [default: runs/NAME]")] = None,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check the file, print it with every default, train nothing")] = False,
    check_gradients: Annotated[bool, typer.Option("--check-gradients", help="compare gradients with finite differences first")] = False,
    device: Where = None,
) -> None:
    """Learn a rule, evaluate it, and write it down."""
    loaded = files.load(config, overrides or [])
    if dry_run:
        _refuse_unattainable(loaded)
        plain = loaded.resolved()
        if as_json:
            _json(plain)
        else:
            typer.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), nl=False)
        return
    _choose_device(device)
    from icsap_jax import run

    folder = out or Path("runs") / config.stem
    _print_run(run.train(loaded, folder, Progress(), check_gradients), folder, as_json)


@app.command()
@command
def evaluate(
    path: Annotated[Path, typer.Argument(metavar="RUN_OR_ARTIFACT", help="a run folder or an artifact")],
    profiles: Annotated[int | None, typer.Option(min=1, help="profiles on which deviations are searched")] = None,
    starts: Annotated[int | None, typer.Option(min=1, help="deviations refined for each agent and profile")] = None,
    as_json: Json = False, device: Where = None,
) -> None:
    """Measure a learned rule again on fresh profiles, by the strong search."""
    _exists(path)
    _choose_device(device)
    from icsap_jax import run

    result = run.evaluate(path, profiles, starts, Progress())
    if as_json:
        _json(result)
    else:
        from icsap_jax.summary import measured

        typer.echo(measured(result))


@app.command()
@command
def apply(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="an artifact, or the run folder that holds it")],
    table: Annotated[Path, typer.Argument(metavar="INPUT.csv", help="bids, one profile a row")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="left out: standard output")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of the lots a rule draws, such as which signal is sent")] = 0,
) -> None:
    """Run a learned rule on a table: bids in, allocation and payments out; states in, signals out."""
    _exists(artifact)
    _exists(table)
    from icsap_jax import artifact as artifacts

    rows = artifacts.apply(artifact, table, output, seed)
    typer.echo(f"{rows} rows" + (f" → {output}" if output else ""), err=True)


@app.command()
@command
def export(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")],
    format: Annotated[Format, typer.Option("--format", help="what to write")] = Format.stablehlo,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="the file to write")] = None,
) -> None:
    """Write a learned rule in a form other programs read."""
    _exists(path)
    from icsap_jax import artifact as artifacts

    typer.echo(str(artifacts.export(path, format.value, output)))


@app.command()
@command
def verify(path: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="an artifact, or the run folder that holds it")],
           as_json: Json = False) -> None:
    """Check an artifact: hashes, a replay in a fresh process, its evidence. Exit status 2 when a check fails."""
    _exists(path)
    from icsap_jax import artifact as artifacts

    checks = artifacts.verify(path)
    if as_json:
        _json([{"name": check.name, "passed": bool(check.passed), "detail": check.detail} for check in checks])
    else:
        for check in checks:
            typer.echo(f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.detail}")
    failed = [check.name for check in checks if not check.passed]
    if failed:
        raise ConfigError(f"{path}: this artifact is not what it was when it was written ({', '.join(failed)}); do not rely on it.")


@app.command()
@command
def optimum(config: Problem, overrides: Overrides = None, as_json: Json = False) -> None:
    """The exact answer to a problem, or a bound on it; nothing is trained."""
    loaded = files.load(config, overrides or [])
    _refuse_unattainable(loaded)
    from icsap_jax import evaluation

    answer = evaluation.known_optimum(loaded, *loaded.problem.build(loaded.folder))
    if as_json:
        _json(answer)
    else:
        from icsap_jax.summary import exact_answer

        typer.echo(exact_answer(answer))


@app.command()
@command
def audit(
    config: Problem, overrides: Overrides = None,
    proxy: Annotated[str, typer.Option("--proxy", help="the objective to maximise")] = "",
    true: Annotated[str, typer.Option("--true", help="the objective to watch")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="folder; an existing audit resumes  [default: runs/NAME-audit]")] = None,
    as_json: Json = False, device: Where = None,
) -> None:
    """Maximise one objective and see what becomes of another (Goodhart)."""
    loaded = files.load(config, overrides or [])
    for option, name in (("--proxy", proxy), ("--true", true)):
        if not name:
            raise ConfigError(f"{option}: is missing; name one of the problem's objectives.")
    _choose_device(device)
    from icsap_jax import audit as audits

    folder = out or Path("runs") / f"{config.stem}-audit"
    result = audits.audit(loaded, proxy, true, folder, Progress())
    if as_json:
        _json(result)
    else:
        typer.echo(audits.table(result, folder))


@app.command()
@command
def reproduce(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"a published table: {', '.join(names())}")],
    budget: Annotated[Budget, typer.Option("--budget", help=BUDGETS)] = Budget.quick,
    only: Annotated[list[str] | None, typer.Option("--only", help="a row of it, by name; may be given again")] = None,
    listed: Annotated[bool, typer.Option("--list", help="name its rows within the budget, train nothing")] = False,
    out: Annotated[Path | None, typer.Option("--out", help=KEPT)] = None,
    as_json: Json = False, device: Where = None,
) -> None:
    """Rebuild a published table: theirs beside ours, the exact optimum, and the gap by a weak and by a strong search."""
    wanted = chosen(name, budget, only or [])  # a mistake is answered before jax is loaded
    if listed:
        found = [row.name for row in wanted.rows]
        if as_json:
            _json(found)
        else:
            typer.echo("\n".join(found))
        return
    _choose_device(device)
    from icsap_jax.reproduce import measure, text

    folder = out or Path("runs") / f"{name}-{budget.value}"
    result = measure.reproduce(name, budget, folder, Progress(), only)
    if as_json:
        _json(result)
    else:
        typer.echo(text.printed(result, folder))


@app.command()
@command
def sweep(
    config: Problem, overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder; a sweep in it goes on  [default: runs/NAME-sweep]")] = None,
    runner: Annotated[Runner, typer.Option("--runner", help="local: here; ray: on a Ray cluster, one group a task")] = Runner.local,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be trained and compiled, train nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="train more than 1000 members")] = False,
    as_json: Json = False, device: Where = None,
) -> None:
    """Train every combination of what the file's `sweep:` lists, side by side, and select the best."""
    loaded = files.load(config, overrides or [])
    from icsap_jax.sweep.expand import expand
    from icsap_jax.sweep.folder import check

    folder = out or Path("runs") / f"{config.stem}-sweep"
    wanted = expand(loaded, yes)
    check(wanted, folder)  # a mistake is answered before jax is loaded
    _choose_device(device)
    from icsap_jax.sweep import start, table

    if dry_run:
        told = start.outlook(wanted)
        if as_json:
            _json(told)
        else:
            typer.echo(start.outlook_printed(told))
        return
    done = start.sweep(wanted, folder, runner.value, Progress())
    if as_json:
        _json(done.as_dict())
    else:
        typer.echo(table.printed(done.rows, done.members, done.best, done.rule, folder))


@app.command()
@command
def report(
    path: Annotated[Path, typer.Argument(metavar="RUN_OR_SWEEP", help="the folder of a run or of a sweep")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="the page to write  [default: report.html in the folder]")] = None,
    contrast: Annotated[bool, typer.Option("--contrast", help="few colours and thick lines; the page has a button for it too")] = False,
    pictures: Annotated[int, typer.Option("--pictures", min=0, help="of how many members the learned rule is drawn")] = 12,
) -> None:
    """Write one page to look at: table, objective against gap, curves, learned rules. It needs no network."""
    _exists(path)
    from icsap_jax.report import page

    typer.echo(str(page.write(path, output, pictures, contrast, Progress())))


@app.command()
@command
def schema() -> None:
    """The JSON Schema of problem files, for editors."""
    _json(files.json_schema())


@app.command("demo-table", hidden=True)
@command
def demo_table(path: Annotated[Path, typer.Argument(metavar="RUN")]) -> None:
    """The result of a run as the table `train` ends with."""
    _exists(path / "result.json")
    _print_run(json.loads((path / "result.json").read_text()), path, as_json=False)


def _exists(path: Path) -> None:
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file or folder.")
