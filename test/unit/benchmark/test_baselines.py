"""The baselines do what their sources do: each is compared with a loop over pixels, cells or messages."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from seg_perception.benchmark.baselines.baseline import BaselineInput, nav2_costs, upsample
from seg_perception.benchmark.baselines.nav2_tutorial import Nav2Tutorial, label_images, most_confident_pixels
from seg_perception.benchmark.baselines.pixel_projection import PixelProjection, ground_points
from seg_perception.benchmark.baselines.tiles import NO_CLASS, ClassTiles
from seg_perception.benchmark.baselines.warp_torch import WarpTorch, pixel_from_cell, warp
from seg_perception.benchmark.parts.baselines import agreement, available_baselines, most_probable
from seg_perception.geometry.camera import Camera
from seg_perception.geometry.grid_bounds import GridBounds
from seg_perception.geometry.transforms import Transform, mount_to_base_from_optical
from seg_perception.inference.engine import EngineOutput, VisualizationMaps
from seg_perception.model.card import ModelCard
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.sensor_data.frame import Frame
from seg_perception.settings.ground import GroundSettings
from seg_perception.utils.package_files import find

WIDTH, HEIGHT, CLASSES = 40, 30, 12


@pytest.fixture(scope="module")
def inputs() -> BaselineInput:
    rng = np.random.default_rng(5)
    camera = Camera.from_fields(WIDTH, HEIGHT, "plumb_bob", [30, 0, 19.5, 0, 30, 14.5, 0, 0, 1], ())
    frame = Frame(
        stamp_ns=10**9,
        image=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        channel_order="bgr",
        camera=camera,
        odom_from_base=Transform.from_xyz_rpy(3.0, -2.0, 0.0, 0.02, -0.03, 0.7),
        base_from_optical=mount_to_base_from_optical(0.2, 0.1, 1.2, 0.0, 0.3, 0.1),
        frame_id="camera",
    )
    card = ModelCard.load(find("models/urban.yaml"))
    cloud = rng.uniform(-1, 1, (HEIGHT, WIDTH, 3)).astype(np.float32) * (4, 2, 4) + (0, 0, 5)
    cloud[:5] = np.nan
    return BaselineInput(
        frame=frame,
        logits=rng.normal(0, 3, (CLASSES, HEIGHT // 2, WIDTH // 2)).astype(np.float32),
        cloud=cloud.astype(np.float32),
        bounds=GridBounds(-60, -30, 80, 120, 0.1),
        ground=GroundSettings(),
        matrix=CostMatrix.load(find("config/cost_matrices/road_car.yaml"), card.classes),
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    masses = np.exp(logits.astype(np.float64) - logits.max(axis=0))
    return masses / masses.sum(axis=0)


def test_label_and_confidence_images_are_those_of_a_softmax_at_full_size(inputs: BaselineInput) -> None:
    full = upsample(inputs.logits, inputs.size)
    labels, confidence = label_images(full)
    probabilities = softmax(full)
    np.testing.assert_array_equal(labels, probabilities.argmax(axis=0))
    assert (np.abs(confidence - 255 * probabilities.max(axis=0)) <= 1.0).all()


def test_each_tile_takes_its_most_confident_pixel_and_of_equals_the_first(inputs: BaselineInput) -> None:
    confidence = np.random.default_rng(1).integers(0, 4, WIDTH * HEIGHT).astype(np.uint8)
    odom_from_optical = inputs.frame.odom_from_base @ inputs.frame.base_from_optical
    best: dict[tuple[int, int], int] = {}
    for pixel, point in enumerate(inputs.cloud.reshape(-1, 3)):
        distance = math.dist(point, (0, 0, 0))
        if not (0.5 < distance < 10.0):
            continue
        x, y, _ = odom_from_optical.apply(point.astype(np.float64))
        tile = math.floor(y / 0.1), math.floor(x / 0.1)
        if tile not in best or confidence[pixel] > confidence[best[tile]]:
            best[tile] = pixel
    rows, columns, pixels = most_confident_pixels(inputs, confidence)
    reported = {(int(row), int(column)): int(pixel) for row, column, pixel in zip(rows, columns, pixels, strict=True)}
    assert len(best) > 200
    # Points within float32's rounding of a tile's edge may fall to either side.
    assert sum(reported.get(tile) == pixel for tile, pixel in best.items()) >= len(best) - 3


class Queues:
    """Observations of one tile, one by one, as the layer's description has it."""

    def __init__(self) -> None:
        self.seen: dict[int, list[int]] = defaultdict(list)
        self.dominant = NO_CLASS

    def forget(self, oldest: int) -> None:
        for kind in list(self.seen):
            self.seen[kind] = [stamp for stamp in self.seen[kind] if stamp >= oldest]
            if not self.seen[kind]:
                del self.seen[kind]
        if self.dominant not in self.seen:
            self.dominant = max(sorted(self.seen), key=lambda kind: len(self.seen[kind]), default=NO_CLASS)

    def push(self, kind: int, stamp: int) -> None:
        size = len(self.seen[self.dominant]) if self.dominant != NO_CLASS else 0
        self.seen[kind].append(stamp)
        if kind != self.dominant and len(self.seen[kind]) > size:
            self.dominant = kind
            self.seen = defaultdict(list, {kind: self.seen[kind]})


