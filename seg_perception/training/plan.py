"""The training plan: one YAML with classes, data and the settings of a training run. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seg_perception.datasets.plan import DatasetPlan, read_dataset_plan
from seg_perception.settings.yaml_file import load_yaml
from seg_perception.training.augment import Augmentation, read_augmentation
from seg_perception.training.loss_plan import LossPlan, PointSupervision, read_loss_plan
from seg_perception.training.network.spec import NetworkSpec, read_network_spec

# ImageNet's statistics, as is usual. Any fixed numbers would do, since the first convolution learns its own scale.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class TrainingPlan(DatasetPlan):
    """Everything a training run depends on; read from one YAML.

    Attributes:
        epochs, batch, crop: length of the run; crop is (width, height), multiples of 16.
        learning_rate, weight_decay: of AdamW.
        losses: to minimise.
        augmentation: how training images vary.
        amp: whether the network computes in half precision while training.
        freeze_batch_norm: whether batch norms keep the statistics they start with, for fine-tuning in small batches.
        seed: of everything random.
        network: width and context.
        training_data, licence: texts for the model card.
    """

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


def load_plan(path: Path, root: Path | None = None) -> TrainingPlan:
    """Read a training YAML (config/training/urban.yaml is a commented example).

    Args:
        path: the YAML.
        root: folder that dataset paths start from; the YAML's own folder when None. The path of a cost matrix always
            starts from the YAML's own folder.

    Raises:
        ConfigError: the YAML or a dataset or cost matrix it names is wrong.
    """
    top = load_yaml(path)
    data = read_dataset_plan(top, root or path.parent)
    settings = top.section("settings")
    crop = [int(value) for value in settings.numbers("crop", 2)]
    if any(value % 16 or value <= 0 for value in crop):
        raise settings.error("crop", "must be [width, height] in multiples of 16.")
    plan = TrainingPlan(
        **vars(data),
        epochs=settings.integer("epochs", 1, 100_000),
        batch=settings.integer("batch", 2, 4096),
        crop=(crop[0], crop[1]),
        learning_rate=settings.number("learning_rate", 1e-7, 1.0),
        weight_decay=settings.number("weight_decay", 0.0, 1.0),
        losses=read_loss_plan(settings, data.classes, path.parent),
        augmentation=read_augmentation(settings),
        amp=settings.boolean("amp") if "amp" in settings else True,
        freeze_batch_norm=settings.boolean("freeze_batch_norm") if "freeze_batch_norm" in settings else False,
        seed=settings.integer("seed", 0, 2**31),
        network=read_network_spec(top, len(data.classes)),
        training_data=top.text("training_data"),
        licence=top.text("licence"),
    )
    for part in (settings, top):
        part.finish()
    has_points = any(dataset.point_labels is not None for dataset in plan.train)
    if has_points != any(isinstance(loss, PointSupervision) for loss in plan.losses.losses):
        what = (
            "has no 'clicks', but training data have clicks" if has_points else "has 'clicks', but no training data do"
        )
        raise settings.error("losses", f"{what}; the loss and such data go together.")
    return plan
