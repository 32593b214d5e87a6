"""The page in a real browser, as a file, on a phone and on a desk, in light and in dark."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tlm_edge.report.write import write_report

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

#: Every element that reaches beyond the window without being inside something that scrolls by itself.
SPILLING = """
return [...document.querySelectorAll('body *')].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width && (box.right > innerWidth + 1 || box.left < -1) && !element.closest('.scroll, pre, svg');
}).map(element => element.outerHTML.slice(0, 120));
"""

#: Contrast of text with what is behind it, after WCAG 2.1, for elements that hold text of their own.
CONTRASTS = """
const channel = value => { value /= 255; return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; };
const luminance = colour => 0.2126 * channel(colour[0]) + 0.7152 * channel(colour[1]) + 0.0722 * channel(colour[2]);
const parse = text => text.match(/[\\d.]+/g).map(Number);
const behind = element => {
  for (; element; element = element.parentElement) {
    const colour = parse(getComputedStyle(element).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const texts = 'h1, h2, h3, p, th, td, summary, dd, dt, li, .name, .times, svg text';
return [...document.querySelectorAll(texts)].map(element => {
  const style = getComputedStyle(element);
  const text = luminance(parse(element instanceof SVGElement ? style.fill : style.color));
  const paper = luminance(behind(element.closest('svg') ? element.closest('svg').parentElement : element));
  const ratio = (Math.max(text, paper) + 0.05) / (Math.min(text, paper) + 0.05);
  return [ratio, element.textContent.slice(0, 40)];
}).filter(pair => pair[0] < (4.5 - 0.01));
"""


@pytest.fixture(scope="module")
def report(measured, tmp_path_factory) -> Path:
    return write_report(measured[0].records, tmp_path_factory.mktemp("browser") / "report").page


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    selenium = pytest.importorskip("selenium", reason="selenium comes with the extra 'dev'")
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium and chromedriver here: `make setup-browser` tells how to get them")
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.webdriver.Chrome(options=options, service=Service(driver))
    yield driver
    driver.quit()


def visit(browser, report: Path, width: int, scheme: str) -> list[str]:
    """Open the page in a window of that width; the addresses that it asked for."""
    import json

    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(report.as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [message for message in messages if message["method"] == "Network.requestWillBeSent"]
    return [message["params"]["request"]["url"] for message in requests]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_the_page_reads_well(browser, report, width, scheme):
    requests = visit(browser, report, width, scheme)
    assert [url for url in requests if not url.startswith("data:")] == [report.as_uri()]
    assert browser.get_log("browser") == []
    assert browser.execute_script("return innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(SPILLING) == []
    assert browser.execute_script(CONTRASTS) == []


def test_dark_mode_is_dark(browser, report):
    shades = []
    for scheme in ("light", "dark"):
        visit(browser, report, 1440, scheme)
        colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        shades.append(sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")))
    assert shades[0] > 600
    assert shades[1] < 150


@pytest.mark.parametrize("width", [360, 1440])
def test_plots_are_drawn_at_a_readable_size(browser, report, width):
    visit(browser, report, width, "light")
    plots = browser.execute_script(
        "return [...document.querySelectorAll('svg.plot')].map(plot => {"
        "  const box = plot.getBoundingClientRect();"
        "  const text = [...plot.querySelectorAll('text')].map(each => each.getBoundingClientRect().height);"
        "  return [box.width, box.height, Math.min(...text), plot.querySelectorAll('path').length];"
        "}).filter(plot => plot[0] > 0)"
    )
    assert len(plots) == 3
    for plot_width, height, smallest_text, paths in plots:
        assert plot_width > 250
        assert height > 120
        assert smallest_text > 8
        assert paths > 5


def test_wide_tables_scroll_inside_their_frame(browser, report):
    visit(browser, report, 360, "light")
    frames = browser.execute_script(
        "return [...document.querySelectorAll('.scroll')].map(frame => [frame.clientWidth, frame.scrollWidth])"
    )
    assert any(content > frame for frame, content in frames)
    assert all(frame <= 360 for frame, _ in frames)
