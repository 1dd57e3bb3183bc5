"""Fits and selects a calibration by two-fold cross-validation: the fit to each half is evaluated on the other half.

Neighbouring frames of a video are nearly the same image. So the halves are the first and the last half of each dataset
in name order, not random frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from seg_perception.datasets.dataset import IGNORE, Dataset, LabelSpace, Sample, load_sample
from seg_perception.errors import ConfigError
from seg_perception.evaluation.metrics.labels import EvaluationLabels, label_probabilities, upsample
from seg_perception.evaluation.metrics.segmentation import Reliability, confusion_matrix, iou_per_class
from seg_perception.model.logit_calibration import UNCALIBRATED, LogitCalibration
from seg_perception.training.calibration.fit_scaling import (
    LabelledLogits,
    fit_temperature,
    fit_vector,
    negative_log_likelihood,
)

_FITTED_PIXELS = 400_000
"""Number of pixels, over all images, that a fit uses; two parameters per class need no more."""

Network = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class CalibrationMetrics:
    """Accuracy and calibration of a network; metrics of several images can be added.

    Attributes:
        confusion: int64 [L, L], row = label, column = most probable label.
        reliability: of the most probable label.
        by_label: of each label against all others.
    """

    confusion: NDArray[np.int64]
    reliability: Reliability
    by_label: tuple[Reliability, ...]

    @classmethod
    def of(cls, probabilities: NDArray[np.float32], labels: NDArray[np.integer]) -> CalibrationMetrics:
        """Evaluate label probabilities [L, P] against the labels [P]."""
        decision = probabilities.argmax(axis=0)
        return cls(
            confusion_matrix(labels, decision, len(probabilities)),
            Reliability.of(probabilities.max(axis=0), decision == labels),
            tuple(Reliability.of(q, labels == index) for index, q in enumerate(probabilities)),
        )

    def __add__(self, other: CalibrationMetrics) -> CalibrationMetrics:
        by_label = tuple(one + two for one, two in zip(self.by_label, other.by_label, strict=True))
        return CalibrationMetrics(self.confusion + other.confusion, self.reliability + other.reliability, by_label)

    def iou(self) -> NDArray[np.float64]:
        """IoU per label [L]."""
        return iou_per_class(self.confusion)

    def ece(self) -> float:
        """Expected calibration error of the most probable label."""
        return self.reliability.expected_calibration_error()

    def classwise_ece(self) -> float:
        """The calibration error of each label's probability, averaged over the labels (Kull et al., NeurIPS 2019)."""
        return float(np.mean([reliability.expected_calibration_error() for reliability in self.by_label]))


@dataclass(frozen=True, eq=False)
class Calibration:
    """The fitted calibration with its metrics on validation data.

    All metrics but those "before" are cross-validated: each half of the images with the fit to the other half.

    Attributes:
        scaling: fitted to all images; vector scaling if it was better on both halves, otherwise temperature scaling.
        labels: names of the labels that occur, L of them.
        nll_before: mean negative log-likelihood of fitted pixels without calibration, nats.
        nll_temperature, nll_vector: with temperature and with vector scaling.
        halves_before: all pixels of the first and of the last half, not calibrated.
        halves_after: the same with the kind of `scaling`.
    """

    scaling: LogitCalibration
    labels: tuple[str, ...]
    nll_before: float
    nll_temperature: float
    nll_vector: float
    halves_before: tuple[CalibrationMetrics, CalibrationMetrics]
    halves_after: tuple[CalibrationMetrics, CalibrationMetrics]

    @property
    def before(self) -> CalibrationMetrics:
        """All pixels, not calibrated."""
        return self.halves_before[0] + self.halves_before[1]

    @property
    def after(self) -> CalibrationMetrics:
        """All pixels, calibrated."""
        return self.halves_after[0] + self.halves_after[1]


