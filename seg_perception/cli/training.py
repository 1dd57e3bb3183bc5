"""seg-perception render | train | calibrate: from images to a network with its model card."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from tqdm import tqdm

from seg_perception.cli.common import Bar, Commands, add_command, positive
from seg_perception.errors import SegPerceptionError
from seg_perception.model.card import PRECISIONS

# Modules are imported by the command that needs them: help must not wait for torch or the simulator.


def register(commands: Commands) -> None:
    """Add the commands."""
    render = add_command(commands, "render", "render labelled training images of the simulated world")
    render.add_argument("out", type=Path, help="folder for images/ and labels/")
    render.add_argument("--count", type=positive, default=400, help="number of images")
    render.add_argument("--seed", type=int, default=77, help="of the random worlds")
    render.set_defaults(run=_render)

    train = add_command(commands, "train", "train a network by a plan such as config/training/urban.yaml")
    train.add_argument("plan", type=Path, help="training YAML")
    train.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log and the exported network")
    train.add_argument("--data", type=Path, help="folder that dataset paths start from (default: the plan's)")
    weights = train.add_mutually_exclusive_group()
    weights.add_argument("--resume", action="store_true", help="resume from OUT/checkpoint.pt")
    weights.add_argument(
        "--start-from", type=Path, help="warm start from a checkpoint (.pt) or a network with its card (.onnx)"
    )
    train.add_argument("--threads", type=positive, help="threads that prepare images (default: one per core, up to 16)")
    train.add_argument(
        "--memory", type=positive, default=4, help="GB of images kept in memory; larger sets are read in every epoch"
    )
    train.set_defaults(run=_train)

    calibrate = add_command(commands, "calibrate", "calibrate a network's probabilities; the metrics go to its card")
    calibrate.add_argument("plan", type=Path, help="the training YAML, for its validation data")
    calibrate.add_argument("model", type=Path, help="ONNX file with its card next to it")
    calibrate.add_argument("--data", type=Path, help="folder that dataset paths start from (default: the plan's)")
    calibrate.add_argument(
        "--precision",
        nargs="+",
        choices=PRECISIONS,
        help="precisions to calibrate (default: all that the network supports)",
    )
    calibrate.add_argument(
        "--calibration", type=Path, metavar="DIR", help="images for the ranges of int8 (default: training images)"
    )
    calibrate.set_defaults(run=_calibrate)


def _render(arguments: argparse.Namespace) -> None:
    from seg_perception.geometry.camera import Camera
    from seg_perception.simulation.views import write_views

    focal = 480 / (2 * math.tan(math.radians(60) / 2))
    camera = Camera.from_fields(480, 360, "plumb_bob", [focal, 0, 239.5, 0, focal, 179.5, 0, 0, 1], [0.0] * 5)
    with Bar("rendering") as progress:
        write_views(arguments.out, arguments.seed, arguments.count, camera, progress)
    print(arguments.out.resolve())


def _train(arguments: argparse.Namespace) -> None:
    try:
        from seg_perception.training.distributed import distributed_context
        from seg_perception.training.plan import load_plan
        from seg_perception.training.train import TrainingResources, export, train
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise SegPerceptionError(
            "training needs PyTorch; install it with: pip install 'seg_perception[train]'."
        ) from None
    threads = {} if arguments.threads is None else {"threads": arguments.threads}
    with distributed_context() as context, Bar("checking") as checking, Bar("training") as progress:
        plan = context.run_once(lambda: load_plan(arguments.plan, arguments.data))
        checkpoint = train(
            plan,
            arguments.out,
            arguments.resume,
            arguments.start_from,
            progress=lambda done, total, loss: progress(done, total),
            report=tqdm.write,
            checking=checking,
            context=context,
            resources=TrainingResources(memory=arguments.memory * 1e9, **threads),
        )
        if context.is_main:
            model = export(checkpoint, plan, arguments.plan.stem)
            print(f"{model.resolve()}\nnext: seg-perception calibrate {arguments.plan} {model}")


def _calibrate(arguments: argparse.Namespace) -> None:
    from seg_perception.training.calibration.calibrate_model import calibrate_model
    from seg_perception.training.calibration.summary import calibration_table

    with Bar("calibrating") as progress:
        results = calibrate_model(
            arguments.plan, arguments.data, arguments.model, arguments.precision, arguments.calibration, progress
        )
    print(calibration_table(results))
