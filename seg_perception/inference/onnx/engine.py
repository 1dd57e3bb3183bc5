"""Engines on ONNX Runtime: on any CPU, or on a GPU with CUDA."""

from __future__ import annotations

import os
import time

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from seg_perception.errors import ModelError
from seg_perception.inference.cpu.decision import CpuDecision, DecisionConfig
from seg_perception.inference.engine import EngineBase, EngineOutput
from seg_perception.inference.engine_io import check_finite, engine_output, graph_inputs
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.onnx.session import Device, open_session
from seg_perception.inference.prepared_graphs import PreparedGraphs, noise_image
from seg_perception.model.card import ModelCard


class _OnnxEngine(EngineBase):
    """Common part of both engines: one session of ONNX Runtime."""

    def __init__(
        self,
        card: ModelCard,
        spec: GraphSpec,
        graphs: PreparedGraphs,
        model: onnx.ModelProto,
        threads: int | None,
        device: Device,
    ) -> None:
        super().__init__(card, spec)
        self._stride = graphs.stride
        self._threads = threads
        self._device: Device = device
        self._session: onnxruntime.InferenceSession | None = open_session(model, threads, device)

    def time_network(self, runs: int = 1) -> list[float]:
        """Time the network by itself, in milliseconds; see `Engine.time_network`."""
        session, image = self._network_session(), noise_image(self._card, self._spec)
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            session.run(None, {"image": image})
            times.append((time.perf_counter() - start) * 1e3)
        return times

    def describe(self) -> str:
        """One line for logs and reports."""
        where = "the CPU" if self._device == "cpu" else "the GPU (CUDA)"
        card = self._card
        return (
            f"{card.name}: {card.width}x{card.height}, {len(card.classes)} classes, logits at 1/{self._stride}, "
            f"ONNX Runtime {onnxruntime.__version__} on {where}"
        )

    def close(self) -> None:
        """Free what the engine holds."""
        self._session = None

    def _require_session(self) -> onnxruntime.InferenceSession:
        if self._session is None:
            raise ModelError(f"the engine of '{self._card.name}' is closed; open it again.")
        return self._session

    def _network_session(self) -> onnxruntime.InferenceSession:
        """The session of the network alone; by default the session that `run` uses."""
        return self._require_session()


class OnnxCpuEngine(_OnnxEngine):
    """An `Engine` on the CPU: ONNX Runtime runs the network, `CpuDecision` does what follows it."""

    def __init__(self, card: ModelCard, spec: GraphSpec, graphs: PreparedGraphs, threads: int | None) -> None:
        """Load the network, and compile the decision kernels unless this machine has them in its cache.

        Args:
            card: the model card.
            spec: what the graphs were prepared for.
            graphs: from `prepare_graphs`.
            threads: CPU threads per run; None for one per core.
        """
        super().__init__(card, spec, graphs, graphs.network, threads, "cpu")
        factor = graphs.stride if spec.resolution == "full" else 1
        config = DecisionConfig(card.calibration_for("fp32"), card.output, len(card.classes), factor, spec.logits)
        self._decision = CpuDecision(config, threads or os.cpu_count() or 1)

    def run(
        self, images: NDArray[np.uint8], costs: NDArray[np.float32], sample_points: NDArray[np.float32]
    ) -> EngineOutput:
        """Run the network on one batch; see `Engine.run`."""
        session = self._require_session()
        inputs = graph_inputs(self._card, self._spec, images, costs, sample_points)
        scores = session.run(None, {"image": inputs["image"]})[0]
        check_finite(self._card, scores)
        return self._decision.evaluate(scores, costs, sample_points)


class OnnxCudaEngine(_OnnxEngine):
    """An `Engine` on a GPU: ONNX Runtime runs the fused graph."""

    def __init__(self, card: ModelCard, spec: GraphSpec, graphs: PreparedGraphs, threads: int | None) -> None:
        """Load the graph.

        Args:
            card: the model card.
            spec: what the graphs were prepared for.
            graphs: from `prepare_graphs`.
            threads: CPU threads for operators without a CUDA kernel; None for one per core.

        Raises:
            DeviceError: ONNX Runtime cannot use CUDA.
        """
        super().__init__(card, spec, graphs, graphs.fused, threads, "cuda")
        self._network = graphs.network
        self._timing_session: onnxruntime.InferenceSession | None = None

    def run(
        self, images: NDArray[np.uint8], costs: NDArray[np.float32], sample_points: NDArray[np.float32]
    ) -> EngineOutput:
        """Run the network on one batch; see `Engine.run`."""
        session = self._require_session()
        inputs = graph_inputs(self._card, self._spec, images, costs, sample_points)
        names = [output.name for output in session.get_outputs()]
        return engine_output(self._card, dict(zip(names, session.run(names, inputs), strict=True)))

    def close(self) -> None:
        """Free what the engine holds."""
        super().close()
        self._timing_session = None

    def _network_session(self) -> onnxruntime.InferenceSession:
        self._require_session()
        if self._timing_session is None:
            self._timing_session = open_session(self._network, self._threads, self._device)
            self._timing_session.run(
                None, {"image": noise_image(self._card, self._spec)}
            )  # the first run also allocates
        return self._timing_session
