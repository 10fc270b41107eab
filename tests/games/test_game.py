"""Rules for a society: the two-state commons against its exact answers, dilemmas against closed forms, and what a game must be."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icsap_jax import run
from icsap_jax.bilevel import equilibrium
from icsap_jax.bilevel.types import Draw, Rule
from icsap_jax.config import ConfigError, parse
from icsap_jax.games import game as games
from icsap_jax.games.judge import Exact
from icsap_jax.games.optimum import best_mediator, best_payment
from icsap_jax.games.polish import polish
from icsap_jax.games.problem import Rest, leaves
from icsap_jax.games.rules import Override, Payment

CHICKEN = [[[[3, 1], [4, 0]]], [[[3, 4], [1, 0]]]]
ROUNDING = 1e-9  # float64 linear solves of a few states
FILE = 1e-4  # relative: what the file asks of derivatives


def posed(problem, rule=None):
    """(config, problem, env) of a problem file."""
    config = parse({"problem": problem, **({"rule": rule} if rule else {})})
    return config, *config.problem.build(config.folder)


@pytest.fixture(scope="module")
def commons(case):
    """The problem file of the two-state commons."""
    given = case("two_state_commons")
    return {
        "kind": "game", "rewards": given["R"], "transitions": given["T"], "start": given["mu"], "discount": given["gamma"], "tax_on": [1],
        "states": ["healthy", "depleted"], "actions": ["restrain", "harvest"],
    }  # fmt: skip


def policy(exact: np.ndarray) -> list[str]:
    """A pure profile [2, S, 2] as the file writes it."""
    return ["".join("RH"[place] for place in rows) for rows in exact.argmax(-1)]


def taxed(game, tax, share):
    """The commons under a tax on harvesting and a quota enforced with some probability."""
    rule = Payment(jnp.asarray([1.0]), "instruments", 1.0, None, False)
    rule.params[...] = jnp.stack([jnp.asarray(tax)])
    changed = rule(game)
    quota = Override(jnp.zeros((1,)), (1,), 0, 1.0)
    quota.shares = lambda: jnp.stack([jnp.asarray(share)])
    return quota(changed)


@pytest.fixture(scope="module")
def at_rest(commons):
    """(tax, quota, temperature) → ((welfare, its slopes), policies, soft values, converged) of the logit equilibrium, float64."""
    _, problem, env = posed(commons)
    with jax.enable_x64(True):
        env = leaves(env)
        draw = Draw(weight=jnp.ones((1,)), types=None)

        def welfare(tax, share, temperature):
            changed = taxed(env.game, tax, share)
            found = equilibrium.cooled(problem, env, draw, changed, temperature, jnp.asarray(60.0))
            value = problem.score(env, draw, changed, found.action).objectives["welfare"][0]
            return value, (games.policies_of(found.action.logits, changed.legal), found.action.value, found.converged)

        solve = jax.jit(jax.value_and_grad(welfare, argnums=(0, 1), has_aux=True))

    def exact(*numbers):
        with jax.enable_x64(True):
            return jax.tree.map(np.asarray, solve(*(jnp.asarray(number, jnp.float64) for number in numbers)))

    return exact


def test_the_logit_equilibrium_and_its_derivatives_are_the_exact_ones(at_rest, case) -> None:
    """Tax, quota and temperature of every row of the file: policies, soft values, welfare, and what more tax or quota would do."""
    for row in case("two_state_commons")["logit_mpe"]:
        (welfare, (policies, values, converged)), (by_tax, by_quota) = at_rest(row["tau"], row["kappa"], row["temp"])
        assert bool(converged)
        np.testing.assert_allclose(policies[..., 1], row["P_harvest"], rtol=1e-6, atol=1e-9)  # the file's own residual is 1e-13
        np.testing.assert_allclose(values, row["V_soft"], rtol=1e-6)
        assert float(welfare) == pytest.approx(row["welfare"], rel=1e-6)
        assert float(by_tax) == pytest.approx(row["dW_dtau"], rel=FILE)
        if row["dW_dkappa"] is not None:
            assert float(by_quota) == pytest.approx(row["dW_dkappa"], rel=FILE)


def test_taxes_and_quotas_leave_the_equilibria_of_the_file(commons, case) -> None:
    """Every Markov-perfect equilibrium in pure policies, with the welfare of each when the tax is handed back."""
    given = case("two_state_commons")
    _, problem, env = posed(commons)
    with jax.enable_x64(True):
        game, both = leaves(env).game, jax.jit(taxed)
        for grid, changed in (("tax_grid", lambda x: both(game, x, 0.0)), ("quota_grid", lambda x: both(game, 0.0, x))):
            for key, row in given[grid].items():
                found = jax.tree.map(np.asarray, changed(float(key.split("=")[1])))
                profiles = Exact(found, problem.clear).equilibria()
                worth = [float((games.worth(found, each, found.rewards) @ found.start).sum()) for each in profiles]
                wanted = sorted(zip(row["mpe"], row["welfare"], strict=True))
                for (mine, value), (theirs, exact) in zip(sorted(zip(map(policy, profiles), worth, strict=True)), wanted, strict=True):
                    assert mine == theirs
                    assert value == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize(("implementation", "least"), [("partial", "tau_exists"), ("full", "tau_unique")])
def test_the_least_tax_is_found(commons, case, implementation, least) -> None:
    """Any tax that works, made exact: restraint is an equilibrium from .4273 on, and the only one from .6358 on."""
    exact = case("two_state_commons")[least]
    given = {**commons, "implementation": implementation, "payment_cost": 1e-3, "margin": 1e-3 if implementation == "full" else 0.0}
    config, problem, env = posed(given, {"kind": "payment", "form": "instruments", "initial": 0.4})
    known = best_payment(problem, env, config.problem, config.rule)
    assert float(known["source"].split()[-1]) == pytest.approx(exact, abs=1e-8)  # the file's bisection ended there
    rule, told = polish(problem, env, config.problem, config.rule, config.rule.build(problem, env, jax.random.key(0)))
    tax = float(jax.tree.leaves(rule)[0][0]) * 3  # in units of the range of rewards
    assert exact <= tax + ROUNDING
    assert tax <= exact + 0.002  # the margin's worth of tax
    assert told["value_after_polish"] == pytest.approx(case("two_state_commons")["opt_welfare"] - 1e-3 * tax, abs=1e-6)


def test_training_finds_a_tax_without_being_told(commons, case, tmp_path) -> None:
    """From no tax at all, through the command's own way: full implementation, nobody better off elsewhere, no worse equilibrium left."""
    given = {**commons, "implementation": "full", "payment_cost": 1e-3, "margin": 1e-3}
    config = parse({"problem": given, "rule": {"kind": "payment", "form": "instruments"}, "training": {"steps": 60, "chunk": 20}})
    result = run.train(config, tmp_path / "run", say=lambda line: None)
    exact = case("two_state_commons")
    assert result["incentive_gap"]["max"] == pytest.approx(0, abs=1e-9)
    assert exact["tau_unique"] <= result["details"]["instruments"]["tax"] <= 0.70
    assert result["details"]["equilibria"]["worst"] == pytest.approx(exact["opt_welfare"], abs=1e-3)  # less a thousandth of the tax
    assert result["baselines"]["no_rule"] == pytest.approx(exact["mpe_welfare"][0], abs=1e-6)
    assert result["optimum"]["upper_bound"] == pytest.approx(exact["opt_welfare"], abs=1e-6)


