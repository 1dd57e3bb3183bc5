"""Tiny segmentation networks, written as ONNX without a training library, and cards for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from seg_perception.model.card import ModelCard, model_sha256
from seg_perception.model.logit_calibration import UNCALIBRATED

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def network(
    classes: int = 5,
    stride: int = 4,
    width: int | str = 64,
    height: int | str = 48,
    batch: int | str = 1,
    seed: int = 0,
    gain: float = 2.0,
    opset: int = 17,
    tail: list[onnx.NodeProto] | None = None,
    output_type: int = TensorProto.FLOAT,
    image_type: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """One convolution of `stride` x `stride` pixels, random weights; `tail` nodes lead from "scores" to "logits"."""
    rng = np.random.default_rng(seed)
    kernel = rng.normal(0, gain / stride, (classes, 3, stride, stride)).astype(np.float32)
    bias = rng.normal(0, gain, classes).astype(np.float32)
    nodes = [helper.make_node("Conv", ["image", "kernel", "bias"], ["scores"], strides=[stride, stride])]
    nodes += tail or [helper.make_node("Identity", ["scores"], ["logits"])]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", image_type, [batch, 3, height, width])],
        [helper.make_tensor_value_info("logits", output_type, None)],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(bias, "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def colour_network(width: int = 64, height: int = 48, certainty: float = 12.0, batch: int | str = 1) -> onnx.ModelProto:
    """Class 0 is red, class 1 green, class 2 blue: each pixel's logits are its channels times `certainty`."""
    stride = 4
    kernel = np.zeros((3, 3, stride, stride), np.float32)
    for channel, std in enumerate(STD):
        kernel[channel, channel] = certainty * std / stride**2
    bias = certainty * np.array(MEAN, np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "kernel", "bias"], ["logits"], strides=[stride, stride])],
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, height, width])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(bias, "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def fragile_network() -> onnx.ModelProto:
    """1 / (brightness - 1) at every pixel: infinite where an image is white, and fine everywhere else."""
    network_ = network(classes=2, stride=1, width=4, height=4)
    network_.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "kernel"))
    network_.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.array([-3, 0], np.float32), "bias"))
    network_.graph.node[1].CopyFrom(helper.make_node("Reciprocal", ["scores"], ["logits"]))
    return network_


def fragile_card() -> ModelCard:
    """The card for `fragile_network`."""
    return card(classes=2, width=4, height=4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def card(classes: int = 5, width: int = 64, height: int = 48, **changes: Any) -> ModelCard:
    """A card that fits `network` but for its sha256."""
    colours = np.arange(3 * classes, dtype=np.uint8).reshape(classes, 3)
    plain = ModelCard(
        name="tiny",
        classes=tuple(f"class{index}" for index in range(classes)),
        colours=colours,
        width=width,
        height=height,
        channel_order="rgb",
        mean=MEAN,
        std=STD,
        output="logits",
        calibration={"fp32": UNCALIBRATED},
        sha256="0" * 64,
        training_data="none",
        licence="none",
        measured={},
    )
    return replace(plain, **changes)


def save(folder: Path, model: onnx.ModelProto, model_card: ModelCard) -> Path:
    """Write model and card side by side; the card gets the model's sha256. Returns the model's path."""
    path = folder / "tiny.onnx"
    path.write_bytes(model.SerializeToString())
    replace(model_card, sha256=model_sha256(path)).write(path.with_suffix(".yaml"))
    return path
