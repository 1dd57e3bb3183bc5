"""All judges over labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ConfigError
from seg_perception.evaluation.metrics.boundary import BoundaryScores, Tolerance, boundary_f_score
from seg_perception.evaluation.metrics.panoptic import PanopticQuality, Segments
from seg_perception.evaluation.metrics.realized_cost import CostTally, expected_costs, paid_costs
from seg_perception.evaluation.metrics.segmentation import Reliability, confusion_matrix, iou_per_class, pixel_accuracy
from seg_perception.evaluation.network.labels import IGNORE, JudgedLabels, softmax, upsample


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says about one image.

    Attributes:
        logits: float32 [K, h, w], calibrated, at the network's own resolution.
        decision: uint8 [H, W], the Bayes decision at the image's size.
    """

    logits: NDArray[np.float32]
    decision: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image and its truth.

    Attributes:
        name: for tables.
        image: uint8 [H, W, 3], RGB, at the network's size.
        truth: uint8 [H, W], 0..L-1 as `JudgedLabels.renumber` gives them, 255 where nothing is labelled.
    """

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Rules:
    """By what to judge.

    Attributes:
        labels: the L labels.
        costs: C float32 [K, K], C[decision, truth].
        things: one flag per label, true where its instances count one by one.
        tolerance: of the boundary F-score.
    """

    labels: JudgedLabels
    costs: NDArray[np.float32]
    things: Sequence[bool]
    tolerance: Tolerance


@dataclass(frozen=True, eq=False)
class Figures:
    """What the judges count; figures of several images add up.

    Attributes:
        confusion: int64 [L, L], row = truth, column = the most probable label.
        boundary: boundary F-scores of the most probable label.
        panoptic: segments of the most probable label.
        reliability: of the most probable label.
        most_probable: costs paid if the most probable class is decided, as argmax does.
        bayes: costs paid for the Bayes decision.
        expected: what the network expects the Bayes decision to cost.
    """

    confusion: NDArray[np.int64]
    boundary: BoundaryScores
    panoptic: PanopticQuality
    reliability: Reliability
    most_probable: CostTally
    bayes: CostTally
    expected: CostTally

    def __add__(self, other: Figures) -> Figures:
        return Figures(
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
    """One image in a line.

    Attributes:
        name: the image's.
        iou: mean IoU of the labels in its truth.
        accuracy: share of its labelled pixels that are right.
        boundary: mean boundary F-score of the labels that have one; NaN where none has.
    """

    name: str
    iou: float
    accuracy: float
    boundary: float


@dataclass(frozen=True, eq=False)
class Picture:
    """What to look at where a network failed.

    Attributes:
        score: of the image.
        image: uint8 [H, W, 3], RGB.
        truth, label: uint8 [H, W], true and most probable label, 0..L-1; 255 where nothing is labelled.
        decision: uint8 [H, W], the Bayes decision, a class.
        confidence: uint8 [H, W], 255 times the probability of the most probable label.
    """

    score: ImageScore
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    label: NDArray[np.uint8]
    decision: NDArray[np.uint8]
    confidence: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came out.

    Attributes:
        figures: over all images.
        scores: one per image with labelled pixels, the worst first.
        worst: pictures of the first of them.
    """

    figures: Figures
    scores: tuple[ImageScore, ...]
    worst: tuple[Picture, ...]


def evaluate(
    network: Callable[[NDArray[np.uint8]], Prediction], images: Iterable[LabelledImage], rules: Rules, keep: int = 8
) -> Evaluation:
    """Run a network over labelled images and judge it.

    Args:
        network: image uint8 [H, W, 3] RGB → what it says.
        images: what to judge it by.
        rules: the judges' settings.
        keep: how many of the worst images to keep pictures of.

    Raises:
        ConfigError: no image has a labelled pixel.
    """
    total: Figures | None = None
    scores: list[ImageScore] = []
    worst: list[Picture] = []
    for image in images:
        if (image.truth == IGNORE).all():
            continue
        figures, picture = judge(network(image.image), image, rules)
        total = figures if total is None else total + figures
        scores.append(picture.score)
        worst = sorted([*worst, picture], key=lambda kept: kept.score.iou)[:keep]
    if total is None:
        raise ConfigError("no pixel of the images to judge by is labelled; check the label values in the YAML.")
    return Evaluation(total, tuple(sorted(scores, key=lambda score: score.iou)), tuple(worst))


def judge(prediction: Prediction, image: LabelledImage, rules: Rules) -> tuple[Figures, Picture]:
    """Judge one image that has labelled pixels."""
    membership, truth = rules.labels.membership, image.truth
    count, known = len(membership), truth != IGNORE
    p = softmax(upsample(prediction.logits, truth.shape))
    q = (membership @ p.reshape(len(p), -1)).reshape(count, *truth.shape)
    label, confidence = q.argmax(axis=0).astype(np.uint8), q.max(axis=0)
    boundary = boundary_f_score(truth, label, count, rules.tolerance.pixels(truth.shape))
    true, p_known, bayes = truth[known], p[:, known], prediction.decision[known]
    figures = Figures(
        confusion=confusion_matrix(truth, label, count),
        boundary=BoundaryScores.of(boundary),
        panoptic=PanopticQuality.of(
            Segments.from_components(truth, rules.things), Segments.from_components(label, rules.things), count
        ),
        reliability=Reliability.of(confidence[known], label[known] == true),
        most_probable=CostTally.of(
            paid_costs(p_known.argmax(axis=0), true, p_known, membership, rules.costs), true, count
        ),
        bayes=CostTally.of(paid_costs(bayes, true, p_known, membership, rules.costs), true, count),
        expected=CostTally.of(expected_costs(bayes, p_known, rules.costs), true, count),
    )
    score = ImageScore(
        image.name,
        # Labels in the truth only: a few pixels of a wrong one would else pull a good image down to the worst.
        float(iou_per_class(figures.confusion)[figures.confusion.any(axis=1)].mean()),
        pixel_accuracy(figures.confusion),
        float(np.nanmean(boundary)) if np.isfinite(boundary).any() else float("nan"),
    )
    confidence_byte = (255 * confidence).round().astype(np.uint8)
    return figures, Picture(score, image.image, truth, label, prediction.decision, confidence_byte)
