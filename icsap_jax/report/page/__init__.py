"""`icsap report`: a run or a sweep as one HTML file that needs nothing else, and every plot of it as PNG in a folder beside it.

    report.html              the page: heading, selected member, table, scatter, curves, and a panel for the member that is looked at
    plots/scatter.png        objective against gap        plots/curves.png     how training went
    plots/ID/*.png           what the domain draws of a member's rule, for the members that are looked at first

`page.html`, `page.css` and the `.js` files here are the page; `document` puts them and the data into one file, `content` says what the
data are.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from icsap_jax import files
from icsap_jax.config import ConfigError
from icsap_jax.config.plugins import faults_named
from icsap_jax.report import gathered, learned, overview
from icsap_jax.report.contrast import contrasting
from icsap_jax.report.page import content, document


@faults_named()
def write(path: Path, output: Path | None = None, pictures: int = 12, contrast: bool = False, say: Callable[[str], None] = print) -> Path:
    """Write the page of the run or sweep in `path` and its plots, and return the page's path: `output`, or report.html in the folder.

    Of `pictures` members at most the domain's pictures are drawn: the selected one, the Pareto front, the best others. `contrast` draws
    in black, white and one accent, and has the page open so. The plots go to plots/ in the folder, or where the page lies elsewhere to
    NAME-plots/ beside it. Raises ConfigError where `path` holds no finished run or member, or something cannot be written."""
    path = Path(path)
    output = path / "report.html" if output is None else Path(output)
    if output.is_dir():
        raise ConfigError(f"{output}: is a folder; name a file for the page, for example {output / 'report.html'}.")
    if pictures < 0:
        raise ConfigError(f"--pictures {pictures}: should be at least 0.")
    found = gathered.gather(path)
    with files.disk_faults(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    plots = output.parent / ("plots" if output.parent.resolve() == path.resolve() else f"{output.stem}-plots")
    with contrasting() if contrast else nullcontext():
        overview.scatter(found, plots / "scatter.png")
        overview.curves(found, plots / "curves.png")
        # A single run drew its own when it ended, in colours.
        drawn = (learned.there(found) if pictures and not contrast else {}) or learned.draw(found, pictures, plots, say)
    files.write_text(output, document.page(content.of(found, drawn), contrast))
    return output
