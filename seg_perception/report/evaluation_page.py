"""One web page that shows how good a network is: figures per class, its calibration, its worst images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_perception.evaluation.network.evaluate import Picture
from seg_perception.evaluation.network.labels import IGNORE, JudgedLabels
from seg_perception.model.card import ModelCard
from seg_perception.report.embed import exact, photo, thin
from seg_perception.report.page import EVALUATION, render, write_page
from seg_perception.utils.visualization import CONFIDENCE_COLOURS, colourise

_WRONG = (235, 40, 30)
# What is right shows as a dim picture, and even an error without any confidence stands out from it.
_DIMMED, _LEAST_ERROR = 0.45, 0.35


def write_evaluation_page(
    summary: Mapping[str, Any], worst: Sequence[Picture], card: ModelCard, labels: JudgedLabels, out: Path
) -> None:
    """Write a self-contained HTML page: no network, no other files.

    Args:
        summary: from `evaluation.summary.summarise`, with what the command adds: `model` and `data` (text), `command`,
            `hashes` and `versions` (name to text).
        worst: pictures of the worst images.
        card: of the network.
        labels: the labels it was judged by.
        out: the page; an existing one is replaced, and only once the new one is complete.

    Raises:
        RecordingError: `out` cannot be written.
    """
    # A label that leaves a choice is painted as the first class it allows.
    colours = card.colours[labels.membership.argmax(axis=1)]
    content = {
        "summary": summary,
        "labels": [
            {"name": name, "colour": colour} for name, colour in zip(labels.names, colours.tolist(), strict=True)
        ],
        "confidenceColours": CONFIDENCE_COLOURS.tolist(),
        "pictures": [_views(picture, colours, card.colours) for picture in worst],
    }
    write_page(render(content, EVALUATION), out)


def _views(
    picture: Picture, label_colours: NDArray[np.uint8], class_colours: NDArray[np.uint8]
) -> dict[str, str | list[str]]:
    """Data URLs of what the page shows of one image, in its order."""
    painted = (
        colourise(picture.truth, label_colours),
        colourise(picture.label, label_colours),
        colourise(picture.decision, class_colours),
    )
    return {
        "name": picture.score.name,
        "views": [
            photo(picture.image[..., ::-1]),
            *(exact(thin(view[..., ::-1])) for view in painted),
            photo(colourise(picture.confidence, CONFIDENCE_COLOURS)[..., ::-1]),
            photo(errors(picture)[..., ::-1]),
        ],
    }


def errors(picture: Picture) -> NDArray[np.uint8]:
    """uint8 [H, W, 3], RGB: wrong pixels red, the more so the surer the network was; the rest dim, unlabelled black."""
    grey = cv2.cvtColor(picture.image, cv2.COLOR_RGB2GRAY)
    view = np.repeat((_DIMMED * grey)[..., np.newaxis], 3, axis=2)
    wrong = (picture.truth != IGNORE) & (picture.label != picture.truth)
    strength = _LEAST_ERROR + (1 - _LEAST_ERROR) * picture.confidence[wrong] / 255
    view[wrong] = strength[:, np.newaxis] * _WRONG
    view[picture.truth == IGNORE] = 0
    return view.astype(np.uint8)
