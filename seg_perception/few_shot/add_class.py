"""Adds a class to a network from a few masked images, without training: ONNX in, ONNX and model card out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from seg_perception.errors import ConfigError, ModelError
from seg_perception.few_shot.examples import Example, read_examples
from seg_perception.few_shot.feature_extractor import FeatureExtractor, ImageFeatures, select_pixels
from seg_perception.few_shot.fit import LinearClassifier, fit_classifier
from seg_perception.few_shot.head import append_class, find_head
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.onnx.model_import import read_network
from seg_perception.inference.prepared_graphs import load_card, prepare_graphs
from seg_perception.model.card import ModelCard, file_sha256
from seg_perception.model.logit_calibration import LogitCalibration
from seg_perception.utils.visualization import most_probable


@dataclass(frozen=True)
class LeaveOneOutScore:
    """Accuracy on one image of the classifier fitted to all others, by the most probable class.

    Attributes:
        name: of the image.
        hits: pixels of the class that are predicted as the class.
        marked: pixels of the class.
        predicted: pixels predicted as the class.
        pixels: of the image.
    """

    name: str
    hits: int
    marked: int
    predicted: int
    pixels: int

    @property
    def iou(self) -> float:
        """Intersection over union of the class, 0..1."""
        return self.hits / (self.marked + self.predicted - self.hits)

    @property
    def false_positive_rate(self) -> float:
        """Share of the pixels outside of the mask that are predicted as the class, 0..1: taken from the old classes."""
        return (self.predicted - self.hits) / (self.pixels - self.marked)


@dataclass(frozen=True)
class FewShotReport:
    """The result of `add_class`.

    Attributes:
        model: the new ONNX file; its card lies next to it.
        card: the new card.
        leave_one_out: a score for each image; empty if there is only one.
    """

    model: Path
    card: ModelCard
    leave_one_out: tuple[LeaveOneOutScore, ...]

    @property
    def total(self) -> LeaveOneOutScore | None:
        """All images together; None if there is only one."""
        if not self.leave_one_out:
            return None
        counts = zip(*((one.hits, one.marked, one.predicted, one.pixels) for one in self.leave_one_out), strict=True)
        return LeaveOneOutScore("all", *(sum(count) for count in counts))


def add_class(
    model: Path,
    name: str,
    images: Sequence[Path],
    masks: Sequence[Path],
    out: Path,
    colour: tuple[int, int, int] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FewShotReport:
    """Add a class to a network.

    Args:
        model: ONNX file with its card next to it; neither is changed.
        name: of the new class.
        images: image files.
        masks: as many mask images in the same order; every pixel that is not black is the class.
        out: the ONNX file to write; its card goes next to it.
        colour: RGB of the class; by default one distinct from all others.
        progress: called with fits done and total.

    Raises:
        ConfigError: the class is known already, its colour is taken, `out` exists, or an image cannot be used.
        ModelError: the network cannot be used, or does not end in a classifier that a class can be added to.
    """
    old = load_card(model, None)
    _check(old, name, colour, out)
    network = read_network(model, old, batch=1, prefix="")
    extractor = FeatureExtractor(network, find_head(network, model), old, model)
    examples = read_examples(images, masks, old)
    extracted = [extractor.extract(example) for example in examples]
    scaling = old.calibration_for("fp32")
    pixels = [select_pixels(features, image, scaling) for features, image in zip(extracted, examples, strict=True)]

    fits = len(examples) + 1 if len(examples) > 1 else 1
    classifier = fit_classifier(pixels)
    progress(1, fits)
    scores = []
    for index in range(fits - 1):
        without = fit_classifier(pixels[:index] + pixels[index + 1 :])
        scores.append(_leave_one_out_score(examples[index], extracted[index], without, scaling))
        progress(index + 2, fits)

    # The fused graph divides all logits, also the new one, by the temperature.
    weights = np.asarray(classifier.weights * scaling.temperature, np.float32)
    parts = np.split(weights, np.cumsum(extractor.widths)[:-1])
    extended = append_class(network, extractor.head, parts, classifier.bias * scaling.temperature)
    out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(extended, out)
    report = FewShotReport(out, old, tuple(scores))
    card = _card(old, name, colour or _distinct_colour(old.colours), [example.name for example in examples], report)
    try:
        prepare_graphs(out, card, GraphSpec(sample_points=1))
    except ModelError:
        out.unlink()
        raise
    card.write(out.with_suffix(".yaml"))
    return replace(report, card=card)


def _check(card: ModelCard, name: str, colour: tuple[int, int, int] | None, out: Path) -> None:
    if name in card.classes:
        raise ConfigError(
            f"'{name}' is a class of '{card.name}' already; give the new class a name of its own, or train the network "
            "with more images of this one."
        )
    if colour is not None and colour in {tuple(taken) for taken in card.colours.tolist()}:
        raise ConfigError(f"the colour {' '.join(map(str, colour))} belongs to another class; choose another or none.")
    for path in (out, out.with_suffix(".yaml")):
        if path.exists():
            raise ConfigError(f"{path}: exists already; name another file with --out, or remove it.")


def _leave_one_out_score(
    example: Example, features: ImageFeatures, classifier: LinearClassifier, scaling: LogitCalibration
) -> LeaveOneOutScore:
    height, width = example.mask.shape
    logit = np.tensordot(classifier.weights, features.features, 1) + classifier.bias
    logits = np.concatenate([features.logits, logit[None].astype(np.float32) * np.float32(scaling.temperature)])
    calibrated = _extended(scaling).apply(logits - logits.max(axis=0))
    predicted = most_probable(calibrated, width, height) == len(features.logits)
    return LeaveOneOutScore(
        name=example.name,
        hits=int((predicted & example.mask).sum()),
        marked=int(example.mask.sum()),
        predicted=int(predicted.sum()),
        pixels=predicted.size,
    )


def _card(
    old: ModelCard, name: str, colour: tuple[int, int, int], names: Sequence[str], report: FewShotReport
) -> ModelCard:
    metrics: dict[str, Any] = {"pictures": len(names)}
    if report.total is not None:
        metrics |= {
            "iou_left_out": round(report.total.iou, 4),
            "taken_from_others": round(report.total.false_positive_rate, 4),
        }
    # Earlier measurements are those of the network without the class.
    measured = dict(old.measured) if "taught" in old.measured else {"before_teaching": dict(old.measured)}
    measured["taught"] = {**measured.get("taught", {}), name: metrics}
    count = f"{len(names)} masked image{'s' if len(names) > 1 else ''}"
    return replace(
        old,
        name=f"{old.name}+{name}",
        classes=(*old.classes, name),
        colours=np.vstack([old.colours, np.array(colour, np.uint8)]),
        calibration={precision: _extended(scaling) for precision, scaling in old.calibration.items()},
        sha256=file_sha256(report.model),
        training_data=f"{old.training_data} {name} was added by few-shot learning from {count} ({', '.join(names)}).",
        measured=measured,
    )


def _extended(scaling: LogitCalibration) -> LogitCalibration:
    """The calibration with an additional class, whose logit is only divided by the temperature."""
    return replace(scaling, scale=(*scaling.scale, 1.0), bias=(*scaling.bias, 0.0)) if scaling.scale else scaling


def _distinct_colour(colours: NDArray[np.uint8]) -> tuple[int, int, int]:
    """The web-safe colour with the largest distance from all of these."""
    steps = np.array(list(product(range(0, 256, 51), repeat=3)))
    distance = np.linalg.norm(steps[:, None] - colours.astype(np.int64)[None], axis=2).min(axis=1)
    red, green, blue = steps[distance.argmax()].tolist()
    return red, green, blue
