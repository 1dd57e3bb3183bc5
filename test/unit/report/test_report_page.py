"""The report in a real browser."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.drive_to_report import (
    FRAMES,
    HEIGHT,
    HOSTILE,
    INFO,
    MOST_DIFFERENT,
    SUMMARY,
    WIDTH,
    make_frame,
    write_drive,
)

from seg_perception.report import write_report
from seg_perception.report.content import collect
from seg_perception.utils.visualization import COST_COLOURS


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(write_drive(folder), SUMMARY, folder / "report.html")
    return folder / "report.html"


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the page did not get there within 20 s"
        time.sleep(0.02)


class Report:
    """The page in the browser."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def run(self, script: str, *arguments: object) -> Any:
        return self.browser.execute_script(script, *arguments)

    def is_at(self, index: int) -> bool:
        assert self.browser.get_log("browser") == []  # a page with an error would only be waited for in vain
        return bool(self.run("return document.body.dataset.frame") == str(index))

    def at_frame(self, index: int) -> None:
        wait_for(lambda: self.is_at(index))

    def slide_to(self, index: int) -> None:
        self.run("slider.value = arguments[0]; slider.dispatchEvent(new Event('input'))", index)
        self.at_frame(index)

    def press(self, key: str) -> None:
        self.run("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}))", key)

    def text(self, element: str) -> str:
        return str(self.run("return document.getElementById(arguments[0]).textContent", element))

    def pixels(self, selector: str) -> NDArray[np.uint8]:
        """uint8 [H, W, 3]: what a canvas shows."""
        url = self.run("return document.querySelector(arguments[0]).toDataURL('image/png')", selector)
        encoded = np.frombuffer(base64.b64decode(url.split(",")[1]), np.uint8)
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]


@pytest.fixture
def report(chromium: Any, page: Path) -> Iterator[Report]:
    chromium.get(page.as_uri())
    opened = Report(chromium)
    opened.at_frame(0)
    yield opened
    assert chromium.get_log("browser") == []


LAYERS = ("Camera", "Bayes decision", "Most probable", "Where they differ", "Confidence", "Cost of driving")


def test_the_page_loads_nothing_from_anywhere(report: Report) -> None:
    loaded = report.run("return performance.getEntriesByType('resource').map((entry) => entry.name.slice(0, 5))")
    assert set(loaded) <= {"data:"}


def test_the_slider_changes_every_image(report: Report) -> None:
    selectors = [f"canvas[data-layer='{layer}']" for layer in LAYERS] + ["#stage", "#costmap"]
    before = [report.pixels(selector) for selector in selectors]
    clock = report.text("clock")
    report.slide_to(MOST_DIFFERENT)
    for selector, earlier in zip(selectors, before, strict=True):
        assert (report.pixels(selector) != earlier).any(), selector
    assert "frame 1 of 6" in clock
    assert "0.40 s" in report.text("clock") and "frame 5 of 6" in report.text("clock")


def test_labels_and_costs_have_exactly_their_colours(report: Report) -> None:
    report.slide_to(3)
    frame = make_frame(3)
    decided = report.pixels("canvas[data-layer='Bayes decision']")
    np.testing.assert_array_equal(decided[1:], INFO.colours[frame.labels[1:]])
    cost = report.pixels("canvas[data-layer='Cost of driving']")
    np.testing.assert_array_equal(cost[::2, ::2], COST_COLOURS[frame.expected_cost[::2, ::2]])
    differs = (report.pixels("canvas[data-layer='Where they differ']").astype(int).sum(axis=-1)) > 300
    np.testing.assert_array_equal(differs, frame.labels != frame.most_probable)


