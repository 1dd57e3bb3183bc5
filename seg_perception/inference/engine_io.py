"""What goes into an engine and what comes out, checked in one place for every backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ModelError
from seg_perception.inference.engine import EngineOutput, Pictures
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.model.card import ModelCard


def inputs_of(
    card: ModelCard, spec: GraphSpec, images: NDArray[Any], costs: NDArray[Any], cells: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """The inputs of the fused graph by name, after checking them as `Engine.run` promises.

    Raises:
        ModelError: an input has the wrong shape or type, or is not finite.
    """
    classes = len(card.classes)
    _expect("images", images, np.uint8, (spec.batch, card.height, card.width, 3))
    _expect("costs", costs, np.float32, (classes + 1, classes))
    _expect("cells", cells, np.float32, (spec.batch, spec.cells, 2))
    if not (np.isfinite(cells).all() and np.isfinite(costs).all()):
        raise ModelError("cells and costs must be finite numbers; mask what cannot be projected.")
    return {"image": images, "costs": costs, "cells": cells}


def output_of(card: ModelCard, outputs: Mapping[str, NDArray[Any]]) -> EngineOutput:
    """The outputs of the fused graph as an `EngineOutput`.

    Raises:
        ModelError: the network gave numbers that are not finite.
    """
    check_finite(card, outputs["score_size"])
    pictures = Pictures(outputs["confidence"], outputs["expected_cost"])
    return EngineOutput(outputs["labels"], outputs["cell_probabilities"], lambda: pictures, outputs.get("logits"))


def check_finite(card: ModelCard, numbers: NDArray[np.float32]) -> None:
    """Accept what a network gave only if all of it is finite.

    Raises:
        ModelError: it is not.
    """
    if not np.isfinite(numbers).all():
        raise ModelError(f"the network '{card.name}' gave numbers that are not finite for this image.")


def _expect(name: str, array: NDArray[Any], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ModelError(
            f"the engine needs {name} as {np.dtype(dtype)} {list(shape)}, but got {array.dtype} {list(array.shape)}."
        )
