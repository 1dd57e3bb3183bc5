"""Writing ONNX nodes as expressions: every call adds a node and returns the name of its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


class NodeWriter:
    """Collects nodes and constants of one graph.

    Args:
        prefix: of the name of every result.
        opset: version of the ONNX operator set of the nodes, 17 or above.

    Attributes:
        nodes: the nodes so far, in topological order.
        constants: the constants so far.
    """

    def __init__(self, prefix: str, opset: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix
        self._opset = opset
        self._names = 0

    def node(
        self, operator: str, *inputs: str | NDArray[Any] | np.generic, result: str | None = None, **attributes: Any
    ) -> str:
        """Add a node with one output.

        Args:
            operator: ONNX operator type.
            *inputs: names of earlier results, or arrays, which become constants.
            result: name of the output; by default a new unique one.
            **attributes: the operator's attributes.

        Returns:
            The name of the node's output.
        """
        names = [item if isinstance(item, str) else self._constant(np.asarray(item)) for item in inputs]
        output = result or self._name(operator)
        self.nodes.append(helper.make_node(operator, names, [output], name=output, **attributes))
        return output

    def reshape(self, value: str, *shape: int) -> str:
        """Reshape to `shape`."""
        return self.node("Reshape", value, np.array(shape, np.int64))

    def crop(self, value: str, ranges: Mapping[int, tuple[int, int]]) -> str:
        """The elements start..stop-1 along each axis of `ranges`: axis -> (start, stop)."""
        starts, stops = zip(*ranges.values(), strict=True)
        return self.node("Slice", value, *(np.array(item, np.int64) for item in (starts, stops, list(ranges))))

    def reduce_max(self, value: str, axis: int) -> str:
        """Maximum along one axis, which is kept with length 1."""
        return self._reduce("ReduceMax", value, axis)

    def reduce_l2(self, value: str, axis: int) -> str:
        """Euclidean length along one axis, which is kept with length 1."""
        return self._reduce("ReduceL2", value, axis)

    def _reduce(self, operator: str, value: str, axis: int) -> str:
        # The axes of these operators moved from an attribute to an input in opset 18.
        if self._opset < 18:
            return self.node(operator, value, axes=[axis], keepdims=1)
        return self.node(operator, value, np.array([axis], np.int64), keepdims=1)

    def _constant(self, array: NDArray[Any]) -> str:
        name = self._name("constant")
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def _name(self, what: str) -> str:
        self._names += 1
        return f"{self._prefix}{what}_{self._names}"


def tensor(name: str, kind: int, shape: Sequence[int]) -> onnx.ValueInfoProto:
    """Description of a graph's input or output: name, element type (`onnx.TensorProto.…`) and shape."""
    return helper.make_tensor_value_info(name, kind, list(shape))
