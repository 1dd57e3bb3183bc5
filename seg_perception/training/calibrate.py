"""Temperature scaling: probabilities that mean what they say, and the figures that go into the model card.

One number T divides the logits, fitted by the likelihood of held-back labels (Guo et al., *On Calibration of Modern
Neural Networks*, ICML 2017). It moves no decision of the most probable class, only how sure it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from seg_perception.errors import ConfigError
from seg_perception.evaluation.labels import JudgedLabels, label_probabilities, upsample
from seg_perception.evaluation.segmentation import Reliability, confusion_matrix, iou_per_class
from seg_perception.model_card import ModelCard
from seg_perception.training.data import IGNORE, Dataset, LabelSpace, load_sample
from seg_perception.training.plan import load_plan

_PIXELS_PER_IMAGE = 4000


@dataclass(frozen=True)
class Calibration:
    """What was fitted and measured on validation data.

    Attributes:
        temperature: the fitted T; > 1 when the network is too sure of itself.
        ece_before, ece_after: expected calibration error over all pixels, T = 1 and T fitted. For the latter each half
            of the images is judged with the temperature fitted on the other half.
        nll_before, nll_after: mean negative log-likelihood on sampled pixels, nats.
        iou: label name → IoU at the image's size.
        mean_iou: their mean.
    """

    temperature: float
    ece_before: float
    ece_after: float
    nll_before: float
    nll_after: float
    iou: dict[str, float]
    mean_iou: float


@dataclass(frozen=True)
class _Judged:
    """One image's logits [K, h, w] and its labels [H, W] renumbered to the labels in use (255 ignored)."""

    logits: NDArray[np.float32]
    label: NDArray[np.uint8]