def test_tile_arrays_equal_queues_of_observations() -> None:
    rng = np.random.default_rng(7)
    memory, queues = ClassTiles(4, decay=5.0), [Queues() for _ in range(30)]
    indices = ClassTiles.indices(np.arange(30), np.arange(30) - 3)
    for second in range(60):
        seen = np.flatnonzero(rng.random(30) < 0.6)
        kinds = np.minimum(rng.integers(0, 6, seen.size), 3)
        memory.add(indices[seen], kinds, second * 10**9)
        for queue in queues:
            queue.forget(second - 5)
        for tile, kind in zip(seen, kinds, strict=True):
            queues[tile].push(int(kind), second)
        assert memory.dominant[indices].tolist() == [queue.dominant for queue in queues], f"after {second} s"


def test_the_tutorial_costmap_is_the_cost_of_the_dominant_class_of_each_tile(inputs: BaselineInput) -> None:
    output = Nav2Tutorial(CLASSES).process(inputs)
    assert output.labels is not None and output.confidence is not None
    rows, columns, pixels = most_confident_pixels(inputs, output.confidence.ravel())
    expected = np.full((inputs.bounds.rows, inputs.bounds.cols), np.nan)
    row, column = rows - inputs.bounds.first_row, columns - inputs.bounds.first_col
    inside = (row >= 0) & (row < inputs.bounds.rows) & (column >= 0) & (column < inputs.bounds.cols)
    costs = nav2_costs(inputs.matrix)[output.labels.ravel()[pixels]]
    expected[row[inside], column[inside]] = costs[inside]
    np.testing.assert_array_equal(output.known, np.isfinite(expected))
    np.testing.assert_array_equal(output.costs[output.known], expected[output.known])


def test_every_ground_point_projects_to_its_pixel(inputs: BaselineInput) -> None:
    frame, points = inputs.frame, ground_points(inputs)
    seen = np.isfinite(points).all(axis=1)
    assert 0.3 < seen.mean() < 1.0
    np.testing.assert_allclose(points[seen, 2], 0.0, atol=1e-9)
    optical = (frame.odom_from_base @ frame.base_from_optical).inverse().apply(points[seen])
    pixels, _ = frame.camera.project(optical)
    np.testing.assert_allclose(pixels[:, 0] + WIDTH * pixels[:, 1], np.flatnonzero(seen), atol=1e-6)


def test_a_cell_costs_the_most_expensive_class_projected_into_it(inputs: BaselineInput) -> None:
    output = PixelProjection().process(inputs)
    assert output.labels is not None
    expected = np.full(output.costs.shape, np.nan)
    camera_position = (inputs.frame.odom_from_base @ inputs.frame.base_from_optical).translation
    costs = nav2_costs(inputs.matrix)
    for (x, y, _), label in zip(ground_points(inputs), output.labels.ravel(), strict=True):
        if inputs.matrix.ignore[label] or not 0.5 <= math.hypot(x - camera_position[0], y - camera_position[1]) <= 10.0:
            continue
        row, column = math.floor(y / 0.1) + 60, math.floor(x / 0.1) + 30
        if 0 <= row < 80 and 0 <= column < 120:
            expected[row, column] = np.fmax(expected[row, column], costs[label])
    np.testing.assert_array_equal(output.known, np.isfinite(expected))
    np.testing.assert_array_equal(output.costs[output.known], expected[output.known])


