"""Model import: read a network's ONNX file, and bring its input to a standard form."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, ValueInfoProto, compose, external_data_helper, helper, inliner, version_converter

from seg_perception.errors import ModelError
from seg_perception.inference.onnx.graph_editing import prepend_nodes, truncate_at
from seg_perception.inference.onnx.node_writer import NodeWriter
from seg_perception.model.card import ModelCard
from seg_perception.settings.yaml_file import did_you_mean

MIN_OPSET = 17
"""Networks in older opsets are converted to this one; TensorRT reads it from 8.6 on, ONNX Runtime from 1.12 on."""

_MIN_IR_VERSION = 8
"""IR version of the file format that belongs to `MIN_OPSET`."""

PREFIX = "network/"
"""Prefix of every name of the network, so that none clashes with a name of the fused graph."""

_COORDINATE_MODE_OPSET = 11
"""From this opset on, Resize has a coordinate transformation mode."""

_IMAGE_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16)


def read_network(path: Path, card: ModelCard, batch: int, prefix: str = PREFIX) -> onnx.ModelProto:
    """Read a network, and make its input float32 [batch, 3, card.height, card.width].

    Args:
        path: an ONNX file that takes one image, [N, 3, H, W] or [N, H, W, 3], float32 or float16, with fixed or free
            axes; weights in files next to it are read too.
        card: its model card.
        batch: images per run.
        prefix: of every name; "" leaves the names as they are.

    Returns:
        The network in opset 17 or above, with a fixed input shape and the card's output as its only output. The
        output's shape is open; it is known once the network has run.

    Raises:
        ModelError: the file is not an ONNX network, or does not match the card.
    """
    network = _parse(path)
    try:
        _load_weights(path, network)
        if network.functions:
            network = inliner.inline_local_functions(network)
        _select_output(path, network, card)
        image = _image_input(path, network)
        channels_last = _fix_size(path, image, card, batch)
        # Exporters write their newest IR version, which older runtimes refuse; the operators decide what is needed.
        needed = helper.find_min_ir_version_for(network.opset_import, ignore_unknown=True)
        network.ir_version = max(needed, _MIN_IR_VERSION)
        del network.graph.input[:]  # before IR version 4 the weights stood among the inputs as well
        network.graph.input.append(image)
        # The exporter's shape annotations may name symbolic axes that have just been fixed.
        del network.graph.value_info[:]
        network.graph.output[0].type.tensor_type.ClearField("shape")
        network = compose.add_prefix(_upgraded(path, network), prefix)
        _adapt_input(network, card, batch, channels_last)
    except ModelError:
        raise
    except Exception as error:  # bytes that parse but make no sense end anywhere in protobuf or onnx
        raise ModelError(f"{path}: is damaged ({_first_line(error)}); copy or export the model again.") from None
    return network


def opset(model: onnx.ModelProto) -> int:
    """Version of the standard operator set of a model."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)


def input_size(path: Path) -> tuple[int | None, int | None]:
    """Width and height of a network's input, from its file; None for a free axis.

    Raises:
        ModelError: the file is not an ONNX network, or its input is not an image.
    """
    axes = _axes(_image_input(path, _parse(path)))
    height, width = axes[1:3] if _channels_last(axes) else axes[2:4]
    return width, height


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


def _load_weights(path: Path, network: onnx.ModelProto) -> None:
    for tensor in network.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]


def _select_output(path: Path, network: onnx.ModelProto, card: ModelCard) -> None:
    names = [output.name for output in network.graph.output]
    listed = ", ".join(names) or "none"
    if card.output_name is None and len(names) != 1:
        raise ModelError(
            f"{path}: has {len(names)} outputs ({listed}); name the one with the scores in the model card, as in "
            f"'output_name: {(names or ['scores'])[0]}'."
        )
    wanted = card.output_name or names[0]
    try:
        truncate_at(network, wanted)
    except KeyError:
        raise ModelError(
            f"{path}: has no value '{wanted}'{did_you_mean(wanted, names)}, which the model card names as output_name; "
            f"its outputs are: {listed}."
        ) from None


