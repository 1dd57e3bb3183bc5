"""What a training run sees, image by image: a pure function of (seed, epoch, place in the epoch).

So it does not matter which thread prepares an image or which process trains on it, nor where a run was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from seg_perception.datasets.dataset import Dataset, Sample, load_sample
from seg_perception.training.augment import Augmentation, vary_light, vary_view
from seg_perception.training.mixing import class_mix, cut_mix
from seg_perception.training.prefetch import ahead

Place = tuple[int, int]
"""Which image: (dataset, index in it)."""

Source = Callable[[Place], Sample]
"""Gives the image at a place, unchanged by augmentation."""


def open_source(datasets: Sequence[Dataset], size: tuple[int, int], memory: float, executor: Executor) -> Source:
    """Images from memory if all of them fit, else from their files, each time they are needed.

    Args:
        datasets: what to read.
        size: (width, height) that images are brought to.
        memory: bytes that they may take: 4 per pixel.
        executor: threads that read.
    """

    def from_file(place: Place) -> Sample:
        return load_sample(datasets[place[0]], place[1], size)

    places = all_places(datasets)
    if 4 * size[0] * size[1] * len(places) > memory:
        return from_file
    return dict(zip(places, ahead(from_file, places, executor), strict=True)).__getitem__


def all_places(datasets: Sequence[Dataset]) -> list[Place]:
    """Every image once, in order."""
    return [(part, index) for part, dataset in enumerate(datasets) for index in range(len(dataset.images))]


def epoch_places(datasets: Sequence[Dataset], seed: int, epoch: int) -> list[Place]:
    """The images of one epoch in random order, of each dataset its share."""
    rng = np.random.default_rng([seed, epoch])
    drawn: list[Place] = []
    for part, dataset in enumerate(datasets):
        count = epoch_share(dataset)
        rounds = count // len(dataset.images) + 1
        order = np.concatenate([rng.permutation(len(dataset.images)) for _ in range(rounds)])
        drawn += [(part, int(index)) for index in order[:count]]
    return [drawn[index] for index in rng.permutation(len(drawn))]


def epoch_share(dataset: Dataset) -> int:
    """Images that a dataset gives to each epoch."""
    return round(len(dataset.images) * dataset.share)


def training_sample(
    source: Source,
    places: Sequence[Place],
    position: int,
    crop: tuple[int, int],
    augmentation: Augmentation,
    seed: int,
    epoch: int,
) -> Sample:
    """The image at a position of the epoch, varied and perhaps mixed with another one of the same epoch.

    Args:
        source: gives the images.
        places: from `epoch_places`.
        position: 0..len(places)-1.
        crop: (width, height) of the result.
        augmentation: how much images vary.
        seed, epoch: what chance is drawn from, with the position.
    """
    # numpy pads seeds with zeros, so position 0 would repeat the chances that ordered the epoch.
    rng = np.random.default_rng([seed, epoch, position + 1])
    sample = vary_view(source(places[position]), crop, augmentation, rng)
    chance = rng.random()
    if chance < augmentation.class_mix + augmentation.cut_mix:
        donor = vary_view(source(places[int(rng.integers(len(places)))]), crop, augmentation, rng)
        sample = (class_mix if chance < augmentation.class_mix else cut_mix)(sample, donor, rng)
    return Sample(vary_light(sample.image, augmentation, rng), sample.label)


def stacked(samples: Iterator[Sample], batch: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Batches of images uint8 [B, 3, h, w] RGB and labels uint8 [B, h, w]; the number of samples is a multiple of B."""
    while part := list(islice(samples, batch)):
        yield np.stack([sample.image.transpose(2, 0, 1) for sample in part]), np.stack([s.label for s in part])
