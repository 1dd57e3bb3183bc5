"""Value ranges of a network on calibration images, and the clipped range of least quantisation error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from seg_perception.errors import ModelError
from seg_perception.inference.onnx.session import open_session
from seg_perception.inference.precision.network_part import until_scores

_BINS = 2048
_RANGE_FRACTIONS = np.linspace(1.0, 0.2, 81)


@dataclass(frozen=True, eq=False)
class Histogram:
    """Histogram of a value over all calibration images.

    Attributes:
        low: least value, at most 0: a quantised range must contain zero, which pads images.
        high: greatest value, at least 0.
        counts: int64 [B], per bin of equal width from `low` to `high`.
    """

    low: float
    high: float
    counts: NDArray[np.int64]


def collect_histograms(
    model: onnx.ModelProto, names: Sequence[str], batches: Sequence[NDArray[np.uint8]]
) -> list[Histogram]:
    """Run a fused graph up to its scores, and collect histograms of some values.

    Args:
        model: a fused graph.
        names: of float32 values of its network.
        batches: uint8 [N, H, W, 3] each.

    Returns:
        One histogram per name.

    Raises:
        ModelError: a value is not finite on an image.
    """
    low, high = np.zeros(len(names)), np.zeros(len(names))
    for values in _runs(model, names, batches):
        low = np.minimum(low, [value.min() for value in values])
        high = np.maximum(high, [value.max() for value in values])
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ModelError("the network gives numbers that are not finite for a calibration image; remove that image.")
    counts = np.zeros((len(names), _BINS), np.int64)
    for values in _runs(model, names, batches):
        for count, value, least, most in zip(counts, values, low, high, strict=True):
            count += np.histogram(value, _BINS, (least, most))[0]
    return [Histogram(*entry) for entry in zip(low, high, counts, strict=True)]


def best_range(histogram: Histogram, steps: int, symmetric: bool) -> tuple[float, float]:
    """The clipped range that, quantised to `steps` steps, has the least mean squared error.

    Clipping rare extremes quantises all other values more finely. Both ends are clipped by the same factor, down to a
    fifth.

    Args:
        histogram: of the value.
        steps: number of steps of the quantised range, 254 or 255.
        symmetric: whether the range must be symmetric about zero.

    Returns:
        (low, high), low <= 0 <= high.
    """
    low, high = histogram.low, histogram.high
    width = (high - low) / len(histogram.counts)
    centres = low + width * (np.arange(len(histogram.counts), dtype=np.float64) + 0.5)
    if symmetric:
        high = max(high, -low)
        low = -high
    errors = [_squared_error(centres, histogram.counts, kept * low, kept * high, steps) for kept in _RANGE_FRACTIONS]
    kept = float(_RANGE_FRACTIONS[int(np.argmin(errors))])
    return kept * low, kept * high


def _squared_error(
    values: NDArray[np.float64], counts: NDArray[np.int64], low: float, high: float, steps: int
) -> float:
    step = (high - low) / steps or 1.0
    error = np.clip(np.round(values / step) * step, low, high) - values
    return float(counts @ error**2)


def _runs(
    model: onnx.ModelProto, names: Sequence[str], batches: Sequence[NDArray[np.uint8]]
) -> Iterator[list[NDArray[Any]]]:
    watched = until_scores(model)
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = open_session(watched)
    for batch in batches:
        yield session.run(list(names), {"image": batch})
