"""Several cameras in one pipeline: the costmap of all, and what remains when one goes stale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.label_image_engine import label_image_engine, render_box, three_class_matrix

from seg_perception.errors import GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.pipeline.result import Result
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import Frame
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.ground import GroundSettings
from seg_perception.settings.pipeline import PipelineSettings

SETTINGS = PipelineSettings(
    GroundSettings(attitude_error=0.0005, max_samples=12_000, max_range=6.0),
    GridSettings(width=14.0, height=14.0, half_life=3600.0, prior_strength=1e-4),
)
FRONT = mount_to_base_from_optical(0.3, 0.0, 1.0, 0.0, 0.35, 0.0)
LEFT = mount_to_base_from_optical(0.0, 0.3, 0.8, 0.0, 0.35, 0.7)
CAMERA = Camera.from_fields(320, 240, "plumb_bob", [240.0, 0, 159.5, 0, 240.0, 119.5, 0, 0, 1], [])
SECOND = 10**9


@pytest.fixture
def matrix(tmp_path: Path) -> CostMatrix:
    return three_class_matrix(tmp_path)


def frame_of(
    extrinsics: Transform,
    stamp_ns: int = SECOND,
    pose: Transform | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> Frame:
    pose = pose or Transform.identity()
    return Frame(stamp_ns, render_box(CAMERA, pose @ extrinsics, box), "bgr", CAMERA, pose, extrinsics, "camera")


def at(result: Result, x: float, y: float) -> int:
    col, row = np.floor((np.array([x, y]) - result.bounds.origin) / result.bounds.resolution).astype(int)
    return int(result.costmap[row, col])


def is_free(result: Result, x: float, y: float) -> bool:
    return 0 <= at(result, x, y) <= 5


class TestOneBox:
    """Two cameras that look at the same two faces of a box, from two places."""

    BOX = (2.6, 3.0, 1.1, 1.5)

    @pytest.mark.parametrize("here", [(0.0, 0.0), (-0.37, 0.18)])
    def test_its_faces_lie_within_a_cell_of_the_ground_truth_and_of_each_other(
        self, matrix: CostMatrix, here: tuple[float, float]
    ) -> None:
        faces = []
        for extrinsics in (FRONT, LEFT):
            frame = frame_of(extrinsics, pose=Transform.from_xyz_rpy(*here, 0.0, 0.0, 0.0, 0.0), box=self.BOX)
            result = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS).process(frame)
            faces.append(result.bounds.centres()[result.costmap == 100].min(axis=0))
        assert np.abs(faces - np.array([self.BOX[0], self.BOX[2]])).max() <= SETTINGS.grid.resolution
        assert np.abs(faces[0] - faces[1]).max() <= SETTINGS.grid.resolution + 1e-9

    def test_two_views_neither_enlarge_nor_free_it(self, matrix: CostMatrix) -> None:
        alone = [
            Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS).process(frame_of(extrinsics, box=self.BOX))
            for extrinsics in (FRONT, LEFT)
        ]
        pipeline = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS)
        prepared = [pipeline.prepare(frame_of(extrinsics, box=self.BOX)) for extrinsics in (FRONT, LEFT)]
        both = pipeline.finish(prepared)[0]
        by_either = (alone[0].costmap == 100) | (alone[1].costmap == 100)
        assert not ((both.costmap == 100) & ~by_either).any()
        assert at(both, 2.65, 1.15) == 100


class TestOneRun:
    """Frames of several cameras that go through the network together."""

    def test_gives_the_same_costmap_as_one_after_the_other(self, matrix: CostMatrix) -> None:
        frames = [frame_of(FRONT), frame_of(LEFT, round(1.02 * SECOND), box=TestOneBox.BOX)]
        one, other = (Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS) for _ in range(2))
        singly = [one.process(frame) for frame in frames]
        together = other.finish([other.prepare(frame) for frame in frames])
        for result in together:
            assert result.costmap.tobytes() == singly[-1].costmap.tobytes() and result.stamp_ns == frames[1].stamp_ns
        for result, alone in zip(together, singly, strict=True):
            assert result.frame is alone.frame and result.output.labels.tobytes() == alone.output.labels.tobytes()

    def test_a_late_frame_keeps_the_newest_stamp_of_the_costmap(self, matrix: CostMatrix) -> None:
        pipeline = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS)
        pipeline.process(frame_of(FRONT, 2 * SECOND))
        assert pipeline.process(frame_of(LEFT, round(1.9 * SECOND))).stamp_ns == 2 * SECOND

    def test_a_frame_without_ground_in_view_is_refused_before_the_grid_changes(self, matrix: CostMatrix) -> None:
        pipeline = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS)
        with pytest.raises(GeometryError):
            pipeline.prepare(frame_of(mount_to_base_from_optical(0.0, 0.0, 1.0, 0.0, -1.0, 0.0)))
        assert not pipeline.grid.evidence.any()


class TestStaleCamera:
    """A camera that delivers no results any more."""

    def _stale_left(self, matrix: CostMatrix, moved: Transform, within: float = 1.0) -> tuple[Pipeline, Result]:
        pipeline = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS)
        pipeline.process(frame_of(FRONT))
        last = pipeline.process(frame_of(LEFT))
        later = pipeline.prepare(frame_of(FRONT, 4 * SECOND, moved))
        return pipeline, pipeline.finish([later], [last], within)[0]

    def test_cells_in_its_view_that_no_other_camera_sees_become_unknown(self, matrix: CostMatrix) -> None:
        _, result = self._stale_left(matrix, Transform.identity())
        seen_by_left = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS).process(frame_of(LEFT)).costmap >= 0
        seen_by_front = Pipeline(label_image_engine(SETTINGS), matrix, SETTINGS).process(frame_of(FRONT)).costmap >= 0
        assert (seen_by_left & ~seen_by_front).sum() > 300
        assert (result.costmap[seen_by_left & ~seen_by_front] == -1).all()
        assert (result.costmap[seen_by_front] >= 0).all(), "what the other camera sees stays"
        assert result.stale_cells is not None and result.stale_cells[seen_by_left & ~seen_by_front].all()

    def test_its_view_is_that_from_the_present_pose(self, matrix: CostMatrix) -> None:
        ahead = Transform.from_xyz_rpy(2.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        _, result = self._stale_left(matrix, ahead)
        assert at(result, 3.0, 2.5) == -1, "ahead to the left, which only the stale camera covers now"
        assert is_free(result, 0.8, 1.5), "cells out of its current view are kept"

    def test_cells_seen_recently_by_another_camera_stay(self, matrix: CostMatrix) -> None:
        _, result = self._stale_left(matrix, Transform.identity(), within=10.0)
        assert is_free(result, 0.8, 1.5)

    def test_its_cells_are_known_again_after_the_next_image(self, matrix: CostMatrix) -> None:
        pipeline, result = self._stale_left(matrix, Transform.identity())
        assert at(result, 0.8, 1.5) == -1
        again = pipeline.process(frame_of(LEFT, 5 * SECOND))
        assert is_free(again, 0.8, 1.5) and again.stale_cells is None
