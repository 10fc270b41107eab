"""The page in a real browser: headless Chromium opens it from the disk, and what a person would press does what it says.

Chromium and its driver are the system's (Debian: chromium, chromium-driver). Without them the test is skipped, and the end of the test
run says so: `tests/conftest.py`.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from icsap_jax.report import gathered
from icsap_jax.report.page import content, document

RATE = "training.learning_rate"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1280,900")  # fmt: skip
# One red pixel, and nothing else.
PICTURE = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==")
# As text 0.01 comes before 2e-05, and as numbers after it.
MEMBERS = [
    ("a", {RATE: 0.01, "seed": 0}, 0.52, 2e-4), ("b", {RATE: 2e-5, "seed": 0}, 0.48, 1e-4), ("c", {RATE: 0.1, "seed": 0}, 0.54, 3e-3),
    ("d", {RATE: 0.003, "seed": 10}, 0.50, 0.0), ("e", {RATE: 0.2, "seed": 9}, None, None, "dropped"),
    ("f", {RATE: 0.3, "seed": 2}, 0.40, 1e-3, "not finite"),
]  # fmt: skip
HOSTILE = "seed: 0  # </script><script>document.title = 'broken into'</script>\n"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser with a profile of its own, whose console and whose requests are written down."""
    # Google's Chrome would do as well, with its own driver; the two have to be of one version, as a system's own are.
    browser, chromedriver = (next(filter(None, map(shutil.which, names)), None)
                             for names in (("chromium", "chromium-browser", "google-chrome"), ("chromedriver",)))  # fmt: skip
    if browser is None or chromedriver is None:
        pytest.skip("no Chromium on this machine: the report was not tried in a browser")
    try:
        from selenium import webdriver
    except ImportError:
        pytest.skip("no selenium in this environment: the report was not tried in a browser")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "localhost,127.0.0.1")  # the driver is asked on this machine, whatever else goes through a proxy
        patch.setenv("no_proxy", "localhost,127.0.0.1")
        found = webdriver.Chrome(options, webdriver.ChromeService(chromedriver))
    found.set_page_load_timeout(30)
    yield found
    found.quit()


@pytest.fixture(scope="module")
def page(driver: Any, tmp_path_factory: pytest.TempPathFactory, sweep_folder: Callable[..., Path]) -> Any:
    """The driver with a page of six members open, two of which have a picture."""
    folder = sweep_folder(tmp_path_factory.mktemp("report") / "sweep", MEMBERS, best="a", config=HOSTILE)
    picture = folder / "allocation.png"
    picture.write_bytes(PICTURE)
    found = gathered.gather(folder)
    (folder / "report.html").write_text(document.page(content.of(found, {0: [picture], 1: [picture]}), contrast=False), encoding="utf-8")
    driver.get("about:blank")  # in place of the browser's own first page, which asks for things of its own
    driver.get_log("performance")
    driver.get((folder / "report.html").as_uri())
    return driver


def find(page: Any, css: str) -> Any:
    """The first element that a selector names."""
    return page.find_element("css selector", css)


def shown(page: Any) -> list[str]:
    """The ids of the rows that can be seen, in order."""
    return page.execute_script("return [...document.querySelectorAll('tbody tr')].filter((row) => row.offsetHeight)"
                               ".map((row) => row.lastChild.textContent)")


def press(page: Any, name: str) -> str | None:
    """Press the name of a column; what the column then says of its order."""
    buttons = "return [...document.querySelectorAll('thead button')]"
    button = page.execute_script(f"{buttons}.find((each) => each.textContent === arguments[0])", name)
    button.click()
    return page.execute_script("return arguments[0].parentElement.getAttribute('aria-sort')", button)


def type_in(page: Any, css: str, text: str) -> None:
    """Replace what stands in a field."""
    find(page, css).send_keys("\ue009a\ue000\ue003" + text)  # all of it marked, and deleted


