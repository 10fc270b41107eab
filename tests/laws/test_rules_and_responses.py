"""Laws of every rule, response and lagrangian that a schema names, on every kind of problem they fit, and on every example of one.

Nothing is listed here: a new one is tested because its schema names it. Compiling is what these tests cost, so that a response is tried
on one example of each kind of problem, and the examples take turns (`tried`; on the others where slow tests are run); rules are tried
on all. A new domain says once, in `FEASIBLE` of `tests/laws/feasible.py`, what a feasible decision is; what else is checked of a rule
follows from its `statements`.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax.bilevel.lagrangian import numbers
from icsap_jax.bilevel.schema import Lagrangian, Response
from icsap_jax.bilevel.types import Box
from icsap_jax.config import ConfigError, Problem, RuleModel, kinds, parse
from icsap_jax.config.plugins import import_schemas
from tests.laws.feasible import FEASIBLE

# Compiling is most of what these tests cost, and unoptimised code compiles three times sooner.
QUICK = {"xla_backend_optimization_level": 0}
ROUNDING = 1e-5  # float32 sums of a few numbers of size one
import_schemas()


def registered(base):
    """The kinds the package itself names, by name."""
    return {name: cls for name, cls in kinds(base).items() if cls.__module__.startswith("icsap_jax.")}


@cache
def modelled(kind, place):
    """An example of a problem as its model."""
    return parse({"problem": registered(Problem)[kind].examples[place]}, Path()).problem


def serves(cls, kind, place):
    """Whether a rule, as its first example has it, can serve an example of a problem."""
    return cls.model_validate(cls.examples[0]).refuses(modelled(kind, place)) is None


PROBLEMS = [(kind, place) for kind, cls in registered(Problem).items() for place in range(len(cls.examples))]
PAIRS = [
    (*where, rule) for where in PROBLEMS for rule, cls in registered(RuleModel).items()
    if (not cls.problems or where[0] in cls.problems) and serves(cls, *where)
]  # fmt: skip


@cache
def built(kind, place, rule=None):
    """(problem, env, rule) of an example of a problem and the first example of a rule, or of the problem's own default."""
    data = {"problem": registered(Problem)[kind].examples[place]}
    if rule is not None:
        data["rule"] = {"kind": rule, **registered(RuleModel)[rule].examples[0]}
    config = parse(data, Path())
    problem, env = config.problem.build(Path())
    return problem, env, config.rule.build(problem, env, jax.random.key(0))


@cache
def rule_for(response, kind, place):
    """A rule to try a response on: the problem's own; for one that trusts it, the first that is strategyproof, None where none is."""
    if not registered(Response)[response]().trusts():
        return built(kind, place)[2]
    fit = [name for name, cls in registered(RuleModel).items() if cls.strategyproof and kind in cls.problems and serves(cls, kind, place)]
    return built(kind, place, fit[0])[2] if fit else None


def suits(response, kind, place):
    """Whether a response searches the kind of actions this problem has; one that does not must say so at once."""
    problem, env, _ = built(kind, place)
    if rule_for(response, kind, place) is None:
        return False
    try:
        memory_of(response, problem, env)
    except ConfigError:
        return False
    return True


def memory_of(response, problem, env, **settings):
    """(search, its numbers, what it remembers at first) of a response's example with some settings changed."""
    cls = registered(Response)[response]
    model = cls(**{**cls.examples[0], **settings})
    search, given = model.build(), {**numbers(model), "pool_key": jax.random.key(4), "fraction": jnp.zeros(()), "place": jnp.zeros(())}
    return search, given, search.init(problem, env, given, jax.random.key(5), 16)


@partial(jax.jit, static_argnames="problem", compiler_options=QUICK)
def drawn(problem, env):
    """(draw, recommended actions, their box or None) of 32 profiles: one program, where many small ones take longer to compile."""
    draw = problem.draw(env, jax.random.key(1), 32)
    space = problem.space(env, draw)
    return draw, problem.recommended(env, draw), space if isinstance(space, Box) else None


