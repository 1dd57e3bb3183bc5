"""A fake GPU: replaces cuda-python and TensorRT, and checks what a real one would not forgive.

Device memory is host memory under other addresses. A plan is the ONNX graph it was built from; ONNX Runtime runs it. So
the results of an engine can be compared with the CPU bit by bit.
"""

from __future__ import annotations

import ctypes
import enum
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest


class Status(enum.Enum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorNoDevice = 100
    cudaErrorLaunchFailure = 719
    cudaErrorStreamCaptureUnsupported = 900


OK = Status.cudaSuccess


class FakeCuda(ModuleType):
    """`cuda.bindings.runtime`.

    Attributes:
        failing: name of a function → the error that it returns from its next call on.
        memory: address → allocation; empty once everything was freed.
        launches: CUDA graphs launched.
        done: "copy" or "plan" for all work of the stream, in order.
    """

    cudaError_t = Status
    cudaStreamNonBlocking = 1
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)

    def __init__(self) -> None:
        super().__init__("cuda.bindings.runtime")
        self.failing: dict[str, Status] = {}
        self.memory: dict[int, Any] = {}
        self.name, self.capability = "Orin", (8, 7)
        self.launches = 0
        self.done: list[str] = []
        self.calls: list[str] = []
        self.handles: set[int] = set()
        self._recorded: dict[int, list[Callable[[], None]]] = {}
        self._capturing: list[Callable[[], None]] | None = None

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if not name.startswith("cuda") or not callable(value) or isinstance(value, type):
            return value

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append(name)
            if name in self.failing:
                return (self.failing[name], None)
            return value(*arguments)  # type: ignore[no-any-return]

        return call

    def queue(self, kind: str, work: Callable[[], None]) -> None:
        """Do the work, or record it while the stream is being captured."""

        def do() -> None:
            work()
            self.done.append(kind)

        if self._capturing is None:
            do()
        else:
            self._capturing.append(do)

    def at(self, address: int, size: int) -> int:
        """The host address of device memory."""
        assert address in self.memory, "an address that was not allocated, or is freed"
        assert ctypes.sizeof(self.memory[address]) == size, "a buffer of another size"
        return ctypes.addressof(self.memory[address])

    def cudaSetDevice(self, index: int) -> tuple[Any, ...]:
        return (OK if index == 0 else Status.cudaErrorNoDevice,)

    def cudaGetDeviceProperties(self, index: int) -> tuple[Any, ...]:
        major, minor = self.capability
        return OK, SimpleNamespace(
            name=self.name.encode() + b"\0\0", major=major, minor=minor, totalGlobalMem=8 * 1024**3
        )

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        return OK, self._handle()

    def cudaStreamDestroy(self, stream: int) -> tuple[Any, ...]:
        return self._release(stream)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any, ...]:
        return (OK,)

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        memory = (ctypes.c_uint8 * size)()
        address = 0x7000_0000_0000 + ctypes.addressof(memory)
        self.memory[address] = memory
        return OK, address

    def cudaMallocHost(self, size: int) -> tuple[Any, ...]:
        memory = (ctypes.c_uint8 * size)()
        self.memory[ctypes.addressof(memory)] = memory
        return OK, ctypes.addressof(memory)

    def cudaFree(self, address: int) -> tuple[Any, ...]:
        del self.memory[address]
        return (OK,)

    def cudaFreeHost(self, address: int) -> tuple[Any, ...]:
        del self.memory[address]
        return (OK,)

    def cudaMemcpyAsync(self, to: int, source: int, size: int, kind: int, stream: int) -> tuple[Any, ...]:
        self.queue("copy", lambda: ctypes.memmove(self.at(to, size), self.at(source, size), size) and None)
        return (OK,)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[Any, ...]:
        self._capturing = []
        return (OK,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Any, ...]:
        handle = self._handle()
        assert self._capturing is not None
        self._recorded[handle], self._capturing = self._capturing, None
        return OK, handle

    def cudaGraphInstantiate(self, graph: int, flags: int) -> tuple[Any, ...]:
        handle = self._handle()
        self._recorded[handle] = self._recorded[graph]
        return OK, handle

    def cudaGraphLaunch(self, executable: int, stream: int) -> tuple[Any, ...]:
        self.launches += 1
        for work in self._recorded[executable]:
            work()
        return (OK,)

    def cudaGraphDestroy(self, graph: int) -> tuple[Any, ...]:
        return self._release(graph)

    def cudaGraphExecDestroy(self, executable: int) -> tuple[Any, ...]:
        return self._release(executable)

    def cudaGetErrorString(self, status: Status) -> tuple[Any, ...]:
        return OK, status.name.removeprefix("cudaError").encode()

    def _handle(self) -> int:
        handle = max(self.handles, default=100) + 1
        self.handles.add(handle)
        return handle

    def _release(self, handle: int) -> tuple[Any, ...]:
        self.handles.remove(handle)
        return (OK,)


