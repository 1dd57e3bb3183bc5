"""seg-perception teach: a new class for a network, from one to ten masked pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg_perception.cli.common import Bar, Commands
from seg_perception.utils.package_files import find

# Rooms are imported when they are needed: help must not wait for ONNX Runtime.


def register(commands: Commands) -> None:
    """Add the command."""
    teach = commands.add_parser("teach", help="add a class to a network from a few masked pictures")
    teach.add_argument("--class", dest="name", required=True, help="name of the new class")
    teach.add_argument("--masks", type=Path, nargs="+", required=True, help="images, not black where the class is")
    teach.add_argument("--images", type=Path, nargs="+", help="what they mask (default: of the same name beside them)")
    teach.add_argument("--model", type=Path, help="ONNX file with its card beside it (default: the shipped network)")
    teach.add_argument("--out", type=Path, help="ONNX file to write (default: MODEL_CLASS.onnx in this folder)")
    teach.add_argument("--colour", type=_level, nargs=3, metavar=("R", "G", "B"), help="of the class, 0 to 255 each")
    teach.set_defaults(run=_teach)


def _level(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 255:
        raise argparse.ArgumentTypeError("must be 0 to 255")
    return value


def _teach(arguments: argparse.Namespace) -> None:
    from seg_perception.few_shot.examples import image_beside
    from seg_perception.few_shot.teach import teach

    name = arguments.name
    model = arguments.model or find("models/urban.onnx")
    with Bar("teaching") as progress:
        lesson = teach(
            model,
            name,
            arguments.images or [image_beside(mask) for mask in arguments.masks],
            arguments.masks,
            arguments.out or Path(f"{model.stem}_{name}.onnx"),
            tuple(arguments.colour) if arguments.colour else None,
            progress,
        )
    for one in lesson.left_out:
        print(f"{one.name}: IoU {one.iou:.3f}, taken from others {one.taken:.2%}")
    if lesson.total is None:
        print("one picture leaves none to judge by; with two or more, each is judged by what the others taught")
    else:
        print(f"on pictures left out: IoU {lesson.total.iou:.3f}, taken from other classes {lesson.total.taken:.2%}")
    print(
        f"{lesson.model.resolve()}\n"
        f"next: in your cost matrix, add '{name}: COST' to 'traverse' (254 is lethal), and '{name}' to 'standing' if "
        "it rises from the ground"
    )
