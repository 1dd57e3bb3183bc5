"""seg-perception evaluate: how good a network is, on the validation data of a plan and under a cost matrix.

With --costmap it judges costmaps; what follows is for `evaluate_costmap`.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from seg_perception.cli import evaluate_costmap
from seg_perception.cli.common import Bar, Commands, positive
from seg_perception.errors import ConfigError
from seg_perception.utils.package_files import find

# Rooms are imported when they are needed: help must not wait for ONNX Runtime.


def register(commands: Commands) -> None:
    """Add the command."""
    evaluate = commands.add_parser("evaluate", help="judge a network on labelled images, or costmaps")
    evaluate.add_argument("plan", type=Path, nargs="?", help="the training YAML, for its validation data")
    evaluate.add_argument("model", type=Path, nargs="?", help="ONNX file with its card beside it")
    evaluate.add_argument(
        "--costmap", nargs=argparse.REMAINDER, help="judge costmaps instead; 'evaluate --costmap --help' tells how"
    )
    evaluate.add_argument("--data", type=Path, help="folder that dataset paths start from (default: the plan's)")
    evaluate.add_argument("--matrix", type=Path, help="cost matrix YAML (default: the shipped road_car.yaml)")
    evaluate.add_argument(
        "--out", type=Path, default=Path("evaluation_out"), help="folder for evaluation.json and evaluation.html"
    )
    evaluate.add_argument("--worst", type=positive, default=8, help="how many of the worst images to show")
    evaluate.add_argument(
        "--boundary-tolerance", type=_tolerance, metavar="T", help="pixels, or with %% a share of the diagonal"
        " (default: 0.75%%)",
    )  # fmt: skip
    evaluate.add_argument(
        "--things", nargs="*", metavar="CLASS", help="what panoptic quality counts one by one (default: by name)"
    )
    evaluate.add_argument("--threads", type=positive, help="CPU threads of the network (default: one per core)")
    evaluate.set_defaults(run=_evaluate)


def _tolerance(text: str) -> Any:
    from seg_perception.evaluation.metrics.boundary import Tolerance

    share = text.endswith("%")
    try:
        value = float(text[:-1] if share else text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' must be pixels such as 3, or a share of the diagonal such as 0.75%")
    return Tolerance(value, "%" if share else "px")


def _evaluate(arguments: argparse.Namespace) -> None:
    if arguments.costmap is not None:
        evaluate_costmap.run(arguments.costmap, arguments.command_line)
        return
    if arguments.model is None:
        raise ConfigError("evaluate needs a training plan and a model, or --costmap; 'evaluate --help' tells more.")
    from seg_perception.evaluation.metrics.boundary import DEFAULT_TOLERANCE
    from seg_perception.evaluation.network.evaluator import Judging, JudgingRequest
    from seg_perception.evaluation.network.summary import table
    from seg_perception.offline.statistics import versions
    from seg_perception.report.evaluation_page import write_evaluation_page

    request = JudgingRequest(
        plan=arguments.plan,
        model=arguments.model,
        matrix=arguments.matrix or find("config/cost_matrices/road_car.yaml"),
        root=arguments.data,
        things=None if arguments.things is None else tuple(arguments.things),
        tolerance=arguments.boundary_tolerance or DEFAULT_TOLERANCE,
        worst=arguments.worst,
        threads=arguments.threads,
    )
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {arguments.out}: cannot be made ({error.strerror}); choose another folder.") from None
    with Bar("reading labels") as progress:
        judging = Judging(request, progress)
    with Bar("judging") as progress:
        evaluation = judging.run(progress)
    summary = {**judging.summary(evaluation), "command": arguments.command_line, "versions": dict(versions())}
    (arguments.out / "evaluation.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    page = arguments.out / "evaluation.html"
    write_evaluation_page(summary, evaluation.worst, judging.engine.card, judging.labels, page)
    print(table(summary))
    for name in ("evaluation.html", "evaluation.json"):
        print((arguments.out / name).resolve())
