"""Precision in the graph: the fused graph with its network in float16, or quantised to int8.

TensorRT 11 has no precision flags left, and the strongly typed networks of 10.x ignore them: a plan computes in the
types that the graph says. So they are written into the graph, where ONNX Runtime shows on the CPU what they do.

Only the network changes. Normalisation before it and everything after it (calibration, softmax, decision, costs, ground
samples) stay in fp32: they are cheap, and a cost may be 100 000, beyond what float16 holds.
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


def in_precision(
    fused: onnx.ModelProto,
    precision: Precision,
    calibration: Iterable[NDArray[np.uint8]] | None = None,
    target: Target = "tensorrt",
) -> onnx.ModelProto:
    """The fused graph with its network in another precision; inputs and outputs keep names, types and shapes.

    Args:
        fused: from `graph.fused_graph`; it is not changed.
        precision: "fp32" gives the graph as it is, "fp16" computes the network in float16, "int8" its convolutions in
            8-bit integers.
        calibration: for int8, batches uint8 [N, H, W, 3] of images like those the robot will see.
        target: for int8, whose rules the integers follow; the graph runs elsewhere too, but not fast.

    Raises:
        ModelError: int8 without calibration images, or the network holds what cannot be converted.
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
