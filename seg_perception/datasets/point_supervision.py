"""Point labels (clicks) instead of masks: a person marks one pixel of an object with its class.

The class of that pixel is certain; around it, most of a small disc shows the same object. Each point becomes a disc in
the label image, with a value of its own: label + `POINT_OFFSET`. The disc is a bag of pixels: taken together they show
the class, each single one need not (Bearman et al., *What's the Point: Semantic Segmentation with Point Supervision*,
ECCV 2016). The rest of the image is unlabelled. As label values, discs pass through resizing, warping and mixing like
masks.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ConfigError
from seg_perception.sensor_data.images.labelled_files import image_file_size
from seg_perception.settings.yaml_file import Section, did_you_mean
from seg_perception.utils.short_text import shortened
from seg_perception.utils.small_files import read_small_text

POINT_OFFSET = 127
"""Added to the label of a point in label images; 254 and 255 keep their meaning."""

_DEFAULT_RADIUS = 5
_COLUMNS = ["x", "y", "class"]


@dataclass(frozen=True)
class PointLabel:
    """Column and row of a labelled pixel, 0 at the left and the top, and its label 0..K-1."""

    x: int
    y: int
    label: int


def read_point_labels(path: Path, classes: Sequence[str], size: tuple[int, int]) -> list[PointLabel]:
    """Read a CSV file with the columns x, y, class.

    Args:
        path: the file; it may hold no point.
        classes: class names.
        size: (width, height) of the image, in which every point must lie.

    Raises:
        ConfigError: it cannot be read, a class is unknown, or a point lies outside of the image.
    """
    text = read_small_text(path, encoding="utf-8-sig")
    try:
        rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
        if rows.fieldnames != _COLUMNS:
            raise ConfigError(f"{path}: must begin with the line '{','.join(_COLUMNS)}'.")
        return [_point_label(f"{path}, line {rows.line_num}", row, classes, size) for row in rows]
    except csv.Error:
        raise ConfigError(f"{path}: is not a text file that can be read; replace it.") from None


def _point_label(where: str, row: dict[str, str | None], classes: Sequence[str], size: tuple[int, int]) -> PointLabel:
    try:
        x, y = int(row["x"] or ""), int(row["y"] or "")
    except ValueError:
        raise ConfigError(
            f"{where}: x and y must be whole numbers, not '{shortened(row['x'])}' and '{shortened(row['y'])}'."
        ) from None
    if not (0 <= x < size[0] and 0 <= y < size[1]):
        raise ConfigError(
            f"{where}: {shortened((x, y))} is outside of the image, which is {size[0]}x{size[1]}; correct it."
        )
    name = row["class"] or ""
    if name not in classes:
        raise ConfigError(
            f"{where}: '{shortened(name)}' is not one of the classes{did_you_mean(name, classes)}; correct it."
        )
    return PointLabel(x, y, classes.index(name))


@dataclass(frozen=True)
class PointLabelSpec:
    """How the point label files of a dataset are read.

    Attributes:
        classes: class names in the order of the labels.
        radius: of the disc around a point, pixels of the image.
    """

    classes: tuple[str, ...]
    radius: int

    def label_image(self, path: Path, image: Path, elsewhere: int) -> NDArray[np.uint8]:
        """The discs of one file at the size of its image; see `point_label_image`.

        Raises:
            ConfigError: points or image cannot be read.
        """
        size = image_file_size(image)
        return point_label_image(read_point_labels(path, self.classes, size), size, self.radius, elsewhere)


def read_point_label_spec(entry: Section, classes: Sequence[str]) -> PointLabelSpec:
    """Read the optional `radius` of a dataset's YAML.

    Raises:
        ConfigError: the radius is out of range.
    """
    radius = entry.integer("radius", 1, 100) if "radius" in entry else _DEFAULT_RADIUS
    return PointLabelSpec(tuple(classes), radius)


def write_point_labels(path: Path, points: Sequence[PointLabel], classes: Sequence[str]) -> None:
    """Write what `read_point_labels` reads."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(_COLUMNS)
        rows.writerows((point.x, point.y, classes[point.label]) for point in points)


def point_label_image(
    points: Sequence[PointLabel], size: tuple[int, int], radius: int, elsewhere: int
) -> NDArray[np.uint8]:
    """The discs around points as a label image.

    Args:
        points: with their labels.
        size: (width, height) of the image.
        radius: of a disc, pixels; where discs meet, the nearer point wins.
        elsewhere: value of the rest.

    Returns:
        uint8 [height, width], label + CLICKED in the discs.
    """
    rows, columns = np.mgrid[: size[1], : size[0]]
    nearest = np.full((size[1], size[0]), radius * radius + 1)
    image = np.full((size[1], size[0]), elsewhere, np.uint8)
    for point in points:
        squared = (columns - point.x) ** 2 + (rows - point.y) ** 2
        nearer = squared < nearest
        nearest[nearer], image[nearer] = squared[nearer], point.label + POINT_OFFSET
    return image


def sample_point_labels(
    label: NDArray[np.uint8], classes: int, rng: np.random.Generator, least_area: int = 50
) -> list[PointLabel]:
    """Simulate point labels from a mask: one on each object, anywhere on it.

    For experiments on data that have masks. An object is a connected region of one class.

    Args:
        label: uint8 [H, W] of label indices; labels from `classes` on get no point.
        classes: K.
        rng: random generator.
        least_area: objects of fewer pixels get no point.
    """
    points = []
    for index in range(classes):
        count, objects, stats, _ = cv2.connectedComponentsWithStats((label == index).astype(np.uint8))
        for number in range(1, count):
            if stats[number, cv2.CC_STAT_AREA] >= least_area:
                rows, columns = np.nonzero(objects == number)
                chosen = int(rng.integers(len(rows)))
                points.append(PointLabel(int(columns[chosen]), int(rows[chosen]), index))
    return points
