"""Point labels (clicks) as training data: reading, drawing discs, simulating points, and augmentation."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from seg_perception.datasets.dataset import IGNORE, Sample
from seg_perception.datasets.point_supervision import (
    POINT_OFFSET,
    PointLabel,
    point_label_image,
    read_point_labels,
    sample_point_labels,
    write_point_labels,
)
from seg_perception.errors import ConfigError
from seg_perception.training.augment import Augmentation, augment_geometry

CLASSES = ("Dark", "Bright")


def test_written_point_labels_are_read_again(tmp_path: Path) -> None:
    given = [PointLabel(0, 0, 1), PointLabel(63, 47, 0)]
    write_point_labels(tmp_path / "a.csv", given, CLASSES)
    assert read_point_labels(tmp_path / "a.csv", CLASSES, (64, 48)) == given


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1,2,Dark\n", "must begin with the line 'x,y,class'"),
        ("x,y,class\n1,two,Dark\n", r"line 2: x and y must be whole numbers, not '1' and 'two'"),
        ("x,y,class\n1,2,Dark\n64,2,Dark\n", r"line 3: \(64, 2\) is outside of the image, which is 64x48"),
        ("x,y,class\n1,2,dark\n", r"'dark' is not one of the classes \(did you mean 'Dark'\?\)"),
        ("x,y,class\n1\n", "must be whole numbers"),
    ],
)
def test_a_wrong_point_is_one_sentence_with_file_and_line(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"a\.csv.*{sentence}"):
        read_point_labels(tmp_path / "a.csv", CLASSES, (64, 48))


def test_each_pixel_within_the_radius_belongs_to_the_nearest_point() -> None:
    given = [PointLabel(10, 10, 0), PointLabel(14, 10, 1), PointLabel(0, 0, 1)]
    image = point_label_image(given, (30, 20), 4, IGNORE)
    for y in range(20):
        for x in range(30):
            distances = [np.hypot(point.x - x, point.y - y) for point in given]
            nearest = int(np.argmin(distances))
            expected = given[nearest].label + POINT_OFFSET if distances[nearest] <= 4 else IGNORE
            assert image[y, x] == expected


def test_sampled_points_lie_on_every_object_once() -> None:
    label = np.zeros((40, 60), np.uint8)
    label[5:15, 5:15], label[20:35, 30:50], label[0, 59] = 1, 1, 1
    given = sample_point_labels(label, 2, np.random.default_rng(0))
    assert sorted(point.label for point in given) == [0, 1, 1]
    assert all(label[point.y, point.x] == point.label for point in given)
    assert {point.x < 20 for point in given if point.label == 1} == {True, False}


def test_discs_move_with_the_image_under_augmentation() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    given = [PointLabel(16, 24, 0), PointLabel(44, 20, 1)]
    for point in given:
        cv2.circle(image, (point.x, point.y), 9, (80 + 100 * point.label,) * 3, -1)
    sample = Sample(image, point_label_image(given, (64, 48), 5, IGNORE))
    for seed in range(10):
        varied = augment_geometry(sample, (64, 48), Augmentation(), np.random.default_rng(seed))
        assert set(np.unique(varied.label)) <= {POINT_OFFSET, POINT_OFFSET + 1, IGNORE}
        for label in (0, 1):
            inside = varied.image[varied.label == POINT_OFFSET + label]
            assert not inside.size or (np.abs(inside.astype(int) - (80 + 100 * label)) < 3).mean() > 0.95
