"""The reliability diagram shows each bin at its confidence and accuracy."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from seg_perception.evaluation.metrics.reliability_diagram import reliability_diagram_svg
from seg_perception.evaluation.metrics.segmentation import Reliability

# Ten decisions at 0.9 of which 6 are right, thirty at 0.5 of which 20 are: gaps of 0.3 and of -1/6.
SOME = Reliability.of(np.repeat([0.9, 0.5], [10, 30]), np.concatenate([np.arange(10) < 6, np.arange(30) < 20]))


def shapes(svg: str) -> dict[str, list[dict[str, str]]]:
    """Class -> attributes of the shapes that have it."""
    found: dict[str, list[dict[str, str]]] = {}
    for element in ElementTree.fromstring(svg).iter():
        found.setdefault(element.get("class", ""), []).append(dict(element.attrib))
    return found


def span(shape: dict[str, str], frame: dict[str, str]) -> list[float]:
    """Left, right, low and high of a rectangle, in units of the frame."""
    x, y, width, height = (float(shape[key]) for key in ("x", "y", "width", "height"))
    left, top, side = float(frame["x"]), float(frame["y"]), float(frame["width"])
    return [(x - left) / side, (x + width - left) / side, 1 - (y + height - top) / side, 1 - (y - top) / side]


def test_bars_end_at_the_accuracy_and_gaps_at_the_mean_confidence() -> None:
    drawn = shapes(reliability_diagram_svg(SOME))
    (frame,) = drawn["frame"]
    bars = [span(shape, frame) for shape in drawn["accuracy"]]
    gaps = [span(shape, frame) for shape in drawn["gap"]]
    np.testing.assert_allclose(bars, [[7 / 15, 8 / 15, 0, 2 / 3], [13 / 15, 14 / 15, 0, 0.6]], atol=1e-3)
    np.testing.assert_allclose(gaps, [[7 / 15, 8 / 15, 0.5, 2 / 3], [13 / 15, 14 / 15, 0.6, 0.9]], atol=1e-3)
    heights = [float(shape["height"]) for shape in drawn["share"]]
    assert heights[0] == pytest.approx(3 * heights[1])
    assert "before" not in drawn


def test_the_earlier_reliability_is_shown_as_circles() -> None:
    before = Reliability.of(np.full(10, 0.8), np.arange(10) < 2)
    svg = reliability_diagram_svg(SOME, before)
    drawn = shapes(svg)
    (frame,), (circle,) = drawn["frame"], drawn["before"]
    center = [(float(circle["cx"]) - float(frame["x"])), float(circle["cy"]) - float(frame["y"])]
    np.testing.assert_allclose(np.array(center) / float(frame["width"]), [0.8, 0.8], atol=1e-3)
    assert "ECE 0.2000 (circles: 0.6000 before)" in svg


def test_without_data_the_diagram_is_empty() -> None:
    drawn = shapes(reliability_diagram_svg(Reliability.of(np.zeros(0), np.zeros(0, bool))))
    assert "accuracy" not in drawn and "frame" in drawn
