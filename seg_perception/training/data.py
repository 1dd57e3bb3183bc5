"""Labelled images described by one YAML, and how they are augmented.

A dataset maps each label value to a class, to a list of classes (the label leaves the choice open), or to `ignore`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ConfigError
from seg_perception.yamlfile import Section, did_you_mean

IGNORE = 255
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


@dataclass(frozen=True)
class LabelSpace:
    """What a label can say about K classes.

    Attributes:
        classes: class names, in the order of the network's outputs.
        groups: sets of class indices that a label may leave open, each sorted.
    """

    classes: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]

    def members(self, label: int) -> tuple[int, ...]:
        """Class indices that label 0..K+G-1 allows."""
        return (label,) if label < len(self.classes) else self.groups[label - len(self.classes)]

    def name(self, label: int) -> str:
        """The class's name, or the names of a group joined by |."""
        return "|".join(self.classes[index] for index in self.members(label))


@dataclass(frozen=True)
class Dataset:
    """Image and label files with the table that turns file values into labels.

    Attributes:
        name: for messages.
        images: image files, in name order.
        labels: label files, one per image (single-channel uint8).
        table: uint8 [256], file value → label 0..K+G-1, or 255; values the YAML does not name are 254 until checked.
        share: images drawn per epoch as a share of the dataset's size.
    """

    name: str
    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    table: NDArray[np.uint8]
    share: float = 1.0


_UNNAMED = 254


def read_datasets(section: Section, key: str, classes: Sequence[str], root: Path) -> tuple[list[Dataset], LabelSpace]:
    """Read the list `key` of datasets.

    Args:
        section: a YAML section that holds `key`: a mapping from dataset name to {images, labels, values, share}.
        key: its key.
        classes: the class names of the network.
        root: folder that relative paths start from.

    Returns:
        The datasets and the label space with every group that any of them uses.

    Raises:
        ConfigError: a folder is missing, an image has no label or the other way round, a class is unknown.
    """
    listing = section.section(key)
    groups: list[tuple[int, ...]] = []
    datasets = []
    for name in listing:
        entry = listing.section(name)
        images = _files(entry, "images", root)
        labels = _files(entry, "labels", root)
        _check_pairs(entry, images, labels)
        table = _label_table(entry.section("values"), classes, groups)
        share = entry.number("share", 0.0, 10.0) if "share" in entry else 1.0
        entry.finish()
        datasets.append(Dataset(name, tuple(images), tuple(labels), table, share))
    if not datasets:
        raise section.error(key, "names no dataset; add one with images, labels and values.")
    return datasets, LabelSpace(tuple(classes), tuple(groups))


def _files(entry: Section, key: str, root: Path) -> list[Path]:
    folder = root / entry.text(key)
    if not folder.is_dir():
        raise entry.error(key, f"{folder} is not a folder; correct the path or give --data ROOT.")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES)
    if not files:
        raise entry.error(key, f"{folder} holds no image ({', '.join(_IMAGE_SUFFIXES)}).")
    return files


def _check_pairs(entry: Section, images: Sequence[Path], labels: Sequence[Path]) -> None:
    unpaired = {path.stem for path in images} ^ {path.stem for path in labels}
    if unpaired:
        raise entry.error(
            "labels", f"{len(unpaired)} images and labels have no partner of the same name, first {min(unpaired)}."
        )


def _label_table(values: Section, classes: Sequence[str], groups: list[tuple[int, ...]]) -> NDArray[np.uint8]:
    table = np.full(256, _UNNAMED, np.uint8)
    for key in values:
        if isinstance(key, bool) or not isinstance(key, int) or not 0 <= key <= 255:
            raise values.error(str(key), "a label value must be a whole number from 0 to 255.")
        meaning = values.value(key)
        if meaning == "ignore":
            table[key] = IGNORE
            continue
        names = meaning if isinstance(meaning, list) else [meaning]
        for name in names:
            if name not in classes:
                hint = did_you_mean(str(name), classes)
                raise values.error(
                    str(key), f"'{name}' is not one of the classes{hint}; use a class, a list of them, or ignore."
                )
        members = tuple(sorted(classes.index(name) for name in names))
        if len(members) == 1:
            table[key] = members[0]
            continue
        if members not in groups:
            groups.append(members)
        table[key] = len(classes) + groups.index(members)
    return table


@dataclass(frozen=True)
class Sample:
    """One labelled image: image uint8 [H, W, 3] RGB, label uint8 [H, W] of label indices."""

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]


