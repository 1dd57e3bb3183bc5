"""Evaluates a network: brings together engine, labelled data, cost matrix and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.datasets.dataset import load_sample
from seg_perception.datasets.plan import DatasetPlan, load_dataset_plan
from seg_perception.errors import ConfigError
from seg_perception.evaluation.metrics.boundary import DEFAULT_TOLERANCE, Tolerance
from seg_perception.evaluation.metrics.labels import EvaluationLabels
from seg_perception.evaluation.network.metrics import (
    EvaluationResult,
    LabelledImage,
    NetworkEvaluationConfig,
    Prediction,
    evaluate,
)
from seg_perception.evaluation.network.summary import summarise_evaluation
from seg_perception.inference.backends import open_engine
from seg_perception.inference.engine import Engine
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.model.card import file_sha256
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.settings.yaml_file import did_you_mean

Progress = Callable[[int, int], None]

THINGS = frozenset(
    {"bicycle", "bicyclist", "bus", "car", "cyclist", "motorcycle", "pedestrian", "person", "rider", "train", "truck"}
)
"""Default classes with instances, in lower case: the things of Cityscapes and CamVid."""


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate, and on which data.

    Attributes:
        plan: training YAML, for its validation data.
        model: ONNX file with its card next to it.
        matrix: cost matrix YAML.
        root: folder that dataset paths start from; the plan's own when None.
        things: classes whose instances count one by one; None for those whose names are in `THINGS`.
        tolerance: of the boundary F-score.
        worst: how many of the worst images to keep with their label maps.
        threads: CPU threads of the network; one per core when None.
    """

    plan: Path
    model: Path
    matrix: Path
    root: Path | None = None
    things: tuple[str, ...] | None = None
    tolerance: Tolerance = DEFAULT_TOLERANCE
    worst: int = 8
    threads: int | None = None


class NetworkEvaluator:
    """A network and the data to evaluate it on."""

    def __init__(self, request: EvaluationRequest, progress: Progress = lambda done, total: None) -> None:
        """Open network and data, and read all labels once to find which of them occur.

        Args:
            request: what to evaluate.
            progress: called with label images read and in all.

        Raises:
            ConfigError: plan, data, matrix or a name in `things` is wrong, or the plan is another model's.
            ModelError: the model cannot be run.
        """
        self._request = request
        self._engine = open_engine(request.model, GraphSpec(sample_points=1, logits=True), threads=request.threads)
        self._plan = load_dataset_plan(request.plan, request.root)
        card = self._engine.card
        if card.classes != self._plan.classes:
            raise ConfigError(
                f"{request.model}: its classes are not those of {request.plan}; use the plan of this model."
            )
        matrix = CostMatrix.load(request.matrix, card.classes)
        self._costs = matrix.stacked_rows()
        self._size = (card.width, card.height)
        things = _things(request.things, self._plan)
        self._images = [(dataset, index) for dataset in self._plan.validation for index in range(len(dataset.images))]
        labels = EvaluationLabels.of(self._labels(progress), self._plan.space)
        is_thing = tuple(all(things[list(self._plan.space.members(number))]) for number in labels.numbers)
        self._rules = NetworkEvaluationConfig(labels, matrix.misclassification, is_thing, request.tolerance)

    @property
    def engine(self) -> Engine:
        """The network."""
        return self._engine

    @property
    def labels(self) -> EvaluationLabels:
        """The labels that occur in the data."""
        return self._rules.labels

    def run(self, progress: Progress = lambda done, total: None) -> EvaluationResult:
        """Evaluate all images; `progress` is called with images done and in all.

        Raises:
            ConfigError: an image cannot be read, or nothing is labelled.
            ModelError: the network gives numbers that are not finite.
        """
        return evaluate(self._predict, self._samples(progress), self._rules, self._request.worst)

    def summary(self, result: EvaluationResult) -> dict[str, Any]:
        """The metrics of `summarise_evaluation` with model, data, matrix and hashes."""
        request = self._request
        data = ", ".join(f"{dataset.name} ({len(dataset.images)} images)" for dataset in self._plan.validation)
        return {
            "model": self._engine.card.name,
            "data": data,
            "matrix": str(request.matrix),
            **summarise_evaluation(result, self._rules),
            "hashes": {"model": self._engine.card.sha256, "cost_matrix": file_sha256(request.matrix)},
        }

    def _labels(self, progress: Progress) -> Iterator[NDArray[np.uint8]]:
        for done, (dataset, index) in enumerate(self._images, 1):
            yield load_sample(dataset, index, self._size).label
            progress(done, len(self._images))

    def _samples(self, progress: Progress) -> Iterator[LabelledImage]:
        for done, (dataset, index) in enumerate(self._images, 1):
            sample = load_sample(dataset, index, self._size)
            name = f"{dataset.name}/{dataset.images[index].name}"
            yield LabelledImage(name, sample.image, self.labels.renumber(sample.label))
            progress(done, len(self._images))

    def _predict(self, image: NDArray[np.uint8]) -> Prediction:
        output = self._engine.run(image[np.newaxis], self._costs, np.zeros((1, 1, 2), np.float32))
        assert output.logits is not None  # the engine was opened with them
        return Prediction(output.logits[0], output.labels[0])


def _things(names: Sequence[str] | None, plan: DatasetPlan) -> NDArray[np.bool_]:
    """bool [K]: the classes whose instances count one by one."""
    if names is None:
        return np.array([name.lower() in THINGS for name in plan.classes], bool)
    for name in names:
        if name not in plan.classes:
            raise ConfigError(
                f"--things {name}: is no class of the model{did_you_mean(name, plan.classes)}; it has "
                f"{', '.join(plan.classes)}."
            )
    return np.array([name in names for name in plan.classes], bool)
