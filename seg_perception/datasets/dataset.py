"""Labelled images, described by one YAML.

A dataset maps each label value to a class, to a list of classes (the label leaves the choice open), or to `ignore`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.datasets.label_files import CODES, Encoding, describe_code, parse_code, read_codes
from seg_perception.datasets.layouts import Layout, find_pairs, read_layout
from seg_perception.datasets.point_supervision import POINT_OFFSET, PointLabelSpec, read_point_label_spec
from seg_perception.errors import ConfigError
from seg_perception.sensor_data.images.labelled_files import decode_image_file
from seg_perception.settings.yaml_file import Section, did_you_mean

IGNORE = 255
"""Label of unlabelled pixels."""


@dataclass(frozen=True)
class LabelSpace:
    """The labels of K classes: each class, and groups of classes between which a label may leave the choice.

    Attributes:
        classes: class names, in the order of the network's outputs.
        groups: class indices of each group, sorted. Labels K..K+G-1 are the groups.
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
        labels: label files, one per image.
        table: uint8 [codes], code of a pixel → label 0..K+G-1, or 255; codes without a meaning are 254.
        share: images drawn per epoch as a share of the dataset's size.
        encoding: of the label files.
        point_labels: set if the label files hold points (clicks) instead of pixels; `table` and `encoding` are unused.
    """

    name: str
    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    table: NDArray[np.uint8]
    share: float = 1.0
    encoding: Encoding = "ids"
    point_labels: PointLabelSpec | None = None


_UNNAMED = 254


def read_datasets(
    section: Section, key: str, classes: Sequence[str], root: Path, files: bool = True
) -> tuple[list[Dataset], LabelSpace]:
    """Read the list `key` of datasets.

    Args:
        section: a YAML section.
        key: of a mapping in it, from dataset name to description (docs/how_to/training.md).
        classes: the class names of the network.
        root: folder that relative paths start from.
        files: whether to find the images and labels; without them only the meaning of the labels is known.

    Returns:
        The datasets, and the label space with every group that any of them uses.

    Raises:
        ConfigError: a folder is missing, an image has no label or the other way round, a class is unknown.
    """
    listing = section.section(key)
    groups: list[tuple[int, ...]] = []
    datasets = []
    for name in listing:
        entry = listing.section(name)
        layout = read_layout(entry)
        point_labels = read_point_label_spec(entry, classes) if "clicks" in entry else None
        table = _label_table(entry, layout, classes, groups) if point_labels is None else np.zeros(0, np.uint8)
        share = entry.number("share", 0.0, 10.0) if "share" in entry else 1.0
        images: tuple[Path, ...] = ()
        labels: tuple[Path, ...] = ()
        if files:  # otherwise the keys of their locations are not checked
            images, labels = find_pairs(entry, layout, root)
            entry.finish()
        datasets.append(Dataset(name, images, labels, table, share, layout.encoding, point_labels))
    if not datasets:
        raise section.error(key, "names no dataset; add one.")
    most = POINT_OFFSET if any(dataset.point_labels is not None for dataset in datasets) else _UNNAMED
    if len(classes) + len(groups) > most:
        raise section.error(key, f"uses more than {most} classes and choices of classes; merge some.")
    return datasets, LabelSpace(tuple(classes), tuple(groups))


def _label_table(
    entry: Section, layout: Layout, classes: Sequence[str], groups: list[tuple[int, ...]]
) -> NDArray[np.uint8]:
    others = _meaning(entry, "others", classes, groups) if "others" in entry else _UNNAMED
    # Where the layout names its values, any other value is an error and not covered by `others`.
    table = np.full(CODES[layout.encoding], _UNNAMED if layout.names else others, np.uint8)
    for name, code in layout.names.items():
        table[code] = classes.index(name) if name in classes else others
    if "values" in entry or not layout.names:
        values = entry.section("values")
        for key in values:
            if key in layout.names:
                code = layout.names[key]
            elif layout.names and isinstance(key, str):
                raise values.error(key, f"is not a label of this dataset{did_you_mean(key, layout.names)}; correct it.")
            else:
                code = parse_code(values, str(key), key, layout.encoding)
            table[code] = _meaning(values, key, classes, groups)
    return table


def _meaning(section: Section, key: str, classes: Sequence[str], groups: list[tuple[int, ...]]) -> int:
    """The label that `key` maps to: a class, a group (a new one is added to `groups`), or IGNORE."""
    meaning = section.value(key)
    if meaning == "ignore":
        return IGNORE
    names = meaning if isinstance(meaning, list) else [meaning]
    for name in names:
        if name not in classes:
            hint = did_you_mean(str(name), classes)
            raise section.error(
                str(key), f"'{name}' is not one of the classes{hint}; use a class, a list of them, or ignore."
            )
    members = tuple(sorted(classes.index(name) for name in names))
    if len(members) == 1:
        return members[0]
    if members not in groups:
        groups.append(members)
    return len(classes) + groups.index(members)


@dataclass(frozen=True)
class Sample:
    """One labelled image: image uint8 [H, W, 3] RGB, label uint8 [H, W] of label indices."""

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]


def load_label(dataset: Dataset, index: int) -> NDArray[np.uint8]:
    """Read one label file: label indices uint8 [H, W] at the file's own size; discs around points at the image's size.

    Raises:
        ConfigError: the file cannot be decoded, or holds a value that the YAML does not name.
    """
    path = dataset.labels[index]
    if dataset.point_labels is not None:
        return dataset.point_labels.label_image(path, dataset.images[index], IGNORE)
    codes = read_codes(path, dataset.encoding)
    label: NDArray[np.uint8] = dataset.table[codes]
    unnamed = label == _UNNAMED
    if unnamed.any():
        value = describe_code(int(codes[unnamed][0]), dataset.encoding)
        raise ConfigError(
            f"{path}: holds {value}, which dataset '{dataset.name}' does not name; add it to 'values', or say what "
            "'others' are."
        )
    return label


def load_sample(dataset: Dataset, index: int, size: tuple[int, int] | None = None) -> Sample:
    """Read one image and its label, resized to `size` (width, height) when given.

    Raises:
        ConfigError: a file cannot be decoded, sizes differ, or a label value is not in the YAML's table.
    """
    path = dataset.images[index]
    # Labels belong to the pixels as they are stored; the EXIF orientation is for viewers only.
    image = decode_image_file(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    label = load_label(dataset, index)
    check_sizes(dataset, index, (image.shape[1], image.shape[0]), label)
    if size is not None and size != (image.shape[1], image.shape[0]):
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        label = np.asarray(cv2.resize(label, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return Sample(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), label)


def check_sizes(dataset: Dataset, index: int, size: tuple[int, int], label: NDArray[np.uint8]) -> None:
    """Compare an image's `size` (width, height) with that of its label.

    Raises:
        ConfigError: they differ.
    """
    if label.shape != (size[1], size[0]):
        raise ConfigError(
            f"{dataset.labels[index]}: is {label.shape[1]}x{label.shape[0]} and its image {size[0]}x{size[1]}; "
            "they must agree."
        )