def resize(page: Any, width: int, height: int) -> None:
    """As a screen of that many pixels would show it."""
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def test_the_page_opens_from_the_disk_and_stands_alone(page: Any) -> None:
    """It asks the network for nothing, says nothing on the console, draws every judged member, and no text of a file became a script."""
    assert page.title == "auction · regretnet · sweep"
    assert len(page.find_elements("css selector", "#scatter .dot")) == 5
    assert find(page, "#best .big").text == "0.5200 ± 0.0010"
    assert "highest revenue subject to a mean gap ≤ 0.001" in find(page, "#best").text
    assert "Somebody 2006" in find(page, "#scatter-notes").text
    messages = [json.loads(line["message"])["message"] for line in page.get_log("performance")]
    asked = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    assert page.current_url in asked
    assert [url for url in asked if url != page.current_url and not url.startswith("data:")] == []
    assert page.get_log("browser") == []


def test_it_sorts_numbers_as_numbers_and_what_is_missing_last(page: Any) -> None:
    """Both ways; the columns say which, and the objective begins with its highest."""
    assert (press(page, "learning_rate"), shown(page)) == ("ascending", ["b", "d", "a", "c", "e", "f"])
    assert (press(page, "learning_rate"), shown(page)) == ("descending", ["f", "e", "c", "a", "d", "b"])
    assert (press(page, "seed"), shown(page)) == ("ascending", ["a", "b", "c", "f", "e", "d"])
    assert (press(page, "revenue ± error"), shown(page)) == ("descending", ["c", "a", "d", "b", "f", "e"])
    assert (press(page, "mean gap"), shown(page)) == ("ascending", ["d", "b", "a", "f", "c", "e"])
    assert (press(page, "mean gap"), shown(page)) == ("descending", ["c", "f", "a", "b", "d", "e"])
    assert page.execute_script("return document.querySelectorAll('th[aria-sort=none]').length") == 11
    assert (press(page, "#"), shown(page)) == ("ascending", ["a", "b", "c", "d", "e", "f"])


def test_it_filters(page: Any) -> None:
    """By words, by the largest gap, by status, by the front, and back; a gap that is no number is said, and hides nothing."""
    type_in(page, "#find", "rate=0.01 seed=0")
    assert shown(page) == ["a"]
    type_in(page, "#find", "")
    type_in(page, "#most", "2e-4")
    assert shown(page) == ["a", "b", "d"]
    assert find(page, "#count").text == "3 of 6 shown"
    type_in(page, "#most", "small")
    assert "should be a number" in find(page, "#count").text
    assert len(shown(page)) == 6
    type_in(page, "#most", "")
    find(page, "#status option[value='not finite']").click()
    assert shown(page) == ["f"]
    find(page, "#filters [type=reset]").click()
    page.execute_async_script("setTimeout(arguments[0], 20)")
    assert len(shown(page)) == 6
    find(page, "#front").click()
    assert shown(page) == ["a", "c", "d"]
    find(page, "#front").click()


def test_the_picture_the_curves_and_the_problem_file_of_a_run_appear_on_click(page: Any) -> None:
    """Of a row, of a point, and by the keyboard; a member without a picture says so."""
    find(page, "tbody tr[data-place='3'] td:last-child").click()
    assert find(page, "#detail-title").text == "d"
    assert page.find_elements("css selector", "#detail img") == []
    assert "No picture of this member" in find(page, "#detail").text
    find(page, "#scatter .dot[data-place='1']").click()
    assert find(page, "#detail-title").text == "b"
    image = find(page, "#detail img")
    assert image.get_attribute("src") == "data:image/png;base64," + base64.b64encode(PICTURE).decode()
    assert page.execute_script("return arguments[0].naturalWidth", image) == 1
    image.click()
    assert find(page, "dialog[open] img").get_attribute("src") == image.get_attribute("src")
    find(page, "dialog").click()
    assert page.find_elements("css selector", "dialog[open]") == []
    assert len(page.find_elements("css selector", "#detail-curves path.curve")) == 2
    assert find(page, "#config").get_attribute("textContent") == HOSTILE
    assert "icsap train config.yaml" in find(page, "#detail").text
    assert page.execute_script("return document.querySelector('tr[aria-current]').dataset.place") == "1"
    find(page, "tbody tr[data-place='1'] .open").send_keys("\ue015")  # the arrow down, and Enter on the row below
    page.switch_to.active_element.send_keys("\ue007")
    assert find(page, "#detail-title").text == "c"
    drawn = len(page.find_elements("css selector", "#curves path.curve"))
    find(page, "tbody tr[data-place='4'] label").click()
    assert len(page.find_elements("css selector", "#curves path.curve")) == drawn + 2


