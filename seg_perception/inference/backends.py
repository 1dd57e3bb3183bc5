"""Which backend runs a network: the one function that opens an engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from seg_perception.errors import ModelError, SegPerceptionError
from seg_perception.inference.engine import Engine
from seg_perception.inference.onnx.engine import OnnxCpuEngine, OnnxCudaEngine
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.options import BACKENDS, Backend
from seg_perception.inference.prepared_graphs import load_card, prepare
from seg_perception.inference.tensorrt.open import Watch, open_from_cache, open_plan_file
from seg_perception.inference.tensorrt.plan import SUFFIX
from seg_perception.inference.tensorrt.plan_build import Material
from seg_perception.inference.tensorrt.plan_cache import PlanCache
from seg_perception.model.card import Precision


def open_engine(
    model: Path | str,
    spec: GraphSpec,
    card: Path | str | None = None,
    threads: int | None = None,
    backend: Backend = "auto",
    precision: Precision = "fp32",
    watch: Watch | None = None,
) -> Engine:
    """Open a network for running, after checking that it is what its model card says.

    Args:
        model: ONNX file of a segmentation network: an image in, class scores for its pixels out, in any form that
            `read_network` and `score_form` know; or a plan that `seg-perception compile --out` has written.
        spec: number of ground samples and options.
        card: model card; by default the model's name with the suffix .yaml.
        threads: CPU threads per run; by default one per physical core.
        backend: what runs it; "auto" takes the first of TensorRT, TensorRT-RTX, ONNX Runtime on CUDA and on the CPU
            that can, and says why those before could not.
        precision: what TensorRT computes the network in. ONNX Runtime computes in the types of the file.
        watch: told what was chosen, and what takes time.

    Raises:
        ModelError: the model or its card cannot be used; one sentence says why and what to do.
        ConfigError: the model card has a mistake.
        DeviceError: the backend that was asked for is not there or fails.
    """
    watch = watch or Watch()
    path = Path(model)
    loaded = load_card(path, Path(card) if card is not None else None)
    if path.suffix == SUFFIX:
        if backend not in ("auto", "tensorrt", "tensorrt_rtx"):
            raise ModelError(f"{path}: is a TensorRT plan, which {backend} cannot run; give the ONNX file.")
        return open_plan_file(path, loaded, spec, watch)
    material = Material(loaded, spec, prepare(path, loaded, spec, precision), precision)

    def open_onnx(kind: type[OnnxCpuEngine] | type[OnnxCudaEngine]) -> Engine:
        # It computes in the types of the file, and is as sure of itself as they make it.
        graphs = material.graphs if precision == "fp32" else prepare(path, loaded, spec)
        engine = kind(loaded, spec, graphs, threads)
        if precision != "fp32":
            watch.say(f"{precision} is for TensorRT; ONNX Runtime computes in the types of the file.")
        return engine

    openers: dict[Backend, Callable[[], Engine]] = {
        "tensorrt": lambda: open_from_cache("tensorrt", material, watch, PlanCache()),
        "tensorrt_rtx": lambda: open_from_cache("tensorrt_rtx", material, watch, PlanCache()),
        "onnx_cuda": lambda: open_onnx(OnnxCudaEngine),
        "onnx_cpu": lambda: open_onnx(OnnxCpuEngine),
    }
    if backend != "auto":
        return openers[backend]()
    refusals = []
    for name in BACKENDS[1:-1]:
        try:
            engine = openers[name]()
        except SegPerceptionError as error:
            refusals.append(f"{name}: {str(error).rstrip('.')}")
            continue
        return _chosen(engine, refusals, watch)
    return _chosen(openers["onnx_cpu"](), refusals, watch)


def _chosen(engine: Engine, refusals: list[str], watch: Watch) -> Engine:
    because = f" (not {'; not '.join(refusals)})" if refusals else ""
    watch.say(f"{engine.describe()}{because}")
    return engine
