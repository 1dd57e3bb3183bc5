"""Opening a network with TensorRT: with a plan from the cache, a newly built plan, or a plan file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from seg_perception.errors import DeviceError, ModelError
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.precision.convert import convert_precision
from seg_perception.inference.precision.network_part import network_from_image
from seg_perception.inference.progress import ProgressReporter
from seg_perception.inference.tensorrt.api import Flavour, TensorRt, find_tensorrt, require_installed
from seg_perception.inference.tensorrt.cuda import Cuda, Gpu
from seg_perception.inference.tensorrt.engine import TensorRtEngine
from seg_perception.inference.tensorrt.plan import Plan, PlanTarget, mismatch, read_graph, read_plan
from seg_perception.inference.tensorrt.plan_build import BuildRequest, build_network_plan, build_plan
from seg_perception.inference.tensorrt.plan_cache import PlanCache
from seg_perception.model.card import ModelCard


def plan_target(api: TensorRt, gpu: Gpu | None) -> PlanTarget:
    """The target of plans that are built on this machine.

    Args:
        api: the TensorRT that builds them.
        gpu: of this machine; None without one.

    Raises:
        DeviceError: TensorRT needs a GPU to build a plan, and there is none.
    """
    if api.is_portable:
        return PlanTarget(api.flavour, api.version, "any", "any")
    if gpu is None:
        raise DeviceError(f"{api.title} builds plans only on the GPU that will run them; compile on the robot.")
    return PlanTarget(api.flavour, api.version, gpu.name, gpu.compute_capability)


def open_from_cache(
    flavour: Flavour, request: BuildRequest, reporter: ProgressReporter, cache: PlanCache
) -> TensorRtEngine:
    """Open a network with the plan from the cache; build the plan if the cache has none for this machine.

    Args:
        flavour: TensorRT or TensorRT-RTX.
        request: what to build the plan from.
        reporter: gets a sentence when a plan is built, with the reason, and the progress.
        cache: the plan cache.

    Raises:
        DeviceError: TensorRT, CUDA or a GPU is missing or fails.
        ModelError: the plan cannot be built.
    """
    require_installed(flavour)
    cuda = Cuda()  # first, so that TensorRT is not loaded in vain
    try:
        api = find_tensorrt(flavour)
        target = plan_target(api, cuda.gpu)

        def build() -> tuple[Plan, onnx.ModelProto]:
            converted = _converted_graph(request, cache)
            return build_plan(api, target, request, converted, None, reporter.progress), converted

        def load_network() -> tuple[Any, Any]:
            return cache.get_or_build(
                request.network_source,
                target,
                lambda: build_network_plan(api, target, request, _converted_graph(request, cache)),
                api.load,
                reporter.log,
            )

        loaded = cache.get_or_build(request.source, target, build, api.load, reporter.log)
        return TensorRtEngine(api, cuda, loaded, load_network, request.card, request.spec, request.precision)
    except BaseException:
        cuda.close()
        raise


def open_plan_file(path: Path, card: ModelCard, spec: GraphSpec, reporter: ProgressReporter) -> TensorRtEngine:
    """Open a plan file that `seg-perception compile --out` wrote.

    Args:
        path: the plan; its manifest lies next to it.
        card: the model card of its network.
        spec: shapes and options that the caller needs.
        reporter: gets the progress when a plan of the network alone is built.

    Raises:
        DeviceError: TensorRT, CUDA or a GPU is missing or fails.
        ModelError: the plan is damaged, of another network, or built for another machine or other settings.
    """
    plan = read_plan(path)
    manifest = plan.manifest
    if manifest.source.model_sha256 != card.sha256:
        raise ModelError(
            f"{path}: was made from the network with sha256 {manifest.source.model_sha256[:12]}..., but its model card "
            f"is of {card.sha256[:12]}...; take the card of the same network, or compile again."
        )
    differences = [f"{key} {manifest.spec.get(key)} instead of {value}" for key, value in asdict(spec).items()
                 if manifest.spec.get(key) != value]  # fmt: skip
    if differences:
        raise ModelError(
            f"{path}: was built for other settings ({', '.join(differences)}); compile again with "
            "--config naming yours."
        )
    api = find_tensorrt("tensorrt_rtx" if manifest.target.flavour == "tensorrt_rtx" else "tensorrt")
    cuda = Cuda()
    try:
        problem = mismatch(path, manifest, plan_target(api, cuda.gpu))
        if problem:
            raise ModelError(problem)

        def load_network() -> tuple[Any, Any]:
            content = api.build(network_from_image(read_graph(path, manifest)), reporter.progress)
            return api.load(content)

        loaded = api.load(plan.content)
        return TensorRtEngine(api, cuda, loaded, load_network, card, spec, manifest.source.precision)
    except BaseException:
        cuda.close()
        raise


def _converted_graph(request: BuildRequest, cache: PlanCache) -> onnx.ModelProto:
    """The fused graph in the requested precision; for int8 from an earlier plan in the cache."""
    if request.precision != "int8":
        return convert_precision(request.graphs.fused, request.precision)
    graph = cache.find_graph(request.source)
    if graph is None:
        raise ModelError(
            f"there is no int8 plan of '{request.card.name}' yet, and only calibration images can make the first; "
            "run: seg-perception compile MODEL.onnx --precision int8 --calibration IMAGES"
        )
    return graph
