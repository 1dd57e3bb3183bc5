"""The web page of a network evaluation: metrics per class, calibration, worst images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.datasets.dataset import IGNORE
from seg_perception.evaluation.metrics.labels import EvaluationLabels
from seg_perception.evaluation.network.metrics import EvaluatedImage
from seg_perception.model.card import ModelCard
from seg_perception.report.embed import exact, photo, thin
from seg_perception.report.page import EVALUATION, render, write_page
from seg_perception.utils.visualization import CONFIDENCE_COLOURS, colourise

_WRONG = (235, 40, 30)
# Correct pixels show the dimmed image; even an error with no confidence stands out from it.
_DIMMED, _MIN_ERROR = 0.45, 0.35


def write_evaluation_page(
    summary: Mapping[str, Any], worst: Sequence[EvaluatedImage], card: ModelCard, labels: EvaluationLabels, out: Path
) -> None:
    """Write a self-contained HTML page: no network, no other files.

    Args:
        summary: from `NetworkEvaluator.summary`, with what the command adds: `command` and `versions` (name to text).
        worst: the worst images with their label maps.
        card: of the network.
        labels: of the evaluation.
        out: the page; an existing one is replaced once the new one is complete.

    Raises:
        RecordingError: `out` cannot be written.
    """
    # A label that allows several classes gets the colour of the first.
    colours = card.colours[labels.membership.argmax(axis=1)]
    content = {
        "summary": summary,
        "labels": [
            {"name": name, "colour": colour} for name, colour in zip(labels.names, colours.tolist(), strict=True)
        ],
        "confidenceColours": CONFIDENCE_COLOURS.tolist(),
        "images": [_views(image, colours, card.colours) for image in worst],
    }
    write_page(render(content, EVALUATION), out)


def _views(
    evaluated: EvaluatedImage, label_colours: NDArray[np.uint8], class_colours: NDArray[np.uint8]
) -> dict[str, str | list[str]]:
    """Name of an image, and data URLs of its maps in the order of the page."""
    maps = (
        colourise(evaluated.ground_truth, label_colours),
        colourise(evaluated.label, label_colours),
        colourise(evaluated.decision, class_colours),
    )
    return {
        "name": evaluated.score.name,
        "views": [
            photo(evaluated.image[..., ::-1]),
            *(exact(thin(view[..., ::-1])) for view in maps),
            photo(colourise(evaluated.confidence, CONFIDENCE_COLOURS)[..., ::-1]),
            photo(errors(evaluated)[..., ::-1]),
        ],
    }


def errors(evaluated: EvaluatedImage) -> NDArray[np.uint8]:
    """uint8 [H, W, 3], RGB: wrong pixels red, brighter with confidence; correct ones dimmed, unlabelled ones black."""
    grey = cv2.cvtColor(evaluated.image, cv2.COLOR_RGB2GRAY)
    view = np.repeat((_DIMMED * grey)[..., np.newaxis], 3, axis=2)
    wrong = (evaluated.ground_truth != IGNORE) & (evaluated.label != evaluated.ground_truth)
    strength = _MIN_ERROR + (1 - _MIN_ERROR) * evaluated.confidence[wrong] / 255
    view[wrong] = strength[:, np.newaxis] * _WRONG
    view[evaluated.ground_truth == IGNORE] = 0
    return view.astype(np.uint8)
