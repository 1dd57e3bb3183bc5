"""Two cameras and one grid: the evidence must not depend on the order of their frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.label_image_engine import label_image_engine, three_class_matrix

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.pipeline.pipeline import Pipeline
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import Frame
from seg_perception.settings.grid import GridSettings
from seg_perception.settings.ground import GroundSettings
from seg_perception.settings.pipeline import PipelineSettings

SIZE = (96, 72)
SETTINGS = PipelineSettings(
    GroundSettings(max_samples=3000, max_range=4.0),
    GridSettings(width=6.0, height=6.0, resolution=0.2, half_life=0.5, prior_strength=1e-4),
)
# Both fields of view cover the area ahead to the left.
EXTRINSICS = {
    "front": mount_to_base_from_optical(0.2, 0.0, 1.0, 0.0, 0.4, 0.0),
    "left": mount_to_base_from_optical(0.0, 0.2, 1.0, 0.0, 0.4, 0.8),
}
_K = [0.6 * SIZE[0], 0, (SIZE[0] - 1) / 2, 0, 0.6 * SIZE[0], (SIZE[1] - 1) / 2, 0, 0, 1]
CAMERA = Camera.from_fields(*SIZE, "plumb_bob", _K, [])


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> CostMatrix:
    return three_class_matrix(tmp_path_factory.mktemp("matrix"))


def frame_of(name: str, stamp_ns: int, pose: Transform, seed: int) -> Frame:
    """An image of random blobs of the three classes: fusion must not depend on where they are."""
    blobs = np.random.default_rng(seed).integers(0, 3, (SIZE[1] // 12, SIZE[0] // 12, 1), dtype=np.uint8)
    image = np.ascontiguousarray(np.kron(blobs, np.ones((12, 12, 3), np.uint8)))
    return Frame(stamp_ns, image, "bgr", CAMERA, pose, EXTRINSICS[name], name)


def _grid_after(frames: list[Frame], matrix: CostMatrix, chosen: PipelineSettings = SETTINGS) -> Pipeline:
    pipeline = Pipeline(label_image_engine(chosen, *SIZE), matrix, chosen)
    for frame in frames:
        pipeline.process(frame)
    return pipeline


def _drive(count: int, seed: int) -> list[Frame]:
    """Frames of both cameras, up to 100 ms apart, on a robot that drives a curve at 2 m/s."""
    rng = np.random.default_rng(seed)
    frames, time = [], 10.0
    for number in range(count):
        time += float(rng.uniform(0.001, 0.1))
        pose = Transform.from_xyz_rpy(2.0 * time, 0.3 * time, 0.0, 0.0, 0.0, 0.2 * time)
        frames.append(frame_of("front" if rng.random() < 0.5 else "left", round(time * 1e9), pose, seed + number))
    return frames


@settings(max_examples=10, deadline=None)
@given(count=st.integers(2, 5), seed=st.integers(0, 10**6), order=st.randoms(use_true_random=False))
def test_the_evidence_does_not_depend_on_the_order_of_frames(count: int, seed: int, order, matrix: CostMatrix) -> None:
    frames = _drive(count, seed)
    shuffled = frames[:]
    order.shuffle(shuffled)
    in_time, anyhow = (_grid_after(each, matrix).grid for each in (frames, shuffled))
    assert anyhow.bounds == in_time.bounds and anyhow.stamp_ns == in_time.stamp_ns == frames[-1].stamp_ns
    np.testing.assert_allclose(anyhow.evidence, in_time.evidence, rtol=2e-5, atol=1e-8)
    np.testing.assert_array_equal(anyhow.seen_ns, in_time.seen_ns)


def test_with_clearing_and_half_lives_only_cells_that_both_saw_may_differ(matrix: CostMatrix) -> None:
    chosen = replace(SETTINGS, grid=replace(SETTINGS.grid, clearing=0.8, half_lives=(("Box", 0.2),)))
    first, second = _drive(2, seed=3)
    second = replace(second, base_from_optical=EXTRINSICS["left" if first.frame_id == "front" else "front"])
    pair = [_grid_after(each, matrix, chosen).grid for each in ([first, second], [second, first])]
    seen = [_grid_after([each], matrix, chosen).grid for each in (first, second)]
    row, col = (pair[0].first_row - seen[0].first_row, pair[0].first_col - seen[0].first_col)
    by_first = np.zeros_like(seen[1].evidence[0], bool)
    both = seen[0].evidence.sum(axis=0) > 0
    by_first[: both.shape[0] - row, : both.shape[1] - col] = both[row:, col:]
    both = by_first & (seen[1].evidence.sum(axis=0) > 0)
    assert both.any(), "they observe the same ground"
    np.testing.assert_allclose(pair[0].evidence[:, ~both], pair[1].evidence[:, ~both], rtol=2e-5, atol=1e-8)
    share = [grid.evidence.sum(axis=0)[both].sum() for grid in pair]
    assert share[0] == pytest.approx(share[1], rel=0.1)


def test_a_frame_that_comes_late_by_more_than_a_short_half_life_does_not_empty_the_grid(matrix: CostMatrix) -> None:
    chosen = replace(SETTINGS, grid=replace(SETTINGS.grid, half_life=0.05))
    here = Transform.identity()
    newest = frame_of("front", 10 * 10**9, here, 1)
    alone = _grid_after([newest], matrix, chosen).grid
    late = _grid_after([newest, frame_of("left", round(9.8e9), here, 2)], matrix, chosen).grid
    assert late.stamp_ns == newest.stamp_ns
    assert (late.evidence >= alone.evidence).all() and late.evidence.sum() > alone.evidence.sum()


def test_a_late_frame_does_not_move_the_grid_back(matrix: CostMatrix) -> None:
    there = Transform.from_xyz_rpy(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    newest, late = frame_of("front", 10 * 10**9, there, 1), frame_of("left", round(9.9e9), Transform.identity(), 2)
    pipeline = _grid_after([newest], matrix)
    bounds = pipeline.grid.bounds
    assert pipeline.process(late).bounds == bounds
