"""Datasets described by YAML, their mistakes, and augmentation that keeps image and label together."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from seg_perception.errors import ConfigError
from seg_perception.training.data import IGNORE, Sample, augment, epoch_batches, load_sample, read_datasets
from seg_perception.yamlfile import load_yaml

CLASSES = ("Sky", "Tree", "Grass")


def _write_pair(root: Path, name: str, label: np.ndarray) -> None:
    for folder in ("images", "labels"):
        (root / folder).mkdir(exist_ok=True)
    image = np.repeat(label[:, :, None] * 60, 3, axis=2).astype(np.uint8)
    cv2.imwrite(str(root / "images" / f"{name}.png"), image)
    cv2.imwrite(str(root / "labels" / f"{name}.png"), label)


def _read(root: Path, values: str = "{0: Sky, 1: [Tree, Grass], 2: Grass, 3: ignore}", images: str = "images"):
    yaml = root / "data.yaml"
    yaml.write_text(f"train:\n  toy: {{images: {images}, labels: labels, values: {values}}}\n", encoding="utf-8")
    return read_datasets(load_yaml(yaml), "train", CLASSES, root)


def test_a_label_may_leave_the_choice_between_classes_open(tmp_path: Path) -> None:
    _write_pair(tmp_path, "a", np.array([[0, 1], [2, 3]], np.uint8))
    (dataset,), space = _read(tmp_path)
    assert load_sample(dataset, 0).label.tolist() == [[0, 3], [2, IGNORE]]
    assert space.members(3) == (1, 2) and space.name(3) == "Tree|Grass"


@pytest.mark.parametrize(
    ("values", "images", "sentence"),
    [
        ("{0: Sky, 1: Bush}", "images", "'Bush' is not one of the classes"),
        ("{0: Sky, 1: tree}", "images", "did you mean 'Tree'"),
        ("{300: Sky}", "images", "whole number from 0 to 255"),
        ("{0: Sky}", "pictures", "is not a folder"),
    ],
)
def test_mistakes_in_the_description_name_the_key(tmp_path: Path, values: str, images: str, sentence: str) -> None:
    _write_pair(tmp_path, "a", np.zeros((2, 2), np.uint8))
    with pytest.raises(ConfigError, match=sentence):
        _read(tmp_path, values, images)


def test_an_image_without_label_is_named(tmp_path: Path) -> None:
    _write_pair(tmp_path, "a", np.zeros((2, 2), np.uint8))
    _write_pair(tmp_path, "b", np.zeros((2, 2), np.uint8))
    (tmp_path / "labels" / "b.png").unlink()
    with pytest.raises(ConfigError, match="no partner of the same name, first b"):
        _read(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda label: label.write_bytes(b"no image"), "not an image that can be decoded"),
        (lambda label: cv2.imwrite(str(label), np.zeros((3, 2), np.uint8)), "they must agree"),
        (lambda label: cv2.imwrite(str(label), np.zeros((2, 2, 3), np.uint8)), "single-channel 8-bit"),
        (lambda label: cv2.imwrite(str(label), np.full((2, 2), 77, np.uint8)), "holds value 77"),
    ],
)
def test_a_broken_label_file_is_one_sentence(tmp_path: Path, spoil, sentence: str) -> None:
    _write_pair(tmp_path, "a", np.zeros((2, 2), np.uint8))
    spoil(tmp_path / "labels" / "a.png")
    (dataset,), _ = _read(tmp_path)
    with pytest.raises(ConfigError, match=sentence):
        load_sample(dataset, 0)


def test_augmentation_moves_image_and_label_together() -> None:
    # The image carries its own label as brightness: a dark left half, a bright right half.
    label = np.zeros((96, 128), np.uint8)
    label[:, 64:] = 1
    image = np.repeat(label[:, :, None] * 200, 3, axis=2).astype(np.uint8)
    mirrored = 0
    for seed in range(30):
        changed = augment(Sample(image, label), (64, 48), np.random.default_rng(seed))
        assert changed.image.shape == (48, 64, 3) and changed.label.shape == (48, 64)
        interior = cv2.erode((changed.label == 1).astype(np.uint8), np.ones((9, 9))) > 0
        other = cv2.erode((changed.label == 0).astype(np.uint8), np.ones((9, 9))) > 0
        if interior.any() and other.any():
            assert changed.image[interior].mean() > changed.image[other].mean() + 40
            columns = np.arange(64)
            mirrored += columns[interior.any(axis=0)].mean() < columns[other.any(axis=0)].mean()
    assert 5 < mirrored < 25, "about half of the images are mirrored"


def test_an_epoch_draws_each_image_once_and_depends_only_on_its_seed() -> None:
    samples = [[Sample(np.full((32, 32, 3), 8 * i, np.uint8), np.full((32, 32), i, np.uint8)) for i in range(8)]]

    def labels(seed: int) -> list[int]:
        batches = epoch_batches(samples, [1.0], (16, 16), 4, np.random.default_rng(seed))
        return [int(np.min(label)) for _, batch in batches for label in batch]

    assert sorted(labels(1)) == list(range(8))
    assert labels(1) == labels(1) != labels(2)
