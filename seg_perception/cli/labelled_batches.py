"""Labelled images of a plan, for the comparison of precisions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from seg_perception.cli.common import Bar
from seg_perception.datasets.dataset import load_sample
from seg_perception.datasets.plan import DatasetPlan
from seg_perception.errors import ModelError
from seg_perception.evaluation.network.precision_parity import Batch
from seg_perception.inference.tensorrt.plan_build import BuildRequest
from seg_perception.model.card import ModelCard
from seg_perception.sensor_data.images.scaled import at_network_size


def labelled_batches(plan: DatasetPlan, request: BuildRequest) -> Iterator[Batch]:
    """The validation images of a plan, one at a time, at the size of the graph's labels."""
    card = request.card
    total = sum(len(dataset.images) for dataset in plan.validation)
    done = 0
    with Bar("comparing") as progress:
        for dataset in plan.validation:
            for index in range(len(dataset.images)):
                sample = load_sample(dataset, index, (card.width, card.height))
                image = at_network_size(sample.image, card.width, card.height, "rgb", request.spec.image_order)
                yield Batch(image[None], sample.label[None])
                done += 1
                progress(done, total)


def label_of_class(plan: DatasetPlan, card: ModelCard) -> NDArray[np.uint8]:
    """The plan's label of each of the network's classes, uint8 [K].

    A label that leaves a choice of classes is the label of all of them.

    Raises:
        ModelError: the plan has other classes than the network.
    """
    if plan.classes != card.classes:
        raise ModelError(
            f"the network's classes ({', '.join(card.classes)}) are not those of the plan ({', '.join(plan.classes)}); "
            "give the plan that it was trained with."
        )
    meaning = np.arange(len(plan.classes), dtype=np.uint8)
    used = np.unique(np.concatenate([dataset.table for dataset in plan.validation]))
    for index, group in enumerate(plan.space.groups, len(plan.classes)):
        if index in used:
            meaning[list(group)] = index
    return meaning
