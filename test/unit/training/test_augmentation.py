"""Augmentation keeps image and label aligned; an epoch depends on its seed alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from seg_perception.datasets.dataset import IGNORE, Dataset, Sample
from seg_perception.training.augment import Augmentation, augment_colour, augment_geometry
from seg_perception.training.batches import epoch_indices, open_sample_source, stack_batches, training_sample
from seg_perception.training.mixing import class_mix, cut_mix
from seg_perception.training.prefetch import prefetch

STILL = Augmentation(scale=(1.0, 1.0), rotation=0.0, mirror=0.0, colour=0.0, blur=0.0)


def _sample(label: np.ndarray, bright: int = 0) -> Sample:
    """An image whose brightness shows its label, and which image it is."""
    return Sample(np.repeat(label[:, :, None] * 20 + bright, 3, axis=2).astype(np.uint8), label.astype(np.uint8))


def _stripes(*labels: int) -> np.ndarray:
    return np.repeat(np.array(labels, np.uint8), 8)[None].repeat(32, axis=0)


def _dataset(folder: Path, name: str, count: int, share: float = 1.0) -> Dataset:
    """Images of 16 x 16 pixels, each of a brightness of its own."""
    images = []
    for index in range(count):
        images.append(folder / f"{name}_{index}.png")
        cv2.imwrite(str(images[-1]), np.full((16, 16), 10 * index, np.uint8))
    return Dataset(name, tuple(images), tuple(images), np.arange(256, dtype=np.uint8), share)


def test_geometry_moves_image_and_label_together() -> None:
    label = np.zeros((96, 128), np.uint8)
    label[:, 64:] = 1
    sample = Sample(np.repeat(label[:, :, None] * 200, 3, axis=2), label)
    mirrored = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        view = augment_geometry(sample, (64, 48), Augmentation(), rng)
        changed = Sample(augment_colour(view.image, Augmentation(), rng), view.label)
        assert changed.image.shape == (48, 64, 3) and changed.label.shape == (48, 64)
        interior = cv2.erode((changed.label == 1).astype(np.uint8), np.ones((9, 9))) > 0
        other = cv2.erode((changed.label == 0).astype(np.uint8), np.ones((9, 9))) > 0
        if interior.any() and other.any():
            assert changed.image[interior].mean() > changed.image[other].mean() + 40
            columns = np.arange(64)
            mirrored += columns[interior.any(axis=0)].mean() < columns[other.any(axis=0)].mean()
    assert 5 < mirrored < 25, "about half of the images are mirrored"


def test_augmentation_can_be_turned_off() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (48, 64, 3), np.uint8)
    sample = Sample(image, image[:, :, 0] % 5)
    view = augment_geometry(sample, (64, 48), STILL, rng)
    np.testing.assert_array_equal(view.label, sample.label)
    np.testing.assert_array_equal(augment_colour(view.image, STILL, rng), sample.image)


def test_scale_stays_within_its_bounds() -> None:
    label = np.zeros((200, 200), np.uint8)
    label[80:120, 80:120] = 1
    settings = replace(STILL, scale=(0.5, 2.0))
    views = (augment_geometry(_sample(label), (400, 400), settings, np.random.default_rng(seed)) for seed in range(60))
    sides = [np.count_nonzero(view.label == 1) ** 0.5 / 40 for view in views]
    assert 0.45 < min(sides) < 0.65 and 1.6 < max(sides) < 2.05


def test_class_mix_pastes_half_of_the_donors_classes_whole() -> None:
    sample, donor = _sample(_stripes(9, 9, 9, 9, 9)), _sample(_stripes(0, 1, 2, 3, IGNORE), bright=100)
    chosen = set()
    for seed in range(40):
        mixed = class_mix(sample, donor, np.random.default_rng(seed))
        pasted = frozenset(np.unique(mixed.label)) - {9}
        assert len(pasted) == 2
        for value in range(5):
            pixels = donor.label == value
            source = donor if value in pasted else sample
            np.testing.assert_array_equal(mixed.label[pixels], source.label[pixels])
            np.testing.assert_array_equal(mixed.image[pixels], source.image[pixels])
        assert (mixed.label[donor.label == IGNORE] == 9).all(), "unlabelled pixels are not pasted"
        chosen.add(pasted)
    assert len(chosen) == 6, "every pair of the four classes is drawn"


@pytest.mark.parametrize(("labels", "pasted"), [((1, 1), 0), ((1, 2), 1), ((1, 2, 3), 1), ((IGNORE, 1), 0)])
def test_class_mix_rounds_down_and_never_hides_the_whole_sample(labels: tuple[int, ...], pasted: int) -> None:
    sample, donor = _sample(_stripes(*(9,) * len(labels))), _sample(_stripes(*labels))
    mixed = class_mix(sample, donor, np.random.default_rng(0))
    assert len(set(np.unique(mixed.label)) - {9}) == pasted


def test_cut_mix_pastes_one_rectangle() -> None:
    sample, donor = _sample(np.zeros((40, 60), np.uint8)), _sample(np.ones((40, 60), np.uint8), bright=100)
    shares = []
    for seed in range(200):
        mixed = cut_mix(sample, donor, np.random.default_rng(seed))
        np.testing.assert_array_equal(mixed.image[mixed.label == 1], 120)
        np.testing.assert_array_equal(mixed.image[mixed.label == 0], 0)
        rows, columns = np.nonzero(mixed.label)
        if len(rows):
            box = mixed.label[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert box.all(), "a rectangle without holes"
        shares.append(mixed.label.mean())
    # Centre and side are even: along an axis of length 1 a side s keeps s − s²/4 on average; squared, over s² even.
    assert np.mean(shares) == pytest.approx(0.5 - 0.2 + 1 / 48, abs=0.05)


def test_an_epoch_shows_each_image_once_and_depends_only_on_seed_and_epoch(tmp_path: Path) -> None:
    datasets = [_dataset(tmp_path, "a", 8)]
    first = epoch_indices(datasets, seed=1, epoch=0)
    assert sorted(first) == [(0, index) for index in range(8)]
    assert first == epoch_indices(datasets, seed=1, epoch=0)
    assert first != epoch_indices(datasets, seed=1, epoch=1) != epoch_indices(datasets, seed=2, epoch=0) != first


def test_datasets_contribute_their_share(tmp_path: Path) -> None:
    datasets = [_dataset(tmp_path, "a", 8, share=0.5), _dataset(tmp_path, "b", 4, share=2.5)]
    indices = epoch_indices(datasets, seed=1, epoch=0)
    assert len({index for index in indices if index[0] == 0}) == 4
    drawn = [indices.count((1, image)) for image in range(4)]
    assert sum(drawn) == 10 and set(drawn) == {2, 3}


@pytest.mark.parametrize("memory", [1e9, 0.0], ids=["from memory", "from files"])
@pytest.mark.parametrize("threads", [1, 4])
def test_a_sample_depends_on_seed_epoch_and_position_alone(tmp_path: Path, memory: float, threads: int) -> None:
    datasets = [_dataset(tmp_path, "a", 12)]
    indices = epoch_indices(datasets, 3, 1)
    mixing = Augmentation(class_mix=0.4, cut_mix=0.4)

    def reference(position: int) -> Sample:
        source = open_sample_source(datasets, (16, 16), 1e9, pool)
        return training_sample(source, indices, position, (16, 16), mixing, 3, 1)

    with ThreadPoolExecutor(threads) as pool:
        source = open_sample_source(datasets, (16, 16), memory, pool)
        positions = [7, 2, 11, 0]
        samples = prefetch(
            lambda position: training_sample(source, indices, position, (16, 16), mixing, 3, 1), positions, pool, 2
        )
        ((images, labels), (more, _)) = stack_batches(samples, 2)
        for position, image in zip(positions, [*images, *more], strict=True):
            np.testing.assert_array_equal(image, reference(position).image.transpose(2, 0, 1))
        assert labels.shape == (2, 16, 16)


def test_images_are_mixed_with_the_probability_of_the_plan(tmp_path: Path) -> None:
    datasets = [_dataset(tmp_path, "a", 20)]
    indices = epoch_indices(datasets, 0, 0)
    with ThreadPoolExecutor(1) as pool:
        source = open_sample_source(datasets, (16, 16), 1e9, pool)
    settings = replace(STILL, cut_mix=0.5)
    labels = [
        training_sample(source, indices, at, (16, 16), settings, seed, 0).label
        for at in range(20)
        for seed in (1, 2, 3)
    ]
    mixed = sum(len(np.unique(label)) == 2 for label in labels)
    assert 15 < mixed < 40, "half of 60, less where a rectangle is empty, full, or cut from the same image"


def test_prefetching_is_bounded() -> None:
    started: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        samples = prefetch(started.append, range(100), pool, most=3)
        next(samples)
    assert max(started) <= 3, "a slow trainer must not fill the memory with samples"