@pytest.mark.parametrize("index", [0, 5])
def test_the_costmap_shows_an_obstacle_at_its_position(report: Report, index: int) -> None:
    report.slide_to(index)
    costmap = report.pixels("#costmap").astype(int)
    rows, columns = np.nonzero(np.abs(costmap - COST_COLOURS[254]).sum(axis=-1) < 12)
    view = collect(lambda: map(make_frame, range(FRAMES)), INFO, SUMMARY, FRAMES)["view"]
    scale = min(
        costmap.shape[0] / (view["forward"][1] - view["forward"][0]),
        costmap.shape[1] / (view["left"][1] - view["left"][0]),
    )
    robot_row = round(costmap.shape[0] / 2 + scale * sum(view["forward"]) / 2)
    robot_column = round(costmap.shape[1] / 2 + scale * sum(view["left"]) / 2)
    frame = make_frame(index)
    lethal_rows, lethal_columns = np.nonzero(frame.costmap == 100)
    in_odom = np.array([lethal_columns, lethal_rows]).mean(axis=1) * 0.25 + 0.125 + frame.origin_xy
    ahead, left, _ = frame.odom_from_base.inverse().apply(np.array([*in_odom, 0.0]))
    assert (robot_row - rows.mean()) / scale == pytest.approx(ahead, abs=0.03)
    assert (robot_column - columns.mean()) / scale == pytest.approx(left, abs=0.03)
    assert (costmap[robot_row, robot_column] == 255).all()


def test_pointing_at_an_image_shows_class_confidence_and_cost(report: Report) -> None:
    frame = make_frame(0)
    row, column = 20, 50
    report.run(
        """const box = stage.getBoundingClientRect();
        const position = {clientX: box.left + box.width * arguments[0], clientY: box.top + box.height * arguments[1]};
        stage.dispatchEvent(new PointerEvent('pointermove', position));""",
        (column + 0.5) / WIDTH,
        (row + 0.5) / HEIGHT,
    )
    tip = report.text("tip")
    assert f"Bayes{INFO.classes[frame.labels[row, column]]}" in tip
    assert f"confidence{100 * int(frame.confidence[row, column]) / 255:.1f} %" in tip
    assert f"cost{frame.expected_cost[row, column]} of 254" in tip


def test_keys_step_and_choose_the_layer(report: Report) -> None:
    report.press("ArrowRight")
    report.at_frame(1)
    report.press("End")
    report.at_frame(FRAMES - 1)
    report.press("ArrowRight")
    report.press("2")
    assert report.text("stage-title") == "Bayes decision"
    report.press("Home")
    report.at_frame(0)


def test_playing_continues_until_paused(report: Report) -> None:
    report.press(" ")
    report.at_frame(2)
    report.press(" ")
    assert report.run("return document.getElementById('play').getAttribute('aria-label')") == "Play"
    time.sleep(0.2)  # the frame being drawn when the pause came
    paused_at = report.run("return document.body.dataset.frame")
    time.sleep(0.4)
    assert report.run("return document.body.dataset.frame") == paused_at


def test_a_button_shows_the_frame_where_the_decisions_differ_most(report: Report) -> None:
    report.run("document.getElementById('largest').click()")
    report.at_frame(MOST_DIFFERENT)
    assert report.text("stage-title") == "Where they differ"


def test_text_from_outside_stays_text(report: Report) -> None:
    assert report.run("return window.fooled") is None
    assert HOSTILE in report.text("input")
    assert "<b>Car</b>" in report.text("classes")
    assert report.run("return document.querySelectorAll('td img, td b, th b').length") == 0


def test_the_tables_show_drops_latencies_and_costs(report: Report) -> None:
    assert "dropped: no pose at the image's stamp2" in report.text("frames")
    assert re.search(r"network15\.0018\.00–", report.text("stages"))
    assert "known share25.0 %" in report.text("cells")
    assert "2,540 lethal" in report.text("classes")
    assert report.text("command") == SUMMARY["command"]


def test_a_phone_needs_no_sideways_scrolling(report: Report) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    report.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        assert report.run("return document.documentElement.scrollWidth") == 390
    finally:
        report.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_drive_without_results_shows_the_reasons(chromium: Any, tmp_path: Path) -> None:
    summary = {"frames": {"in": 3, "out": 0, "dropped": {"no pose at the image's stamp": 3}}}
    write_report(tmp_path / "result.mcap", summary, tmp_path / "report.html")
    chromium.get((tmp_path / "report.html").as_uri())
    shown = chromium.find_element("tag name", "body").text
    assert "No frame made it through" in shown
    assert re.search(r"dropped: no pose at the image's stamp\s+3", shown)
    assert "Time per frame" not in shown
    assert chromium.get_log("browser") == []
