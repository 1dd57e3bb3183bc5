"""The part of a training plan that describes classes and data. Evaluation reads no more than this."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from seg_perception.datasets.dataset import Dataset, LabelSpace, read_datasets
from seg_perception.errors import ConfigError
from seg_perception.settings.yaml_file import Section, load_yaml


@dataclass(frozen=True)
class DatasetPlan:
    """Classes and data of a plan.

    Attributes:
        classes: class names in the order of the network's outputs.
        colours: RGB per class, for visualization.
        width, height: the network's input size, pixels.
        train, validation: datasets.
        space: labels that the datasets use.
    """

    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    width: int
    height: int
    train: tuple[Dataset, ...]
    validation: tuple[Dataset, ...]
    space: LabelSpace


def load_dataset_plan(path: Path, root: Path | None = None) -> DatasetPlan:
    """Read classes and validation data of a training YAML; its other keys are not checked.

    Args:
        path: the YAML (config/training/urban.yaml is a commented example).
        root: folder that dataset paths start from; the YAML's own folder when None.

    Returns:
        The plan. Its training datasets have no files, which need not exist: only the meaning of their labels counts.

    Raises:
        ConfigError: the YAML or a dataset that it names is wrong.
    """
    return read_dataset_plan(load_yaml(path), root or path.parent, train_files=False)


def read_dataset_plan(top: Section, root: Path, train_files: bool = True) -> DatasetPlan:
    """Read `classes`, `input`, `train` and `validation`.

    Args:
        top: the whole YAML.
        root: folder that dataset paths start from.
        train_files: whether to find the training images and labels.

    Raises:
        ConfigError: a class, the input size or a dataset is wrong, or validation uses a label that training does not.
    """
    colours = top.section("classes")
    classes = tuple(colours)
    palette = []
    for name in classes:
        red, green, blue = (int(colours.as_number(name, value, 0, 255)) for value in colours.numbers(name, 3))
        palette.append((red, green, blue))
    train, space = read_datasets(top, "train", classes, root, files=train_files)
    validation, validation_space = read_datasets(top, "validation", classes, root)
    if any(dataset.point_labels is not None for dataset in validation):
        raise top.error("validation", "holds clicks, which say nothing about most pixels; validate on full masks.")
    size = top.section("input")
    plan = DatasetPlan(
        classes=classes,
        colours=tuple(palette),
        width=size.integer("width", 32, 8192),
        height=size.integer("height", 32, 8192),
        train=tuple(train),
        validation=tuple(_relabel(dataset, validation_space, space) for dataset in validation),
        space=space,
    )
    size.finish()
    return plan


def _relabel(dataset: Dataset, own: LabelSpace, common: LabelSpace) -> Dataset:
    """Convert a validation dataset's group labels to the label space of training."""
    table = dataset.table.copy()
    for index, group in enumerate(own.groups):
        if group not in common.groups:
            names = "|".join(own.classes[member] for member in group)
            raise ConfigError(
                f"dataset '{dataset.name}': the label group {names} occurs only in validation; train with it too."
            )
        table[dataset.table == len(own.classes) + index] = len(common.classes) + common.groups.index(group)
    return replace(dataset, table=table)
