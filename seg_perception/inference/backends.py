"""Opening an engine: choose the backend, and fall back to the next one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from seg_perception.errors import ModelError, SegPerceptionError
from seg_perception.inference.engine import Engine
from seg_perception.inference.onnx.engine import OnnxCpuEngine, OnnxCudaEngine
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.options import BACKENDS, Backend
from seg_perception.inference.prepared_graphs import load_card, prepare_graphs
from seg_perception.inference.progress import ProgressReporter
from seg_perception.inference.tensorrt.open import open_from_cache, open_plan_file
from seg_perception.inference.tensorrt.plan import SUFFIX
from seg_perception.inference.tensorrt.plan_build import BuildRequest
from seg_perception.inference.tensorrt.plan_cache import PlanCache
from seg_perception.model.card import Precision


def open_engine(
    model: Path | str,
    spec: GraphSpec,
    card: Path | str | None = None,
    threads: int | None = None,
    backend: Backend = "auto",
    precision: Precision = "fp32",
    reporter: ProgressReporter | None = None,
) -> Engine:
    """Open a network for inference, after checking it against its model card.

    Args:
        model: ONNX file of a segmentation network (image in, class scores of its pixels out, in any layout that
            `read_network` and `detect_layout` know), or a plan that `seg-perception compile --out` wrote.
        spec: number of sample points, batch size and options.
        card: model card; by default the model's name with the suffix .yaml.
        threads: CPU threads per run; by default one per physical core.
        backend: what runs it. "auto" takes the first of TensorRT, TensorRT-RTX, ONNX Runtime on CUDA and ONNX Runtime
            on the CPU that works, and logs why the ones before it do not.
        precision: in which TensorRT computes the network. ONNX Runtime computes in the types of the file.
        reporter: gets the chosen backend, and the progress of builds.

    Raises:
        ModelError: the model or its card cannot be used; one sentence says why and what to do.
        ConfigError: the model card has a mistake.
        DeviceError: the requested backend is not installed or fails.

    Examples:
        >>> spec = sp.graph_spec(sp.PipelineSettings())
        >>> engine = sp.open_engine(find("models/urban.onnx"), spec, backend="onnx_cpu")
        >>> len(engine.card.classes)
        12
    """
    reporter = reporter or ProgressReporter()
    path = Path(model)
    loaded = load_card(path, Path(card) if card is not None else None)
    if path.suffix == SUFFIX:
        if backend not in ("auto", "tensorrt", "tensorrt_rtx"):
            raise ModelError(f"{path}: is a TensorRT plan, which {backend} cannot run; give the ONNX file.")
        return open_plan_file(path, loaded, spec, reporter)
    request = BuildRequest(loaded, spec, prepare_graphs(path, loaded, spec, precision), precision)

    def open_onnx(kind: type[OnnxCpuEngine] | type[OnnxCudaEngine]) -> Engine:
        # ONNX Runtime computes in the types of the file, so the calibration of fp32 applies.
        graphs = request.graphs if precision == "fp32" else prepare_graphs(path, loaded, spec)
        engine = kind(loaded, spec, graphs, threads)
        if precision != "fp32":
            reporter.log(f"{precision} is for TensorRT; ONNX Runtime computes in the types of the file.")
        return engine

    openers: dict[Backend, Callable[[], Engine]] = {
        "tensorrt": lambda: open_from_cache("tensorrt", request, reporter, PlanCache()),
        "tensorrt_rtx": lambda: open_from_cache("tensorrt_rtx", request, reporter, PlanCache()),
        "onnx_cuda": lambda: open_onnx(OnnxCudaEngine),
        "onnx_cpu": lambda: open_onnx(OnnxCpuEngine),
    }
    if backend != "auto":
        return openers[backend]()
    failures = []
    for name in BACKENDS[1:-1]:
        try:
            engine = openers[name]()
        except SegPerceptionError as error:
            failures.append(f"{name}: {str(error).rstrip('.')}")
            continue
        return _log_choice(engine, failures, reporter)
    return _log_choice(openers["onnx_cpu"](), failures, reporter)


def _log_choice(engine: Engine, failures: list[str], reporter: ProgressReporter) -> Engine:
    reasons = f" (not {'; not '.join(failures)})" if failures else ""
    reporter.log(f"{engine.describe()}{reasons}")
    return engine