def calibrate(
    network: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    datasets: Sequence[Dataset],
    space: LabelSpace,
    size: tuple[int, int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Calibration:
    """Fit the temperature of a network and measure it.

    Args:
        network: image uint8 [H, W, 3] RGB → logits float32 [K, h, w] at temperature 1.
        datasets: validation data.
        space: their labels.
        size: (width, height) of the network's input.
        progress: called with images done and in all.

    Raises:
        ConfigError: no pixel is labelled, or two labels in use overlap (then nothing says which one is right).
    """
    total = sum(len(dataset.images) for dataset in datasets)
    raw = []
    for dataset in datasets:
        for index in range(len(dataset.images)):
            sample = load_sample(dataset, index, size)
            raw.append(_Judged(network(sample.image), sample.label))
            progress(len(raw), total)
    labels = JudgedLabels.of((judged.label for judged in raw), space)
    membership = labels.membership
    images = [_Judged(judged.logits, labels.renumber(judged.label)) for judged in raw]

    halves = (images[: len(images) // 2], images[len(images) // 2 :])
    if min(int((judged.label != IGNORE).sum()) for judged in images) == 0 or not halves[0]:
        raise ConfigError("calibration needs at least two validation images, each with labelled pixels; add some.")
    fitted = [_fit(_pixels(half), membership) for half in halves]
    logits, truth = _pixels(images)
    temperature = _fit((logits, truth), membership)

    confusion = np.zeros((len(labels.names), len(labels.names)), np.int64)
    before = after = Reliability.of(np.zeros(0), np.zeros(0, bool))
    # Each half with the other half's temperature: what a user sees on images the fit has not seen.
    for half, other in zip(halves, reversed(fitted), strict=True):
        for judged in half:
            full = upsample(judged.logits, judged.label.shape)
            valid = judged.label != IGNORE
            label = judged.label[valid]
            before = before + _reliability(full[:, valid], label, membership)
            after = after + _reliability(full[:, valid] / other, label, membership)
            decision = label_probabilities(full[:, valid], membership).argmax(axis=0)
            confusion += confusion_matrix(label, decision, len(labels.names))
    scores = iou_per_class(confusion)
    return Calibration(
        temperature=temperature,
        ece_before=before.expected_calibration_error(),
        ece_after=after.expected_calibration_error(),
        nll_before=_nll(logits, truth, membership, 1.0),
        nll_after=_nll(logits, truth, membership, temperature),
        iou=dict(zip(labels.names, scores.tolist(), strict=True)),
        mean_iou=float(np.nanmean(scores)),
    )


def _reliability(logits: NDArray[np.float32], label: NDArray[np.uint8], membership: NDArray[np.float32]) -> Reliability:
    q = label_probabilities(logits, membership)
    return Reliability.of(q.max(axis=0), q.argmax(axis=0) == label)


def _pixels(images: Sequence[_Judged]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Logits [K, P] and labels [P] at evenly spread labelled pixels; enough for one parameter."""
    logits, labels = [], []
    for judged in images:
        chosen = np.flatnonzero(judged.label.ravel() != IGNORE)
        chosen = chosen[:: max(len(chosen) // _PIXELS_PER_IMAGE, 1)]
        full = upsample(judged.logits, judged.label.shape)
        logits.append(full.reshape(len(full), -1)[:, chosen])
        labels.append(judged.label.ravel()[chosen])
    return np.concatenate(logits, axis=1), np.concatenate(labels)


def _nll(
    logits: NDArray[np.float32], truth: NDArray[np.uint8], membership: NDArray[np.float32], temperature: float
) -> float:
    q = label_probabilities(logits / temperature, membership)
    return float(-np.log(np.maximum(q[truth, np.arange(len(truth))], 1e-12)).mean())


def _fit(pixels: tuple[NDArray[np.float32], NDArray[np.uint8]], membership: NDArray[np.float32]) -> float:
    """Golden-section search over log T in [1/10, 10]; the likelihood has one minimum in T."""
    logits, truth = pixels
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    low, high = math.log(0.1), math.log(10.0)

    def score(log_t: float) -> float:
        return _nll(logits, truth, membership, math.exp(log_t))

    inner = [high - ratio * (high - low), low + ratio * (high - low)]
    values = [score(inner[0]), score(inner[1])]
    while high - low > 1e-3:
        if values[0] < values[1]:
            high, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = high - ratio * (high - low)
            values[0] = score(inner[0])
        else:
            low, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = low + ratio * (high - low)
            values[1] = score(inner[1])
    return math.exp((low + high) / 2.0)


def calibrate_model(
    plan_path: Path, root: Path | None, model: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> Calibration:
    """Calibrate an ONNX network on the validation data of a plan and write temperature and figures to its card.

    Args:
        plan_path: training YAML.
        root: folder that dataset paths start from; the plan's own when None.
        model: ONNX file whose card lies beside it.
        progress: called with images done and in all.

    Raises:
        ConfigError: plan, data or card are wrong.
        ModelError: the model is not the card's, or cannot be run.
    """
    plan = load_plan(plan_path, root)
    card_path = model.with_suffix(".yaml")
    card = ModelCard.load(card_path)
    card.verify(model)
    if card.classes != plan.classes:
        raise ConfigError(f"{card_path}: its classes are not those of {plan_path}; use the plan of this model.")
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    mean, std = np.array(card.mean, np.float32), np.array(card.std, np.float32)

    def network(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        ordered = image if card.channel_order == "rgb" else image[:, :, ::-1]
        x = (ordered.astype(np.float32) / np.float32(255) - mean) / std
        return np.asarray(session.run(None, {name: np.ascontiguousarray(x.transpose(2, 0, 1)[None])})[0][0], np.float32)

    result = calibrate(network, plan.validation, plan.space, (card.width, card.height), progress)
    data = ", ".join(f"{dataset.name} ({len(dataset.images)} images)" for dataset in plan.validation)
    measured = {
        "validation_data": data,
        "mean_iou": round(result.mean_iou, 4),
        "iou": {label: round(score, 4) for label, score in result.iou.items()},
        "ece_before_calibration": round(result.ece_before, 4),
        "ece_after_calibration": round(result.ece_after, 4),
        "nll_before_calibration": round(result.nll_before, 4),
        "nll_after_calibration": round(result.nll_after, 4),
    }
    replace(card, temperature=round(result.temperature, 4), measured=measured).write(card_path)
    return result