def calibrate(
    network: Network,
    datasets: Sequence[Dataset],
    space: LabelSpace,
    size: tuple[int, int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Calibration:
    """Fit temperature and vector scaling to a network, select one of them, and evaluate it.

    The network runs twice on every image, so that memory does not grow with their number.

    Args:
        network: image uint8 [H, W, 3] RGB → logits float32 [K, h, w], not calibrated.
        datasets: validation data.
        space: their labels.
        size: (width, height) of the network's input.
        progress: called with runs of the network done and total.

    Raises:
        ConfigError: a half has no labelled pixel, or two labels that occur overlap, so that neither is certain.
    """
    halves = _halves(datasets)
    images = sum(map(len, halves))
    done = 0

    def run(image: tuple[Dataset, int]) -> tuple[Sample, NDArray[np.float32]]:
        nonlocal done
        sample = load_sample(*image, size)
        logits = network(sample.image)
        done += 1
        progress(done, 2 * images)
        return sample, logits - logits.max(axis=0, keepdims=True)

    occurring = []
    drawn = []
    for half in halves:
        pixels = []
        for image in half:
            sample, logits = run(image)
            occurring.append(np.unique(sample.label))
            pixels.append(_draw(logits, sample.label, max(_FITTED_PIXELS // images, 1)))
        drawn.append(_joined(pixels))
    labels_in_use = EvaluationLabels.of(occurring, space)
    parts = [LabelledLogits(part.logits, labels_in_use.renumber(part.labels)) for part in drawn]
    if any(part.labels.size == 0 for part in parts):
        raise ConfigError(
            "calibration evaluates each half of the validation images with a fit to the other half, but one has no "
            "labelled pixel; add labelled images."
        )

    selection = _select(parts, labels_in_use.membership)

    def evaluate(
        half: Sequence[tuple[Dataset, int]], scaling: LogitCalibration
    ) -> tuple[CalibrationMetrics, CalibrationMetrics]:
        pairs = []
        for image in half:
            sample, logits = run(image)
            valid = sample.label != IGNORE
            labels = labels_in_use.renumber(sample.label)[valid]
            both = (each.apply(logits) for each in (UNCALIBRATED, scaling))
            pairs.append([_metrics_of(scaled, labels, valid, labels_in_use.membership) for scaled in both])
        before, after = (reduce(add, metrics) for metrics in zip(*pairs, strict=True))
        return before, after

    first, last = (evaluate(half, scaling) for half, scaling in zip(halves, selection.crosswise, strict=True))
    return Calibration(selection.scaling, labels_in_use.names, *selection.nll, (first[0], last[0]), (first[1], last[1]))


_TEMPERATURE, _VECTOR = 1, 2
"""Their index in a list of fits, in which none is the first."""


@dataclass(frozen=True)
class _Selection:
    """The fit to all images; for each half the fit to the other half; NLL with none, temperature and vector scaling."""

    scaling: LogitCalibration
    crosswise: tuple[LogitCalibration, LogitCalibration]
    nll: tuple[float, float, float]


def _select(halves: Sequence[LabelledLogits], membership: NDArray[np.float32]) -> _Selection:
    def fit(pixels: LabelledLogits) -> tuple[LogitCalibration, LogitCalibration, LogitCalibration]:
        temperature = fit_temperature(pixels, membership)
        return UNCALIBRATED, temperature, fit_vector(pixels, membership, temperature.temperature)

    first, last = halves
    fitted = (fit(last), fit(first))
    nll = np.array(
        [
            [negative_log_likelihood(half, membership, scaling) for scaling in fits]
            for half, fits in zip(halves, fitted, strict=True)
        ]
    )
    # Vector scaling must be better on both halves, otherwise its advantage may be random.
    kind = _VECTOR if (nll[:, _VECTOR] < nll[:, _TEMPERATURE]).all() else _TEMPERATURE
    none, temperature, vector = np.average(nll, axis=0, weights=[half.labels.size for half in halves]).tolist()
    return _Selection(fit(_joined(halves))[kind], (fitted[0][kind], fitted[1][kind]), (none, temperature, vector))


def _halves(datasets: Sequence[Dataset]) -> tuple[list[tuple[Dataset, int]], list[tuple[Dataset, int]]]:
    """The first and the last half of each dataset, as (dataset, index of the image)."""
    first, last = [], []
    for dataset in datasets:
        images = [(dataset, index) for index in range(len(dataset.images))]
        first += images[: len(images) // 2]
        last += images[len(images) // 2 :]
    if not first:
        raise ConfigError("calibration needs at least two images in a validation dataset; add some.")
    return first, last


def _draw(logits: NDArray[np.float32], label: NDArray[np.uint8], count: int) -> LabelledLogits:
    """About `count` labelled pixels of one image, spread evenly; with label numbers of the label space."""
    chosen = np.flatnonzero(label.ravel() != IGNORE)
    chosen = chosen[:: -(-len(chosen) // count) or 1]
    full = upsample(logits, label.shape)
    return LabelledLogits(full.reshape(len(full), -1)[:, chosen], label.ravel()[chosen])


def _joined(parts: Sequence[LabelledLogits]) -> LabelledLogits:
    return LabelledLogits(
        np.concatenate([part.logits for part in parts], axis=1), np.concatenate([part.labels for part in parts])
    )


def _metrics_of(
    logits: NDArray[np.float32],
    labels: NDArray[np.integer],
    valid: NDArray[np.bool_],
    membership: NDArray[np.float32],
) -> CalibrationMetrics:
    full = upsample(logits, valid.shape)
    return CalibrationMetrics.of(label_probabilities(full[:, valid], membership), labels)
