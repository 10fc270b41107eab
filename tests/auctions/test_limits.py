"""Which auctions a rule serves, and what of them it heeds, is what its model and the page on problem files say."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

from icsap_jax.auctions.schema import Auction
from icsap_jax.config import Config, ConfigError, RuleModel, kinds, parse
from icsap_jax.config.plugins import import_schemas

CONTEXTS = {"kind": "discrete", "bidders": 3, "items": 3}
CROSSED = [[1, 0, 0.5, 0], [0, 1, 0, 0], [0.5, 0, 1, 0], [0, 0, 0, 1]]  # two bidders, two items: item 1's values move together
NO_BUNDLES = [{"valuation": "unit_demand"}, {"bidders": 9, "items": 9}], [{"valuation": "combinatorial"}]
LISTED = [{"bidders": 1, "items": 16}, {"bidders": 255}, {"valuation": "combinatorial"}], [{"bidders": 1, "items": 17}, {"bidders": 256}]
# For each rule that says what it serves, some auctions just within that and some just beyond: two bidders and two items but for changes.
LIMITS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    **dict.fromkeys(("affine_maximiser", "vvca"), LISTED),
    **dict.fromkeys(("equivariant", "regretformer", "contest", "citransnet"), NO_BUNDLES),
    "affine_by_count": ([{"items": 126}, {"bidders": 126}], [{"items": 127}, {"bidders": 127}, {"valuation": "unit_demand"}]),
    "rochetnet": ([{"bidders": 1, "items": 9}, {"bidders": 1, "valuation": "combinatorial"}, {"bidders": 1, "rule": {"symmetric": True}}],
                  [{}, {"bidders": 1, "valuation": "combinatorial", "rule": {"symmetric": True}}]),
    "myersonnet": ([{"items": 1, "bidders": 9}], [{}]),
    "gemnet": ([{"items": 3}, {"bidders": 3}, {"bidders": 6, "items": 1}, {"valuation": "unit_demand"}],
               [{"bidders": 1}, {"items": 4}, {"bidders": 4}, {"bidders": 7, "items": 1}, {"valuation": "combinatorial"},
                {"objective": "welfare"}, {"constraints": [{"kind": "at_least", "objective": "welfare", "value": 0.1}]},
                {"contexts": CONTEXTS}, {"population": {"share": 0.5, "precision": 1}},
                {"prior": {"kind": "copula", "correlation": CROSSED, "marginals": {"kind": "uniform"}}}]),
}  # fmt: skip


def rules() -> dict[str, type[RuleModel]]:
    """Those of the package that may run an auction."""
    import_schemas()
    return {kind: cls for kind, cls in kinds(RuleModel).items() if "auction" in cls.problems and cls.__module__.startswith("icsap_jax.")}


def auction(kind: str, changes: dict[str, Any]) -> Config:
    """Read and no more, at one profile a step, so that memory is no reason to refuse it."""
    changed = {**changes}
    rule = {"kind": kind, **rules()[kind].examples[0], **changed.pop("rule", {})}
    problem = {"kind": "auction", "bidders": 2, "items": 2, "prior": {"kind": "uniform"}, **changed}
    return parse({"problem": problem, "rule": rule, "training": {"batch": 1}})


def test_a_rule_serves_what_it_says_and_no_more() -> None:
    """Auctions just within its limits are read and those just beyond refused; a rule that says nothing of limits serves every one."""
    assert set(LIMITS) == {kind for kind, cls in rules().items() if cls.serves}
    for kind, (within, beyond) in LIMITS.items():
        for changes in within:
            auction(kind, changes)
        for changes in beyond:
            with pytest.raises(ConfigError, match="rules that can serve this problem are"):
                auction(kind, changes)
    wide = [{"valuation": "combinatorial"}, {"bidders": 9, "items": 9}, {"bidders": 1}, {"objective": "welfare", "contexts": CONTEXTS}]
    for kind in rules().keys() - LIMITS:
        for changes in wide:
            auction(kind, changes)


def test_a_rule_heeds_what_it_says() -> None:
    """Budgets: nobody else takes them. Contexts: the modules that take more than reports. What is told of an auction names both."""
    fitting = {"rochetnet": {"bidders": 1}, "myersonnet": {"items": 1}}
    heeding: dict[str, set[str]] = {"budgets": set(), "contexts": set()}
    for kind in rules():
        try:
            auction(kind, {**fitting.get(kind, {}), "budgets": {"kind": "uniform"}})
            heeding["budgets"].add(kind)
        except ConfigError as error:
            assert "budgets" in str(error)
        module = importlib.import_module(rules()[kind].builder.partition(":")[0])
        asked = [inspect.signature(each.__call__) for each in vars(module).values()
                 if isinstance(each, type) and each.__module__ == module.__name__ and callable(each)]
        deciding = [set(each.parameters) - {"self", "temperature"} for each in asked if each.return_annotation == "Decision"]
        assert deciding, kind
        if any(taken > {"reports"} for taken in deciding):
            heeding["contexts"].add(kind)
    told = {"budgets": str(Auction.model_fields["budgets"].description), "contexts": str(Auction.__doc__).partition("Of the rules")[2]}
    for name, found in heeding.items():
        assert found == {kind for kind, cls in rules().items() if name in cls.heeds}
        assert all(f"`{kind}`" in told[name] for kind in found)
