"""docs/problem-files.md, written from the models themselves by `make docs`, which is `python docs/generate.py [OUTPUT]`.

Every key, type, default and meaning is taken from the JSON Schema of a problem file, every example from the kind it is an example of,
and every error sentence from reading a file with that mistake in it. A test compares the page with what this would write.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from icsap_jax.config import ConfigError, Kind, Problem, RuleModel, json_schema, kinds, parse
from icsap_jax.config.models import definition as name_of
from icsap_jax.config.reading import override

PAGE = Path(__file__).resolve().parent / "problem-files.md"

EXAMPLE = """\
problem:
  kind: auction
  bidders: 1
  items: 2
  prior: {kind: uniform, low: 0, high: 1}
training:
  steps: 12000
"""

INTRODUCTION = """\
# Problem files

A problem file says who the agents are and what is to be designed. It is YAML; only `problem` is required, and every other key has a
default of that problem's, under which a small one trains in minutes:

```yaml
{example}```

- `icsap train FILE training.steps=2000 problem.prior.high=2` overrides any key by its dotted name; places in lists count from 0.
- `icsap train FILE --dry-run` prints the file with every default filled in; that output is itself a problem file.
- Where a table says *numbers*, write a number, nested lists, or `{{file: table.npy}}` (or `.csv`), looked up beside the problem file.
- `1e-3` is a number here, although plain YAML 1.1 reads it as text. NaN, infinity, unknown keys and keys written twice are errors.
- Where a place takes one of several kinds, `kind` chooses. Another `kind` than the default's, or than the file's in an
  override, replaces the other keys too.
- `icsap schema` prints all of this as a JSON Schema, which editors use to complete and check a file.

Kinds of your own, from a Python file beside the problem file, are in [extending.md](extending.md).

