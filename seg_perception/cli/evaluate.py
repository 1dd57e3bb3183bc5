"""seg-perception evaluate network | costmap: how good a network is on labelled images, or how good costmaps are."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from seg_perception.cli import evaluate_costmap
from seg_perception.cli.common import Bar, Commands, add_command, positive
from seg_perception.errors import ConfigError
from seg_perception.utils.package_files import find

# Modules are imported when they are needed: help must not wait for ONNX Runtime.


def register(commands: Commands) -> None:
    """Add the command."""
    evaluate = add_command(commands, "evaluate", "evaluate a network on labelled images, or costmaps")
    kinds = evaluate.add_subparsers(required=True, metavar="network|costmap")
    evaluate_costmap.register(kinds)
    network = add_command(kinds, "network", "evaluate a network on the validation data of a plan")
    network.add_argument("plan", type=Path, help="the training YAML, for its validation data")
    network.add_argument("model", type=Path, help="ONNX file with its card next to it")
    network.add_argument("--data", type=Path, help="folder that dataset paths start from (default: the plan's)")
    network.add_argument("--matrix", type=Path, help="cost matrix YAML (default: the shipped road_car.yaml)")
    network.add_argument(
        "--out", type=Path, default=Path("evaluation_out"), help="folder for evaluation.json and evaluation.html"
    )
    network.add_argument("--worst", type=positive, default=8, help="how many of the worst images to show")
    network.add_argument(
        "--boundary-tolerance", type=_tolerance, metavar="T", help="pixels, or with %% a share of the diagonal"
        " (default: 0.75%%)",
    )  # fmt: skip
    network.add_argument(
        "--things", nargs="*", metavar="CLASS", help="classes with instances, for panoptic quality (default: by name)"
    )
    network.add_argument("--threads", type=positive, help="CPU threads of the network (default: one per core)")
    network.set_defaults(run=_evaluate_network)


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


def _evaluate_network(arguments: argparse.Namespace) -> None:
    from seg_perception.evaluation.metrics.boundary import DEFAULT_TOLERANCE
    from seg_perception.evaluation.network.evaluator import EvaluationRequest, NetworkEvaluator
    from seg_perception.evaluation.network.summary import evaluation_table
    from seg_perception.offline.statistics import versions
    from seg_perception.report.evaluation_page import write_evaluation_page

    request = EvaluationRequest(
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
        evaluator = NetworkEvaluator(request, progress)
    with Bar("evaluating") as progress:
        result = evaluator.run(progress)
    summary = {**evaluator.summary(result), "command": arguments.command_line, "versions": dict(versions())}
    (arguments.out / "evaluation.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    page = arguments.out / "evaluation.html"
    write_evaluation_page(summary, result.worst, evaluator.engine.card, evaluator.labels, page)
    print(evaluation_table(summary))
    for name in ("evaluation.html", "evaluation.json"):
        print((arguments.out / name).resolve())
