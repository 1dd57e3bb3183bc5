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
    # Threads that wait sleep instead of spinning: measured no slower on idle cores, and 1.6 times as fast on cores that
    # are shared with other work, as a robot's are.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The fallback would print to stdout and then try the same provider once more.
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
    )
