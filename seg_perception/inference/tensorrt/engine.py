"""The engine that runs a TensorRT plan on the GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import DeviceError, ModelError
from seg_perception.inference.engine import EngineBase, EngineOutput
from seg_perception.inference.engine_io import engine_output, graph_inputs
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.prepared_graphs import noise_image
from seg_perception.inference.tensorrt.api import TensorRt
from seg_perception.inference.tensorrt.cuda import Buffer, Cuda
from seg_perception.model.card import ModelCard


class PlanExecutor:
    """Runs a loaded plan: owns its buffers, and launches copies and plan as one CUDA graph if CUDA can capture them.

    Attributes:
        inputs: by name; fill them before a run.
        outputs: by name; valid until the next run.
        is_captured: whether a run is a launch of a CUDA graph.
    """

    def __init__(self, api: TensorRt, cuda: Cuda, loaded: tuple[Any, Any]) -> None:
        """Allocate the buffers and warm up.

        Args:
            api: the TensorRT that loaded the plan.
            cuda: the GPU it runs on.
            loaded: from `TensorRt.load`.

        Raises:
            DeviceError: the GPU has not enough memory, or fails.
        """
        self._cuda = cuda
        # The runtime must outlive the engine.
        self._runtime, self._engine = loaded
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise DeviceError("TensorRT has not enough GPU memory for the plan; free some, or use a lower precision.")
        self.inputs: dict[str, Buffer] = {}
        self.outputs: dict[str, Buffer] = {}
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            is_input = self._engine.get_tensor_mode(name) == api.module.TensorIOMode.INPUT
            kind = api.module.nptype(self._engine.get_tensor_dtype(name))
            buffer = cuda.buffer(tuple(self._engine.get_tensor_shape(name)), kind)
            buffer.host.fill(0)
            (self.inputs if is_input else self.outputs)[name] = buffer
            self._context.set_tensor_address(name, buffer.device)
        self._launch = self._enqueue
        self.run()  # the first run loads kernels, and cannot be captured
        self.is_captured = True
        try:
            self._launch = cuda.capture(self._enqueue)
        except DeviceError:
            self.is_captured = False
        self.run()

    def run(self) -> None:
        """Copy the inputs, compute, copy the outputs, and wait.

        Raises:
            DeviceError: the GPU failed.
        """
        self._launch()
        self._cuda.synchronize()

    def time_plan(self, runs: int) -> float:
        """Time the plan alone, on the present contents of the buffers: `runs` runs in a row without copies, one wait.

        Returns:
            Milliseconds per run.

        Raises:
            DeviceError: the GPU failed.
        """
        compute = self._compute
        start = time.perf_counter()
        for _ in range(runs):
            compute()
        self._cuda.synchronize()
        return (time.perf_counter() - start) * 1e3 / runs

    def close(self) -> None:
        """Release the plan; the buffers belong to `Cuda`."""
        self._context = self._engine = self._runtime = None

    def _enqueue(self) -> None:
        for buffer in self.inputs.values():
            self._cuda.to_device(buffer)
        self._execute()
        for buffer in self.outputs.values():
            self._cuda.to_host(buffer)

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._cuda.stream):
            raise DeviceError("TensorRT could not start the plan on the GPU.")

    @cached_property
    def _compute(self) -> Callable[[], None]:
        """Launches the plan without copies, as a CUDA graph if it was captured."""
        return self._cuda.capture(self._execute) if self.is_captured else self._execute


class TensorRtEngine(EngineBase):
    """An `Engine` on TensorRT or TensorRT-RTX; owns its GPU resources."""

    def __init__(
        self,
        api: TensorRt,
        cuda: Cuda,
        loaded: tuple[Any, Any],
        load_network: Callable[[], tuple[Any, Any]],
        card: ModelCard,
        spec: GraphSpec,
        precision: str,
    ) -> None:
        """Create an engine from a loaded plan.

        Args:
            api: the TensorRT that loaded the plan.
            cuda: the GPU it runs on; closed with the engine.
            loaded: the plan of the fused graph, from `TensorRt.load`.
            load_network: loads the plan of the network alone; called when that is timed first.
            card: the model card.
            spec: shapes and options of the plan.
            precision: of the plan.

        Raises:
            DeviceError: the GPU has not enough memory, or fails.
            ModelError: inputs or outputs of the plan do not match card and spec.
        """
        self._api = api
        self._cuda = cuda
        self._load_network = load_network
        super().__init__(card, spec)
        self._precision = precision
        self._program: PlanExecutor | None = PlanExecutor(api, cuda, loaded)
        self._network: PlanExecutor | None = None
        self._check()

    def run(
        self, images: NDArray[np.uint8], costs: NDArray[np.float32], sample_points: NDArray[np.float32]
    ) -> EngineOutput:
        """Run the network on one batch; see `Engine.run`.

        Raises:
            DeviceError: the GPU failed.
        """
        executor = self._require_executor()
        for name, value in graph_inputs(self._card, self._spec, images, costs, sample_points).items():
            np.copyto(executor.inputs[name].host, value)
        self._cuda.use()
        executor.run()
        return engine_output(self._card, {name: buffer.host.copy() for name, buffer in executor.outputs.items()})

    def time_plan(self, runs: int) -> float:
        """Time the whole plan on the GPU without copies; see `PlanExecutor.time_plan`.

        Raises:
            DeviceError: the GPU failed.
        """
        executor = self._require_executor()
        self._cuda.use()
        return executor.time_plan(runs)

    def time_network(self, runs: int = 1) -> list[float]:
        """Time the network by itself, in milliseconds, copies included; see `Engine.time_network`.

        The first call builds a plan of the network if the cache has none.
        """
        self._require_executor()
        self._cuda.use()
        if self._network is None:
            self._network = PlanExecutor(self._api, self._cuda, self._load_network())
            np.copyto(self._network.inputs["image"].host, noise_image(self._card, self._spec))
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            self._network.run()
            times.append((time.perf_counter() - start) * 1e3)
        return times

    def describe(self) -> str:
        """One line for logs and reports."""
        launched = "" if self._program is None or self._program.is_captured else ", launched without a CUDA graph"
        return (
            f"{self._card.name}: {self._card.width}x{self._card.height}, {len(self._card.classes)} classes, "
            f"{self._precision}, {self._api.title} on {self._cuda.gpu.name}{launched}"
        )

    def close(self) -> None:
        """Free all GPU resources."""
        for executor in (self._program, self._network):
            if executor is not None:
                executor.close()
        self._program = self._network = None
        self._cuda.close()

    def _require_executor(self) -> PlanExecutor:
        if self._program is None:
            raise ModelError(f"the engine of '{self._card.name}' is closed; open it again.")
        return self._program

    def _check(self) -> None:
        """Check inputs and outputs of the plan itself against card and spec; the manifest may be wrong."""
        card, spec, executor = self._card, self._spec, self._require_executor()
        classes = len(card.classes)
        expected = {
            "image": (spec.batch, card.height, card.width, 3),
            "costs": (classes + 1, classes),
            "sample_points": (spec.batch, spec.sample_points, 2),
        }
        found = {name: buffer.host.shape for name, buffer in executor.inputs.items()}
        if found != expected:
            raise ModelError(
                f"the plan takes {found}, but model card and settings need {expected}; build it again with: "
                "seg-perception compile MODEL.onnx"
            )
        needed = {"labels", "confidence", "expected_cost", "sample_probabilities", "score_norm"}
        if spec.logits:
            needed.add("logits")
        if set(executor.outputs) != needed:
            raise ModelError(
                f"the plan gives {', '.join(sorted(executor.outputs))}, but {', '.join(sorted(needed))} are needed; "
                "build it again with: seg-perception compile MODEL.onnx"
            )
