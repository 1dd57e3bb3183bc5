"""Checks of the inputs and outputs of an engine, shared by all backends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ModelError
from seg_perception.inference.engine import EngineOutput, VisualizationMaps
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.model.card import ModelCard


def graph_inputs(
    card: ModelCard, spec: GraphSpec, images: NDArray[Any], costs: NDArray[Any], sample_points: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Check the inputs of `Engine.run`, and name them as the fused graph does.

    Raises:
        ModelError: an input has the wrong shape or type, or is not finite.
    """
    classes = len(card.classes)
    _expect("images", images, np.uint8, (spec.batch, card.height, card.width, 3))
    _expect("costs", costs, np.float32, (classes + 1, classes))
    _expect("sample_points", sample_points, np.float32, (spec.batch, spec.sample_points, 2))
    if not (np.isfinite(sample_points).all() and np.isfinite(costs).all()):
        raise ModelError("sample_points and costs must be finite numbers; mask what cannot be projected.")
    return {"image": images, "costs": costs, "sample_points": sample_points}


def engine_output(card: ModelCard, outputs: Mapping[str, NDArray[Any]]) -> EngineOutput:
    """Check the outputs of the fused graph, and return them as an `EngineOutput`.

    Raises:
        ModelError: the network's output is not finite.
    """
    check_finite(card, outputs["score_norm"])
    maps = VisualizationMaps(outputs["confidence"], outputs["expected_cost"])
    return EngineOutput(outputs["labels"], outputs["sample_probabilities"], lambda: maps, outputs.get("logits"))


def check_finite(card: ModelCard, numbers: NDArray[np.float32]) -> None:
    """Check that all numbers of a network's output are finite.

    Raises:
        ModelError: some are not.
    """
    if not np.isfinite(numbers).all():
        raise ModelError(f"the network '{card.name}' gave numbers that are not finite for this image.")


def _expect(name: str, array: NDArray[Any], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ModelError(
            f"the engine needs {name} as {np.dtype(dtype)} {list(shape)}, but got {array.dtype} {list(array.shape)}."
        )