def test_high_contrast_is_a_button(page: Any) -> None:
    """Black on white, thicker lines, markers; and back."""
    look = ("const style = (css) => getComputedStyle(document.querySelector(css));"
            "return [style('body').color, style('body').backgroundColor, style('#curves .curve').strokeWidth,"
            "style('#curves .mark').display, style('#scatter .dot.front:not(.selected)').fill]")  # fmt: skip
    before = page.execute_script(look)
    button = find(page, "#contrast")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    after = page.execute_script(look)
    assert after[:2] == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
    assert float(after[2].removesuffix("px")) > float(before[2].removesuffix("px"))
    assert (before[3], after[3]) == ("none", "inline")
    assert (before[4], after[4]) == ("rgb(0, 114, 178)", "rgb(0, 0, 0)")
    button.click()
    assert page.execute_script(look) == before


def test_on_a_phone_nothing_runs_out_of_the_page(page: Any) -> None:
    """At 390 pixels there is one column, the table scrolls inside itself, what is to be touched is 44 pixels high, and the panel comes to
    whoever touches a row."""
    resize(page, 390, 844)
    wide = ("const box = document.querySelector('#scroller');"
            "return [document.documentElement.scrollWidth, box.scrollWidth > box.clientWidth]")  # fmt: skip
    page.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 50))")
    assert page.execute_script(wide) == [390, True]
    assert page.execute_script("return document.querySelector('#scatter svg').getBoundingClientRect().right") <= 390
    heights = "return [...document.querySelectorAll(arguments[0])].map((each) => each.getBoundingClientRect().height)"
    assert min(page.execute_script(heights, "button, input[type=search], input[type=text], select, tbody label, tbody tr")) >= 44
    find(page, "tbody tr[data-place='0'] .open").click()
    assert -1 < page.execute_script("return document.querySelector('#detail').getBoundingClientRect().top") < 400
    resize(page, 1280, 900)


def test_two_thousand_rows_are_sorted_within_a_second(driver: Any, tmp_path: Path, sweep_folder: Callable[..., Path]) -> None:
    """Layout included. Nothing was said on the console in all that time."""
    assert driver.get_log("browser") == []
    found = content.of(gathered.gather(sweep_folder(tmp_path / "sweep", MEMBERS[:1], best="a")), {})
    many = [{**found["rows"][0], "id": f"member-{place}", "objective": (37 * place % 2003) / 2003, "selected": place == 0}
            for place in range(2000)]  # fmt: skip
    (tmp_path / "many.html").write_text(document.page({**found, "rows": many, "planned": 2000}, contrast=False), encoding="utf-8")
    driver.get((tmp_path / "many.html").as_uri())
    sort = ("const from = performance.now(); document.querySelectorAll('thead button')[arguments[0]].click(); document.body.offsetHeight;"
            "return [performance.now() - from, document.querySelector('tbody tr').dataset.place]")  # fmt: skip
    spent, first = driver.execute_script(sort, 3)
    assert first == str(max(range(2000), key=lambda place: 37 * place % 2003))
    assert spent < 1000
