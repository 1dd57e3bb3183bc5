"""Selection of the projection of a frame, and the reasons against better ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.depth_scenes import (
    ROAD,
    Body,
    block,
    ground,
)
from support.label_image_engine import label_image_engine, three_class_matrix
from support.range_frames import (
    HERE,
    SETTINGS,
    STAMP,
    cells_within,
    is_free,
    with_depth,
    with_points,
)

from seg_perception.errors import ProjectionError
from seg_perception.geometry.transforms import Transform
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.pipeline.result import Result
from seg_perception.projection import select
from seg_perception.sensor_data.frame import Frame

Sensor = Callable[[list[Body], Transform], Frame]
Process = Callable[..., Result]


def test_auto_prefers_points_then_depth_then_flat_ground_and_gives_the_reasons(process: Process) -> None:
    bodies = [ground()]
    both = replace(with_depth(bodies, HERE), points=with_points(bodies, HERE).points)
    aside = np.float32([[-5.0, 0.0, 0.0]])
    level = np.float32([[5.0, y, 0.0] for y in np.linspace(-2, 2, 50)])
    late = STAMP + 6 * 10**7
    for frame, projection, refused in (
        (both, "points", ()),
        (replace(both, points=replace(both.points, stamp_ns=late)), "depth", (select.POINTS_LATE,)),
        (replace(both, points=replace(both.points, xyz=aside)), "depth", (select.POINTS_NO_GROUND,)),
        (replace(both, points=replace(both.points, xyz=level)), "depth", (select.POINTS_NO_GROUND,)),
        (replace(both, points=None), "depth", (select.NO_POINTS,)),
        (replace(both, points=None, depth=None), "plane", (select.NO_POINTS, select.NO_DEPTH)),
        (
            replace(both, points=None, depth=replace(both.depth, stamp_ns=late)),
            "plane",
            (select.NO_POINTS, select.DEPTH_LATE),
        ),
        (
            replace(both, points=None, depth=replace(both.depth, metres=both.depth.metres[:-40])),
            "plane",
            (select.NO_POINTS, select.DEPTH_SHAPE),
        ),
    ):
        result = process(frame)
        assert (result.projection, result.refused) == (projection, refused)
        assert is_free(cells_within(result, (4.0, 6.0), (-0.5, 0.5))).all()


@pytest.mark.parametrize("mode", ["auto", "depth"])
def test_an_empty_depth_image_frees_nothing(process: Process, mode: str) -> None:
    frame = with_depth([ground()], HERE)
    for nothing in (np.nan, 0.0, np.inf, -1.0):
        empty = replace(frame, depth=replace(frame.depth, metres=np.full((240, 320), nothing, np.float32)))
        result = process(empty, mode=mode)
        assert result.projection == "depth" and select.DEPTH_NO_GROUND in result.refused
        assert (result.costmap == -1).all()


def test_a_projection_that_is_configured_but_not_possible_is_an_error(
    process: Process,
) -> None:
    frame = with_depth([ground()], HERE)
    with pytest.raises(ProjectionError, match=r"projection\.mode is points, but a frame has no point cloud") as caught:
        process(frame, mode="points")
    assert caught.value.reason == select.NO_POINTS
    assert process(frame, mode="plane").projection == "plane"


def test_flat_ground_does_not_clear_obstacles_measured_by_depth(tmp_path: Path) -> None:
    pipeline = Pipeline(label_image_engine(SETTINGS), three_class_matrix(tmp_path), SETTINGS)
    frame = with_depth([ground(), block((5.04, 5.6), (-0.5, 0.5), (0.0, 0.3), ROAD)], HERE)
    pipeline.process(frame)
    for step in range(1, 60):
        result = pipeline.process(replace(frame, stamp_ns=STAMP + step * 2 * 10**8, depth=None))
        front = cells_within(result, (4.95, 5.1), (-0.4, 0.4))
        assert result.projection == "plane" and (front != 0).any(axis=1).all(), (
            "lethal first, unknown later, never free"
        )
