"""The training plan: one YAML that says which classes, which data, and how to train. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from seg_perception.datasets.dataset import Dataset, LabelSpace, read_datasets
from seg_perception.errors import ConfigError
from seg_perception.settings.yaml_file import load_yaml
from seg_perception.training.augment import Augmentation, read_augmentation
from seg_perception.training.loss_plan import Clicks, LossPlan, read_loss_plan
from seg_perception.training.network.spec import NetworkSpec, read_network_spec

# ImageNet's statistics, the field's habit; any fixed numbers would do since the first convolution learns its own scale.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class TrainingPlan:
    """Everything a training run depends on; read from one YAML.

    Attributes:
        classes: class names in output order.
        colours: RGB per class, for pictures.
        width, height: the network's input size, pixels.
        train, validation: datasets.
        space: labels that the datasets use.
        epochs, batch, crop: length of the run; crop is (width, height), multiples of 16.
        learning_rate, weight_decay: of AdamW.
        losses: what to minimise.
        augmentation: how training images vary.
        amp: whether the network computes in half precision while training.
        freeze_batch_norm: whether batch norms keep the statistics they start with, for fine-tuning in small batches.
        seed: of everything random.
        network: width and context.
        training_data, licence: told in the model card.
    """

    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    width: int
    height: int
    train: tuple[Dataset, ...]
    validation: tuple[Dataset, ...]
    space: LabelSpace
    epochs: int
    batch: int
    crop: tuple[int, int]
    learning_rate: float
    weight_decay: float
    losses: LossPlan
    augmentation: Augmentation
    amp: bool
    freeze_batch_norm: bool
    seed: int
    network: NetworkSpec
    training_data: str
    licence: str


def load_plan(path: Path, root: Path | None = None, judging: bool = False) -> TrainingPlan:
    """Read a training YAML (config/training/urban.yaml is a commented example).

    Args:
        path: the YAML.
        root: folder that dataset paths start from; the YAML's own folder when None. The path of a cost matrix always
            starts from the YAML's own folder.
        judging: leave the training images out: who judges a network needs the validation images only.

    Raises:
        ConfigError: the YAML or a dataset or cost matrix it names is wrong.
    """
    top = load_yaml(path)
    root = root or path.parent
    colours = top.section("classes")
    classes = tuple(colours)
    palette = []
    for name in classes:
        red, green, blue = (int(colours.as_number(name, value, 0, 255)) for value in colours.numbers(name, 3))
        palette.append((red, green, blue))
    size = top.section("input")
    train, space = read_datasets(top, "train", classes, root, files=not judging)
    validation, held_out = read_datasets(top, "validation", classes, root)
    settings = top.section("settings")
    crop = [int(value) for value in settings.numbers("crop", 2)]
    if any(value % 16 or value <= 0 for value in crop):
        raise settings.error("crop", "must be [width, height] in multiples of 16.")
    plan = TrainingPlan(
        classes=classes,
        colours=tuple(palette),
        width=size.integer("width", 32, 8192),
        height=size.integer("height", 32, 8192),
        train=tuple(train),
        validation=tuple(_relabel(dataset, held_out, space) for dataset in validation),
        space=space,
        epochs=settings.integer("epochs", 1, 100_000),
        batch=settings.integer("batch", 2, 4096),
        crop=(crop[0], crop[1]),
        learning_rate=settings.number("learning_rate", 1e-7, 1.0),
        weight_decay=settings.number("weight_decay", 0.0, 1.0),
        losses=read_loss_plan(settings, classes, path.parent),
        augmentation=read_augmentation(settings),
        amp=settings.boolean("amp") if "amp" in settings else True,
        freeze_batch_norm=settings.boolean("freeze_batch_norm") if "freeze_batch_norm" in settings else False,
        seed=settings.integer("seed", 0, 2**31),
        network=read_network_spec(top, len(classes)),
        training_data=top.text("training_data"),
        licence=top.text("licence"),
    )
    for part in (size, settings, top):
        part.finish()
    if any(dataset.clicks is not None for dataset in plan.validation):
        raise top.error("validation", "holds clicks, which say nothing about most pixels; validate on full masks.")
    clicked = any(dataset.clicks is not None for dataset in plan.train)
    if clicked != any(isinstance(loss, Clicks) for loss in plan.losses.losses):
        what = "has no 'clicks', by which clicked" if clicked else "has 'clicks', but no clicked"
        raise settings.error("losses", f"{what} training data would be learnt from; both go together.")
    return plan


def _relabel(dataset: Dataset, own: LabelSpace, common: LabelSpace) -> Dataset:
    """Move a validation dataset's group numbers to those of training."""
    table = dataset.table.copy()
    for index, group in enumerate(own.groups):
        if group not in common.groups:
            names = "|".join(own.classes[member] for member in group)
            raise ConfigError(
                f"dataset '{dataset.name}': the label group {names} occurs only in validation; train with it too."
            )
        table[dataset.table == len(own.classes) + index] = len(common.classes) + common.groups.index(group)
    return replace(dataset, table=table)
