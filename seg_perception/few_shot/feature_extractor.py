"""What a network sees of a picture, features of unit length and logits, and which pixels to learn from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from seg_perception.errors import ConfigError, ModelError
from seg_perception.few_shot.examples import Example
from seg_perception.few_shot.fit import Pixels, log_sum_exp
from seg_perception.few_shot.head import SMALLEST_LENGTH, Head, read_out
from seg_perception.inference.onnx.session import open_session
from seg_perception.model.card import ModelCard
from seg_perception.model.logit_calibration import LogitScaling

_MOST_PIXELS = 1500
"""Per picture with and without the class each; evenly spread ones stand for the rest."""


@dataclass(frozen=True, eq=False)
class Sight:
    """A picture as the network sees it, at the resolution of its logits.

    Attributes:
        logits: float32 [K, h, w], as the network gives them.
        features: float32 [F, h, w]; every group of them has unit length at every pixel.
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float32]


class Eye:
    """Runs a network up to its features.

    Args:
        network: from `read_network`.
        head: from `find_head`.
        card: the network's.
        path: the network's file, for messages.

    Attributes:
        head: the one given, less what has another resolution than the logits.
        widths: number of channels of each of the head's features.

    Raises:
        ModelError: the features are no pictures of the logits' size, or the network is not in fp32.
    """

    def __init__(self, network: onnx.ModelProto, head: Head, card: ModelCard, path: Path) -> None:
        self._card = card
        try:
            self._session = open_session(read_out(network, head))
            logits, *features = self._run(np.zeros((card.height, card.width, 3), np.uint8))
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            raise ModelError(
                f"{path}: cannot be read out before its classifier ({str(error).splitlines()[0]}); teach the network "
                "in fp32 and convert it afterwards."
            ) from None
        fitting = [index for index, group in enumerate(features) if group.shape[1:] == logits.shape[1:]]
        if 0 not in fitting:
            raise ModelError(
                f"{path}: its classifier changes the resolution from {features[0].shape[1:]} to {logits.shape[1:]}, so "
                "that features and logits do not belong to the same pixels; resize behind the classifier instead."
            )
        self.head = replace(head, features=tuple(head.features[index] for index in fitting))
        self.widths = tuple(len(features[index]) for index in fitting)
        self._session = open_session(read_out(network, self.head))

    def see(self, example: Example) -> Sight:
        """Run the network on a picture."""
        logits, *groups = self._run(example.image)
        unit = [group / np.maximum(np.linalg.norm(group, axis=0), SMALLEST_LENGTH) for group in groups]
        return Sight(logits, np.concatenate(unit))

    def _run(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        mean, std = np.array(self._card.mean, np.float32), np.array(self._card.std, np.float32)
        x = ((image.astype(np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)[None]
        given = self._session.run(None, {self._session.get_inputs()[0].name: np.ascontiguousarray(x)})
        return [value[0] for value in given]


def learnable_pixels(sight: Sight, example: Example, scaling: LogitScaling) -> Pixels:
    """The pixels of a picture, at the logits' resolution, that clearly are the class or clearly are not.

    Those that the mask's border crosses are left out, where the class has others.

    Args:
        sight: the picture as the network sees it.
        example: its mask.
        scaling: how the network's logits are calibrated.

    Raises:
        ConfigError: the class fills not even half a pixel of the logits.
    """
    size = (sight.logits.shape[2], sight.logits.shape[1])
    covered = cv2.resize(example.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA).ravel()
    inside = np.flatnonzero(covered > 0.999)
    if not inside.size:
        inside = np.flatnonzero(covered > 0.5)
    if not inside.size:
        raise ConfigError(
            f"{example.name}: the mask is too thin for the network, which sees {size[0]}x{size[1]} pixels; mark more, "
            "or leave the picture out."
        )
    parts = [inside, np.flatnonzero(covered < 0.001)]
    steps = [max(-(-part.size // _MOST_PIXELS), 1) for part in parts]
    chosen = [part[::step] for part, step in zip(parts, steps, strict=True)]
    places, counts = np.concatenate(chosen), [part.size for part in chosen]
    return Pixels(
        features=sight.features.reshape(len(sight.features), -1)[:, places].T.astype(np.float64),
        rivals=_rivals(sight.logits.reshape(len(sight.logits), -1)[:, places], scaling),
        positive=np.repeat([True, False], counts),
        weight=np.repeat(np.array(steps, np.float64), counts),
    )


def _rivals(logits: NDArray[np.float32], scaling: LogitScaling) -> NDArray[np.float64]:
    """What a new logit over the temperature has to beat, [P]: log Σ exp of the old ones, relative to the same zero."""
    highest = logits.max(axis=0)
    return np.asarray(log_sum_exp(scaling.apply(logits - highest)) + highest / scaling.temperature, np.float64)
