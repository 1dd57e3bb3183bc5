"""What turns a network's logits into logits whose softmax can be believed: a temperature, or that and a vector.

Both are from Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017. A network that was fitted to its
training images is too sure of itself, and not equally so for every class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.settings.yaml_file import Section

_MOST_SPREAD = 40.0
"""Between the biases of two classes; e to the power of that is all the doubt that float32 can hold beside certainty."""


@dataclass(frozen=True)
class LogitScaling:
    """Calibrated logits are scale * z / temperature + bias, where z is relative to the highest logit of its pixel.

    A softmax does not see a number added to all classes, but a scale per class does. So z has a fixed meaning: it is 0
    for the most probable class and negative for the others, at the network's own resolution. Logits and the
    probabilities made from them then give the same result.

    Attributes:
        temperature: what the logits of all classes are divided by; above 1 when the network is too sure of itself.
        scale: a factor above 0 per class; empty for temperature scaling.
        bias: what is added per class; empty for temperature scaling.
    """

    temperature: float = 1.0
    scale: tuple[float, ...] = ()
    bias: tuple[float, ...] = ()

    @property
    def factor(self) -> NDArray[np.float32]:
        """What z is multiplied by, float32 [K], or [1] where all classes share it."""
        return (np.array(self.scale or (1.0,)) / self.temperature).astype(np.float32)

    @property
    def offset(self) -> NDArray[np.float32]:
        """What is added afterwards, float32 [K], or [1] where it is 0 for all classes."""
        return np.array(self.bias or (0.0,), np.float32)

    def apply(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """The calibrated logits of z, float32 [K, ...]; interpolation between pixels may come before or after."""
        along = (-1, *[1] * (logits.ndim - 1))
        return logits * self.factor.reshape(along) + self.offset.reshape(along)

    def rounded(self, digits: int = 4) -> LogitScaling:
        """The same with as many decimals as a model card shows."""
        scale, bias = (tuple(round(value, digits) for value in values) for values in (self.scale, self.bias))
        return LogitScaling(round(self.temperature, digits), scale, bias)

    def content(self) -> dict[str, Any]:
        """What `read` takes from YAML."""
        vector = {"scale": list(self.scale), "bias": list(self.bias)} if self.scale else {}
        return {"temperature": self.temperature, **vector}


UNCALIBRATED = LogitScaling()
"""Leaves logits as the network gives them."""


def read_temperature(section: Section) -> float:
    """The key `temperature` of a section, a number above 0."""
    return _above_zero(section, "temperature", section.number("temperature"))


def read_scaling(section: Section, classes: int) -> LogitScaling:
    """Read `temperature`, and `scale` and `bias` where they are given.

    Args:
        section: a mapping of a model card.
        classes: how many classes the card lists, K.

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
        if max(bias) - min(bias) > _MOST_SPREAD:
            raise section.error(
                "bias",
                f"spreads over {max(bias) - min(bias):g}, but may over {_MOST_SPREAD:g} at most; calibrate again.",
            )
    section.finish()
    return LogitScaling(temperature, tuple(scale), tuple(bias))


def _above_zero(section: Section, key: str, value: float) -> float:
    if value <= 0:
        raise section.error(key, f"is {value:g}, but must be greater than 0.")
    return value
