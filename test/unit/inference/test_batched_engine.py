"""Several cameras, one grid and one network: what they see together, and what is left when one of them goes blind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import tiny_networks as tiny
from support.painted_engine import painted_box, painted_engine, painted_matrix

from seg_perception.errors import GeometryError
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.inference.backends import open_engine
from seg_perception.inference.batched_engine import open_for_several
from seg_perception.inference.engine import Engine
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.pipeline.pipeline import Pipeline, Result
from seg_perception.projection.flat_ground.sampling import GroundSettings
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import Frame
from seg_perception.settings.grid import GridSettings
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
    return painted_matrix(tmp_path)


def frame_of(
    mount: Transform,
    stamp_ns: int = SECOND,
    pose: Transform | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> Frame:
    pose = pose or Transform.identity()
    return Frame(stamp_ns, painted_box(CAMERA, pose @ mount, box), "bgr", CAMERA, pose, mount, "camera")


def at(result: Result, x: float, y: float) -> int:
    col, row = np.floor((np.array([x, y]) - result.raster.origin) / result.raster.resolution).astype(int)
    return int(result.costmap[row, col])


def is_free(result: Result, x: float, y: float) -> bool:
    return 0 <= at(result, x, y) <= 5


class TestOneBox:
    """Two cameras that look at the same two faces of a box, from two places."""

    BOX = (2.6, 3.0, 1.1, 1.5)

    @pytest.mark.parametrize("here", [(0.0, 0.0), (-0.37, 0.18)])
    def test_its_faces_lie_within_a_cell_of_where_they_are_and_of_each_other(
        self, matrix: CostMatrix, here: tuple[float, float]
    ) -> None:
        faces = []
        for mount in (FRONT, LEFT):
            frame = frame_of(mount, pose=Transform.from_xyz_rpy(*here, 0.0, 0.0, 0.0, 0.0), box=self.BOX)
            result = Pipeline(painted_engine(SETTINGS), matrix, SETTINGS).process(frame)
            faces.append(result.raster.centres()[result.costmap == 100].min(axis=0))
        assert np.abs(faces - np.array([self.BOX[0], self.BOX[2]])).max() <= SETTINGS.grid.resolution
        assert np.abs(faces[0] - faces[1]).max() <= SETTINGS.grid.resolution + 1e-9

    def test_together_they_make_it_no_larger_and_free_no_part_of_it(self, matrix: CostMatrix) -> None:
        alone = [
            Pipeline(painted_engine(SETTINGS), matrix, SETTINGS).process(frame_of(mount, box=self.BOX))
            for mount in (FRONT, LEFT)
        ]
        pipeline = Pipeline(painted_engine(SETTINGS), matrix, SETTINGS)
        both = pipeline.finish([pipeline.prepare(frame_of(mount, box=self.BOX)) for mount in (FRONT, LEFT)])[0]
        by_either = (alone[0].costmap == 100) | (alone[1].costmap == 100)
        assert not ((both.costmap == 100) & ~by_either).any()
        assert at(both, 2.65, 1.15) == 100


class TestOneRun:
    """Frames of several cameras that go through the network together."""

    def test_gives_the_same_costmap_as_one_after_the_other(self, matrix: CostMatrix) -> None:
        frames = [frame_of(FRONT), frame_of(LEFT, round(1.02 * SECOND), box=TestOneBox.BOX)]
        one, other = (Pipeline(painted_engine(SETTINGS), matrix, SETTINGS) for _ in range(2))
        singly = [one.process(frame) for frame in frames]
        together = other.finish([other.prepare(frame) for frame in frames])
        for result in together:
            assert result.costmap.tobytes() == singly[-1].costmap.tobytes() and result.stamp_ns == frames[1].stamp_ns
        for result, alone in zip(together, singly, strict=True):
            assert result.frame is alone.frame and result.output.labels.tobytes() == alone.output.labels.tobytes()

    def test_of_a_frame_that_comes_late_the_costmap_has_the_stamp_of_the_newest(self, matrix: CostMatrix) -> None:
        pipeline = Pipeline(painted_engine(SETTINGS), matrix, SETTINGS)
        pipeline.process(frame_of(FRONT, 2 * SECOND))
        assert pipeline.process(frame_of(LEFT, round(1.9 * SECOND))).stamp_ns == 2 * SECOND

    def test_a_frame_without_ground_in_view_is_refused_before_the_grid_hears_of_any(self, matrix: CostMatrix) -> None:
        pipeline = Pipeline(painted_engine(SETTINGS), matrix, SETTINGS)
        with pytest.raises(GeometryError):
            pipeline.prepare(frame_of(mount_to_base_from_optical(0.0, 0.0, 1.0, 0.0, -1.0, 0.0)))
        assert not pipeline.grid.evidence.any()


class TestBlindness:
    """A camera that gives no results any more."""

    def _blind_left(self, matrix: CostMatrix, moved: Transform, within: float = 1.0) -> tuple[Pipeline, Result]:
        pipeline = Pipeline(painted_engine(SETTINGS), matrix, SETTINGS)
        pipeline.process(frame_of(FRONT))
        last = pipeline.process(frame_of(LEFT))
        later = pipeline.prepare(frame_of(FRONT, 4 * SECOND, moved))
        return pipeline, pipeline.finish([later], [last], within)[0]

    def test_leaves_no_free_cell_in_its_view_that_no_other_camera_shows(self, matrix: CostMatrix) -> None:
        _, result = self._blind_left(matrix, Transform.identity())
        seen_by_left = Pipeline(painted_engine(SETTINGS), matrix, SETTINGS).process(frame_of(LEFT)).costmap >= 0
        seen_by_front = Pipeline(painted_engine(SETTINGS), matrix, SETTINGS).process(frame_of(FRONT)).costmap >= 0
        assert (seen_by_left & ~seen_by_front).sum() > 300
        assert (result.costmap[seen_by_left & ~seen_by_front] == -1).all()
        assert (result.costmap[seen_by_front] >= 0).all(), "what the other camera sees stays"
        assert result.blind is not None and result.blind[seen_by_left & ~seen_by_front].all()

    def test_it_is_the_view_from_where_the_robot_is_now(self, matrix: CostMatrix) -> None:
        ahead = Transform.from_xyz_rpy(2.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        _, result = self._blind_left(matrix, ahead)
        assert at(result, 3.0, 2.5) == -1, "ahead to the left, where only the blind camera looks now"
        assert is_free(result, 0.8, 1.5), "memory behind its view is as good as that of any camera"

    def test_what_another_camera_has_shown_lately_stays(self, matrix: CostMatrix) -> None:
        _, result = self._blind_left(matrix, Transform.identity(), within=10.0)
        assert is_free(result, 0.8, 1.5)

    def test_when_it_sees_again_its_cells_are_known_again(self, matrix: CostMatrix) -> None:
        pipeline, result = self._blind_left(matrix, Transform.identity())
        assert at(result, 0.8, 1.5) == -1
        again = pipeline.process(frame_of(LEFT, 5 * SECOND))
        assert is_free(again, 0.8, 1.5) and again.blind is None


class Clocked:
    """An engine whose runs take as long as one says."""

    def __init__(self, engine: Engine, milliseconds: float) -> None:
        self._engine, self._milliseconds = engine, milliseconds
        self.card, self.spec, self.run = engine.card, engine.spec, engine.run
        self.closed = False

    def time_network(self, runs: int = 1) -> list[float]:
        return [self._milliseconds] * runs

    def describe(self) -> str:
        return self._engine.describe()

    def close(self) -> None:
        self.closed = True
        self._engine.close()


class TestEngineForSeveral:
    """One network for the images of three cameras."""

    COSTS = np.vstack([1 - np.eye(5), np.arange(5)]).astype(np.float32)

    def open(self, folder: Path, batch: int | str, together_ms: float) -> tuple[Engine, list[Clocked], list[str]]:
        path = tiny.save(folder, tiny.network(batch=batch), tiny.card())
        opened: list[Clocked] = []
        said: list[str] = []

        def open_one(spec: GraphSpec) -> Engine:
            opened.append(Clocked(open_engine(path, spec), 10.0 if spec.batch == 1 else together_ms))
            return opened[-1]

        return open_for_several(open_one, GraphSpec(cells=3, logits=True), 3, said.append), opened, said

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_answers_for_any_number_of_them_as_for_each_alone(self, tmp_path: Path, count: int) -> None:
        engine, opened, _ = self.open(tmp_path, "N", together_ms=12.0)
        rng = np.random.default_rng(count)
        images = rng.integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)
        cells = rng.uniform(-1, 1, (count, 3, 2)).astype(np.float32)
        together = engine.run(images, self.COSTS, cells)
        assert engine.spec.batch == 3
        for number in range(count):
            alone = opened[0].run(images[number : number + 1], self.COSTS, cells[number : number + 1])
            one = together.of(number)
            assert one.labels.tobytes() == alone.labels.tobytes()
            for name in ("cell_probabilities", "logits"):
                np.testing.assert_allclose(getattr(one, name), getattr(alone, name), rtol=1e-4, atol=1e-6)

    def test_takes_them_one_by_one_where_together_is_no_faster(self, tmp_path: Path) -> None:
        engine, opened, said = self.open(tmp_path, "N", together_ms=29.0)
        assert engine is opened[0] and opened[1].closed and not opened[0].closed
        assert "10 ms each: all in one run take 29 ms" in said[0]

    def test_takes_them_one_by_one_where_the_file_is_fixed_to_one_image(self, tmp_path: Path) -> None:
        engine, opened, said = self.open(tmp_path, 1, together_ms=1.0)
        assert engine is opened[0] and "is fixed to 1 image per run" in said[0]

    def test_closes_all_that_it_opened(self, tmp_path: Path) -> None:
        engine, opened, _ = self.open(tmp_path, "N", together_ms=12.0)
        assert "up to 3 images in one run" in engine.describe()
        engine.close()
        assert [each.closed for each in opened] == [True, True]