def test_dilemmas_have_their_closed_forms_and_folds_are_not_numbers(case) -> None:
    """P(C) at the symmetric logit equilibrium and its slope in a reward t for cooperating; where the Stag Hunt folds, no slope is told."""
    with jax.enable_x64(True):
        _, problem, env = posed({"kind": "game", "rewards": CHICKEN})
        env, draw = leaves(env), Draw(weight=jnp.ones((1,)), types=None)
        bonus = jnp.asarray([[[[1.0, 1.0], [0.0, 0.0]]], [[[1.0, 0.0], [1.0, 0.0]]]])

        @jax.jit
        def solve(payoffs, t, temperature, start):
            def cooperation(t):
                game = replace(env.game, rewards=jnp.stack([payoffs, payoffs.T])[:, None] + t * bonus)
                begin = Rest(logits=jnp.tile(jnp.stack([jnp.log(start / (1 - start)), 0.0]), (2, 1, 1)), value=jnp.zeros((2, 0)),
                             time=jnp.zeros((0,)))  # fmt: skip
                found = equilibrium.settled(problem, env, draw, game, begin, temperature, 60)
                return games.policies_of(found.action.logits, game.legal)[0, 0, 0], found.converged

            return jax.value_and_grad(cooperation, has_aux=True)(t)

        for row in case("logit_dilemma_closed_form")["cases"]:
            payoffs = jnp.asarray(case(f"normal_form.{row['game']}")["A"], jnp.float64)
            for exact in row["symmetric_equilibria"]:
                found = solve(payoffs, row["t"], row["temp"], exact["P_C"])
                (share, converged), slope = found
                folded = abs(exact["dPC_dt"]) > 1e3
                assert bool(converged) != folded
                assert float(share) == pytest.approx(exact["P_C"], abs=1e-8)
                if not folded:
                    assert float(slope) == pytest.approx(exact["dPC_dt"], rel=1e-6)
        stag = jnp.asarray(case("normal_form.stag_hunt")["A"], jnp.float64)
        (_, converged), slope = solve(stag, 0.0, 0.5, 0.5)  # s(fear − greed) = 1: three equilibria meet
        assert not bool(converged)
        assert float(slope) == 0


