"""What a scheme does to beliefs. With two states: what every belief is worth, the concave envelope above it, and the posteriors the
scheme leads to (the picture of Kamenica & Gentzkow 2011); with three the same as a map of the triangle of beliefs; with more, each
signal's posterior beside the prior.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.figures import ACCENT, COLOURS, INK, QUIET, colours_from_white, page, scale_beside
from icsap_jax.persuasion.envelope import beliefs, indifferent, worth
from icsap_jax.persuasion.polish import TOUCHED, meaning
from icsap_jax.persuasion.problem import Persuasion, PersuasionEnv
from icsap_jax.persuasion.tables import Game, entropy, game_of

MOST_NUMBERS = 120  # cells that are written out
BIGGEST = 420.0  # of a dot, in square points, for a signal that is always sent


def pictures(problem: Persuasion, env: PersuasionEnv, rule: Rule, model: Any, folder: Path) -> None:
    """`beliefs.png` under `folder`. Raises ConfigError where it cannot be written."""
    game = game_of(model)
    decision, action = meaning(problem, env, rule)
    sent = np.flatnonzero(decision.joint.sum(0) > TOUCHED)
    mass, posterior, action = decision.joint.sum(0)[sent], decision.posterior[:, sent].T, action[sent]
    names = model.names("states", problem.states)
    draw = {2: line, 3: triangle}.get(problem.states, rows)
    draw(game, mass, posterior, [described(model, problem, row) for row in action], names, folder / "beliefs.png")


def described(model: Any, problem: Persuasion, action: np.ndarray) -> str:
    """What the types [N, A] do, in words."""
    names = model.actions or [f"action {place}" for place in range(problem.actions)]
    if problem.quantal:
        return ", ".join(f"{names[own.argmax()]} {own.max():.0%}" for own in action)
    return ", ".join(names[own.argmax()] for own in action)


def line(game: Game, mass: np.ndarray, posterior: np.ndarray, does: list[str], names: list[str], output: Path) -> None:
    """Two states: value over the belief in the second."""
    curve, segments = value_over_line(game)
    envelope = hull(curve)
    owed = game.cost * entropy(game.prior)
    at, value = posterior[:, 1], worth(game, posterior) - owed
    with page(output, 8.0, 4.8) as (figure, axes):
        axis = axes[0, 0]
        figure.suptitle("What beliefs are worth to the sender, and where the signals lead them", x=0.02, ha="left")
        for place, part in enumerate(segments):
            axis.plot(*part.T, color=INK, linewidth=2.2, label="without a signal" if place == 0 else None)
        if len(at) == 2:
            order = np.argsort(at)
            axis.plot(at[order], value[order], color=COLOURS[0], linewidth=4.0, alpha=0.3)
        axis.plot(*envelope.T, color=ACCENT, linewidth=1.4, linestyle=(0, (5, 3)), label="concave envelope: the most any scheme earns")
        axis.scatter(at, value, s=BIGGEST * np.maximum(mass, 0.04), color=COLOURS[0], zorder=3, label="learned posteriors, by probability")
        for x, y, share, text in zip(at, value, mass, does, strict=True):
            axis.annotate(f"{text}, {share:.2f}", (x, y), xytext=(8, -16), textcoords="offset points", fontsize=9, color=COLOURS[0],
                          ha="left" if x < 0.8 else "right")  # fmt: skip
        reached = float(mass @ value)
        axis.plot([game.prior[1]] * 2, [axis.get_ylim()[0], reached], color=QUIET, linewidth=0.8)
        axis.scatter([game.prior[1]], [reached], marker="D", color=ACCENT, zorder=4, label=f"the scheme at the prior: {reached:.4f}")
        axis.set_xlim(-0.02, 1.02)
        axis.set_xlabel(f"belief that the state is {names[1]}")
        axis.set_ylabel("sender")
        axis.grid(axis="y")
        axis.legend(loc="upper left", bbox_to_anchor=(0.0, -0.16), ncols=2, frameon=False)


def value_over_line(game: Game) -> tuple[np.ndarray, list[np.ndarray]]:
    """Value over the belief in the second of two states, net of the information still unpaid: points [P, 2] for the envelope, and the
    unbroken parts of the curve."""
    cuts = np.unique(np.concatenate([[0.0, 1.0], indifferent(game)[:, 1] if game.precision is None else []]))
    owed, parts = game.cost * entropy(game.prior), []
    for low, high in itertools.pairwise(cuts):
        inside = np.linspace(low, high, 400)
        inside[[0, -1]] += np.array([1e-5, -1e-5]) * (high - low)  # beyond what counts as a tie
        points = np.stack([1.0 - inside, inside], 1)
        parts.append(np.column_stack([inside, worth(game, points) - owed]))
    at_cuts = np.column_stack([cuts, worth(game, np.stack([1.0 - cuts, cuts], 1)) - owed])
    return np.concatenate([*parts, at_cuts]), parts


def hull(points: np.ndarray) -> np.ndarray:
    """The upper hull of points [P, 2], by Andrew's monotone chain."""
    kept: list[np.ndarray] = []
    for point in points[np.lexsort((points[:, 1], points[:, 0]))]:
        while len(kept) > 1 and turns_up(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    return np.array(kept)


def turns_up(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> bool:
    """Whether the way from the second point to the third is no flatter than from the first to the second."""
    (x, y), (dx, dy) = second - first, third - first
    return x * dy - y * dx >= 0


def triangle(game: Game, mass: np.ndarray, posterior: np.ndarray, does: list[str], names: list[str], output: Path) -> None:
    """Three states: value as colour over the triangle of beliefs, and where the signals lead."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
    points = beliefs(3, 160)
    with page(output, 6.6, 5.4) as (figure, axes):
        axis = axes[0, 0]
        figure.suptitle("What beliefs are worth to the sender, and where the signals lead them", x=0.02, ha="left")
        values = worth(game, points) - game.cost * entropy(game.prior)
        image = axis.tripcolor(*(points @ corners).T, values, cmap=colours_from_white("Blues"), shading="gouraud", rasterized=True)
        at, middle = posterior @ corners, game.prior @ corners
        for place, share, text in zip(at, mass, does, strict=True):
            axis.plot(*np.stack([middle, place]).T, color=ACCENT, linewidth=0.9)
            right = place[0] > 0.6
            axis.annotate(f"{text}, {share:.2f}", place, xytext=(-9 if right else 9, 9), textcoords="offset points", fontsize=9, color=INK,
                          ha="right" if right else "left")  # fmt: skip
        axis.scatter(*at.T, s=BIGGEST * np.maximum(mass, 0.04), color=ACCENT, zorder=3)
        axis.scatter(*middle, marker="D", color=INK, zorder=4)
        axis.annotate("prior", middle, xytext=(7, -12), textcoords="offset points", fontsize=9)
        for corner, name, below in zip(corners, names, (True, True, False), strict=True):
            axis.annotate(name, corner, xytext=(0, -18 if below else 10), textcoords="offset points", ha="center")
        scale_beside(axis, image)
        axis.set_aspect("equal")
        axis.set_axis_off()


def rows(game: Game, mass: np.ndarray, posterior: np.ndarray, does: list[str], names: list[str], output: Path) -> None:
    """More states: the prior and each signal's posterior as rows of colour."""
    order = np.argsort(-mass)
    table = np.concatenate([game.prior[None], posterior[order]])
    labels = ["prior", *(f"{does[z]}, {mass[z]:.2f}" for z in order)]
    with page(output, min(3.5 + 0.5 * len(names), 14.0), min(1.8 + 0.36 * len(labels), 12.0)) as (figure, axes):
        axis = axes[0, 0]
        figure.suptitle("What the receiver believes after each signal", x=0.02, ha="left")
        image = axis.imshow(table, cmap=colours_from_white("Blues"), vmin=0.0, aspect="auto")
        axis.set_yticks(np.arange(len(labels)), labels)
        axis.set_xticks(np.arange(len(names)), names, rotation=0 if max(map(len, names)) < 5 else 40)
        axis.axhline(0.5, color=INK, linewidth=0.8)
        for row, column in np.argwhere(table > 0.005) if table.size <= MOST_NUMBERS else ():
            axis.text(column, row, f"{table[row, column]:.2f}", ha="center", va="center", fontsize=8.5)
        axis.set_xlabel("state")
        axis.tick_params(length=0)
        scale_beside(axis, image)
