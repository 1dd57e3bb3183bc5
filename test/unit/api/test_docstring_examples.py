"""The examples in the docstrings of the public API, which the reference shows, run as they stand."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest

import seg_perception as sp
from seg_perception.geometry.transforms import mount_to_base_from_optical
from seg_perception.simulation.drive import Scenario
from seg_perception.simulation.drive_bag import write_drive
from seg_perception.utils.package_files import find

CAMERA = sp.Camera.from_fields(480, 360, "plumb_bob", [400, 0, 239.5, 0, 400, 179.5, 0, 0, 1], [0.0] * 5)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the examples take for granted."""
    bag = tmp_path_factory.mktemp("drive") / "bag"
    write_drive(bag, Scenario(CAMERA, duration=0.1))
    settings = sp.PipelineSettings()
    engine = sp.open_engine(find("models/urban.onnx"), sp.graph_spec(settings))
    matrix = sp.CostMatrix.load(find("config/cost_matrices/road_car.yaml"), engine.card.classes)
    base_from_optical = mount_to_base_from_optical(1.0, 0.0, 1.35, 0.0, 0.04, 0.0)
    pixels = np.zeros((360, 480, 3), np.uint8)
    return {
        "sp": sp,
        "np": np,
        "find": find,
        "bag": str(bag),
        "engine": engine,
        "pipeline": sp.Pipeline(engine, matrix, settings),
        "camera": CAMERA,
        "base_from_optical": base_from_optical,
        "frame": sp.Frame(0, pixels, "rgb", CAMERA, sp.Transform.identity(), base_from_optical, "camera"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in sp.__all__ if name != "__version__"])
def test_the_example_of_a_public_name_gives_what_it_shows(name: str, given: dict[str, Any]) -> None:
    text = getattr(sp, name).__doc__
    example = doctest.DocTestParser().get_doctest(text, dict(given), name, None, None)
    assert example.examples
    report: list[str] = []
    doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert not report, "".join(report)
