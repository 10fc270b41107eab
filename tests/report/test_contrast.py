"""High contrast is black, white and one accent, on the page and in every picture, and what colours told apart stays told apart."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from icsap_jax import figures
from icsap_jax.report import contrast
from icsap_jax.report.page.document import part


def ratio(first: str, second: str) -> float:
    """The contrast of two colours by the Web Content Accessibility Guidelines 2.2."""
    parts = np.array([to_rgb(first), to_rgb(second)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    low, high = sorted(linear @ [0.2126, 0.7152, 0.0722])
    return float((high + 0.05) / (low + 0.05))


def colours(selector: str) -> list[dict[str, str]]:
    """The colours by name that each block of the page's style with this selector sets."""
    blocks = re.findall(rf"^\s*{re.escape(selector)} \{{(.*?)\}}", part("page.css"), re.MULTILINE | re.DOTALL)
    return [dict(re.findall(r"--([\w]+): (#\w{6})", block)) for block in blocks]


def test_the_page_has_few_colours_and_good_contrast() -> None:
    """In both schemes text, lines and accent have at least 7:1 against the paper in high contrast, and there is one accent; without it,
    text has 4.5:1 and what has to be seen in a plot 3:1."""
    assert ratio("#000000", "#ffffff") == pytest.approx(21.0)
    light, dark = colours(':root[data-contrast="on"]')
    for scheme in (light, dark):
        inks = {name: colour for name, colour in scheme.items() if name not in ("paper", "soft", "chosen", "grid")}
        assert all(ratio(colour, scheme["paper"]) >= 7.0 for colour in inks.values())
        assert len({*inks.values(), scheme["paper"], scheme["soft"], scheme["chosen"]}) == 3
    for scheme in colours(":root"):
        grounds = [scheme[ground] for ground in ("paper", "soft", "chosen")]
        assert all(ratio(scheme[name], ground) >= 4.5 for name in ("ink", "quiet", "accent") for ground in grounds)
        assert all(ratio(scheme[name], scheme["paper"]) >= 3.0 for name in ("front", "dot", "c0", "c1", "c2", "c3", "c4"))


def test_a_picture_loses_its_colours_and_nothing_else() -> None:
    """Curves of two colours are black and differ in dashes and markers, in the legend alike; bars differ in hatching; a map is grey with
    its labels on white; the accent is a darker one; the numbers drawn are the same."""
    figure = Figure()
    left, middle, right = figure.subplots(1, 3)
    for place in (0, 1):
        left.plot(range(50), np.arange(50) * place, color=figures.COLOURS[place], label=f"agent {place}")
        middle.bar([place], [1.0], color=figures.COLOURS[place])
    left.axhline(3.0, color=figures.ACCENT)
    left.legend()
    image = right.imshow(np.eye(3), cmap=figures.colours_from_white("Blues"))
    label = right.text(1, 1, "here", color=figures.QUIET)
    contrast.redrawn(figure)
    first, second, level = left.get_lines()
    assert {to_rgb(line.get_color()) for line in (first, second)} == {(0.0, 0.0, 0.0)}
    assert to_rgb(level.get_color()) == to_rgb(contrast.ACCENT)
    assert ratio(contrast.ACCENT, contrast.PAPER) >= 7.0
    assert (first.get_linestyle(), first.get_marker()) != (second.get_linestyle(), second.get_marker())
    assert [each.get_marker() for each in left.get_legend().legend_handles] == [first.get_marker(), second.get_marker()]
    assert len({bar.get_hatch() for bar in middle.patches}) == 2
    np.testing.assert_array_equal(np.ptp(image.cmap(np.linspace(0, 1, 9))[:, :3], axis=1) < 0.01, True)
    assert to_rgb(label.get_color()) == (0.0, 0.0, 0.0)
    assert label.get_bbox_patch() is not None
    np.testing.assert_array_equal(second.get_ydata(), np.arange(50))


def test_a_domain_s_pictures_are_drawn_so_too_and_only_then(tmp_path: Path) -> None:
    """Whoever draws through the common page is changed inside the block; afterwards nothing is, even where drawing failed."""

    def red_pixels(path: Path) -> int:
        import matplotlib.image

        with figures.page(path, 2.0, 2.0) as (_, axes):
            axes[0, 0].plot([0, 1, 2], [0, 1, 0], color="#ff0000")
        pixels = matplotlib.image.imread(path)
        return int(((pixels[..., 0] > 0.8) & (pixels[..., 1] < 0.3)).sum())

    with contrast.contrasting():
        assert red_pixels(tmp_path / "a.png") == 0
    with pytest.raises(ValueError), contrast.contrasting():
        raise ValueError
    assert red_pixels(tmp_path / "b.png") > 100
