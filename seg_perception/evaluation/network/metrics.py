"""All metrics of a network over labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.datasets.dataset import IGNORE
from seg_perception.errors import ConfigError
from seg_perception.evaluation.metrics.boundary import BoundaryScores, Tolerance, boundary_f_score
from seg_perception.evaluation.metrics.labels import EvaluationLabels, softmax, upsample
from seg_perception.evaluation.metrics.panoptic import PanopticQuality, Segments
from seg_perception.evaluation.metrics.realized_cost import CostSum, expected_costs, realized_costs
from seg_perception.evaluation.metrics.segmentation import Reliability, confusion_matrix, iou_per_class, pixel_accuracy


@dataclass(frozen=True, eq=False)
class Prediction:
    """A network's output for one image.

    Attributes:
        logits: float32 [K, h, w], calibrated, at the network's own resolution.
        decision: uint8 [H, W], the Bayes decision at the image's size.
    """

    logits: NDArray[np.float32]
    decision: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image with its ground truth.

    Attributes:
        name: shown in tables.
        image: uint8 [H, W, 3], RGB, at the network's size.
        ground_truth: uint8 [H, W], 0..L-1 as `EvaluationLabels.renumber` gives them, 255 where nothing is labelled.
    """

    name: str
    image: NDArray[np.uint8]
    ground_truth: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class NetworkEvaluationConfig:
    """How a network is evaluated.

    Attributes:
        labels: the L labels.
        costs: C float32 [K, K], C[decision, true class].
        things: one flag per label, true for things, whose instances count one by one.
        tolerance: of the boundary F-score.
    """

    labels: EvaluationLabels
    costs: NDArray[np.float32]
    things: Sequence[bool]
    tolerance: Tolerance


@dataclass(frozen=True, eq=False)
class NetworkMetrics:
    """All metrics as sums; metrics of several images can be added.

    Attributes:
        confusion: int64 [L, L], row = ground truth, column = the most probable label.
        boundary: boundary F-scores of the most probable label.
        panoptic: segments of the most probable label.
        reliability: of the most probable label.
        most_probable: realized cost of deciding for the most probable class (argmax).
        bayes: realized cost of the Bayes decision.
        expected: expected cost of the Bayes decision under the network's probabilities.
    """

    confusion: NDArray[np.int64]
    boundary: BoundaryScores
    panoptic: PanopticQuality
    reliability: Reliability
    most_probable: CostSum
    bayes: CostSum
    expected: CostSum

    def __add__(self, other: NetworkMetrics) -> NetworkMetrics:
        return NetworkMetrics(
            self.confusion + other.confusion,
            self.boundary + other.boundary,
            self.panoptic + other.panoptic,
            self.reliability + other.reliability,
            self.most_probable + other.most_probable,
            self.bayes + other.bayes,
            self.expected + other.expected,
        )


@dataclass(frozen=True)
class ImageScore:
    """The scores of one image.

    Attributes:
        name: the image's.
        iou: mean IoU of the labels in its ground truth.
        accuracy: share of labelled pixels that are right.
        boundary: mean boundary F-score of the labels that have one; NaN where none has.
    """

    name: str
    iou: float
    accuracy: float
    boundary: float


@dataclass(frozen=True, eq=False)
class EvaluatedImage:
    """One evaluated image with its label maps.

    Attributes:
        score: of the image.
        image: uint8 [H, W, 3], RGB.
        ground_truth, label: uint8 [H, W], true and most probable label, 0..L-1; 255 where nothing is labelled.
        decision: uint8 [H, W], the Bayes decision, a class.
        confidence: uint8 [H, W], 255 times the probability of the most probable label.
    """

    score: ImageScore
    image: NDArray[np.uint8]
    ground_truth: NDArray[np.uint8]
    label: NDArray[np.uint8]
    decision: NDArray[np.uint8]
    confidence: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """The result of an evaluation.

    Attributes:
        metrics: over all images.
        scores: one per image with labelled pixels, the worst first.
        worst: label maps of the first of them.
    """

    metrics: NetworkMetrics
    scores: tuple[ImageScore, ...]
    worst: tuple[EvaluatedImage, ...]


def evaluate(
    network: Callable[[NDArray[np.uint8]], Prediction],
    images: Iterable[LabelledImage],
    config: NetworkEvaluationConfig,
    keep: int = 8,
) -> EvaluationResult:
    """Run a network over labelled images and compute all metrics.

    Args:
        network: image uint8 [H, W, 3] RGB → its output.
        images: with ground truth.
        config: settings of the metrics.
        keep: how many of the worst images to keep with their label maps.

    Raises:
        ConfigError: no image has a labelled pixel.
    """
    total: NetworkMetrics | None = None
    scores: list[ImageScore] = []
    worst: list[EvaluatedImage] = []
    for image in images:
        if (image.ground_truth == IGNORE).all():
            continue
        metrics, evaluated = evaluate_image(network(image.image), image, config)
        total = metrics if total is None else total + metrics
        scores.append(evaluated.score)
        worst = sorted([*worst, evaluated], key=lambda kept: kept.score.iou)[:keep]
    if total is None:
        raise ConfigError("no pixel of the evaluation images is labelled; check the label values in the YAML.")
    return EvaluationResult(total, tuple(sorted(scores, key=lambda score: score.iou)), tuple(worst))


def evaluate_image(
    prediction: Prediction, image: LabelledImage, config: NetworkEvaluationConfig
) -> tuple[NetworkMetrics, EvaluatedImage]:
    """Compute all metrics of one image that has labelled pixels."""
    membership, ground_truth = config.labels.membership, image.ground_truth
    count, known = len(membership), ground_truth != IGNORE
    p = softmax(upsample(prediction.logits, ground_truth.shape))
    q = (membership @ p.reshape(len(p), -1)).reshape(count, *ground_truth.shape)
    label, confidence = q.argmax(axis=0).astype(np.uint8), q.max(axis=0)
    boundary = boundary_f_score(ground_truth, label, count, config.tolerance.pixels(ground_truth.shape))
    true, p_known, bayes = ground_truth[known], p[:, known], prediction.decision[known]
    metrics = NetworkMetrics(
        confusion=confusion_matrix(ground_truth, label, count),
        boundary=BoundaryScores.of(boundary),
        panoptic=PanopticQuality.of(
            Segments.from_components(ground_truth, config.things), Segments.from_components(label, config.things), count
        ),
        reliability=Reliability.of(confidence[known], label[known] == true),
        most_probable=CostSum.of(
            realized_costs(p_known.argmax(axis=0), true, p_known, membership, config.costs), true, count
        ),
        bayes=CostSum.of(realized_costs(bayes, true, p_known, membership, config.costs), true, count),
        expected=CostSum.of(expected_costs(bayes, p_known, config.costs), true, count),
    )
    score = ImageScore(
        image.name,
        # Labels in the ground truth only: otherwise a few pixels of a wrong label rank a good image among the worst.
        float(iou_per_class(metrics.confusion)[metrics.confusion.any(axis=1)].mean()),
        pixel_accuracy(metrics.confusion),
        float(np.nanmean(boundary)) if np.isfinite(boundary).any() else float("nan"),
    )
    confidence_byte = (255 * confidence).round().astype(np.uint8)
    return metrics, EvaluatedImage(score, image.image, ground_truth, label, prediction.decision, confidence_byte)