def load_sample(dataset: Dataset, index: int, size: tuple[int, int] | None = None) -> Sample:
    """Read one image and its label, resized to `size` (width, height) when given.

    Raises:
        ConfigError: a file cannot be decoded, sizes differ, or a label value is not in the YAML's table.
    """
    image_path, label_path = dataset.images[index], dataset.labels[index]
    image = cv2.imread(str(image_path), cv2.IMREAD_COLOR)
    raw = cv2.imread(str(label_path), cv2.IMREAD_UNCHANGED)
    if image is None or raw is None:
        raise ConfigError(
            f"{image_path if image is None else label_path}: is not an image that can be decoded; replace or remove it."
        )
    if raw.ndim != 2 or raw.dtype != np.uint8:
        raise ConfigError(
            f"{label_path}: labels must be single-channel 8-bit, not {raw.shape} {raw.dtype}; convert it."
        )
    if raw.shape != image.shape[:2]:
        raise ConfigError(
            f"{label_path}: is {raw.shape[1]}x{raw.shape[0]} and its image {image.shape[1]}x{image.shape[0]}; "
            "they must agree."
        )
    label = dataset.table[raw]
    if (label == _UNNAMED).any():
        value = int(raw[label == _UNNAMED][0])
        raise ConfigError(
            f"{label_path}: holds value {value}, which dataset '{dataset.name}' does not name; add it to 'values'."
        )
    if size is not None and size != (image.shape[1], image.shape[0]):
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
    return Sample(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), np.asarray(label, np.uint8))


def load_all(datasets: Sequence[Dataset], size: tuple[int, int]) -> list[list[Sample]]:
    """All samples in memory, per dataset; CamVid at 480x360 takes 0.3 GB."""
    return [[load_sample(dataset, index, size) for index in range(len(dataset.images))] for dataset in datasets]


def augment(sample: Sample, crop: tuple[int, int], rng: np.random.Generator) -> Sample:
    """Random scale, rotation, crop, mirror, colour and blur, as a camera on a robot varies.

    Args:
        sample: what to start from.
        crop: (width, height) of the result.
        rng: source of chance; the same state gives the same result.
    """
    height, width = sample.label.shape
    scale = float(np.exp(rng.uniform(np.log(0.6), np.log(1.8))))
    angle = float(rng.normal(0.0, 2.5))
    mirror = rng.random() < 0.5
    # One affine map does scale, tilt, mirror and crop in a single pass over the pixels.
    spare_x, spare_y = max(width * scale - crop[0], 0.0), max(height * scale - crop[1], 0.0)
    left, top = rng.uniform(0.0, spare_x) if spare_x else 0.0, rng.uniform(0.0, spare_y) if spare_y else 0.0
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    matrix[:, 2] += (width * (scale - 1) / 2 - left, height * (scale - 1) / 2 - top)
    if mirror:
        matrix[0] = (-matrix[0, 0], -matrix[0, 1], crop[0] - 1 - matrix[0, 2])
    image = cv2.warpAffine(sample.image, matrix, crop, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    label = cv2.warpAffine(
        sample.label, matrix, crop, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(IGNORE,)
    )
    return Sample(_jitter_colour(np.asarray(image, np.uint8), rng), np.asarray(label, np.uint8))


def _jitter_colour(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    gain = np.exp(rng.normal(0.0, 0.25)) * np.exp(rng.normal(0.0, 0.06, 3))
    gamma = np.exp(rng.normal(0.0, 0.2))
    levels = np.linspace(0.0, 1.0, 256)[:, None] ** gamma * gain
    table = np.clip(levels * 255.0 + rng.normal(0.0, 6.0), 0, 255).astype(np.uint8)
    jittered = cv2.LUT(image, table.reshape(1, 256, 3))
    saturation = float(np.exp(rng.normal(0.0, 0.3)))
    grey = cv2.cvtColor(cv2.cvtColor(jittered, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    jittered = cv2.addWeighted(jittered, saturation, grey, 1.0 - saturation, 0.0)
    if rng.random() < 0.2:
        jittered = cv2.GaussianBlur(jittered, (0, 0), float(rng.uniform(0.4, 1.5)))
    return np.asarray(jittered, np.uint8)


def epoch_batches(
    samples: Sequence[Sequence[Sample]],
    shares: Sequence[float],
    crop: tuple[int, int],
    batch: int,
    rng: np.random.Generator,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """One epoch of augmented batches: images uint8 [B, 3, h, w] RGB, labels uint8 [B, h, w].

    Each dataset gives its share of images; the last, incomplete batch is left out.
    """
    drawn: list[Sample] = []
    for dataset, share in zip(samples, shares, strict=True):
        count = round(len(dataset) * share)
        order = np.concatenate([rng.permutation(len(dataset)) for _ in range(count // max(len(dataset), 1) + 1)])
        drawn += [dataset[index] for index in order[:count]]
    order = rng.permutation(len(drawn))
    for start in range(0, len(drawn) - batch + 1, batch):
        chosen = [augment(drawn[index], crop, rng) for index in order[start : start + batch]]
        yield np.stack([s.image.transpose(2, 0, 1) for s in chosen]), np.stack([s.label for s in chosen])