def test_a_mediator_beats_every_nash_equilibrium_of_chicken(case) -> None:
    """Told in private what to do, drivers reach 16/3 where the best Nash equilibrium gives 5; and nobody gains by not listening."""
    exact = case("normal_form.chicken")
    config, problem, env = posed({"kind": "mediated_game", "rewards": CHICKEN, "actions": ["dove", "hawk"]})
    assert best_mediator(problem, env, config.problem, config.rule)["value"] == pytest.approx(exact["max_welfare_ce"], abs=1e-9)
    rule, told = polish(problem, env, config.problem, config.rule, config.rule.build(problem, env, jax.random.key(0)))
    assert told["value_after_polish"] == pytest.approx(16 / 3, abs=1e-6)
    with jax.enable_x64(True):
        changed = jax.tree.map(np.asarray, problem.decide(leaves(env), rule, None, None))
        told_to = changed.start.reshape(2, 2)
        np.testing.assert_allclose(told_to, exact["ce"], atol=1e-6)
        assert Exact(changed, problem.clear).regret(np.asarray(problem.policies(env.asked[0]))).max() <= 1e-6


def test_a_vmapped_solve_is_the_same_as_one_game_at_a_time() -> None:
    """Random games side by side, among them ones whose principal branch turns back: the same equilibria, and most are found."""
    rng = np.random.default_rng(0)
    _, problem, env = posed({"kind": "game", "rewards": rng.uniform(size=(2, 3, 2, 2)).tolist(), "discount": 0.8,
                             "transitions": rng.dirichlet(np.ones(3), size=(3, 2, 2)).tolist()})  # fmt: skip
    draw = Draw(weight=jnp.ones((1,)), types=None)

    def solve(rewards):
        game = replace(jax.tree.map(jnp.asarray, env.game), rewards=rewards)
        found = equilibrium.cooled(problem, env, draw, game, jnp.asarray(0.1), jnp.asarray(2.0))
        return games.policies_of(found.action.logits, game.legal), found.converged

    rewards = jnp.asarray(rng.uniform(size=(24, 2, 3, 2, 2)), jnp.float32)
    side_by_side = jax.jit(jax.vmap(solve))
    together, converged = side_by_side(rewards)
    for place in range(3):
        policies, found = side_by_side(jnp.repeat(rewards[place][None], len(rewards), 0))  # alone, by a program that is compiled already
        assert bool(found[0]) == bool(converged[place])
        np.testing.assert_allclose(policies[0], together[place], atol=1e-4)  # float32 over a temperature of a tenth
    assert converged.mean() > 0.9


def test_payments_that_balance_add_up_to_nothing_and_rules_compose(commons) -> None:
    """What one gets others pay; a tax after a quota is on what is carried out, before it on what was chosen."""
    _, _, env = posed(commons)
    game = leaves(env).game
    table = Payment(jax.random.normal(jax.random.key(0), game.rewards.shape), "table", 1.0, 2.0, True)
    paid = jax.jit(lambda game: table(game).payments)(game)
    np.testing.assert_allclose(paid.sum(0), 0, atol=1e-6)
    assert float(jnp.abs(paid).max()) <= 4
    quota = Override(jnp.full((1,), 10.0), (1,), 0, 1.0)
    tax = Payment(jnp.asarray([0.5]), "instruments", 1.0, None, False)
    tax_first, quota_first, limited = jax.jit(lambda game: (quota(tax(game)), tax(quota(game)), quota(game)))(game)
    np.testing.assert_allclose(tax_first.payments, 0, atol=1e-6)  # nobody harvests, whatever they choose
    np.testing.assert_allclose(quota_first.payments, 0, atol=1e-6)  # instruments follow what is carried out
    np.testing.assert_allclose(limited.rewards, np.broadcast_to(np.asarray(game.rewards)[:, :, :1, :1], game.rewards.shape), atol=1e-5)


