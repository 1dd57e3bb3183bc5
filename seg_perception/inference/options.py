"""Options of inference. This module imports nothing heavy: command lines and ROS parameters need it."""

from __future__ import annotations

from typing import Literal

Backend = Literal["auto", "tensorrt", "tensorrt_rtx", "onnx_cuda", "onnx_cpu"]
BACKENDS: tuple[Backend, ...] = ("auto", "tensorrt", "tensorrt_rtx", "onnx_cuda", "onnx_cpu")
"""All backends; "auto" tries the others in this order."""
