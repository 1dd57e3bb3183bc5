"""CUDA through cuda-python: one device, one stream, page-locked buffers, and captured graphs."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from seg_perception.errors import DeviceError


@dataclass(frozen=True)
class Gpu:
    """Properties of a GPU.

    Attributes:
        name: as the driver reports it.
        compute_capability: such as "8.7" (Jetson Orin) or "11.0" (Jetson Thor).
        memory: total, bytes.
    """

    name: str
    compute_capability: str
    memory: int


@dataclass(frozen=True, eq=False)
class Buffer:
    """A buffer in host memory and its copy in GPU memory.

    Attributes:
        host: page-locked, so that copies are asynchronous.
        device: address on the GPU.
    """

    host: NDArray[Any]
    device: int


class Cuda:
    """The first GPU with its own stream; owns everything that was allocated through it."""

    def __init__(self) -> None:
        """Select the first GPU.

        Raises:
            DeviceError: cuda-python is not installed, or there is no usable GPU.
        """
        try:
            self._runtime = importlib.import_module("cuda.bindings.runtime")
        except ImportError as error:
            raise DeviceError(
                f"cuda-python is not installed ({error}); pip install cuda-python in the major version of this "
                "machine's CUDA."
            ) from None
        self._cleanup: list[Callable[[], None]] = []
        try:
            self._call("cudaSetDevice", 0)
        except DeviceError as error:
            raise DeviceError(f"there is no GPU that CUDA can use here ({str(error).rstrip('.')}).") from None
        properties = self._call("cudaGetDeviceProperties", 0)
        self.gpu = Gpu(
            name=properties.name.split(b"\0")[0].decode(),
            compute_capability=f"{properties.major}.{properties.minor}",
            memory=int(properties.totalGlobalMem),
        )
        self.stream = int(self._call("cudaStreamCreateWithFlags", self._runtime.cudaStreamNonBlocking))
        self._cleanup.append(lambda: self._call("cudaStreamDestroy", self.stream))

    def use(self) -> None:
        """Make this GPU the current one of the calling thread."""
        self._call("cudaSetDevice", 0)

    def buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> Buffer:
        """Allocate a buffer of this shape and type, uninitialised.

        Raises:
            DeviceError: out of memory.
        """
        kind = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        host = int(self._call("cudaMallocHost", size))
        self._cleanup.append(lambda: self._call("cudaFreeHost", host))
        device = int(self._call("cudaMalloc", size))
        self._cleanup.append(lambda: self._call("cudaFree", device))
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(host))
        return Buffer(memory.view(kind).reshape(shape), device)

    def to_device(self, buffer: Buffer) -> None:
        """Enqueue the copy of a buffer to the GPU."""
        self._copy(buffer.device, buffer.host.ctypes.data, buffer.host.nbytes, "cudaMemcpyHostToDevice")

    def to_host(self, buffer: Buffer) -> None:
        """Enqueue the copy of a buffer from the GPU."""
        self._copy(buffer.host.ctypes.data, buffer.device, buffer.host.nbytes, "cudaMemcpyDeviceToHost")

    def synchronize(self) -> None:
        """Wait for the stream.

        Raises:
            DeviceError: work that was enqueued before has failed.
        """
        self._call("cudaStreamSynchronize", self.stream)

    def capture(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Capture the work that a function enqueues as a CUDA graph, so that one call launches all of it.

        Args:
            enqueue: enqueues always the same work on the stream; it was called at least once before.

        Returns:
            A function that launches the graph.

        Raises:
            DeviceError: the work cannot be captured; the stream stays usable.
        """
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self.stream, mode)
        try:
            enqueue()
        finally:
            graph = self._call("cudaStreamEndCapture", self.stream)
        self._cleanup.append(lambda: self._call("cudaGraphDestroy", graph))
        executable = self._call("cudaGraphInstantiate", graph, 0)
        self._cleanup.append(lambda: self._call("cudaGraphExecDestroy", executable))

        def launch() -> None:
            self._call("cudaGraphLaunch", executable, self.stream)

        return launch

    def close(self) -> None:
        """Free everything, newest first, also after a failure.

        Raises:
            DeviceError: the first failure.
        """
        failure: DeviceError | None = None
        while self._cleanup:
            try:
                self._cleanup.pop()()
            except DeviceError as error:
                failure = failure or error
        if failure:
            raise failure

    def _copy(self, to: int, source: int, size: int, kind: str) -> None:
        self._call("cudaMemcpyAsync", to, source, size, getattr(self._runtime.cudaMemcpyKind, kind), self.stream)

    def _call(self, name: str, *arguments: Any) -> Any:
        status, *values = getattr(self._runtime, name)(*arguments)
        if status != self._runtime.cudaError_t.cudaSuccess:
            _, text = self._runtime.cudaGetErrorString(status)
            raise DeviceError(f"{name} failed: {text.decode()} ({status.name}).")
        return values[0] if values else None
