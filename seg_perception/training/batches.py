"""The samples of a training run, each a pure function of (seed, epoch, position in the epoch).

So it does not matter which thread prepares an image, which process trains on it, or where a run was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from seg_perception.datasets.dataset import Dataset, Sample, load_sample
from seg_perception.training.augment import Augmentation, augment_colour, augment_geometry
from seg_perception.training.mixing import class_mix, cut_mix
from seg_perception.training.prefetch import prefetch

SampleIndex = tuple[int, int]
"""An image: (index of the dataset, index of the image in it)."""

SampleSource = Callable[[SampleIndex], Sample]
"""Returns an image with its label, not augmented."""


def open_sample_source(
    datasets: Sequence[Dataset], size: tuple[int, int], memory: float, executor: Executor
) -> SampleSource:
    """Samples from memory if all of them fit, otherwise read from their files each time.

    Args:
        datasets: to read.
        size: (width, height) to resize to.
        memory: bytes that they may use: 4 per pixel.
        executor: threads that read.
    """

    def from_file(index: SampleIndex) -> Sample:
        return load_sample(datasets[index[0]], index[1], size)

    indices = all_indices(datasets)
    if 4 * size[0] * size[1] * len(indices) > memory:
        return from_file
    return dict(zip(indices, prefetch(from_file, indices, executor), strict=True)).__getitem__


def all_indices(datasets: Sequence[Dataset]) -> list[SampleIndex]:
    """Every image once, in order."""
    return [(part, index) for part, dataset in enumerate(datasets) for index in range(len(dataset.images))]


def epoch_indices(datasets: Sequence[Dataset], seed: int, epoch: int) -> list[SampleIndex]:
    """The images of one epoch in random order; each dataset contributes its share."""
    rng = np.random.default_rng([seed, epoch])
    drawn: list[SampleIndex] = []
    for part, dataset in enumerate(datasets):
        count = samples_per_epoch(dataset)
        rounds = count // len(dataset.images) + 1
        order = np.concatenate([rng.permutation(len(dataset.images)) for _ in range(rounds)])
        drawn += [(part, int(index)) for index in order[:count]]
    return [drawn[index] for index in rng.permutation(len(drawn))]


def samples_per_epoch(dataset: Dataset) -> int:
    """Number of images that a dataset contributes to each epoch."""
    return round(len(dataset.images) * dataset.share)


def training_sample(
    source: SampleSource,
    indices: Sequence[SampleIndex],
    position: int,
    crop: tuple[int, int],
    augmentation: Augmentation,
    seed: int,
    epoch: int,
) -> Sample:
    """The image at a position of the epoch, augmented and possibly mixed with another one of the same epoch.

    Args:
        source: of the images.
        indices: from `epoch_indices`.
        position: 0..len(indices)-1.
        crop: (width, height) of the result.
        augmentation: strength.
        seed, epoch: seed the random generator, together with the position.
    """
    # numpy pads seeds with zeros, so position 0 would repeat the random numbers that ordered the epoch.
    rng = np.random.default_rng([seed, epoch, position + 1])
    sample = augment_geometry(source(indices[position]), crop, augmentation, rng)
    draw = rng.random()
    if draw < augmentation.class_mix + augmentation.cut_mix:
        donor = augment_geometry(source(indices[int(rng.integers(len(indices)))]), crop, augmentation, rng)
        sample = (class_mix if draw < augmentation.class_mix else cut_mix)(sample, donor, rng)
    return Sample(augment_colour(sample.image, augmentation, rng), sample.label)


def stack_batches(samples: Iterator[Sample], batch: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Batches of images uint8 [B, 3, h, w] RGB and labels uint8 [B, h, w]; the number of samples is a multiple of B."""
    while part := list(islice(samples, batch)):
        yield np.stack([sample.image.transpose(2, 0, 1) for sample in part]), np.stack([s.label for s in part])
