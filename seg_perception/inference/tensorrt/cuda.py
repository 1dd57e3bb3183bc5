"""What the engine needs of CUDA, through cuda-python: one device, one stream, page-locked buffers, a captured graph."""

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
    """A GPU.

    Attributes:
        name: as its driver calls it.
        compute_capability: such as "8.7" (Jetson Orin) or "11.0" (Jetson Thor).
        memory: bytes.
    """

    name: str
    compute_capability: str
    memory: int


@dataclass(frozen=True, eq=False)
class Buffer:
    """The same bytes on both sides.

    Attributes:
        host: page-locked, so that copies run beside the CPU.
        device: address on the GPU.
    """

    host: NDArray[Any]
    device: int


class Cuda:
    """The first GPU, with a stream of its own and everything that was allocated through it."""

    def __init__(self) -> None:
        """Find the GPU.

        Raises:
            DeviceError: cuda-python is not installed, or there is no GPU that its driver can use.
        """
        try:
            self._runtime = importlib.import_module("cuda.bindings.runtime")
        except ImportError as error:
            raise DeviceError(
                f"cuda-python is not installed ({error}); pip install cuda-python in the major version of this "
                "machine's CUDA."
            ) from None
        self._undo: list[Callable[[], None]] = []
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
        self._undo.append(lambda: self._call("cudaStreamDestroy", self.stream))

    def use(self) -> None:
        """Let the calling thread work on this GPU."""
        self._call("cudaSetDevice", 0)

    def buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> Buffer:
        """A buffer of this shape and type, filled with nothing in particular.

        Raises:
            DeviceError: out of memory.
        """
        kind = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        host = int(self._call("cudaMallocHost", size))
        self._undo.append(lambda: self._call("cudaFreeHost", host))
        device = int(self._call("cudaMalloc", size))
        self._undo.append(lambda: self._call("cudaFree", device))
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(host))
        return Buffer(memory.view(kind).reshape(shape), device)

    def to_device(self, buffer: Buffer) -> None:
        """Queue the copy of a buffer to the GPU."""
        self._copy(buffer.device, buffer.host.ctypes.data, buffer.host.nbytes, "cudaMemcpyHostToDevice")

    def to_host(self, buffer: Buffer) -> None:
        """Queue the copy of a buffer from the GPU."""
        self._copy(buffer.host.ctypes.data, buffer.device, buffer.host.nbytes, "cudaMemcpyDeviceToHost")

    def synchronize(self) -> None:
        """Wait until the stream is done.

        Raises:
            DeviceError: something queued before has failed.
        """
        self._call("cudaStreamSynchronize", self.stream)

    def capture(self, queue: Callable[[], None]) -> Callable[[], None]:
        """Record what a function queues as a CUDA graph, so that one call launches it all.

        Args:
            queue: queues work on the stream, always the same; it has been called once before.

        Returns:
            A function that queues the same work.

        Raises:
            DeviceError: the work cannot be recorded; the stream can still be used.
        """
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self.stream, mode)
        try:
            queue()
        finally:
            graph = self._call("cudaStreamEndCapture", self.stream)
        self._undo.append(lambda: self._call("cudaGraphDestroy", graph))
        executable = self._call("cudaGraphInstantiate", graph, 0)
        self._undo.append(lambda: self._call("cudaGraphExecDestroy", executable))

        def launch() -> None:
            self._call("cudaGraphLaunch", executable, self.stream)

        return launch

    def close(self) -> None:
        """Free everything, the newest first; what comes after the first failure is freed all the same.

        Raises:
            DeviceError: the first failure.
        """
        failure: DeviceError | None = None
        while self._undo:
            try:
                self._undo.pop()()
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
