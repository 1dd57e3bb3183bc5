"""Logit calibration: temperature scaling and vector scaling.

Both are from Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017. A network that was fitted to its
training images is overconfident, by a different amount for every class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.settings.yaml_file import Section

_FACTORS = (1e-4, 1e4)  # of temperature and scale; within these limits no logit overflows
_MAX_BIAS = 1000.0
_MAX_BIAS_SPREAD = 40.0
"""Largest difference between the biases of two classes; it changes the ratio of their probabilities by e^40."""


@dataclass(frozen=True)
class LogitCalibration:
    """Calibrated logits are scale * z / temperature + bias, where z is the logit minus the highest logit of its pixel.

    A softmax ignores a number added to all classes, but a scale per class does not. So z is defined relative to the
    highest logit: it is 0 for the most probable class and negative for the others, at the network's own resolution.
    Logits and the probabilities made from them then give the same result.

    Attributes:
        temperature: divides the logits of all classes; above 1 for an overconfident network.
        scale: factor per class, above 0; empty for temperature scaling.
        bias: offset per class; empty for temperature scaling.
    """

    temperature: float = 1.0
    scale: tuple[float, ...] = ()
    bias: tuple[float, ...] = ()

    @property
    def factor(self) -> NDArray[np.float32]:
        """Factor of z, float32 [K], or [1] if all classes share it."""
        return (np.array(self.scale or (1.0,)) / self.temperature).astype(np.float32)

    @property
    def offset(self) -> NDArray[np.float32]:
        """Offset added afterwards, float32 [K], or [1] if it is 0 for all classes."""
        return np.array(self.bias or (0.0,), np.float32)

    def apply(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrate z, float32 [K, ...]; interpolation between pixels may come before or after."""
        along = (-1, *[1] * (logits.ndim - 1))
        return logits * self.factor.reshape(along) + self.offset.reshape(along)

    def rounded(self, digits: int = 4) -> LogitCalibration:
        """The same calibration, rounded to the decimals that a model card shows."""
        scale, bias = (tuple(round(value, digits) for value in values) for values in (self.scale, self.bias))
        return LogitCalibration(round(self.temperature, digits), scale, bias)

    def as_mapping(self) -> dict[str, Any]:
        """The YAML mapping that `read_calibration` reads."""
        vector = {"scale": list(self.scale), "bias": list(self.bias)} if self.scale else {}
        return {"temperature": self.temperature, **vector}


UNCALIBRATED = LogitCalibration()
"""Leaves the logits as they are."""


def read_temperature(section: Section) -> float:
    """Read the key `temperature` of a section, a number above 0."""
    return _above_zero(section, "temperature", section.number("temperature"))


def read_calibration(section: Section, classes: int) -> LogitCalibration:
    """Read `temperature`, and `scale` and `bias` if they are given.

    Args:
        section: a mapping of a model card.
        classes: number of classes of the card, K.

    Raises:
        ConfigError: a key is missing or unknown, or a value is out of range.
    """
    temperature = read_temperature(section)
    scale: list[float] = []
    bias: list[float] = []
    if "scale" in section or "bias" in section:
        scale, bias = section.numbers("scale", classes), section.numbers("bias", classes)
        for index, value in enumerate(scale):
            _above_zero(section, f"scale[{index}]", value)
        for index, value in enumerate(bias):
            section.as_number(f"bias[{index}]", value, -_MAX_BIAS, _MAX_BIAS)
        if max(bias) - min(bias) > _MAX_BIAS_SPREAD:
            raise section.error(
                "bias",
                f"spreads over {max(bias) - min(bias):g}, but may over {_MAX_BIAS_SPREAD:g} at most; calibrate again.",
            )
    section.finish()
    return LogitCalibration(temperature, tuple(scale), tuple(bias))


def _above_zero(section: Section, key: str, value: float) -> float:
    if value <= 0:
        raise section.error(key, f"is {value:g}, but must be greater than 0.")
    least, most = _FACTORS
    if not least <= value <= most:
        raise section.error(key, f"is {value:g}, but must lie within {least:g} to {most:g}; calibrate again.")
    return value
