"""The network as a TensorRT plan on the GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import DeviceError, ModelError
from seg_perception.inference.engine import EngineOutput, OpenedNetwork
from seg_perception.inference.engine_io import inputs_of, output_of
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.prepared_graphs import noise_image
from seg_perception.inference.tensorrt.api import TensorRt
from seg_perception.inference.tensorrt.cuda import Buffer, Cuda
from seg_perception.model.card import ModelCard


class Program:
    """A loaded plan with its buffers, warmed up, and launched by a single call where CUDA can record it.

    Attributes:
        inputs: by name; to be filled before a run.
        outputs: by name; valid until the next run.
    """

    def __init__(self, api: TensorRt, cuda: Cuda, loaded: tuple[Any, Any]) -> None:
        """Allocate and warm up.

        Args:
            api: what loaded the plan.
            cuda: where it runs.
            loaded: from `TensorRt.load`.

        Raises:
            DeviceError: the GPU has not enough memory, or fails.
        """
        self._cuda = cuda
        # The engine needs its runtime as long as it lives.
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
        self._launch = self._queue
        self.run()  # the first run loads kernels, and cannot be recorded
        self.is_recorded = True
        try:
            self._launch = cuda.capture(self._queue)
        except DeviceError:
            self.is_recorded = False
        self.run()

    def run(self) -> None:
        """Copy the inputs, compute, copy the outputs, and wait for it all.

        Raises:
            DeviceError: the GPU failed.
        """
        self._launch()
        self._cuda.synchronize()

    def time_plan(self, runs: int) -> float:
        """Time the plan alone on what the buffers hold: so many runs in a row without copies, and one wait for all.

        Returns:
            Milliseconds of one run.

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
        """Let go of the plan; the buffers belong to `Cuda`."""
        self._context = self._engine = self._runtime = None

    def _queue(self) -> None:
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
        """Launches the plan without copies, recorded where all of it could be."""
        return self._cuda.capture(self._execute) if self.is_recorded else self._execute


class TensorRtEngine(OpenedNetwork):
    """An `Engine` of TensorRT or TensorRT-RTX; it owns its part of the GPU."""

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
        """Put a plan to work.

        Args:
            api: what loaded the plan.
            cuda: where it runs; closed with the engine.
            loaded: the plan of the fused graph.
            load_network: loads the plan of the network alone, when it is to be timed.
            card: the model card.
            spec: what the plan was built for.
            precision: what it was built in.

        Raises:
            DeviceError: the GPU has not enough memory, or fails.
            ModelError: the plan has other inputs or outputs than card and spec need.
        """
        self._api = api
        self._cuda = cuda
        self._load_network = load_network
        super().__init__(card, spec)
        self._precision = precision
        self._program: Program | None = Program(api, cuda, loaded)
        self._network: Program | None = None
        self._check()

    def run(self, images: NDArray[np.uint8], costs: NDArray[np.float32], cells: NDArray[np.float32]) -> EngineOutput:
        """Run the network on one batch; see `Engine.run`.

        Raises:
            DeviceError: the GPU failed.
        """
        program = self._open()
        for name, value in inputs_of(self._card, self._spec, images, costs, cells).items():
            np.copyto(program.inputs[name].host, value)
        self._cuda.use()
        program.run()
        return output_of(self._card, {name: buffer.host.copy() for name, buffer in program.outputs.items()})

    def time_plan(self, runs: int) -> float:
        """Time the whole plan on the GPU without what is around it; see `Program.time_plan`.

        Raises:
            DeviceError: the GPU failed.
        """
        program = self._open()
        self._cuda.use()
        return program.time_plan(runs)

    def time_network(self, runs: int = 1) -> list[float]:
        """Time the network by itself, in milliseconds, copies included; see `Engine.time_network`.

        The first call may have to build a plan of it.
        """
        self._open()
        self._cuda.use()
        if self._network is None:
            self._network = Program(self._api, self._cuda, self._load_network())
            np.copyto(self._network.inputs["image"].host, noise_image(self._card, self._spec))
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            self._network.run()
            times.append((time.perf_counter() - start) * 1e3)
        return times

    def describe(self) -> str:
        """One line for logs and reports."""
        launched = "" if self._program is None or self._program.is_recorded else ", launched without a CUDA graph"
        return (
            f"{self._card.name}: {self._card.width}x{self._card.height}, {len(self._card.classes)} classes, "
            f"{self._precision}, {self._api.title} on {self._cuda.gpu.name}{launched}"
        )

    def close(self) -> None:
        """Free what it holds on the GPU."""
        for program in (self._program, self._network):
            if program is not None:
                program.close()
        self._program = self._network = None
        self._cuda.close()

    def _open(self) -> Program:
        if self._program is None:
            raise ModelError(f"the engine of '{self._card.name}' is closed; open it again.")
        return self._program

    def _check(self) -> None:
        """That the plan is what card and spec say; its manifest says so, but only the plan itself can know."""
        card, spec, program = self._card, self._spec, self._open()
        classes = len(card.classes)
        expected = {
            "image": (spec.batch, card.height, card.width, 3),
            "costs": (classes + 1, classes),
            "cells": (spec.batch, spec.cells, 2),
        }
        found = {name: buffer.host.shape for name, buffer in program.inputs.items()}
        if found != expected:
            raise ModelError(
                f"the plan takes {found}, but model card and settings need {expected}; build it again with: "
                "seg-perception compile MODEL.onnx"
            )
        needed = {"labels", "confidence", "expected_cost", "cell_probabilities", "score_size"}
        if spec.logits:
            needed.add("logits")
        if set(program.outputs) != needed:
            raise ModelError(
                f"the plan gives {', '.join(sorted(program.outputs))}, but {', '.join(sorted(needed))} are needed; "
                "build it again with: seg-perception compile MODEL.onnx"
            )
