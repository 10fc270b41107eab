"""What is recommended to several receivers in each state, and what each then believes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from icsap_jax.bilevel.types import Rule
from icsap_jax.figures import COLOURS, QUIET, page
from icsap_jax.persuasion.many.details import Heard, heard, sent, signal_names

MOST = 16  # signals, or things heard, that one picture can show; the likeliest are
STATES = len(COLOURS)  # told apart; the others are grey together


def pictures(problem: Any, env: Any, rule: Rule, model: Any, folder: Path) -> None:
    """`recommendations.png` under `folder`. Raises ConfigError where it cannot be written."""
    signal = sent(problem, env, rule)
    with page(folder / "recommendations.png", 8.0, 6.4, rows=2) as (figure, axes):
        figure.suptitle("What the sender recommends in each state, and what the receivers then believe", x=0.02, ha="left")
        _recommended(axes[0, 0], signal, model)
        _believed(axes[1, 0], heard(model, signal), model)


def _recommended(axis: Any, signal: np.ndarray, model: Any) -> None:
    """Bars for each signal: its probability in each state."""
    prior = np.asarray(model.prior, np.float64)
    shown = np.sort(np.argsort(-(prior @ signal), kind="stable")[:MOST])
    shown = shown[(prior @ signal)[shown] > 5e-4]  # what is less likely would be a bar of no height
    places, width = np.arange(len(shown)), 0.8 / min(len(signal), STATES)
    for order, (state, row) in enumerate(list(zip(model.called("states"), signal, strict=True))[:STATES]):
        axis.bar(places - 0.4 + width * (order + 0.5), row[shown], width, color=COLOURS[order], label=f"state {state}")
    names = signal_names(model)
    axis.set_xticks(places, [names[place].replace(", ", "\n") for place in shown])
    axis.set_xlabel("how many are told to act" if model.anonymous else f"what {', '.join(model.called('names'))} are told")
    axis.set_ylabel("probability in the state")
    axis.set_ylim(0, 1)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _believed(axis: Any, told: list[Heard], model: Any) -> None:
    """A bar for each thing heard, divided as the belief that it leaves; the prior last."""
    shown = sorted(sorted(told, key=lambda one: -one.probability)[:MOST], key=told.index)
    prior = np.asarray(model.prior, np.float64)
    beliefs = np.stack([*(one.posterior for one in shown), prior / prior.sum()])
    below = np.cumsum(beliefs, 1) - beliefs
    others = beliefs[:, STATES:].sum(1)
    axis.bar(np.arange(len(beliefs)), others, 0.7, bottom=1 - others, color=QUIET, alpha=0.25)
    for order in range(min(beliefs.shape[1], STATES)):
        axis.bar(np.arange(len(shown)), beliefs[:-1, order], 0.7, bottom=below[:-1, order], color=COLOURS[order])
        axis.bar(len(shown), beliefs[-1, order], 0.7, bottom=below[-1, order], color=COLOURS[order], alpha=0.45)
    names = [f"{one.what.replace(', ', chr(10))}\n{'' if one.who in ('all', 'each') else one.who}".rstrip() for one in shown]
    axis.set_xticks(np.arange(len(beliefs)), [*names, "before"])
    privately = "what a receiver hears" if model.anonymous else "what a receiver hears, and who"
    axis.set_xlabel("what is heard by all" if model.channel == "public" else privately)
    axis.set_ylabel("belief in each state")
    axis.set_ylim(0, 1)
