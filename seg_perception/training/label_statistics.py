"""Every label of a plan read once, before the first step: what cannot be used is found now and not at night."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seg_perception.datasets.dataset import Dataset, LabelSpace, check_sizes, load_label
from seg_perception.datasets.point_supervision import CLICKED
from seg_perception.errors import ConfigError
from seg_perception.training.prefetch import ahead


@dataclass(frozen=True)
class Census:
    """What labels the images of a plan show.

    Attributes:
        train: int64 [K+G], pixels of each label in all training images at the network's size.
        validation: int64 [K+G], the same for validation.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def take_census(
    train: Sequence[Dataset],
    validation: Sequence[Dataset],
    space: LabelSpace,
    size: tuple[int, int],
    executor: Executor,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Census:
    """Read every label file and the size of every image.

    Args:
        train, validation: the datasets.
        space: their labels.
        size: (width, height) of the network's input.
        executor: threads that read.
        progress: called with files done and in all.

    Raises:
        ConfigError: files cannot be decoded, sizes differ or values are unknown (the number of such files and the first
            of them are named).
    """
    total = sum(len(dataset.images) for dataset in (*train, *validation))
    done, problems = 0, []
    counts = np.zeros((2, 256), np.int64)
    for part, datasets in enumerate((train, validation)):
        for dataset in datasets:
            for found in ahead(partial(_count, dataset, size), range(len(dataset.images)), executor):
                done += 1
                progress(done, total)
                if isinstance(found, ConfigError):
                    problems.append(found)
                else:
                    counts[part] += found
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ConfigError(f"{len(problems)} of {total} images and labels cannot be used; the first: {problems[0]}")
    labels = len(space.classes) + len(space.groups)
    return Census(counts[0, :labels], counts[1, :labels])


def _count(dataset: Dataset, size: tuple[int, int], index: int) -> NDArray[np.int64] | ConfigError:
    try:
        label = load_label(dataset, index)
        try:
            with Image.open(dataset.images[index]) as image:
                check_sizes(dataset, index, image.size, label)
        except (OSError, SyntaxError, ValueError):  # what Pillow raises for damaged files
            raise ConfigError(
                f"{dataset.images[index]}: is not an image that can be decoded; replace or remove it."
            ) from None
    except ConfigError as problem:
        return problem
    label = np.asarray(cv2.resize(label, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    counts = np.bincount(label.ravel(), minlength=256)
    if dataset.clicks is not None:
        counts[:CLICKED] = counts[CLICKED : 2 * CLICKED]
    return counts


def check_classes(census: Census, space: LabelSpace, known: Collection[str] = ()) -> list[str]:
    """Refuse classes that nothing can teach the network, and validation without labels.

    Args:
        census: of the plan's data.
        space: its labels.
        known: classes that the network knows already, from the weights it starts from.

    Returns:
        A line to tell the user for each class that is known but not shown.

    Raises:
        ConfigError: a class has no pixel of its own in the training data, or no validation pixel is labelled.
    """
    shown = census.train[: len(space.classes)] > 0
    missing = [name for name, seen in zip(space.classes, shown, strict=True) if not seen]
    untaught = [name for name in missing if name not in known]
    if untaught:
        raise ConfigError(
            f"no training label says {' or '.join(untaught)} and nothing else, so it cannot be learnt; map a label to "
            "it, take it out of 'classes', or start from weights that know it (--start-from)."
        )
    if not census.validation.any():
        raise ConfigError("no pixel of the validation data is labelled; correct its 'values' or choose other images.")
    return [f"{name} is not in the training data: the network will forget it little by little" for name in missing]
