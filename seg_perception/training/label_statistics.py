"""Label statistics: reads every label of a plan before the first step, counts pixels and finds unusable files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.datasets.dataset import Dataset, LabelSpace, check_sizes, load_label
from seg_perception.datasets.point_supervision import POINT_OFFSET
from seg_perception.errors import ConfigError
from seg_perception.sensor_data.images.labelled_files import image_file_size
from seg_perception.training.prefetch import prefetch


@dataclass(frozen=True)
class LabelStatistics:
    """Pixels per label in the images of a plan.

    Attributes:
        train: int64 [K+G], pixels of each label in all training images at the network's size.
        validation: int64 [K+G], the same for validation.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def collect_label_statistics(
    train: Sequence[Dataset],
    validation: Sequence[Dataset],
    space: LabelSpace,
    size: tuple[int, int],
    executor: Executor,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LabelStatistics:
    """Read every label file and the size of every image.

    Args:
        train, validation: the datasets.
        space: their labels.
        size: (width, height) of the network's input.
        executor: threads that read.
        progress: called with files done and total.

    Raises:
        ConfigError: files cannot be decoded, sizes differ or values are unknown (the number of such files and the first
            of them are named).
    """
    total = sum(len(dataset.images) for dataset in (*train, *validation))
    done, problems = 0, []
    counts = np.zeros((2, 256), np.int64)
    for part, datasets in enumerate((train, validation)):
        for dataset in datasets:
            for found in prefetch(partial(_count, dataset, size), range(len(dataset.images)), executor):
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
    return LabelStatistics(counts[0, :labels], counts[1, :labels])


def _count(dataset: Dataset, size: tuple[int, int], index: int) -> NDArray[np.int64] | ConfigError:
    try:
        label = load_label(dataset, index)
        check_sizes(dataset, index, image_file_size(dataset.images[index]), label)
    except ConfigError as problem:
        return problem
    label = np.asarray(cv2.resize(label, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    counts = np.bincount(label.ravel(), minlength=256)
    if dataset.point_labels is not None:
        counts[:POINT_OFFSET] = counts[POINT_OFFSET : 2 * POINT_OFFSET]
    return counts


def check_class_coverage(statistics: LabelStatistics, space: LabelSpace, known: Collection[str] = ()) -> list[str]:
    """Reject classes without training labels, and validation data without labels.

    Args:
        statistics: of the plan's data.
        space: its labels.
        known: classes that the network knows from a warm start.

    Returns:
        A line for the user for each class that is known but has no training label.

    Raises:
        ConfigError: a class has no training pixel labelled as it alone, or no validation pixel is labelled.
    """
    labelled = statistics.train[: len(space.classes)] > 0
    missing = [name for name, found in zip(space.classes, labelled, strict=True) if not found]
    untaught = [name for name in missing if name not in known]
    if untaught:
        raise ConfigError(
            f"no training label means {' or '.join(untaught)} alone, so it cannot be learnt; map a label to "
            "it, take it out of 'classes', or start from weights that know it (--start-from)."
        )
    if not statistics.validation.any():
        raise ConfigError("no pixel of the validation data is labelled; correct its 'values' or choose other images.")
    return [f"{name} is not in the training data: the network will forget it little by little" for name in missing]
