"""Which calibration holds on images that it has not seen, and how well: each half of the images judges the other's.

Neighbouring frames of a video are nearly the same picture, so the halves are the first and the last half of each
dataset in name order, not frames drawn by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from seg_perception.datasets.dataset import Dataset, LabelSpace, Sample, load_sample
from seg_perception.errors import ConfigError
from seg_perception.evaluation.metrics.segmentation import Reliability, confusion_matrix, iou_per_class
from seg_perception.evaluation.network.labels import IGNORE, JudgedLabels, label_probabilities, upsample
from seg_perception.model.logit_calibration import UNCALIBRATED, LogitScaling
from seg_perception.training.calibration.fit_scaling import (
    Pixels,
    fit_temperature,
    fit_vector,
    negative_log_likelihood,
)

_FITTED_PIXELS = 400_000
"""Pixels that a fit looks at, of all images together; two parameters per class need no more."""

Network = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Judgement:
    """What decisions and probabilities are worth; judgements of different images add up.

    Attributes:
        confusion: int64 [L, L], row = label, column = most probable label.
        reliability: of the most probable label.
        by_label: of each label against all others.
    """

    confusion: NDArray[np.int64]
    reliability: Reliability
    by_label: tuple[Reliability, ...]

    @classmethod
    def of(cls, probabilities: NDArray[np.float32], labels: NDArray[np.integer]) -> Judgement:
        """Judge label probabilities [L, P] by the labels [P]."""
        decision = probabilities.argmax(axis=0)
        return cls(
            confusion_matrix(labels, decision, len(probabilities)),
            Reliability.of(probabilities.max(axis=0), decision == labels),
            tuple(Reliability.of(q, labels == index) for index, q in enumerate(probabilities)),
        )

    def __add__(self, other: Judgement) -> Judgement:
        by_label = tuple(one + two for one, two in zip(self.by_label, other.by_label, strict=True))
        return Judgement(self.confusion + other.confusion, self.reliability + other.reliability, by_label)

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
    """What was fitted and measured on validation data.

    All figures but those "before" are crosswise: each half of the images with what was fitted on the other half.

    Attributes:
        scaling: fitted on all images; temperature, or vector where that was better on both halves.
        labels: names of the labels in use, L of them.
        nll_before: mean negative log-likelihood of fitted pixels without calibration, nats.
        nll_temperature, nll_vector: with temperature and with vector scaling.
        halves_before: all pixels of the first and of the last half, not calibrated.
        halves_after: the same with the kind of `scaling`.
    """

    scaling: LogitScaling
    labels: tuple[str, ...]
    nll_before: float
    nll_temperature: float
    nll_vector: float
    halves_before: tuple[Judgement, Judgement]
    halves_after: tuple[Judgement, Judgement]

    @property
    def before(self) -> Judgement:
        """All pixels, not calibrated."""
        return self.halves_before[0] + self.halves_before[1]

    @property
    def after(self) -> Judgement:
        """All pixels, calibrated."""
        return self.halves_after[0] + self.halves_after[1]


def calibrate(
    network: Network,
    datasets: Sequence[Dataset],
    space: LabelSpace,
    size: tuple[int, int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Calibration:
    """Fit temperature and vector scaling to a network, choose between them, and measure the choice.

    The network sees every image twice, so that memory does not grow with their number.

    Args:
        network: image uint8 [H, W, 3] RGB → logits float32 [K, h, w], not calibrated.
        datasets: validation data.
        space: their labels.
        size: (width, height) of the network's input.
        progress: called with runs of the network done and in all.

    Raises:
        ConfigError: a half has no labelled pixel, or two labels in use overlap (then nothing says which one is right).
    """
    halves = _halves(datasets)
    images = sum(map(len, halves))
    done = 0

    def run(place: tuple[Dataset, int]) -> tuple[Sample, NDArray[np.float32]]:
        nonlocal done
        sample = load_sample(*place, size)
        logits = network(sample.image)
        done += 1
        progress(done, 2 * images)
        return sample, logits - logits.max(axis=0, keepdims=True)

    occurring = []
    drawn = []
    for half in halves:
        pixels = []
        for place in half:
            sample, logits = run(place)
            occurring.append(np.unique(sample.label))
            pixels.append(_draw(logits, sample.label, max(_FITTED_PIXELS // images, 1)))
        drawn.append(_joined(pixels))
    judged = JudgedLabels.of(occurring, space)
    parts = [Pixels(part.logits, judged.renumber(part.labels)) for part in drawn]
    if any(part.labels.size == 0 for part in parts):
        raise ConfigError(
            "calibration judges each half of the validation images by a fit to the other, but one has no labelled "
            "pixel; add labelled images."
        )

    choice = _choose(parts, judged.membership)

    def judge(half: Sequence[tuple[Dataset, int]], scaling: LogitScaling) -> tuple[Judgement, Judgement]:
        pairs = []
        for place in half:
            sample, logits = run(place)
            valid = sample.label != IGNORE
            labels = judged.renumber(sample.label)[valid]
            pairs.append([_judged(s.apply(logits), labels, valid, judged.membership) for s in (UNCALIBRATED, scaling)])
        before, after = (reduce(add, judgements) for judgements in zip(*pairs, strict=True))
        return before, after

    first, last = (judge(half, scaling) for half, scaling in zip(halves, choice.crosswise, strict=True))
    return Calibration(choice.scaling, judged.names, *choice.nll, (first[0], last[0]), (first[1], last[1]))


_TEMPERATURE, _VECTOR = 1, 2
"""Where they stand behind "none"."""


@dataclass(frozen=True)
class _Choice:
    """The fit to everything; for each half the fit to the other; NLL with none, temperature and vector."""

    scaling: LogitScaling
    crosswise: tuple[LogitScaling, LogitScaling]
    nll: tuple[float, float, float]


def _choose(halves: Sequence[Pixels], membership: NDArray[np.float32]) -> _Choice:
    def fit(pixels: Pixels) -> tuple[LogitScaling, LogitScaling, LogitScaling]:
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
    # Two parameters per class must earn their place on either half, or it was chance.
    kind = _VECTOR if (nll[:, _VECTOR] < nll[:, _TEMPERATURE]).all() else _TEMPERATURE
    none, temperature, vector = np.average(nll, axis=0, weights=[half.labels.size for half in halves]).tolist()
    return _Choice(fit(_joined(halves))[kind], (fitted[0][kind], fitted[1][kind]), (none, temperature, vector))


def _halves(datasets: Sequence[Dataset]) -> tuple[list[tuple[Dataset, int]], list[tuple[Dataset, int]]]:
    """The first and the last half of each dataset, as (dataset, index of the image)."""
    first, last = [], []
    for dataset in datasets:
        places = [(dataset, index) for index in range(len(dataset.images))]
        first += places[: len(places) // 2]
        last += places[len(places) // 2 :]
    if not first:
        raise ConfigError("calibration needs at least two images in a validation dataset; add some.")
    return first, last


def _draw(logits: NDArray[np.float32], label: NDArray[np.uint8], count: int) -> Pixels:
    """About `count` labelled pixels of one image, spread evenly; their labels are not renumbered yet."""
    chosen = np.flatnonzero(label.ravel() != IGNORE)
    chosen = chosen[:: -(-len(chosen) // count) or 1]
    full = upsample(logits, label.shape)
    return Pixels(full.reshape(len(full), -1)[:, chosen], label.ravel()[chosen])


def _joined(parts: Sequence[Pixels]) -> Pixels:
    return Pixels(
        np.concatenate([part.logits for part in parts], axis=1), np.concatenate([part.labels for part in parts])
    )


def _judged(
    logits: NDArray[np.float32],
    labels: NDArray[np.integer],
    valid: NDArray[np.bool_],
    membership: NDArray[np.float32],
) -> Judgement:
    full = upsample(logits, valid.shape)
    return Judgement.of(label_probabilities(full[:, valid], membership), labels)
