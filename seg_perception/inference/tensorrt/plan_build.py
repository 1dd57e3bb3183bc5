"""From the fused graph to a plan in the precision that was asked for."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import onnx
from onnx import helper

from seg_perception.evaluation.network.precision_parity import Agreement
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.precision.network_part import network_with_image
from seg_perception.inference.prepared_graphs import PreparedGraphs
from seg_perception.inference.tensorrt.api import TensorRt
from seg_perception.inference.tensorrt.build_progress import Progress
from seg_perception.inference.tensorrt.plan import Manifest, Plan, PlanSource, PlanTarget, graph_sha256, sha256
from seg_perception.model.card import ModelCard, Precision


@dataclass(frozen=True, eq=False)
class Material:
    """What plans of one network are made from.

    Attributes:
        card: the model card.
        spec: shapes and options of the graphs.
        graphs: from `prepare`.
        precision: what the network shall compute in.
    """

    card: ModelCard
    spec: GraphSpec
    graphs: PreparedGraphs
    precision: Precision

    @property
    def source(self) -> PlanSource:
        """What the plan of the fused graph is made from."""
        return self._source(self.graphs.fused)

    @property
    def network_source(self) -> PlanSource:
        """What the plan of the network alone is made from, which is there to be timed."""
        return self._source(self.graphs.network)

    def _source(self, graph: onnx.ModelProto) -> PlanSource:
        return PlanSource(self.card.name, self.card.sha256, graph_sha256(graph), self.precision)


def build_plan(
    api: TensorRt,
    target: PlanTarget,
    material: Material,
    converted: onnx.ModelProto,
    agreement: Agreement | None,
    progress: Progress,
) -> Plan:
    """Build the plan of a fused graph.

    Args:
        api: what builds it.
        target: what it is for: this machine.
        material: what it is made from.
        converted: the fused graph in its precision.
        agreement: how it compares with fp32; None if that was not looked at.
        progress: told the share that is done.

    Raises:
        ModelError: TensorRT cannot build it.
    """
    return _build(api, target, material, material.source, converted, agreement, progress)


def build_network_plan(
    api: TensorRt, target: PlanTarget, material: Material, converted: onnx.ModelProto
) -> tuple[Plan, onnx.ModelProto]:
    """Build the plan of the network alone, of the same graph; gives the graph as well."""
    graph = network_with_image(converted)
    return _build(api, target, material, material.network_source, graph, None, lambda share: None), graph


def _build(
    api: TensorRt,
    target: PlanTarget,
    material: Material,
    source: PlanSource,
    graph: onnx.ModelProto,
    agreement: Agreement | None,
    progress: Progress,
) -> Plan:
    start = time.monotonic()
    content = api.build(graph, progress)
    manifest = Manifest(
        source=source,
        target=target,
        spec=asdict(material.spec),
        inputs=_tensors(graph.graph.input),
        outputs=_tensors(graph.graph.output),
        build_seconds=round(time.monotonic() - start, 2),
        agreement=None if agreement is None else asdict(agreement),
        plan_sha256=sha256(content),
        converted_sha256=graph_sha256(graph),
    )
    return Plan(content, manifest)


def _tensors(values: Any) -> dict[str, list[Any]]:
    """name → [type, shape]."""
    described = {}
    for value in values:
        tensor = value.type.tensor_type
        shape = [axis.dim_value for axis in tensor.shape.dim]
        described[value.name] = [helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, shape]
    return described
