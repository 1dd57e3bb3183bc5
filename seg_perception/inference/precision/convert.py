"""Precision conversion: the fused graph with its network in float16, or quantised to int8.

TensorRT 11 has no precision flags, and the strongly typed networks of 10.x ignore them: a plan computes in the types of
its graph. So the precision is written into the graph; ONNX Runtime then shows its effect on the CPU.

Only the network changes. Normalisation before it and everything after it (calibration, softmax, decision, costs, sample
points) stay in fp32: they are cheap, and a cost may be 100 000, beyond the range of float16.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray

from seg_perception.errors import ModelError
from seg_perception.inference.precision.fp16 import to_fp16
from seg_perception.inference.precision.int8 import Target, to_int8
from seg_perception.model.card import Precision


def convert_precision(
    fused: onnx.ModelProto,
    precision: Precision,
    calibration: Iterable[NDArray[np.uint8]] | None = None,
    target: Target = "tensorrt",
) -> onnx.ModelProto:
    """Convert the network of a fused graph to another precision; inputs and outputs keep names, types and shapes.

    Args:
        fused: from `graph.fused_graph`; not changed.
        precision: "fp32" returns the graph as it is, "fp16" computes the network in float16, "int8" its convolutions in
            8-bit integers.
        calibration: for int8, batches of images like those the robot will see, uint8 [N, H, W, 3].
        target: for int8, the backend whose quantisation rules apply; the graph runs elsewhere too, but slowly.

    Raises:
        ModelError: int8 without calibration images, or the network cannot be converted.
    """
    if precision == "fp32":
        return fused
    if precision == "fp16":
        return to_fp16(fused)
    batches = list(calibration or ())
    if not batches:
        raise ModelError(
            "int8 needs calibration images to know the range of every layer; give a folder of images like those the "
            "robot will see, or use fp16."
        )
    return to_int8(fused, batches, target)