@cache
def actions(kind, place):
    """(draw, actions [I, N, …]): truths, and where actions fill a box also its corners, at most 64 of them; None where a decision is
    made before anyone acts."""
    draw, action, box = drawn(*built(kind, place)[:2])
    if action is None or box is None:
        return draw, action
    low, high = (np.broadcast_to(bound, action.shape) for bound in (box.low, box.high))
    picks = list(itertools.islice(itertools.product((0, 1), repeat=low[0].size), 64))
    # Boxes may differ from profile to profile: each corner is one of the profile of its number, and what is seen there.
    whose = np.arange(len(picks)) % len(low)
    corners = np.where(np.reshape(picks, (-1, *low.shape[1:])), high[whose], low[whose])
    rows = np.concatenate([np.arange(len(low)), whose])
    seen = jax.tree.map(lambda leaf: leaf[rows] if leaf.shape[0] == len(low) else leaf, draw.seen)
    return replace(draw, seen=seen), jnp.concatenate([action, jnp.asarray(corners, action.dtype)])


@pytest.fixture(params=PAIRS, ids=lambda pair: "-".join(map(str, pair)))
def decided(request):
    """(kind, rule's name, problem, env, rule, draw, actions, decision)."""
    kind, place, name = request.param
    problem, env, rule = built(kind, place, name)
    draw, action = actions(kind, place)
    return kind, name, problem, env, rule, draw, action, decide(problem, env, rule, draw.seen, action)


@partial(jax.jit, static_argnames="problem", compiler_options=QUICK)
def decide(problem, env, rule, seen, action):
    """The decision, compiled once for a problem and a shape."""
    return problem.decide(env, rule, seen, action)


def test_what_a_rule_decides_is_finite_and_feasible(decided) -> None:
    """On drawn profiles and at the corners of the support."""
    kind, _, problem, env, _, _, _, decision = decided
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(decision))
    assert kind in FEASIBLE, f"say in FEASIBLE what a feasible decision of a problem of kind {kind} is"
    FEASIBLE[kind](problem, env, decision)


def test_who_tells_the_truth_never_loses(decided) -> None:
    """Individual rationality, where there are payments and the rule promises it: utility ≥ 0 at the truth, corners included."""
    _, name, problem, env, _, draw, action, decision = decided
    if not hasattr(decision, "payment") or "individually rational by construction" not in registered(RuleModel)[name].statements:
        pytest.skip("this rule asks nobody to take part")
    truthful = type(draw)(weight=draw.weight, types=action, seen=draw.seen)
    low = np.asarray(problem.utility(env, truthful, decision, action)).min()
    assert low >= -ROUNDING * max(1.0, float(jnp.abs(action).max()))


def test_a_profile_is_decided_on_its_own_merits(decided) -> None:
    """Row-wise problems: profiles in another order get the same decisions in that order."""
    _, _, problem, env, rule, draw, action, decision = decided
    if not problem.rowwise:
        pytest.skip("the information sets of this problem depend on each other")
    order = np.random.default_rng(0).permutation(action.shape[0])
    seen = jax.tree.map(lambda leaf: leaf[order] if leaf.shape[0] == len(order) else leaf, draw.seen)
    moved = decide(problem, env, rule, seen, action[order])
    for one, other in zip(jax.tree.leaves(moved), jax.tree.leaves(decision), strict=True):
        np.testing.assert_allclose(one, np.asarray(other)[order], atol=ROUNDING)  # a row's place may change the order of its sums


@partial(jax.jit, static_argnames=("search", "problem", "batch"), compiler_options=QUICK)
def judge(search, problem, env, rule, numbers, memory, batch):
    """((value, gap [N]), slope of value − Σ gap in the rule) of one play."""

    def objective(rule):
        play = search.play(problem, env, rule, memory, jax.random.key(3), 0, batch, numbers)
        return play.value - play.gap.sum(), (play.value, play.gap)

    return jax.value_and_grad(objective, has_aux=True)(rule)


def played(response, kind, place, **bigger):
    """What `judge` gives for a response's example with some settings changed, and its model."""
    problem, env, _ = built(kind, place)
    rule = rule_for(response, kind, place)
    # A freshly initialised rule hardly depends on reports; three times its weights leave more to gain.
    rule = replace(rule, params=jax.tree.map(lambda leaf: 3 * leaf, rule.params))
    search, settings, memory = memory_of(response, problem, env, **bigger)
    (_, (value, gap)), slope = judge(search, problem, env, rule, settings, memory, 16)
    return value, gap, slope


