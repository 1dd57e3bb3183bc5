"""The boundary F-score against brute force over all pairs of boundary pixels, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg_perception.evaluation.metrics.boundary import DEFAULT_TOLERANCE, BoundaryScores, Tolerance, boundary_f_score

VOID = 255
SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))


def boundary_pixels(labels: np.ndarray, number: int, labelled: np.ndarray) -> list[tuple[int, int]]:
    height, width = labels.shape
    found = []
    for y in range(height):
        for x in range(width):
            around = [(y + dy, x + dx) for dy, dx in SIDES if 0 <= y + dy < height and 0 <= x + dx < width]
            bounded = any(labelled[pixel] and labels[pixel] != number for pixel in around)
            if labels[y, x] == number and labelled[y, x] and bounded:
                found.append((y, x))
    return found


def by_brute_force(ground_truth: np.ndarray, predicted: np.ndarray, classes: int, tolerance: float) -> list[float]:
    def near(pixel: tuple[int, int], others: list[tuple[int, int]]) -> bool:
        return any((pixel[0] - y) ** 2 + (pixel[1] - x) ** 2 <= tolerance**2 + 1e-9 for y, x in others)

    void = [(int(y), int(x)) for y, x in np.argwhere(ground_truth == VOID)]
    scores = []
    for number in range(classes):
        true = boundary_pixels(ground_truth, number, ground_truth != VOID)
        found = boundary_pixels(predicted, number, np.ones(ground_truth.shape, bool))
        counted = [pixel for pixel in found if not near(pixel, void)]
        if not true and not counted:
            scores.append(math.nan)
            continue
        precision = np.mean([near(pixel, true) for pixel in counted]) if counted else 1.0
        recall = np.mean([near(pixel, found) for pixel in true]) if true else 1.0
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return scores


def blobs(rng: np.random.Generator, shape: tuple[int, int], classes: int, void: bool) -> np.ndarray:
    coarse = rng.integers(0, classes, (-(-shape[0] // 4), -(-shape[1] // 4)))
    labels = np.kron(coarse, np.ones((4, 4), int))[: shape[0], : shape[1]].astype(np.uint8)
    speckle = rng.random(shape) < 0.03
    labels[speckle] = rng.integers(0, classes, int(speckle.sum()))
    if void:
        labels[rng.random(shape) < 0.02] = VOID
    return labels


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([0.0, 1.0, 1.5, math.sqrt(2), 2.0, 5.0]))
def test_score_agrees_with_comparing_every_pair_of_boundary_pixels(seed: int, void: bool, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 18)), int(rng.integers(1, 18)))
    ground_truth, predicted = blobs(rng, shape, 3, void), blobs(rng, shape, 3, False)
    scores = boundary_f_score(ground_truth, predicted, 3, tolerance)
    np.testing.assert_allclose(scores, by_brute_force(ground_truth, predicted, 3, tolerance), atol=1e-6)


def halves(split: int, size: int = 20) -> np.ndarray:
    labels = np.zeros((size, size), np.uint8)
    labels[:, split:] = 1
    return labels


def test_a_boundary_moved_within_the_tolerance_matches_and_beyond_it_does_not() -> None:
    assert boundary_f_score(halves(10), halves(13), 2, 3.0).tolist() == [1.0, 1.0]
    assert boundary_f_score(halves(10), halves(13), 2, 2.9).tolist() == [0.0, 0.0]


def test_an_identical_map_is_perfect_at_a_tolerance_of_zero() -> None:
    ground_truth = blobs(np.random.default_rng(0), (30, 30), 4, False)
    assert boundary_f_score(ground_truth, ground_truth, 4, 0.0).tolist() == [1.0] * 4


def test_classes_in_neither_map_have_no_score_and_classes_in_one_map_score_zero() -> None:
    nothing, half = np.zeros((8, 8), np.uint8), halves(4, 8)
    assert np.isnan(boundary_f_score(nothing, nothing, 2, 1.0)).all(), "an image of one class has no boundary"
    assert boundary_f_score(half, nothing, 2, 1.0).tolist() == [0.0, 0.0], "false negative"
    assert boundary_f_score(nothing, half, 2, 1.0).tolist() == [0.0, 0.0], "false positive"


def test_a_single_pixel_is_its_own_boundary() -> None:
    ground_truth = np.zeros((9, 9), np.uint8)
    ground_truth[4, 4] = 1
    moved = np.roll(ground_truth, 2, axis=1)
    assert boundary_f_score(ground_truth, ground_truth, 2, 0.0)[1] == 1.0
    assert boundary_f_score(ground_truth, moved, 2, 1.0)[1] == 0.0
    assert boundary_f_score(ground_truth, moved, 2, 2.0)[1] == 1.0


def test_boundaries_in_unlabelled_pixels_are_ignored() -> None:
    ground_truth = halves(10)
    ground_truth[:, 8:12] = VOID
    for split in (8, 10, 12):
        assert np.isnan(boundary_f_score(ground_truth, halves(split), 2, 2.0)).all()
    assert boundary_f_score(ground_truth, halves(16), 2, 2.0).tolist() == [0.0, 0.0]


def test_the_image_edge_is_no_boundary() -> None:
    ground_truth, predicted = halves(10), halves(10)
    predicted[0] = 1  # differs at the edge only: the part of class 1 that runs along it borders on class 0 below
    scores = boundary_f_score(ground_truth, predicted, 2, 1.0)
    assert scores[0] < 1.0
    assert boundary_f_score(np.full((5, 5), 1, np.uint8), halves(2, 5), 2, 9.0).tolist() == [0.0, 0.0]


def test_the_tolerance_is_a_share_of_the_diagonal_or_pixels() -> None:
    assert DEFAULT_TOLERANCE.pixels((360, 480)) == pytest.approx(4.5)
    assert Tolerance(3.0, "px").pixels((360, 480)) == 3.0
    assert str(DEFAULT_TOLERANCE) == "0.75 % of the diagonal" and str(Tolerance(3.0, "px")) == "3 px"


def test_images_without_a_class_do_not_enter_its_mean() -> None:
    first, second = (BoundaryScores.of(np.array(scores)) for scores in ([1.0, 0.5, np.nan], [0.0, np.nan, np.nan]))
    assert (first + second).per_label()[:2].tolist() == [0.5, 0.5]
    assert np.isnan((first + second).per_label()[2])