def test_the_homography_maps_a_cell_to_its_pixel(inputs: BaselineInput) -> None:
    frame = inputs.frame
    for row, column in ((40, 70), (55, 60), (20, 90)):
        centre = np.array([(column - 30 + 0.5) * 0.1, (row - 60 + 0.5) * 0.1, 0.0])
        optical = (frame.odom_from_base @ frame.base_from_optical).inverse().apply(centre)
        if optical[2] <= 0:
            continue
        (u, v), _ = frame.camera.project(optical)
        homogeneous = pixel_from_cell(inputs) @ (column, row, 1)
        np.testing.assert_allclose(homogeneous[:2] / homogeneous[2], (u, v), atol=1e-9)


def test_warped_values_are_those_of_the_pixel_of_each_cell(inputs: BaselineInput) -> None:
    rows = np.repeat(np.arange(HEIGHT, dtype=np.float32)[:, np.newaxis], WIDTH, axis=1)
    warped = warp(inputs, rows)
    homography = pixel_from_cell(inputs)
    known = np.argwhere(warped >= 0)
    assert len(known) > 500
    for row, column in known[::50]:
        u, v, w = homography @ (column, row, 1)
        assert w > 0
        if 0 < u / w < WIDTH - 1 and 0 < v / w < HEIGHT - 1:
            assert warped[row, column] == pytest.approx(v / w, abs=0.05)  # OpenCV counts 1/32 of a pixel


def test_the_cost_image_of_the_warp_baseline_is_softmax_times_costs(inputs: BaselineInput) -> None:
    pytest.importorskip("torch")
    output = WarpTorch(threads=1).process(inputs)
    assert output.expected_cost is not None
    probabilities = softmax(upsample(inputs.logits, inputs.size))
    expected = np.minimum(np.einsum("khw,k->hw", probabilities, inputs.matrix.traverse), 254)
    np.testing.assert_allclose(output.expected_cost, expected, atol=0.05)
    assert output.known.any() and not output.known.all()


def test_without_pytorch_the_other_baselines_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert [baseline.key for baseline in available_baselines(CLASSES, None)] == ["nav2_tutorial", "pixel_projection"]


def test_agreement_counts_equal_outputs(inputs: BaselineInput) -> None:
    labels = np.zeros((1, 2, 5), np.uint8)
    output = EngineOutput(
        labels, np.zeros((1, 1, CLASSES), np.float32), lambda: VisualizationMaps(labels + 100, labels)
    )
    pixel_projection = PixelProjection().process(inputs)
    costs, known = np.array([[254.0, 0.0, 0.0]]), np.array([[True, True, False]])
    other = replace(
        pixel_projection,
        costs=np.array([[254.0, 254.0, 0.0]], np.float32),
        known=np.array([[True, True, True]]),
        labels=np.array([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], np.uint8),
        confidence=np.array([[100, 99, 101, 102, 98], [100] * 5], np.uint8),
    )
    reported = agreement(output, costs.astype(np.float32), known, other)
    assert reported == {"labels": 0.9, "confidence": 0.8, "cells": pytest.approx(2 / 3, abs=1e-6), "lethal": 0.5}


def test_equal_misclassification_costs_decide_for_the_most_probable_class(inputs: BaselineInput) -> None:
    matrix = most_probable(inputs.matrix)
    probabilities = softmax(inputs.logits).reshape(CLASSES, -1)
    decided = (matrix.misclassification @ probabilities).argmin(axis=0)
    np.testing.assert_array_equal(decided, probabilities.argmax(axis=0))
    np.testing.assert_array_equal(matrix.traverse, inputs.matrix.traverse)
