"""The network through ONNX Runtime, on any CPU or on a GPU with CUDA."""

from __future__ import annotations

import time

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from seg_perception.errors import ModelError
from seg_perception.inference.batch import inputs_of, output_of
from seg_perception.inference.engine import EngineOutput, OpenedNetwork
from seg_perception.inference.graph import GraphSpec
from seg_perception.inference.onnx_session import Device, open_session
from seg_perception.inference.prepare import PreparedGraphs, noise_image
from seg_perception.model_card import ModelCard


class OnnxEngine(OpenedNetwork):
    """An `Engine` of ONNX Runtime."""

    def __init__(
        self, card: ModelCard, spec: GraphSpec, graphs: PreparedGraphs, threads: int | None, device: Device = "cpu"
    ) -> None:
        """Load the graphs.

        Args:
            card: the model card.
            spec: what the graphs were prepared for.
            graphs: from `prepare`.
            threads: CPU threads per run; None for one per core.
            device: where to run.

        Raises:
            DeviceError: there is no such device for ONNX Runtime.
        """
        super().__init__(card, spec)
        self._threads = threads
        self._device: Device = device
        self._stride = graphs.stride
        self._network = graphs.network
        self._network_session: onnxruntime.InferenceSession | None = None
        self._session: onnxruntime.InferenceSession | None = open_session(graphs.fused, threads, device)

    def run(self, images: NDArray[np.uint8], costs: NDArray[np.float32], cells: NDArray[np.float32]) -> EngineOutput:
        """Run the network on one batch; see `Engine.run`."""
        session = self._open()
        inputs = inputs_of(self._card, self._spec, images, costs, cells)
        names = [output.name for output in session.get_outputs()]
        return output_of(self._card, dict(zip(names, session.run(names, inputs), strict=True)))

    def time_network(self, runs: int = 1) -> list[float]:
        """Time the network by itself, in milliseconds; see `Engine.time_network`."""
        self._open()
        image = noise_image(self._card, self._spec)
        if self._network_session is None:
            self._network_session = open_session(self._network, self._threads, self._device)
            self._network_session.run(None, {"image": image})  # the first run also allocates
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            self._network_session.run(None, {"image": image})
            times.append((time.perf_counter() - start) * 1e3)
        return times

    def describe(self) -> str:
        """One line for logs and reports."""
        where = "the CPU" if self._device == "cpu" else "the GPU (CUDA)"
        return (
            f"{self._card.name}: {self._card.width}x{self._card.height}, {len(self._card.classes)} classes, logits at "
            f"1/{self._stride}, ONNX Runtime {onnxruntime.__version__} on {where}"
        )

    def close(self) -> None:
        """Free both sessions."""
        self._session = None
        self._network_session = None

    def _open(self) -> onnxruntime.InferenceSession:
        if self._session is None:
            raise ModelError(f"the engine of '{self._card.name}' is closed; open it again.")
        return self._session