This page is written by `make docs` from the models that read problem files; do not edit it.
"""

# The places that take one of several kinds: what to call them, and what to know before choosing.
PLACES = {
    "Problem": ("Problems", "`problem:` says who the agents are, what they know and what may happen."),
    "PriorModel": ("Priors", "What agents' private values are drawn from. In an auction with N bidders and M items, numbers are one for "
                   "all, [M] one per item, [N] one per bidder (where N ≠ M), or [N][M]. Misreports are searched inside the support; for "
                   "an unbounded prior up to its .999 quantile."),
    "ContextModel": ("Contexts of an auction", "`problem.contexts:` of an auction says what is publicly seen of bidders and items before "
                     "anyone bids. Values are drawn given them, and misreports are searched in the support they leave. The "
                     "rules {contexts} are told them, `gemnet` refuses them, and others do without."),
    "Constraint": ("Constraints", "`problem.constraints:` is a list of what rules have to keep besides. What holds on average has a "
                   "multiplier in training, of ρ and a rate in `training.lagrangian`, which comes to rest at its price: `details.dual` of "
                   "a result. What has to hold on every profile is priced as an incentive gap is, by a multiplier of its own."),
    "Labels": ("Labels of allocations", "`problem.preference.labels:` of an auction says which allocations people like."),
    "RuleModel": ("Rules", "`rule:` says what the designer controls: a network or a parametrised mechanism. What *holds by construction* "
                  "is true whatever was learned, and artifacts repeat it. A rule that *serves* some problems of its kind alone is refused "
                  "for others, with the names of those that would do. What a rule *heeds* is told to it or respected by it; a problem "
                  "with budgets is refused by rules that do not heed them."),
    "Response": ("Responses", "`training.response:` says how agents' profitable deviations are found while a rule is trained. What a rule "
                 "is finally judged by is `evaluation`, always the same strong search."),
    "AgentUtility": ("Utilities of money", "What the agent of a contract makes of a payment; increasing and concave."),
    "EffortCost": ("Costs of effort", "What effort costs an agent who chooses a number, or one for each task."),
    "TypePrior": ("Priors of one type", "What a continuous private type on an interval is drawn from, in screening."),
    "Generator": ("Generators of contracts", "What families of hidden-action problems are drawn from."),
    "StatePrior": ("Priors of one state", "What a continuous state on an interval is drawn from, in persuasion."),
    "MeanReceiver": ("Receivers who care for the mean", "What a receiver does about the mean it believes the state to have."),
    "StateSender": ("Senders who care for action and state", "What the sender of `persuasion_continuous` gets."),
    "GameGenerator": ("Generators of persuasion games", "What families of persuasion games are drawn from."),
    "SignalCost": ("Costs of signals", "What it costs a sender to tell a receiver something."),
    "ReceiverResponse": ("Receivers", "How the receiver of a signal chooses, given what it believes."),
    "Worth": ("Worths of a quantity", "What a quantity costs the principal who sells it, or is worth to the one who procures it."),
    "NamedGame": ("Named games", "`problem.named:` is a game that needs no tables, with the payments that suit it as "
                  "instruments."),
    "Stock": ("Stocks", "What agents who harvest the same stock get from it."),
    "SocialValue": ("Social values", "What a designer of taxes makes of everybody's utilities."),
    "MarketAim": ("Aims of a market", "What transfers before trade are for."),
    "Lagrangian": ("Prices on gaps", "`training.lagrangian:` says what an incentive gap, or a constraint that is missed, costs in the "
                   "training loss."),
}
# Mappings with a section of their own, and what it is called; and where it stands, if not before the first place.
SECTIONS = {"Training": "Training", "Evaluation": "Evaluation", "Population": "Boundedly rational bidders",
            "Preference": "What people like", "ObservedLists": "Observed preference lists"}  # fmt: skip
AFTER = {"Constraint": "Population", "Labels": "Preference"}
PROBED = (3, 4)  # numbers of items at which rules' defaults change
UNSHOWN = {"empirical": {"kind": "empirical", "file": "bids.csv", "holdout": 0.2},
           "labelled": {"kind": "labelled", "file": "liked.csv"}}  # its examples would need a data file

MISTAKES = (
    "training.stepz=100", "problem.kind=auctoin", "problem.prior.low=2", "problem.prior.high=.nan", "problem.prior.high=[1, 2, 3]",
    "problem.prior={kind: discrete, values: [1, 2], probabilities: [.5, .4]}", "problem.prior={kind: empirical, file: absent.csv}",
    "training.steps=-5", "training.learning_rate=fast", "rule.kind=signal", "problem.objective=revenu", "training.response.kind=ascend",
)  # fmt: skip


def page() -> str:
    """The whole of docs/problem-files.md."""
    schema = json_schema()
    definitions = schema["$defs"]
    parts = [INTRODUCTION.format(example=EXAMPLE), "## Top level\n", table(schema, {})]
    parts += [part for name in SECTIONS if name not in AFTER.values() for part in section(name, definitions[name])]
    for base in places():
        title, text = PLACES.get(base.__name__, (base.__name__, " ".join((base.__doc__ or "").split())))
        parts += [f"## {title}\n", text.replace("{contexts}", heeding("contexts")) + "\n"]
        for name, cls in kinds(base).items():
            parts += kind(name, cls, definitions[name_of(cls)])
        if (inside := AFTER.get(base.__name__)) is not None:
            parts += section(inside, definitions[inside])
    return "\n".join([*parts, *mistakes()])


def places() -> Iterator[type[Kind]]:
    """The bases that a place in a problem file may name, the known ones in the order of PLACES."""
    order = list(PLACES)
    yield from sorted(Kind.__subclasses__(), key=lambda base: order.index(base.__name__) if base.__name__ in order else len(order))


def section(name: str, definition: dict[str, Any]) -> list[str]:
    """A mapping with a section of its own."""
    return [f"## {SECTIONS[name]}\n", definition.get("description", "") + "\n", table(definition, {})]


def kind(name: str, cls: type[Kind], definition: dict[str, Any]) -> list[str]:
    """One kind: what it is, its keys, an example."""
    parts = [f"### `{name}`\n", definition["description"].strip() + "\n"]
    if issubclass(cls, RuleModel) and (said := promises(cls)):
        parts.append(said)
    if len(definition["properties"]) > 1:
        parts.append(table(definition, {"kind"}))
    if issubclass(cls, Problem) and cls.defaults:
        laid = {key: value for key, value in cls.defaults.items() if value}
        parts += ["Unless the file says otherwise:\n", fenced(yaml.safe_dump(laid, sort_keys=False, allow_unicode=True))]
        parts += following(cls, [name for name in ("defaults_for", "completed") if defined_anew(cls, name)])
    if issubclass(cls, RuleModel) and cls.defaults_for({}):
        parts += ["With this rule, unless the file says otherwise:\n",
                  fenced(yaml.safe_dump(cls.defaults_for({}), sort_keys=False, allow_unicode=True))]
        if any(cls.defaults_for({"items": items}) != cls.defaults_for({}) for items in PROBED):
            parts += following(cls, ["defaults_for"])
    examples = [{"kind": name, **example} for example in cls.examples] or [UNSHOWN[name]]
    return [*parts, fenced("".join(in_one_line(example) + "\n" for example in examples))]


def promises(cls: type[RuleModel]) -> str:
    """What a rule guarantees, which problems it is limited to, and what it heeds, a line each."""
    lines = {
        "Holds by construction": "; ".join(each.removesuffix("by construction").rstrip(" ,") for each in cls.statements),
        "Serves": cls.serves,
        "Heeds": ", ".join(cls.heeds),
    }
    return "".join(f"- *{word}*: {text}.\n" for word, text in lines.items() if text)


def heeding(name: str) -> str:
    """The rules that heed it."""
    return " and ".join(f"`{kind}`" for kind, cls in kinds(RuleModel).items() if name in cls.heeds)


def defined_anew(cls: type[Problem], method: str) -> bool:
    """Whether a problem has a method of its own, or a base of its domain."""
    return getattr(cls, method).__func__ is not getattr(Problem, method).__func__


def following(cls: type[Kind], methods: list[str]) -> list[str]:
    """What decides the defaults that a problem changes, in the words of the methods that do."""
    told = [" ".join((getattr(cls, name).__doc__ or "").split()) for name in methods]
    return [f"Others follow from the problem; `icsap train FILE --dry-run` shows those of a file. {' '.join(told)}\n"] if told else []


def table(definition: dict[str, Any], without: set[str]) -> str:
    """The keys of a mapping as a Markdown table."""
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, field in keys_of(definition):
        if key in without or key.endswith(".kind"):  # a place that takes one kind alone
            continue
        cells = (f"`{key}`", type_of(field), default_of(key, field, definition), field["description"])
        rows.append("| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def keys_of(definition: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The keys of a mapping, those of a mapping in it by their dotted names; a mapping with a section of its own is one key."""
    for key, field in definition["properties"].items():
        inside = field.get("$ref", "").rsplit("/", 1)[-1]
        if inside and inside not in SECTIONS:
            yield from keys_of(json_schema()["$defs"][inside], f"{above}{key}.")
        else:
            yield above + key, field


