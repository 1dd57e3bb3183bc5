"""Clicks instead of masks: somebody points at a thing and says what it is, which takes a second instead of an hour.

What is certain is the pixel that was pointed at; around it, most of a small disc shows the same thing. So each click
becomes a disc in the label image, in values of their own: label + `CLICKED`. The disc is a bag of pixels of which it is
only said that, taken together, they show the class; the rest of the image is unlabelled (Bearman et al., *What's the
Point: Semantic Segmentation with Point Supervision*, ECCV 2016). Being label values, discs go through every resize,
warp and mix as masks do.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seg_perception.errors import ConfigError
from seg_perception.settings.yaml_file import Section, did_you_mean

CLICKED = 127
"""What the label of a click is raised by; 254 and 255 stay what they are."""

_DEFAULT_RADIUS = 5
_COLUMNS = ["x", "y", "class"]


@dataclass(frozen=True)
class Click:
    """One click: column and row of the pixel, 0 at the left and the top, and its label 0..K-1."""

    x: int
    y: int
    label: int


def read_clicks(path: Path, classes: Sequence[str], size: tuple[int, int]) -> list[Click]:
    """Read a CSV file with the columns x, y, class.

    Args:
        path: the file; one without clicks is allowed.
        classes: class names.
        size: (width, height) of the image, which every click must hit.

    Raises:
        ConfigError: it cannot be read, a class is unknown, or a click is beside the image.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            if rows.fieldnames != _COLUMNS:
                raise ConfigError(f"{path}: must begin with the line '{','.join(_COLUMNS)}'.")
            return [_click(f"{path}, line {rows.line_num}", row, classes, size) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error):
        raise ConfigError(f"{path}: is not a text file that can be read; replace it.") from None


def _click(where: str, row: dict[str, str | None], classes: Sequence[str], size: tuple[int, int]) -> Click:
    try:
        x, y = int(row["x"] or ""), int(row["y"] or "")
    except ValueError:
        raise ConfigError(f"{where}: x and y must be whole numbers, not '{row['x']}' and '{row['y']}'.") from None
    if not (0 <= x < size[0] and 0 <= y < size[1]):
        raise ConfigError(f"{where}: ({x}, {y}) is outside of the image, which is {size[0]}x{size[1]}; correct it.")
    name = row["class"] or ""
    if name not in classes:
        raise ConfigError(f"{where}: '{name}' is not one of the classes{did_you_mean(name, classes)}; correct it.")
    return Click(x, y, classes.index(name))


@dataclass(frozen=True)
class ClickSpec:
    """What the click files of a dataset mean.

    Attributes:
        classes: class names in the order of the labels.
        radius: of the disc around a click, pixels of the image.
    """

    classes: tuple[str, ...]
    radius: int

    def label_image(self, path: Path, image: Path, elsewhere: int) -> NDArray[np.uint8]:
        """The discs of one file, see `label_image`, at the size of its image.

        Raises:
            ConfigError: clicks or image cannot be read.
        """
        try:
            with Image.open(image) as opened:
                size = opened.size
        except (OSError, SyntaxError, ValueError):  # what Pillow raises for damaged files
            raise ConfigError(f"{image}: is not an image that can be decoded; replace or remove it.") from None
        return label_image(read_clicks(path, self.classes, size), size, self.radius, elsewhere)


def read_click_spec(entry: Section, classes: Sequence[str]) -> ClickSpec:
    """What a dataset's YAML says of its clicks: the optional `radius`.

    Raises:
        ConfigError: the radius is out of range.
    """
    radius = entry.integer("radius", 1, 100) if "radius" in entry else _DEFAULT_RADIUS
    return ClickSpec(tuple(classes), radius)


def write_clicks(path: Path, clicks: Sequence[Click], classes: Sequence[str]) -> None:
    """Write what `read_clicks` reads."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(_COLUMNS)
        rows.writerows((click.x, click.y, classes[click.label]) for click in clicks)


def label_image(clicks: Sequence[Click], size: tuple[int, int], radius: int, elsewhere: int) -> NDArray[np.uint8]:
    """The discs around clicks as a label image.

    Args:
        clicks: what was clicked.
        size: (width, height) of the image.
        radius: of a disc, pixels; where discs meet, the nearer click wins.
        elsewhere: value of the rest.

    Returns:
        uint8 [height, width], label + CLICKED in the discs.
    """
    rows, columns = np.mgrid[: size[1], : size[0]]
    nearest = np.full((size[1], size[0]), radius * radius + 1)
    image = np.full((size[1], size[0]), elsewhere, np.uint8)
    for click in clicks:
        squared = (columns - click.x) ** 2 + (rows - click.y) ** 2
        nearer = squared < nearest
        nearest[nearer], image[nearer] = squared[nearer], click.label + CLICKED
    return image


def sample_clicks(
    label: NDArray[np.uint8], classes: int, rng: np.random.Generator, least_area: int = 50
) -> list[Click]:
    """Clicks as a person would make them, from a mask: one on each object, anywhere on it.

    For measuring what clicks are worth on data that have masks. An object is a connected region of one class.

    Args:
        label: uint8 [H, W] of label indices; those from `classes` on are left out.
        classes: K.
        rng: source of chance.
        least_area: pixels below which an object is overlooked.
    """
    clicks = []
    for index in range(classes):
        count, objects, stats, _ = cv2.connectedComponentsWithStats((label == index).astype(np.uint8))
        for thing in range(1, count):
            if stats[thing, cv2.CC_STAT_AREA] >= least_area:
                rows, columns = np.nonzero(objects == thing)
                chosen = int(rng.integers(len(rows)))
                clicks.append(Click(int(columns[chosen]), int(rows[chosen]), index))
    return clicks
