"""Fixtures of the projection tests: a depth sensor, and a pipeline for one frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.depth_scenes import Body
from support.label_image_engine import label_image_engine, three_class_matrix
from support.range_frames import SETTINGS, with_depth, with_points

from seg_perception.geometry.transforms import Transform
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.pipeline.result import Result
from seg_perception.sensor_data.frame import Frame
from seg_perception.settings.ground import GroundSettings


@pytest.fixture(params=[with_depth, with_points], ids=["depth", "points"])
def sensor(request: pytest.FixtureRequest) -> Callable[[list[Body], Transform], Frame]:
    return request.param


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., Result]:
    """Runs one frame through a new pipeline; keyword arguments change the projection settings."""
    matrix = three_class_matrix(tmp_path)

    def run(frame: Frame, ground: GroundSettings = SETTINGS.ground, **changes: object) -> Result:
        projection = replace(SETTINGS.projection, **changes)
        settings = replace(SETTINGS, ground=ground, projection=projection)
        return Pipeline(label_image_engine(settings), matrix, settings).process(frame)

    return run