@cache
def tried(kind):
    """Which (response, place) of a kind are compiled: every response that suits it on one of its examples, on those that fewest others are
    tried on, so that they take turns; and every example that no turn came to with the first response that suits it."""
    places = range(len(registered(Problem)[kind].examples))
    fit = {response: [place for place in places if suits(response, kind, place)] for response in registered(Response)}
    found = []
    for response, suited in fit.items():
        if suited:
            found.append((response, min(suited, key=lambda place: sum(place == each for _, each in found))))
    left = set(places) - {place for _, place in found}
    return found + [(next(response for response, suited in fit.items() if place in suited), place) for place in sorted(left)]


EVERYWHERE = [(response, *where) for response in registered(Response) for where in PROBLEMS]


@pytest.mark.parametrize(("response", "kind", "place"), EVERYWHERE)
def test_a_search_finds_finite_gaps_and_slopes(response, kind, place) -> None:
    """Value and gradient are finite, the gap is finite and never negative."""
    if (response, place) not in tried(kind):
        pytest.skip("this response is for another kind of action, or tried on another example")
    is_finite(response, kind, place)


@pytest.mark.slow
@pytest.mark.parametrize(("response", "kind", "place"), EVERYWHERE)
def test_a_search_finds_finite_gaps_and_slopes_on_every_example(response, kind, place) -> None:
    """The same of the examples that the response had no turn on."""
    if not suits(response, kind, place) or (response, place) in tried(kind):
        pytest.skip("this response is for another kind of action, or tried already")
    is_finite(response, kind, place)


def is_finite(response, kind, place):
    """Claim it of what a response finds in one step."""
    value, gap, slope = played(response, kind, place)
    assert np.isfinite(value)
    assert np.isfinite(gap).all()
    assert (np.asarray(gap) >= 0).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


SIZES = {"steps": 1, "count": 4}  # what a response calls the size of its search, and a small one
LARGER = [(response, size) for response, cls in registered(Response).items() for size in SIZES if size in cls.model_fields]


@pytest.mark.parametrize(("response", "size"), LARGER)
def test_looking_harder_never_finds_less(response, size) -> None:
    """Four times the steps or the candidates on the same profiles. A random search may by luck find a little less of it: 5 %."""
    suited = [where for where in PROBLEMS if suits(response, *where)]
    where = next((where for where in suited if where[0] == "auction"), suited[0])  # elsewhere a rule may leave nothing to be found
    few = SIZES[size]
    _, less, _ = played(response, *where, **{size: few})
    _, more, _ = played(response, *where, **{size: 4 * few})
    assert (np.asarray(more) >= 0.95 * np.asarray(less)).all()
    assert np.asarray(more).max() > 0


@pytest.mark.parametrize("kind", registered(Lagrangian))
def test_gaps_cost_and_no_gap_is_free(kind) -> None:
    """At any time in training a gap of zero costs nothing (of an objective of 1, which is its own root), a larger gap costs more, and
    prices are finite and never negative."""
    cls = registered(Lagrangian)[kind]
    model = cls(**cls.examples[0])
    lagrangian = model.build()
    prices, steps = lagrangian.init(numbers(model), 2), 300
    for step in range(1, steps + 1, 50):
        losses = [float(lagrangian.loss(prices, jnp.ones(()), jnp.asarray([gap, 0.0]))) for gap in (0.0, 0.01, 0.02)]
        assert losses[0] == -1.0
        assert losses[0] < losses[1] < losses[2] < np.inf
        prices = lagrangian.update(prices, jnp.asarray([0.01, 0.0]), jnp.ones(()), jnp.asarray(step), jnp.asarray(step / steps))
        assert (np.asarray(prices.multiplier) >= 0).all()


def test_every_problem_has_a_response_and_every_response_a_problem() -> None:
    """Guards the laws above against skipping everything."""
    found = {(response, kind, place) for kind in registered(Problem) for response, place in tried(kind)}
    assert {response for response, *_ in found} == set(registered(Response))
    assert {each[1:] for each in found} == set(PROBLEMS)
    fits = {(response, kind) for response in registered(Response) for kind, place in PROBLEMS if suits(response, kind, place)}
    assert {each[:2] for each in found} == fits
