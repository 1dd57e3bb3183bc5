"""The API of TensorRT 10 and newer, and of TensorRT-RTX. No other module imports either of them."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Literal

import onnx

from seg_perception.errors import DeviceError, ModelError
from seg_perception.inference.interrupts import deferred_interrupts
from seg_perception.inference.progress import Progress
from seg_perception.inference.tensorrt.build_progress import BuildProgress

Flavour = Literal["tensorrt", "tensorrt_rtx"]
FLAVOURS: tuple[Flavour, ...] = ("tensorrt", "tensorrt_rtx")
TITLES: dict[Flavour, str] = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}

_MIN_MAJOR_VERSION = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TensorRt:
    """An installed TensorRT or TensorRT-RTX; builds and loads plans.

    Attributes:
        flavour: which of the two.
        version: of the installed module.
        module: the Python module.
    """

    flavour: Flavour
    version: str
    module: ModuleType

    @property
    def title(self) -> str:
        """Name and version, for people."""
        return f"{TITLES[self.flavour]} {self.version}"

    @property
    def is_portable(self) -> bool:
        """Whether a plan is built without a GPU and runs on GPUs of different kinds.

        This holds for TensorRT-RTX: it compiles a plan for the GPU when it loads the plan.
        """
        return self.flavour == "tensorrt_rtx"

    def build(self, model: onnx.ModelProto, progress: Progress) -> bytes:
        """Build a plan that computes in the types of the graph (a strongly typed network).

        Args:
            model: the graph; all its shapes are fixed.
            progress: gets the fraction that is done, 0 to 1.

        Raises:
            ModelError: TensorRT cannot parse the graph, or has no kernel for it.
            KeyboardInterrupt: Ctrl-C, or raised in `progress`; the build was cancelled cleanly.
        """
        module, logger = self.module, _logger(self.module)
        logger.reset()
        builder = module.Builder(logger)
        # TensorRT 11 has strongly typed networks only, and no flag for them.
        typed = getattr(module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        network = builder.create_network(0 if typed is None else 1 << int(typed))
        parser = module.OnnxParser(network, logger)
        if not parser.parse(model.SerializeToString()):
            error = parser.get_error(0)
            raise ModelError(
                f"{self.title} cannot read the graph: {_one_line(error.desc())} (node {error.node()}); export the "
                "network without this operator, or use backend onnx_cpu."
            )
        config = builder.create_builder_config()
        with deferred_interrupts() as is_interrupted:
            monitor = _monitor(module, BuildProgress(progress), is_interrupted)
            config.progress_monitor = monitor
            plan = builder.build_serialized_network(network, config)
        if monitor.cancelled or is_interrupted():
            raise KeyboardInterrupt
        if plan is None:
            raise ModelError(f"{self.title} cannot build the graph: {logger.last_error}.")
        return bytes(plan)

    def load(self, plan: bytes) -> tuple[Any, Any]:
        """Load a plan whose hash was checked; returns (runtime, engine). Keep both as long as the engine is used.

        Raises:
            DeviceError: TensorRT refuses the plan: it is damaged, or for another version or another GPU.
        """
        logger = _logger(self.module)
        logger.reset()
        runtime = self.module.Runtime(logger)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise DeviceError(f"{self.title} does not load the plan: {logger.last_error}.")
        return runtime, engine


def require_installed(flavour: Flavour) -> None:
    """Check that TensorRT is installed without loading it, which takes 100 MB.

    Raises:
        DeviceError: it is not installed.
    """
    if importlib.util.find_spec(flavour) is None:
        raise DeviceError(f"{TITLES[flavour]} is not installed.")


def find_tensorrt(flavour: Flavour) -> TensorRt:
    """Find and load the installed TensorRT or TensorRT-RTX.

    Raises:
        DeviceError: it is not installed, cannot be loaded, or is too old.
    """
    title = TITLES[flavour]
    require_installed(flavour)
    try:
        module = importlib.import_module(flavour)
    except Exception as error:  # its shared libraries are missing or do not fit the driver
        raise DeviceError(f"{title} cannot be loaded ({_one_line(str(error))}); install it again.") from None
    version = str(module.__version__)
    if flavour == "tensorrt" and int(version.split(".")[0]) < _MIN_MAJOR_VERSION:
        raise DeviceError(
            f"TensorRT {version} is too old: version {_MIN_MAJOR_VERSION} or newer is needed, which JetPack 6 "
            "brings (JetPack 5 has 8.5); update JetPack, or use backend onnx_cpu."
        )
    return TensorRt(flavour, version, module)


@cache
def _logger(module: ModuleType) -> Any:
    """The logger of a module; TensorRT needs the same one for all its objects."""

    class Log(module.ILogger):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.reset()

        def reset(self) -> None:
            self.last_error = "it does not say why"

        def log(self, severity: Any, message: str) -> None:
            if severity in (module.ILogger.ERROR, module.ILogger.INTERNAL_ERROR):
                self.last_error = _one_line(message)
            _log.debug("%s", message)

    return Log()


def _monitor(module: ModuleType, progress: BuildProgress, is_interrupted: Callable[[], bool]) -> Any:
    class Monitor(module.IProgressMonitor):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)
            self.cancelled = False

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            progress.start(name, parent, steps)

        def step_complete(self, name: str, step: int) -> bool:
            try:
                progress.step(name, step)
            except KeyboardInterrupt:  # must not pass through the builder's C++ code, which would abort the process
                self.cancelled = True
            self.cancelled = self.cancelled or is_interrupted()
            return not self.cancelled

        def phase_finish(self, name: str) -> None:
            progress.finish(name)

    return Monitor()


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