def _image_input(path: Path, network: onnx.ModelProto) -> ValueInfoProto:
    """The only input, after checking that it is an image."""
    constants = {tensor.name for tensor in network.graph.initializer}
    inputs: list[ValueInfoProto] = [value for value in network.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ModelError(
            f"{path}: has {len(inputs)} inputs ({names}), but must have one; export it with the image only."
        )
    (image,) = inputs
    if image.type.tensor_type.elem_type not in _IMAGE_TYPES:
        kind = TensorProto.DataType.Name(image.type.tensor_type.elem_type).lower()
        raise ModelError(
            f"{path}: input '{image.name}' is {kind}, but must be float32 or float16; export the network without its "
            "own conversion of the image."
        )
    axes = _axes(image)
    if len(axes) != 4:
        raise ModelError(
            f"{path}: input '{image.name}' has {len(axes)} axes, but must have four: [images, 3, height, width] or "
            "[images, height, width, 3]."
        )
    if not _channels_last(axes) and axes[1] not in (None, 3):
        raise ModelError(
            f"{path}: input '{image.name}' has {axes[1]} channels, but must have three; export a network that takes "
            "colour images."
        )
    return image


def _axes(value: ValueInfoProto) -> list[int | None]:
    """Lengths of a value's axes; None for a free one."""
    return [axis.dim_value if axis.HasField("dim_value") else None for axis in value.type.tensor_type.shape.dim]


def _channels_last(axes: list[int | None]) -> bool:
    return axes[1] != 3 and axes[3] == 3


def _fix_size(path: Path, image: ValueInfoProto, card: ModelCard, batch: int) -> bool:
    """Fix the axes of the input; returns whether its channels are the last axis."""
    axes = _axes(image)
    channels_last = _channels_last(axes)
    size = (card.height, card.width)
    height, width = axes[1:3] if channels_last else axes[2:4]
    if axes[0] not in (None, batch):
        raise ModelError(
            f"{path}: is fixed to {_images(axes[0])} per run, but here it must take {_images(batch)}; export it so, or "
            "with a free batch axis."
        )
    if any(have not in (None, want) for have, want in zip((height, width), size, strict=True)):
        raise ModelError(
            f"{path}: takes images of {width or 'any'}x{height or 'any'} pixels, but the model card says "
            f"{card.width}x{card.height}; put the file's size into the card, or export the network with free axes."
        )
    for axis, want in zip(
        image.type.tensor_type.shape.dim, (batch, *size, 3) if channels_last else (batch, 3, *size), strict=True
    ):
        axis.dim_value = want
    return channels_last


def _upgraded(path: Path, network: onnx.ModelProto) -> onnx.ModelProto:
    if opset(network) >= MIN_OPSET:
        return network
    try:
        converted = version_converter.convert_version(network, MIN_OPSET)
    except Exception as error:  # the converter has no exception type of its own
        raise ModelError(
            f"{path}: is in opset {opset(network)} and cannot be converted to {MIN_OPSET} ({_first_line(error)}); "
            f"export it again with opset {MIN_OPSET}."
        ) from None
    if opset(network) < _COORDINATE_MODE_OPSET:
        for node in converted.graph.node:
            if node.op_type == "Resize":
                # Older operators always did this; the converter leaves the newer default, which is off by half a pixel.
                node.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
                node.attribute.append(helper.make_attribute("nearest_mode", "floor"))
    return converted


def _adapt_input(network: onnx.ModelProto, card: ModelCard, batch: int, channels_last: bool) -> None:
    (image,) = network.graph.input
    half = image.type.tensor_type.elem_type == TensorProto.FLOAT16
    if not (half or channels_last):
        return
    writer = NodeWriter(f"{PREFIX}before/", opset(network))
    planes = given = f"{PREFIX}before/image"
    if half:
        planes = writer.node("Cast", planes, to=TensorProto.FLOAT16)
    if channels_last:
        planes = writer.node("Transpose", planes, perm=[0, 2, 3, 1])
    writer.node("Identity", planes, result=image.name)
    prepend_nodes(network, writer, given, (batch, 3, card.height, card.width))


def _images(count: int | None) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
