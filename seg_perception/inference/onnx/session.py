"""ONNX Runtime sessions, all opened with the same options so that their times can be compared."""

from __future__ import annotations

from typing import Literal

import onnx
import onnxruntime

from seg_perception.errors import DeviceError

Device = Literal["cpu", "cuda"]

_PROVIDERS: dict[Device, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_FATAL = 4


def cuda_problem() -> str | None:
    """One sentence if this ONNX Runtime is built without CUDA; else None, whether or not there is a GPU."""
    if _PROVIDERS["cuda"] in onnxruntime.get_available_providers():
        return None
    return f"this ONNX Runtime ({onnxruntime.__version__}) is built without CUDA; install onnxruntime-gpu instead."


def open_session(
    model: onnx.ModelProto, threads: int | None = None, device: Device = "cpu"
) -> onnxruntime.InferenceSession:
    """Open a model.

    Args:
        model: the graph.
        threads: CPU threads per run; by default one per physical core.
        device: where to run; operators without a CUDA kernel run on the CPU.

    Raises:
        DeviceError: this ONNX Runtime is built without CUDA, or finds no GPU.
        Exception: of ONNX Runtime, in many types; the model cannot be loaded.
    """
    provider = _PROVIDERS[device]
    problem = cuda_problem() if device == "cuda" else None
    if problem:
        raise DeviceError(problem)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    # Errors are raised; ONNX Runtime must not print them to stderr as well.
    options.log_severity_level = _FATAL
    # Threads that wait sleep instead of spinning: measured no slower on idle cores, and 1.6 times as fast on cores that
    # are shared with other work, as a robot's are.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The fallback would print to stdout and then try the same provider once more.
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=[provider], enable_fallback=0)
    if session.get_providers()[0] != provider:
        raise DeviceError("ONNX Runtime cannot use CUDA here; check that its CUDA and cuDNN fit the driver.")
    return session
