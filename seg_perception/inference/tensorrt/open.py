"""Opening a network with TensorRT: from the plan in the cache, from a plan just built, or from a plan file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx

from seg_perception.errors import DeviceError, ModelError
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.precision.convert import in_precision
from seg_perception.inference.precision.network_part import network_with_image
from seg_perception.inference.tensorrt.api import Flavour, TensorRt, find_tensorrt, require_installed
from seg_perception.inference.tensorrt.build_progress import Progress
from seg_perception.inference.tensorrt.cuda import Cuda, Gpu
from seg_perception.inference.tensorrt.engine import TensorRtEngine
from seg_perception.inference.tensorrt.plan import Plan, PlanTarget, mismatch, read_graph, read_plan
from seg_perception.inference.tensorrt.plan_build import Material, build_network_plan, build_plan
from seg_perception.inference.tensorrt.plan_cache import PlanCache, Say
from seg_perception.model.card import ModelCard


@dataclass(frozen=True)
class Watch:
    """Who is told of what takes time.

    Attributes:
        say: sentences.
        progress: the share of a build that is done, 0 to 1.
    """

    say: Say = lambda sentence: None
    progress: Progress = lambda share: None


def plan_target(api: TensorRt, gpu: Gpu | None) -> PlanTarget:
    """What plans built here are for.

    Args:
        api: what builds them.
        gpu: of this machine; None without one.

    Raises:
        DeviceError: TensorRT builds for the GPU that it finds, and there is none.
    """
    if api.is_portable:
        return PlanTarget(api.flavour, api.version, "any", "any")
    if gpu is None:
        raise DeviceError(f"{api.title} builds plans only on the GPU that will run them; compile on the robot.")
    return PlanTarget(api.flavour, api.version, gpu.name, gpu.compute_capability)


def open_from_cache(flavour: Flavour, material: Material, watch: Watch, cache: PlanCache) -> TensorRtEngine:
    """Open a network with the plan that the cache holds for this machine; build it where there is none.

    Args:
        flavour: TensorRT or TensorRT-RTX.
        material: what the plan is made from.
        watch: told when a plan is built, and why.
        cache: where plans are kept.

    Raises:
        DeviceError: TensorRT, CUDA or a GPU are missing, or fail.
        ModelError: the plan cannot be built.
    """
    require_installed(flavour)
    cuda = Cuda()  # before TensorRT is loaded in vain
    try:
        api = find_tensorrt(flavour)
        target = plan_target(api, cuda.gpu)

        def build() -> tuple[Plan, onnx.ModelProto]:
            converted = _converted(material, cache)
            return build_plan(api, target, material, converted, None, watch.progress), converted

        def load_network() -> tuple[Any, Any]:
            return cache.get_or_build(
                material.network_source,
                target,
                lambda: build_network_plan(api, target, material, _converted(material, cache)),
                api.load,
                watch.say,
            )

        loaded = cache.get_or_build(material.source, target, build, api.load, watch.say)
        return TensorRtEngine(api, cuda, loaded, load_network, material.card, material.spec, material.precision)
    except BaseException:
        cuda.close()
        raise


def open_plan_file(path: Path, card: ModelCard, spec: GraphSpec, watch: Watch) -> TensorRtEngine:
    """Open a plan that `seg-perception compile --out` has written.

    Args:
        path: the plan; its manifest lies beside it.
        card: the model card of the network it was made from.
        spec: what the caller needs.
        watch: told when the network alone has to be built.

    Raises:
        DeviceError: TensorRT, CUDA or a GPU are missing, or fail.
        ModelError: the plan is damaged, of another network, or built for another machine or other settings.
    """
    plan = read_plan(path)
    manifest = plan.manifest
    if manifest.source.model_sha256 != card.sha256:
        raise ModelError(
            f"{path}: was made from the network with sha256 {manifest.source.model_sha256[:12]}..., but its model card "
            f"is of {card.sha256[:12]}...; take the card of the same network, or compile again."
        )
    differing = [f"{key} {manifest.spec.get(key)} instead of {value}" for key, value in asdict(spec).items()
                 if manifest.spec.get(key) != value]  # fmt: skip
    if differing:
        raise ModelError(
            f"{path}: was built for other settings ({', '.join(differing)}); compile again with --config naming yours."
        )
    api = find_tensorrt("tensorrt_rtx" if manifest.target.flavour == "tensorrt_rtx" else "tensorrt")
    cuda = Cuda()
    try:
        wrong = mismatch(path, manifest, plan_target(api, cuda.gpu))
        if wrong:
            raise ModelError(wrong)

        def load_network() -> tuple[Any, Any]:
            content = api.build(network_with_image(read_graph(path, manifest)), watch.progress)
            return api.load(content)

        loaded = api.load(plan.content)
        return TensorRtEngine(api, cuda, loaded, load_network, card, spec, manifest.source.precision)
    except BaseException:
        cuda.close()
        raise


def _converted(material: Material, cache: PlanCache) -> onnx.ModelProto:
    """The fused graph in its precision."""
    if material.precision != "int8":
        return in_precision(material.graphs.fused, material.precision)
    graph = cache.graph_of(material.source)
    if graph is None:
        raise ModelError(
            f"there is no int8 plan of '{material.card.name}' yet, and only calibration images can make the first; "
            "run: seg-perception compile MODEL.onnx --precision int8 --calibration IMAGES"
        )
    return graph
