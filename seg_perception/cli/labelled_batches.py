"""Labelled images of a training plan, as the comparison of precisions wants them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from seg_perception.cli.common import Bar
from seg_perception.datasets.dataset import load_sample
from seg_perception.errors import ModelError
from seg_perception.evaluation.network.precision_parity import Batch
from seg_perception.inference.tensorrt.plan_build import Material
from seg_perception.model.card import ModelCard
from seg_perception.sensor_data.images.scaled import at_network_size
from seg_perception.training.plan import TrainingPlan


def labelled_batches(plan: TrainingPlan, material: Material) -> Iterator[Batch]:
    """The validation images of a plan, one at a time, at the size of the graph's labels."""
    card = material.card
    total = sum(len(dataset.images) for dataset in plan.validation)
    done = 0
    with Bar("comparing") as progress:
        for dataset in plan.validation:
            for index in range(len(dataset.images)):
                sample = load_sample(dataset, index, (card.width, card.height))
                image = at_network_size(sample.image, card.width, card.height, "rgb", material.spec.image_order)
                yield Batch(image[None], sample.label[None])
                done += 1
                progress(done, total)


def label_of_class(plan: TrainingPlan, card: ModelCard) -> NDArray[np.uint8]:
    """uint8 [K], the label of the plan that each of the network's classes counts as.

    A label that leaves a choice of classes stands for all of them.

    Raises:
        ModelError: the plan is of a network with other classes.
    """
    if plan.classes != card.classes:
        raise ModelError(
            f"the network's classes ({', '.join(card.classes)}) are not those of the plan ({', '.join(plan.classes)}); "
            "give the plan that it was trained by."
        )
    meaning = np.arange(len(plan.classes), dtype=np.uint8)
    used = np.unique(np.concatenate([dataset.table for dataset in plan.validation]))
    for index, group in enumerate(plan.space.groups, len(plan.classes)):
        if index in used:
            meaning[list(group)] = index
    return meaning
