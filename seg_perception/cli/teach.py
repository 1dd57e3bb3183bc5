"""seg-perception teach: adds a class to a network from one to ten masked images (few-shot learning)."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg_perception.cli.common import Bar, Commands, add_command
from seg_perception.utils.package_files import find

# Modules are imported when they are needed: help must not wait for ONNX Runtime.


def register(commands: Commands) -> None:
    """Add the command."""
    teach = add_command(commands, "teach", "add a class to a network from a few masked images")
    teach.add_argument("--class", dest="name", required=True, help="name of the new class")
    teach.add_argument(
        "--masks", type=Path, nargs="+", required=True, help="mask images: every pixel that is not black is the class"
    )
    teach.add_argument(
        "--images", type=Path, nargs="+", help="image files (default: of the same name next to the masks)"
    )
    teach.add_argument("--model", type=Path, help="ONNX file with its card next to it (default: the shipped network)")
    teach.add_argument("--out", type=Path, help="ONNX file to write (default: MODEL_CLASS.onnx in this folder)")
    teach.add_argument("--colour", type=_level, nargs=3, metavar=("R", "G", "B"), help="of the class, 0 to 255 each")
    teach.set_defaults(run=_teach)


def _level(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 255:
        raise argparse.ArgumentTypeError("must be 0 to 255")
    return value


def _teach(arguments: argparse.Namespace) -> None:
    from seg_perception.few_shot.add_class import add_class
    from seg_perception.few_shot.examples import image_of_mask

    name = arguments.name
    model = arguments.model or find("models/urban.onnx")
    with Bar("fitting") as progress:
        report = add_class(
            model,
            name,
            arguments.images or [image_of_mask(mask) for mask in arguments.masks],
            arguments.masks,
            arguments.out or Path(f"{model.stem}_{name}.onnx"),
            tuple(arguments.colour) if arguments.colour else None,
            progress,
        )
    for one in report.leave_one_out:
        print(f"{one.name}: IoU {one.iou:.3f}, false positives {one.false_positive_rate:.2%}")
    if report.total is None:
        print("no leave-one-out evaluation: it needs two or more images")
    else:
        total = report.total
        print(f"leave-one-out: IoU {total.iou:.3f}, false positives {total.false_positive_rate:.2%}")
    print(
        f"{report.model.resolve()}\n"
        f"next: in your cost matrix, add '{name}: COST' to 'traverse' (254 is lethal), and '{name}' to 'standing' if "
        "it rises from the ground"
    )
