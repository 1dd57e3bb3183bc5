"""Extracts unit-length features and logits of an image, and selects the pixels to fit a classifier to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from seg_perception.errors import ConfigError, ModelError
from seg_perception.few_shot.examples import Example
from seg_perception.few_shot.fit import PixelFeatures, log_sum_exp
from seg_perception.few_shot.head import SMALLEST_LENGTH, Head, with_feature_outputs
from seg_perception.inference.onnx.session import open_session
from seg_perception.model.card import ModelCard
from seg_perception.model.logit_calibration import LogitCalibration

_MAX_PIXELS = 1500
"""Pixels per image inside and outside of the class each; evenly spread ones represent the rest."""


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """Logits and features of an image, at the resolution of the logits.

    Attributes:
        logits: float32 [K, h, w], of the network, not calibrated.
        features: float32 [F, h, w]; each group of features has unit length at every pixel.
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float32]


class FeatureExtractor:
    """Runs a network up to its features.

    Args:
        network: from `read_network`.
        head: from `find_head`.
        card: the network's.
        path: the network's file, for messages.

    Attributes:
        head: the given one, without features whose resolution differs from the logits'.
        widths: number of channels of each of the head's features.

    Raises:
        ModelError: the features differ in size from the logits, or the network is not in fp32.
    """

    def __init__(self, network: onnx.ModelProto, head: Head, card: ModelCard, path: Path) -> None:
        self._card = card
        try:
            self._session = open_session(with_feature_outputs(network, head))
            logits, *features = self._run(np.zeros((card.height, card.width, 3), np.uint8))
        except Exception as error:  # ONNX Runtime's exceptions have no common base class of their own
            raise ModelError(
                f"{path}: the features before its classifier cannot be extracted ({str(error).splitlines()[0]}); use "
                "the network in fp32 and convert it afterwards."
            ) from None
        fitting = [index for index, group in enumerate(features) if group.shape[1:] == logits.shape[1:]]
        if 0 not in fitting:
            raise ModelError(
                f"{path}: its classifier changes the resolution from {features[0].shape[1:]} to {logits.shape[1:]}, so "
                "features and logits do not belong to the same pixels; resize after the classifier instead."
            )
        self.head = replace(head, features=tuple(head.features[index] for index in fitting))
        self.widths = tuple(len(features[index]) for index in fitting)
        self._session = open_session(with_feature_outputs(network, self.head))

    def extract(self, example: Example) -> ImageFeatures:
        """Run the network on an image."""
        logits, *groups = self._run(example.image)
        unit = [group / np.maximum(np.linalg.norm(group, axis=0), SMALLEST_LENGTH) for group in groups]
        return ImageFeatures(logits, np.concatenate(unit))

    def _run(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        mean, std = np.array(self._card.mean, np.float32), np.array(self._card.std, np.float32)
        x = ((image.astype(np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)[None]
        given = self._session.run(None, {self._session.get_inputs()[0].name: np.ascontiguousarray(x)})
        return [value[0] for value in given]


def select_pixels(extracted: ImageFeatures, example: Example, scaling: LogitCalibration) -> PixelFeatures:
    """The pixels of an image, at the logits' resolution, that are entirely inside or outside of the mask.

    If no pixel is entirely inside, those are taken that the mask covers by more than half.

    Args:
        extracted: logits and features of the image.
        example: its mask.
        scaling: calibration of the network's logits.

    Raises:
        ConfigError: the mask covers no pixel of the logits by more than half.
    """
    size = (extracted.logits.shape[2], extracted.logits.shape[1])
    covered = cv2.resize(example.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA).ravel()
    inside = np.flatnonzero(covered > 0.999)
    if not inside.size:
        inside = np.flatnonzero(covered > 0.5)
    if not inside.size:
        raise ConfigError(
            f"{example.name}: the mask is too thin for the network, which sees {size[0]}x{size[1]} pixels; mark more, "
            "or leave the image out."
        )
    parts = [inside, np.flatnonzero(covered < 0.001)]
    steps = [max(-(-part.size // _MAX_PIXELS), 1) for part in parts]
    chosen = [part[::step] for part, step in zip(parts, steps, strict=True)]
    indices, counts = np.concatenate(chosen), [part.size for part in chosen]
    return PixelFeatures(
        features=extracted.features.reshape(len(extracted.features), -1)[:, indices].T.astype(np.float64),
        old_evidence=_old_evidence(extracted.logits.reshape(len(extracted.logits), -1)[:, indices], scaling),
        positive=np.repeat([True, False], counts),
        weight=np.repeat(np.array(steps, np.float64), counts),
    )


def _old_evidence(logits: NDArray[np.float32], scaling: LogitCalibration) -> NDArray[np.float64]:
    """log Σ exp of the old classes' calibrated logits, [P], on the scale of a new logit divided by the temperature."""
    highest = logits.max(axis=0)
    return np.asarray(log_sum_exp(scaling.apply(logits - highest)) + highest / scaling.temperature, np.float64)