def type_of(field: dict[str, Any]) -> str:
    """What may be written there, in words."""
    if "$ref" in field:
        return f"[mapping](#{anchor(SECTIONS[field['$ref'].rsplit('/', 1)[-1]])})"
    if "oneOf" in field:
        return one_of(field["oneOf"][0]["$ref"].rsplit("/", 1)[-1].split(".")[0])
    if "anyOf" in field:
        return any_of([type_of(each) for each in field["anyOf"]])
    if "enum" in field:
        return " or ".join(f"`{each}`" for each in field["enum"])
    if field.get("type") == "array":
        return f"list of {type_of(field['items'])}" if field.get("items") else "list"
    if field.get("type") == "object":
        inside = field.get("additionalProperties")
        return f"mapping of {type_of(inside)}s by name" if isinstance(inside, dict) else "mapping"
    words = {"string": "text", "boolean": "true or false", "null": "null"}
    return words.get(field.get("type", ""), field.get("type", "anything")) + bounds(field)


def one_of(base: str) -> str:
    """A link to the kinds of this base."""
    title = PLACES.get(base, (base,))[0]
    return f"[one of the {title.lower()}](#{anchor(title)})"


def anchor(title: str) -> str:
    """What a link to a heading says after the #."""
    return title.lower().replace(" ", "-")


def any_of(types: list[str]) -> str:
    """Alternatives; the three ways to write an array are one word here."""
    if set(types) == {"number", "list", "mapping"}:
        return "numbers"
    return " or ".join(types)


def bounds(field: dict[str, Any]) -> str:
    """The limits of a number."""
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {field[name]:g}" if name in field and field[name] < 1e6 else "" for name, sign in signs.items()]
    text = ", ".join(each for each in found if each)
    return f" {text}" if text else ""


def default_of(key: str, field: dict[str, Any], definition: dict[str, Any]) -> str:
    """What holds when the key is left out."""
    if key in definition.get("required", []):
        return "*required*"
    if "default" in field:
        value = field["default"]
        return f"`{value if isinstance(value, str) else json.dumps(value)}`"
    return "empty" if field.get("type") == "array" else "the problem's"


def in_one_line(example: dict[str, Any]) -> str:
    """A mapping as one line of YAML."""
    return yaml.safe_dump(example, default_flow_style=True, sort_keys=False, width=1000, allow_unicode=True).strip()


def fenced(text: str) -> str:
    """A block of YAML."""
    return f"```yaml\n{text}```\n"


def mistakes() -> list[str]:
    """What is said of a file with a mistake in it: the key, what stands there, and what would be right."""
    parts = ["## Mistakes\n", "A file that is wrong is refused before anything is computed, with exit status 2 and a sentence for each of "
             "the first few mistakes. If the file at the top is `auction.yaml` and has in it\n"]
    for mistake in MISTAKES:
        data = override(yaml.safe_load(EXAMPLE), [mistake])
        try:
            parse(data, Path(), "auction.yaml")
        except ConfigError as error:
            parts.append(f"`{mistake}`\n\n> {error}\n")
        else:
            raise AssertionError(f"{mistake} is no mistake")
    return parts


if __name__ == "__main__":
    Path(*sys.argv[1:2] or [PAGE]).write_text(page(), encoding="utf-8")