class FakeTensorRt(ModuleType):
    """`tensorrt` or `tensorrt_rtx`.

    Attributes:
        built: number of plans built.
        refuses: step ("parse", "build", "load", "context", "execute") → error message with which it fails.
    """

    nptype = staticmethod(lambda kind: kind)
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")

    def __init__(self, name: str, cuda: FakeCuda, version: str = "10.3.0") -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.__version__ = version
        self.cuda = cuda
        self.built = 0
        self.refuses: dict[str, str] = {}
        fake = self

        class ILogger:
            ERROR, INTERNAL_ERROR, INFO = "error", "internal error", "info"

        class IProgressMonitor:
            pass

        class Builder:
            def __init__(self, logger: Any) -> None:
                self.logger = logger

            def create_network(self, flags: int) -> Any:
                assert flags == 1 << 1, "a network that is not strongly typed"
                return SimpleNamespace(model=None)

            def create_builder_config(self) -> Any:
                return SimpleNamespace(progress_monitor=None)

            def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
                if "build" in fake.refuses:
                    self.logger.log(ILogger.ERROR, fake.refuses["build"])
                    return None
                monitor = config.progress_monitor
                monitor.phase_start("build", None, 4)
                for step in range(4):
                    if not monitor.step_complete("build", step):
                        return None
                monitor.phase_finish("build")
                fake.built += 1
                return b"FAKE" + network.model

        class OnnxParser:
            def __init__(self, network: Any, logger: Any) -> None:
                self.network = network

            def parse(self, content: bytes) -> bool:
                onnx.checker.check_model(onnx.load_from_string(content))
                self.network.model = content
                return "parse" not in fake.refuses

            def get_error(self, index: int) -> Any:
                return SimpleNamespace(desc=lambda: fake.refuses["parse"], node=lambda: 7)

        class Runtime:
            def __init__(self, logger: Any) -> None:
                self.logger = logger

            def deserialize_cuda_engine(self, content: bytes) -> Any:
                if "load" in fake.refuses or not content.startswith(b"FAKE"):
                    self.logger.log(ILogger.ERROR, fake.refuses.get("load", "magic tag does not match"))
                    return None
                return _Engine(fake, content[4:])

        self.ILogger, self.IProgressMonitor, self.Builder = ILogger, IProgressMonitor, Builder
        self.OnnxParser, self.Runtime = OnnxParser, Runtime


class _Engine:
    def __init__(self, fake: FakeTensorRt, model: bytes) -> None:
        self.fake = fake
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        graph = onnx.load_from_string(model).graph
        self.values = {value.name: value for value in (*graph.input, *graph.output)}
        self.inputs = {value.name for value in graph.input}
        self.num_io_tensors = len(self.values)

    def get_tensor_name(self, index: int) -> str:
        return list(self.values)[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name in self.inputs else "out"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(axis.dim_value for axis in self.values[name].type.tensor_type.shape.dim)

    def get_tensor_dtype(self, name: str) -> Any:
        return onnx.helper.tensor_dtype_to_np_dtype(self.values[name].type.tensor_type.elem_type)

    def create_execution_context(self) -> Any:
        return None if "context" in self.fake.refuses else _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> None:
        assert name in self.engine.values
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        if "execute" in self.engine.fake.refuses:
            return False
        self.engine.fake.cuda.queue("plan", self._run)
        return True

    def _run(self) -> None:
        outputs = [name for name in self.engine.values if name not in self.engine.inputs]
        given = {name: self._array(name).copy() for name in self.engine.inputs}
        for name, value in zip(outputs, self.engine.session.run(outputs, given), strict=True):
            self._array(name)[...] = value

    def _array(self, name: str) -> Any:
        kind, shape = np.dtype(self.engine.get_tensor_dtype(name)), self.engine.get_tensor_shape(name)
        size = int(np.prod(shape)) * kind.itemsize
        where = self.engine.fake.cuda.at(self.addresses[name], size)
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(where)).view(kind).reshape(shape)


def install(
    monkeypatch: pytest.MonkeyPatch, flavour: str | None = "tensorrt", version: str = "10.3.0"
) -> tuple[FakeCuda, FakeTensorRt]:
    """Make `import` find the fakes instead of the real modules; without TensorRT if `flavour` is None."""
    cuda = FakeCuda()
    fake = FakeTensorRt(flavour or "none", cuda, version)
    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", ModuleType("cuda.bindings"))
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cuda)
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, fake if name == flavour else None)
    return cuda, fake
