"""The maps of an auction show what it does where it does it, and the exact regions on them are those of the optimal menu."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from icsap_jax.auctions import pictures
from icsap_jax.auctions.optimum import known_menu
from icsap_jax.auctions.problem import Decision
from icsap_jax.config import parse


def auction(bidders: int, items: int, low: Any = 0, high: Any = 1, **more: Any) -> tuple[Any, Any, Any]:
    """The problem, its numbers and its model."""
    prior = {"kind": "uniform", "low": low, "high": high}
    config = parse({"problem": {"kind": "auction", "bidders": bidders, "items": items, "prior": prior, **more}}, Path.cwd(), "test")
    return *config.problem.build(config.folder), config.problem


def shares_of_values(reports: np.ndarray) -> Decision:
    """A rule that tells what it was asked: half of each value as the probability of the item, all values' sum as the payment."""
    reports = jnp.asarray(reports)
    return Decision(allocation=reports / 2, payment=jnp.broadcast_to(reports.sum((1, 2))[:, None], reports.shape[:2]))


MENUS = {
    "additive U[0, 1]": auction(1, 2),
    "additive U[4, 16] × U[4, 7]": auction(1, 2, [4, 4], [16, 7]),
    "unit demand U[2, 3]": auction(1, 2, 2, 3, valuation="unit_demand"),
}


@pytest.mark.parametrize("name", MENUS)
def test_drawn_regions_are_where_the_menu_entry_is_the_favourite(name: str) -> None:
    """At the centre of every cell of the map, the polygon drawn around it belongs to the entry a bidder there picks, and the label in
    the polygon is that entry's."""
    problem, env, model = MENUS[name]
    menu = known_menu(env, model)
    low, high = (bound[0] for bound in pictures.support(problem, env))
    types = pictures.grid(low, high, side=200)  # no centre on a border: at 201 some lie on v1 = v2 + 1/3
    favourite = (types @ menu.allocations.T - menu.prices).argmax(-1)
    axis = Figure().subplots()
    pictures._regions(axis, menu, [str(entry) for entry in range(len(menu.prices))])
    assert len(axis.patches) == len(menu.prices)
    for patch, text in zip(axis.patches, axis.texts, strict=True):
        np.testing.assert_array_equal(pictures.inside(patch.get_xy()[:-1], types), favourite == int(text.get_text()))
        assert pictures.inside(patch.get_xy()[:-1], np.array(text.get_position()))


def test_a_map_has_item_1_along_and_item_2_up_with_the_rest_at_the_mean() -> None:
    """Bidder 1's own two values vary over the map; its third value and all of bidder 2's stay at 0.5."""
    problem, env, _ = auction(2, 3)
    allocation, payment = pictures.decisions(problem, env, shares_of_values, pictures.grid(np.zeros(2), np.ones(2), side=4))
    centres = np.array([0.125, 0.375, 0.625, 0.875])
    for row in range(4):
        np.testing.assert_allclose(allocation[row, :, 0], centres / 2, rtol=1e-6)  # float32
        np.testing.assert_allclose(allocation[:, row, 1], centres / 2, rtol=1e-6)
    np.testing.assert_allclose(allocation[..., 2], 0.25, rtol=1e-6)
    np.testing.assert_allclose(payment, centres[None] + centres[:, None] + 4 * 0.5, rtol=1e-6)


def test_the_inside_of_a_polygon() -> None:
    """A point beyond any one edge is outside; a corner and an edge belong to it."""
    triangle = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    points = np.array([[0.2, 0.2], [0.0, 0.0], [0.5, 0.5], [0.6, 0.6], [-0.1, 0.5], [0.5, -0.1]])
    assert pictures.inside(triangle, points).tolist() == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("setting", "name", "width"),
    [
        ({"bidders": 1, "items": 2}, "allocation.png", 1600),
        ({"bidders": 2, "items": 2}, "allocation_slice.png", 1600),
        ({"bidders": 1, "items": 2, "valuation": "combinatorial"}, "allocation_slice.png", 2096),
        ({"bidders": 2, "items": 1}, "allocation_slice.png", 1280),
    ],
)
def test_every_auction_has_its_picture(setting: dict[str, Any], name: str, width: int, tmp_path: Path) -> None:
    """A PNG of the expected size with something on it, in a folder made for it."""
    problem, env, model = auction(**setting)
    assert pictures.draw(problem, env, shares_of_values, model, tmp_path / "plots") == [tmp_path / "plots" / name]
    pixels = matplotlib.image.imread(tmp_path / "plots" / name)
    assert pixels.shape[1] == width
    assert len(np.unique((255 * pixels[..., :3]).astype(int).reshape(-1, 3), axis=0)) > 50
    assert [path.name for path in (tmp_path / "plots").iterdir()] == [name]


@pytest.mark.parametrize(("bidders", "held"), [(2, "the other bidder at"), (3, "the other bidders at")])
def test_a_slice_says_whose_values_stand_still(bidders: int, held: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One other bidder is one."""
    titles: list[str] = []
    monkeypatch.setattr(Figure, "suptitle", lambda _, title, **__: titles.append(title))
    problem, env, model = auction(bidders, 1)
    pictures.draw(problem, env, shares_of_values, model, tmp_path)
    assert held in titles[0]


def test_exact_regions_are_drawn_only_where_revenue_alone_is_maximised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimal menu is optimal for revenue; under another objective it would mislead."""
    menus = []
    monkeypatch.setattr(pictures, "draw_maps", lambda *inputs: menus.append(inputs[4]))
    for objective in ("revenue", "welfare"):
        problem, env, model = auction(1, 2, objective=objective)
        pictures.draw(problem, env, shares_of_values, model, tmp_path)
    assert menus[0].source == "Manelli & Vincent 2006"
    assert menus[1] is None
