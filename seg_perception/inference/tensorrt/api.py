"""TensorRT 10 and newer, and TensorRT-RTX: two modules of one API. Nothing else imports either."""

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
from seg_perception.inference.interrupts import interrupts_noted
from seg_perception.inference.tensorrt.build_progress import BuildProgress, Progress

Flavour = Literal["tensorrt", "tensorrt_rtx"]
FLAVOURS: tuple[Flavour, ...] = ("tensorrt", "tensorrt_rtx")
TITLES: dict[Flavour, str] = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}

_OLDEST = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TensorRt:
    """One of the two, ready to build and to load plans.

    Attributes:
        flavour: which.
        version: its own.
        module: for the names of its types.
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
        """Whether plans run on GPUs other than the one they were built on, and are built without any.

        So it is with TensorRT-RTX, which finishes a plan for the GPU that it finds when loading it.
        """
        return self.flavour == "tensorrt_rtx"

    def build(self, model: onnx.ModelProto, progress: Progress) -> bytes:
        """Build a plan that computes in the types of the graph (a strongly typed network).

        Args:
            model: the graph; all its shapes are fixed.
            progress: told what is done, as a share from 0 to 1.

        Raises:
            ModelError: TensorRT cannot parse the graph or finds no way to run it.
            KeyboardInterrupt: by Ctrl-C or raised in `progress`; the build was ended in good order.
        """
        module, logger = self.module, _logger(self.module)
        logger.reset()
        builder = module.Builder(logger)
        # Ignored from TensorRT 11 on, where no other networks are left.
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
        with interrupts_noted() as is_interrupted:
            monitor = _monitor(module, BuildProgress(progress), is_interrupted)
            config.progress_monitor = monitor
            plan = builder.build_serialized_network(network, config)
        if monitor.ended or is_interrupted():
            raise KeyboardInterrupt
        if plan is None:
            raise ModelError(f"{self.title} cannot build the graph: {logger.last_error}.")
        return bytes(plan)

    def load(self, plan: bytes) -> tuple[Any, Any]:
        """Load a plan whose hash has been checked: (runtime, engine), both to be kept as long as one is used.

        Raises:
            DeviceError: it does not load; it is damaged, or of another version, or of another GPU.
        """
        logger = _logger(self.module)
        logger.reset()
        runtime = self.module.Runtime(logger)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise DeviceError(f"{self.title} does not load the plan: {logger.last_error}.")
        return runtime, engine


def require_installed(flavour: Flavour) -> None:
    """Check that TensorRT is there without loading it, which takes 100 MB.

    Raises:
        DeviceError: it is not installed.
    """
    if importlib.util.find_spec(flavour) is None:
        raise DeviceError(f"{TITLES[flavour]} is not installed.")


def find_tensorrt(flavour: Flavour) -> TensorRt:
    """The installed TensorRT or TensorRT-RTX.

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
    if flavour == "tensorrt" and int(version.split(".")[0]) < _OLDEST:
        raise DeviceError(
            f"TensorRT {version} is too old: version {_OLDEST} or newer is needed, which JetPack 6 brings (JetPack 5 "
            "has 8.5); update JetPack, or use backend onnx_cpu."
        )
    return TensorRt(flavour, version, module)


@cache
def _logger(module: ModuleType) -> Any:
    """The one logger of a module: TensorRT wants the same for all its objects."""

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
            self.ended = False

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            progress.start(name, parent, steps)

        def step_complete(self, name: str, step: int) -> bool:
            try:
                progress.step(name, step)
            except KeyboardInterrupt:  # must not pass through the builder's own code, which would end the process
                self.ended = True
            self.ended = self.ended or is_interrupted()
            return not self.ended

        def phase_finish(self, name: str) -> None:
            progress.finish(name)

    return Monitor()


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
