"""Reading a network's ONNX file, and saying in one sentence why it cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, compose, version_converter

from seg_perception.errors import ModelError
from seg_perception.model_card import ModelCard

MIN_OPSET = 17
"""Networks older than this are converted to it; TensorRT reads it from 8.6 on, ONNX Runtime from 1.12 on."""

PREFIX = "network/"
"""Put before every name of the network, so that none can clash with the names of the fused graph."""


def read_network(path: Path, card: ModelCard, batch: int, prefix: str = PREFIX) -> onnx.ModelProto:
    """Read a network and fix its input to [batch, 3, card.height, card.width].

    Args:
        path: an ONNX file with its weights inside; one float32 image in (NCHW), one output.
        card: its model card.
        batch: images per run.
        prefix: put before every name; "" leaves the names as they are.

    Returns:
        The network in opset 17 or above, its input's shape fixed and its output's shape left open (it is known once the
        network has run).

    Raises:
        ModelError: the file is no ONNX network or does not match the card.
    """
    network = _parse(path)
    try:
        _check_and_fix(path, network, card, batch)
        return compose.add_prefix(_modernised(path, network), prefix)
    except ModelError:
        raise
    except Exception as error:  # bytes that parse but make no sense end anywhere in protobuf or onnx
        raise ModelError(f"{path}: is damaged ({_first_line(error)}); copy or export the model again.") from None


def opset(model: onnx.ModelProto) -> int:
    """Version of the standard operator set a model is written in."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)


def _check_and_fix(path: Path, network: onnx.ModelProto, card: ModelCard, batch: int) -> None:
    graph = network.graph
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in graph.initializer):
        raise ModelError(
            f"{path}: keeps its weights in a second file, which the model card's sha256 does not cover; save it as one "
            "file with onnx.save(onnx.load(path), path)."
        )
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    _one(path, "inputs", inputs, "the image")
    _one(path, "outputs", graph.output, "the logits")
    _fix_input(path, inputs[0], card, batch)
    # Before IR version 4 the weights stood among the inputs as well.
    image = inputs[0]
    del graph.input[:]
    graph.input.append(image)
    # What the exporter noted about shapes may name the symbolic axes that have just been fixed.
    del graph.value_info[:]
    graph.output[0].type.tensor_type.ClearField("shape")


def _modernised(path: Path, network: onnx.ModelProto) -> onnx.ModelProto:
    if opset(network) >= MIN_OPSET:
        return network
    try:
        return version_converter.convert_version(network, MIN_OPSET)
    except Exception as error:  # the converter has no exception type of its own
        raise ModelError(
            f"{path}: is in opset {opset(network)} and cannot be converted to {MIN_OPSET} ({_first_line(error)}); "
            f"export it again with opset {MIN_OPSET}."
        ) from None


def _parse(path: Path) -> onnx.ModelProto:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path}: no such model file; check the path.") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); give an ONNX file.") from None
    if not content:
        raise ModelError(f"{path}: is empty; copy or export the model again.")
    network = onnx.ModelProto()
    try:
        network.ParseFromString(content)
    except Exception:  # protobuf's DecodeError, which comes without types
        raise ModelError(f"{path}: is not an ONNX model, or is cut short; copy or export it again.") from None
    if not network.graph.node:
        raise ModelError(f"{path}: is not an ONNX model (it holds no operators); copy or export it again.")
    return network


def _one(path: Path, what: str, values: Sequence[onnx.ValueInfoProto], wanted: str) -> None:
    if len(values) != 1:
        names = ", ".join(value.name for value in values) or "none"
        raise ModelError(
            f"{path}: has {len(values)} {what} ({names}), but must have one; export it with {wanted} only."
        )


def _fix_input(path: Path, value: onnx.ValueInfoProto, card: ModelCard, batch: int) -> None:
    tensor = value.type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT:
        kind = TensorProto.DataType.Name(tensor.elem_type).lower()
        raise ModelError(
            f"{path}: input '{value.name}' is {kind}, but must be float32; export the network without its own "
            "conversion of the image."
        )
    wanted = (batch, 3, card.height, card.width)
    if len(tensor.shape.dim) != len(wanted):
        raise ModelError(
            f"{path}: input '{value.name}' has {len(tensor.shape.dim)} axes, but must have four: "
            "[images, 3, height, width]."
        )
    actual = [axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim]
    if any(have not in (None, want) for have, want in zip(actual, wanted, strict=True)):
        shape = ", ".join("?" if have is None else str(have) for have in actual)
        raise ModelError(
            f"{path}: input '{value.name}' is [{shape}], but the model card and a batch of {batch} make it "
            f"[{', '.join(map(str, wanted))}] (images, channels, height, width); correct the card or export it so."
        )
    for axis, want in zip(tensor.shape.dim, wanted, strict=True):
        axis.dim_value = want


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