def test_unique_rules_out_other_pure_equilibria(case) -> None:
    """In the Stag Hunt both conventions are equilibria; a rule that is asked for one alone is priced for the other."""
    payoffs = case("normal_form.stag_hunt")
    given = {"kind": "game", "rewards": [[payoffs["A"]], [payoffs["B"]]], "implementation": "unique", "margin": 0.01}
    _, problem, env = posed(given)
    with jax.enable_x64(True):
        env64, temptation = leaves(env), jax.jit(problem.temptation)
        bare = problem.decide(env64, Rule.of(Payment(jnp.zeros(env.game.rewards.shape), "table", 1.0, None, False)), None, None)
        # Of the three other profiles only the second convention is an equilibrium: from it the best deviation loses 1.
        assert float(temptation(env64, bare)) == pytest.approx(1.01, abs=1e-9)
        bribed = replace(bare, payments=bare.payments + jnp.asarray([[[[1.02, 1.02], [0, 0]]], [[[0, 0], [0, 0]]]]))
        assert float(temptation(env64, bribed)) == 0


WRONG = [
    ({"transitions": [[[[0.9, 0.1], [0.5, 0.6]], [[1, 0], [1, 0]]]] * 2}, "after (action 1, action 2) in state 1 the probabilities"),
    ({"transitions": [[[[1.1, -0.1], [0.5, 0.5]], [[1, 0], [1, 0]]]] * 2}, "below 0"),
    ({"discount": 1.0}, "discount"),
    ({"start": [0.5, 0.6]}, "sums to 1.1"),
    ({"legal": [[[0, 0], [1, 1]], [[1, 1], [1, 1]]]}, "agent 1 has no legal action at state 1"),
    ({"rewards": [[[[1, 2], [3]]]]}, "rows of equal length"),
    ({"rewards": [[[1, 2], [3, 4]], [[1, 2], [3, 4]]]}, "with 2 agents it should have an axis for the agents"),
    ({"start": [1.0]}, "it should be [2]"),
    ({"target": [["up", "up"], ["up", "up"]], "implementation": "partial"}, "'up' is no action"),
    ({"tax_on": [5]}, "names action 5"),
    ({"observation": [[0.5, 0.4], [0, 1]]}, "sum to 0.9"),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG)
def test_what_is_no_game_is_refused_with_a_sentence(change, sentence) -> None:
    """File, key, what is wrong and what would be right; never a traceback."""
    right = {"kind": "game", "rewards": [[[[1, 2], [3, 4]]] * 2] * 2}
    with pytest.raises(ConfigError) as caught:
        parse({"problem": {**right, **change}})
    assert sentence in str(caught.value)


def test_a_search_that_stops_short_says_so(commons, tmp_path) -> None:
    """One Newton step a time at a falling temperature is not enough, and the run tells."""
    lines = []
    response = {"kind": "equilibrium", "newton_steps": 1, "temperature": 0.02, "temperature_end": 0.01}
    config = parse({"problem": commons, "rule": {"kind": "quota", "limited": [1], "instead": 0},
                    "training": {"steps": 2, "chunk": 2, "response": response}})  # fmt: skip
    result = run.train(config, tmp_path / "run", say=lines.append)
    assert result["details"]["unconverged_in_training"] > 0
    assert any("was not found" in line for line in lines)


def test_a_long_game_is_solved_from_its_end_without_a_matrix() -> None:
    """Thirty states that never come back, 240 unknowns: by elimination state by state and products alone, the equilibrium to rounding, and
    the slope that finite differences have."""
    rng, states = np.random.default_rng(3), 30
    transitions = np.zeros((states, 3, 3, states))
    for state in range(states):
        ahead = [min(state + 1, states - 1), min(state + 2, states - 1)]
        for place in np.ndindex(3, 3):
            np.add.at(transitions[(state, *place)], ahead, rng.dirichlet(np.ones(2)))
    rewards = rng.uniform(size=(2, states, 3, 3))
    rewards[:, -1] = 0
    config = parse({"problem": {"kind": "game", "rewards": rewards.tolist(), "transitions": transitions.tolist(), "discount": 0.9}})
    problem, env = config.problem.build(config.folder)
    with jax.enable_x64(True):
        env, draw = leaves(env), Draw(weight=jnp.ones((1,)), types=None)

        def welfare(given):
            game = replace(env.game, rewards=given)
            found = equilibrium.cooled(problem, env, draw, game, jnp.asarray(0.2), jnp.asarray(2.0))
            return problem.score(env, draw, game, found.action).value[0], found

        both = jax.jit(jax.value_and_grad(welfare, has_aux=True))  # one program: compiling is most of this test
        (_, found), slope = both(env.game.rewards)
        assert bool(found.converged)
        assert float(found.residual) < 1e-12  # float64, payoffs of size ten
        along, width = jnp.asarray(rng.normal(size=rewards.shape)), 1e-5
        ahead, behind = (both(env.game.rewards + sign * width * along)[0][0] for sign in (1, -1))
        assert float((slope * along).sum()) == pytest.approx(float(ahead - behind) / (2 * width), rel=1e-5)
