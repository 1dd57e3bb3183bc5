"""seg-perception card: write a model card for any ONNX network, and check it by running the network."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from seg_perception.cli.common import Commands, add_command
from seg_perception.utils.small_files import read_small_text

_IMAGENET_MEAN = [0.485, 0.456, 0.406]
_IMAGENET_STD = [0.229, 0.224, 0.225]


def register(commands: Commands) -> None:
    """Add the command."""
    card = add_command(commands, "card", "write the model card of an ONNX network and check that it runs")
    card.add_argument("model", type=Path, help="ONNX file")
    card.add_argument(
        "--classes", nargs="+", required=True, metavar="NAME",
        help="class names in the order of the network's outputs, or a text file with one per line",
    )  # fmt: skip
    card.add_argument("--size", type=_size, metavar="WxH", help="input size, if the file has free axes")
    card.add_argument("--channel-order", choices=("rgb", "bgr"), default="rgb", help="channel order of the input")
    for name, default in (("mean", _IMAGENET_MEAN), ("std", _IMAGENET_STD)):
        card.add_argument(
            f"--{name}", type=float, nargs=3, default=default, metavar=("C1", "C2", "C3"),
            help=f"{name} per channel of images scaled to 0..1 (default: ImageNet's)",
        )  # fmt: skip
    card.add_argument("--output-name", help="name of the value with the scores, if the file has several outputs")
    card.add_argument("--training-data", default="unknown", metavar="TEXT", help="what it was trained on")
    card.add_argument("--licence", default="unknown", metavar="TEXT", help="of the weights")
    card.add_argument("--out", type=Path, help="the card (default: the model's name with .yaml)")
    card.set_defaults(run=_card)


def _card(arguments: argparse.Namespace) -> None:
    from seg_perception.inference.card_template import distinct_colours, resolve_input_size, write_card
    from seg_perception.model.card import ModelCard, model_sha256
    from seg_perception.model.logit_calibration import UNCALIBRATED

    model: Path = arguments.model
    classes = _class_names(arguments.classes)
    width, height = resolve_input_size(model, arguments.size)
    draft = ModelCard(
        name=model.stem,
        classes=tuple(classes),
        colours=distinct_colours(len(classes)),
        width=width,
        height=height,
        channel_order=arguments.channel_order,
        mean=tuple(arguments.mean),
        std=tuple(arguments.std),
        output="logits",
        calibration={"fp32": UNCALIBRATED},
        sha256=model_sha256(model),
        training_data=arguments.training_data,
        licence=arguments.licence,
        measured={},
        output_name=arguments.output_name,
    )
    out = arguments.out or model.with_suffix(".yaml")
    card, stride = write_card(model, draft, out)
    print(
        f"{out.resolve()}\n{card.width}x{card.height}, {len(card.classes)} classes, {card.output} at 1/{stride}; "
        f"temperature 1: not calibrated\nnext: seg-perception replay RECORDING --model {model} --matrix MATRIX.yaml "
        "--out result"
    )


def _class_names(given: Sequence[str]) -> list[str]:
    file = given[0]
    if len(given) > 1 or not os.path.isfile(file):  # Path.is_file raises where a name is too long
        return list(given)
    lines = read_small_text(file, "a text file with one class name per line,").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _size(text: str) -> tuple[int, int]:
    """An argument type: WIDTHxHEIGHT."""
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError("must be WIDTHxHEIGHT, as in 640x480") from None
    if min(width, height) < 1:
        raise argparse.ArgumentTypeError("must be 1x1 or more")
    return width, height
