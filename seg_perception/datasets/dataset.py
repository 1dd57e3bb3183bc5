"""Labelled images described by one YAML.

A dataset maps each label value to a class, to a list of classes (the label leaves the choice open), or to `ignore`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.datasets.label_files import CODES, Encoding, parse_code, read_codes, spelled
from seg_perception.datasets.layouts import Layout, find_pairs, read_layout
from seg_perception.datasets.point_supervision import CLICKED, ClickSpec, read_click_spec
from seg_perception.errors import ConfigError
from seg_perception.settings.yaml_file import Section, did_you_mean

IGNORE = 255


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
        labels: label files, one per image.
        table: uint8 [codes], code of a pixel → label 0..K+G-1, or 255; codes that nobody named are 254.
        share: images drawn per epoch as a share of the dataset's size.
        encoding: how label files say what a pixel is.
        clicks: what the label files mean where they hold clicks instead of pixels; `table` and `encoding` have no say.
    """

    name: str
    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    table: NDArray[np.uint8]
    share: float = 1.0
    encoding: Encoding = "ids"
    clicks: ClickSpec | None = None


_UNNAMED = 254


def read_datasets(
    section: Section, key: str, classes: Sequence[str], root: Path, files: bool = True
) -> tuple[list[Dataset], LabelSpace]:
    """Read the list `key` of datasets.

    Args:
        section: a YAML section that holds `key`: a mapping from dataset name to its description (docs/how_to/training.md).
        key: its key.
        classes: the class names of the network.
        root: folder that relative paths start from.
        files: whether to look for the images; without them only what labels mean is known.

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
        layout = read_layout(entry)
        clicks = read_click_spec(entry, classes) if "clicks" in entry else None
        table = _label_table(entry, layout, classes, groups) if clicks is None else np.zeros(0, np.uint8)
        share = entry.number("share", 0.0, 10.0) if "share" in entry else 1.0
        images: tuple[Path, ...] = ()
        labels: tuple[Path, ...] = ()
        if files:  # else the keys that say where they are stay unread
            images, labels = find_pairs(entry, layout, root)
            entry.finish()
        datasets.append(Dataset(name, images, labels, table, share, layout.encoding, clicks))
    if not datasets:
        raise section.error(key, "names no dataset; add one.")
    most = CLICKED if any(dataset.clicks is not None for dataset in datasets) else _UNNAMED
    if len(classes) + len(groups) > most:
        raise section.error(key, f"uses more than {most} classes and choices of classes; merge some.")
    return datasets, LabelSpace(tuple(classes), tuple(groups))


def _label_table(
    entry: Section, layout: Layout, classes: Sequence[str], groups: list[tuple[int, ...]]
) -> NDArray[np.uint8]:
    others = _meaning(entry, "others", classes, groups) if "others" in entry else _UNNAMED
    # Where the layout names its values, any other value is a mistake and no case for `others`.
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
    """Read one label file: label indices uint8 [H, W] at the file's own size; discs around clicks, at the image's.

    Raises:
        ConfigError: the file cannot be decoded, or holds a value that the YAML does not name.
    """
    path = dataset.labels[index]
    if dataset.clicks is not None:
        return dataset.clicks.label_image(path, dataset.images[index], IGNORE)
    codes = read_codes(path, dataset.encoding)
    label: NDArray[np.uint8] = dataset.table[codes]
    unnamed = label == _UNNAMED
    if unnamed.any():
        value = spelled(int(codes[unnamed][0]), dataset.encoding)
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
    # Labels belong to the pixels as they are stored, whatever way up a viewer shows the image.
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise ConfigError(f"{path}: is not an image that can be decoded; replace or remove it.")
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
