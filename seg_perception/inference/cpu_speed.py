"""How much faster a converted graph is on this machine's CPU."""

from __future__ import annotations

import statistics
import time

import numpy as np
import onnx
import onnxruntime

from seg_perception.inference.onnx_session import open_session


def times_as_fast(reference: onnx.ModelProto, converted: onnx.ModelProto, runs: int) -> float:
    """Median time of one fused graph over that of another, under ONNX Runtime on the CPU.

    Both run in turns, so that they share the load and the clock of the moment.

    Args:
        reference: the graph to compare with.
        converted: the graph in question; above 1 it is the faster one.
        runs: of each.
    """
    sessions = [open_session(model) for model in (reference, converted)]
    inputs = [_inputs(session) for session in sessions]
    times: list[list[float]] = [[], []]
    for turn in range(runs + 1):
        for session, values, spent in zip(sessions, inputs, times, strict=True):
            start = time.perf_counter()
            session.run(None, values)
            if turn:  # the first run also allocates
                spent.append(time.perf_counter() - start)
    return statistics.median(times[0]) / statistics.median(times[1])


def _inputs(session: onnxruntime.InferenceSession) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    rng = np.random.default_rng(0)
    kinds = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
    return {value.name: (rng.random(value.shape) * 255).astype(kinds[value.type]) for value in session.get_inputs()}
