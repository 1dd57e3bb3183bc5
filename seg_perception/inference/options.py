"""What a user may choose of how a network is run; light to import, for command lines and parameters."""

from __future__ import annotations

from typing import Literal

Backend = Literal["auto", "tensorrt", "tensorrt_rtx", "onnx_cuda", "onnx_cpu"]
BACKENDS: tuple[Backend, ...] = ("auto", "tensorrt", "tensorrt_rtx", "onnx_cuda", "onnx_cpu")
"""In the order in which "auto" tries them."""
