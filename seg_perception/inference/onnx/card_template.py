"""The first model card of a network that came without one: what its file says, and what only its user knows."""

from __future__ import annotations

import colorsys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seg_perception.errors import ModelError
from seg_perception.inference.onnx.graph import GraphSpec
from seg_perception.inference.onnx.model_import import input_size
from seg_perception.inference.prepared_graphs import output_kind, prepare
from seg_perception.model.card import ModelCard

_GOLDEN = (5**0.5 - 1) / 2


def fill_size(model: Path, wanted: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height of a network's input: its file's, and the wanted ones where the file leaves them open.

    Raises:
        ModelError: the file cannot be read, or leaves open what was not asked for.
    """
    width, height = input_size(model)
    if wanted is None and (width is None or height is None):
        raise ModelError(
            f"{model}: takes images of any size; say at which it shall run, as in --size 640x480: the proportions of "
            "your camera, sides that 32 divides."
        )
    return wanted or (width or 0, height or 0)


def write_card(model: Path, draft: ModelCard, out: Path) -> tuple[ModelCard, int]:
    """Check a card against its network, find out whether that gives logits or probabilities, and write the card.

    Args:
        model: the ONNX file.
        draft: the card; its `output` does not matter.
        out: the YAML file to write; nothing is left there if the network does not fit.

    Returns:
        The card, and the input pixels per output pixel of the network.

    Raises:
        ConfigError: the card has a mistake.
        ModelError: the file exists, or the network cannot be used as the card describes it.
    """
    if out.exists():
        raise ModelError(f"{out}: exists already; remove it, or name another file with --out.")
    draft.write(out)
    try:
        card = ModelCard.load(out)
        card = replace(card, output=output_kind(model, card))
        stride = prepare(model, card, GraphSpec(cells=1)).stride
        card.write(out)
    except BaseException:
        out.unlink()
        raise
    return card, stride


def distinct_colours(count: int) -> NDArray[np.uint8]:
    """As many different colours, uint8 [count, 3] RGB.

    Hues go round by the golden ratio, so that neighbours in the list look different; each round is darker.
    """
    rows = [colorsys.hsv_to_rgb(index * _GOLDEN % 1.0, 0.75, 0.95 - 0.15 * (index // 12 % 5)) for index in range(count)]
    return np.round(np.array(rows) * 255).astype(np.uint8)
