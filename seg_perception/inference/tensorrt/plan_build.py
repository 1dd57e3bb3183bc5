"""Building plans from the fused graph, in the requested precision."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import onnx
from onnx import helper

from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.precision.network_part import network_from_image
from seg_perception.inference.precision.parity import PrecisionParity
from seg_perception.inference.prepared_graphs import PreparedGraphs
from seg_perception.inference.progress import Progress
from seg_perception.inference.tensorrt.api import TensorRt
from seg_perception.inference.tensorrt.plan import Plan, PlanManifest, PlanSource, PlanTarget, graph_sha256, sha256
from seg_perception.model.card import ModelCard, Precision


@dataclass(frozen=True, eq=False)
class BuildRequest:
    """What to build: a network and the options of its plans.

    Attributes:
        card: the model card.
        spec: shapes and options of the graphs.
        graphs: from `prepare_graphs`.
        precision: in which the network is to compute.
    """

    card: ModelCard
    spec: GraphSpec
    graphs: PreparedGraphs
    precision: Precision

    @property
    def source(self) -> PlanSource:
        """Source of the plan of the fused graph."""
        return self._source(self.graphs.fused)

    @property
    def network_source(self) -> PlanSource:
        """Source of the plan of the network alone, which is built for timing."""
        return self._source(self.graphs.network)

    def _source(self, graph: onnx.ModelProto) -> PlanSource:
        return PlanSource(self.card.name, self.card.sha256, graph_sha256(graph), self.precision)


def build_plan(
    api: TensorRt,
    target: PlanTarget,
    request: BuildRequest,
    converted: onnx.ModelProto,
    parity: PrecisionParity | None,
    progress: Progress,
) -> Plan:
    """Build the plan of a fused graph.

    Args:
        api: the TensorRT that builds it.
        target: this machine.
        request: what to build.
        converted: the fused graph in the requested precision.
        parity: its comparison with fp32; None if there was none.
        progress: gets the fraction that is done, 0 to 1.

    Raises:
        ModelError: TensorRT cannot build it.
    """
    return _build(api, target, request, request.source, converted, parity, progress)


def build_network_plan(
    api: TensorRt, target: PlanTarget, request: BuildRequest, converted: onnx.ModelProto
) -> tuple[Plan, onnx.ModelProto]:
    """Build the plan of the network alone, from the same graph; returns plan and graph."""
    graph = network_from_image(converted)
    return _build(api, target, request, request.network_source, graph, None, lambda fraction: None), graph


def _build(
    api: TensorRt,
    target: PlanTarget,
    request: BuildRequest,
    source: PlanSource,
    graph: onnx.ModelProto,
    parity: PrecisionParity | None,
    progress: Progress,
) -> Plan:
    start = time.monotonic()
    content = api.build(graph, progress)
    manifest = PlanManifest(
        source=source,
        target=target,
        spec=asdict(request.spec),
        inputs=_tensors(graph.graph.input),
        outputs=_tensors(graph.graph.output),
        build_seconds=round(time.monotonic() - start, 2),
        precision_parity=None if parity is None else asdict(parity),
        plan_sha256=sha256(content),
        converted_sha256=graph_sha256(graph),
    )
    return Plan(content, manifest)


def _tensors(values: Any) -> dict[str, list[Any]]:
    """Name → [type, shape]."""
    described = {}
    for value in values:
        tensor = value.type.tensor_type
        shape = [axis.dim_value for axis in tensor.shape.dim]
        described[value.name] = [helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, shape]
    return described
