"""A first model card for a network without one: part comes from the file, part from the user."""

from __future__ import annotations

import colorsys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ModelError
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.onnx.model_import import input_size
from seg_perception.inference.prepared_graphs import detect_output_kind, prepare_graphs
from seg_perception.model.card import ModelCard

_GOLDEN_RATIO = (5**0.5 - 1) / 2


def resolve_input_size(model: Path, wanted: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height of a network's input: from the file, or `wanted` where the file has free axes.

    Raises:
        ModelError: the file cannot be read, or has free axes and `wanted` is None.
    """
    width, height = input_size(model)
    if wanted is None and (width is None or height is None):
        raise ModelError(
            f"{model}: takes images of any size; say at which it shall run, as in --size 640x480: the proportions of "
            "your camera, sides that 32 divides."
        )
    return wanted or (width or 0, height or 0)


def write_card(model: Path, draft: ModelCard, out: Path) -> tuple[ModelCard, int]:
    """Check a card against its network, detect whether that outputs logits or probabilities, and write the card.

    Args:
        model: the ONNX file.
        draft: the card; its `output` is ignored.
        out: the YAML file to write; it is removed again if the network does not fit the card.

    Returns:
        The card, and the stride of the network (input pixels per output pixel).

    Raises:
        ConfigError: the card has a mistake.
        ModelError: the file exists, or the network cannot be used as the card describes it.
    """
    if out.exists():
        raise ModelError(f"{out}: exists already; remove it, or name another file with --out.")
    draft.write(out)
    try:
        card = ModelCard.load(out)
        card = replace(card, output=detect_output_kind(model, card))
        stride = prepare_graphs(model, card, GraphSpec(sample_points=1)).stride
        card.write(out)
    except BaseException:
        out.unlink()
        raise
    return card, stride


def distinct_colours(count: int) -> NDArray[np.uint8]:
    """Different colours for `count` classes, uint8 [count, 3] RGB.

    Hues advance by the golden ratio, so neighbours in the list look different; every twelve colours are darker.
    """
    rows = [
        colorsys.hsv_to_rgb(index * _GOLDEN_RATIO % 1.0, 0.75, 0.95 - 0.15 * (index // 12 % 5))
        for index in range(count)
    ]
    return np.round(np.array(rows) * 255).astype(np.uint8)
