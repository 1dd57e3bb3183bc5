"""ONNX Runtime sessions on the CPU, all opened the same way so that their times can be compared."""

from __future__ import annotations

import onnx
import onnxruntime

_FATAL = 4


def open_session(model: onnx.ModelProto, threads: int | None = None) -> onnxruntime.InferenceSession:
    """Open a model on the CPU.

    Args:
        model: the graph.
        threads: threads per run; by default one per physical core.

    Raises:
        Exception: of ONNX Runtime, in many types; the model cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    # What goes wrong is raised, and told by whoever catches it; no second report on stderr.
    options.log_severity_level = _FATAL
    # Waiting threads spin while a run lasts, but leave the cores to the rest of the robot between runs.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
