"""seg-perception evaluate --costmap: costmaps against the simulator's exact ones, or against the truth in a bag."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg_perception.cli.common import Bar, positive
from seg_perception.cli.replay import add_reading_arguments, source_options
from seg_perception.errors import ConfigError
from seg_perception.utils.package_files import find

if TYPE_CHECKING:
    from seg_perception.evaluation.costmap.metrics import Rules
    from seg_perception.settings.pipeline import PipelineSettings

# Rooms are imported when they are needed, as in the other commands.

_SHIPPED = {"car": "road_car", "pavement": "sidewalk_robot"}


def run(words: Sequence[str], command_line: str) -> None:
    """Judge costmaps as the words after --costmap say; `command_line` is kept with the figures."""
    from seg_perception.evaluation.costmap.metrics import Rules
    from seg_perception.evaluation.costmap.table import costmap_table
    from seg_perception.settings.pipeline import PipelineSettings, load_settings

    arguments = _parser().parse_args(words)
    if (arguments.recording is None) != (arguments.truth_topic is None):
        raise ConfigError("--recording and --truth-topic belong together; give both, or neither for the simulator.")
    settings = load_settings(arguments.config) if arguments.config else PipelineSettings()
    rules = Rules(tuple(arguments.bands), arguments.tolerance)
    figures = (
        _of_drives(arguments, settings, rules) if arguments.recording is None else _of_bag(arguments, settings, rules)
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    summary = {"command": command_line, "drives": figures}
    (arguments.out / "costmap.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(costmap_table(figures))
    print((arguments.out / "costmap.json").resolve())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="seg-perception evaluate --costmap", description="Judge costmaps.")
    parser.add_argument("--out", type=Path, default=Path("evaluation_out"), help="folder for costmap.json")
    parser.add_argument("--model", type=Path, help="ONNX file with its card beside it (default: the shipped network)")
    parser.add_argument("--matrix", type=Path, help="cost matrix YAML (default: the shipped one for the robot)")
    parser.add_argument("--config", type=Path, help="pipeline settings YAML (default: config/pipeline.yaml's values)")
    parser.add_argument("--threads", type=positive, help="CPU threads of the network (default: one per core)")
    parser.add_argument(
        "--bands", type=float, nargs="+", default=[4.0, 8.0, 10.0], metavar="M", help="upper ends of range bands, m"
    )
    parser.add_argument("--tolerance", type=float, default=0.2, metavar="M", help="how far off a cell may lie, m")
    drives = parser.add_argument_group("standard drives in the simulator")
    drives.add_argument("--robot", choices=tuple(_SHIPPED), default="pavement", help="what drives")
    drives.add_argument("--seeds", type=positive, default=3, help="worlds, each driven with each condition")
    drives.add_argument("--conditions", nargs="+", metavar="NAME", help="some of them only (default: all)")
    drives.add_argument("--true-labels", action="store_true", help="the true labels in place of the network's")
    drives.add_argument("--depth", action="store_true", help="the camera measures depth, too")
    bag = parser.add_argument_group("a recording with its own truth")
    bag.add_argument("--recording", help="bag with images and poses")
    bag.add_argument("--truth-topic", help="OccupancyGrid, or PointCloud2 with class labels, taken as truth")
    bag.add_argument("--truth", type=Path, help="bag that holds it (default: the recording)")
    bag.add_argument("--max-age", type=float, default=0.2, metavar="S", help="largest difference in time, s")
    bag.add_argument("--radius", type=float, default=0.45, metavar="M", help="of the robot, m, for planning")
    add_reading_arguments(parser)
    return parser


def _of_drives(arguments: argparse.Namespace, settings: PipelineSettings, rules: Rules) -> dict[str, Any]:
    from seg_perception.evaluation.costmap.label_engine import LabelEngine
    from seg_perception.evaluation.costmap.standard_drives import Standard, judge_drives
    from seg_perception.inference.backends import open_engine
    from seg_perception.inference.engine import Engine
    from seg_perception.inference.prepared_graphs import load_card
    from seg_perception.pipeline.pipeline import graph_spec
    from seg_perception.risk.cost_matrix import CostMatrix
    from seg_perception.simulation.labels import check_classes
    from seg_perception.simulation.sensors.degradation import FAULTS

    names = arguments.conditions or list(FAULTS)
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise ConfigError(f"--conditions {unknown[0]}: is not known; choose from {', '.join(FAULTS)}.")
    model = arguments.model or find("models/urban.onnx")
    spec = graph_spec(settings, "rgb")
    engine: Engine = (
        LabelEngine(load_card(model, None), spec)
        if arguments.true_labels
        else open_engine(model, spec, threads=arguments.threads)
    )
    check_classes(engine.card.classes, engine.card.name)
    path = arguments.matrix or find(f"config/cost_matrices/{_SHIPPED[arguments.robot]}.yaml")
    matrix = CostMatrix.load(path, engine.card.classes)
    seeds = tuple(range(1, arguments.seeds + 1))
    standard = Standard(robot=arguments.robot, seeds=seeds, depth=arguments.depth)
    figures = {}
    with Bar("driving") as progress:
        for place, name in enumerate(names):
            judged = judge_drives(FAULTS[name], standard, engine, matrix, settings, rules, arguments.true_labels)
            figures[name] = judged.figures()
            progress(place + 1, len(names))
    engine.close()
    return figures


def _of_bag(arguments: argparse.Namespace, settings: PipelineSettings, rules: Rules) -> dict[str, Any]:
    from seg_perception.evaluation.costmap.bag_evaluation import judge_bag
    from seg_perception.evaluation.costmap.ground_truth import TruthSource
    from seg_perception.evaluation.costmap.paths import Body
    from seg_perception.inference.backends import open_engine
    from seg_perception.pipeline.pipeline import graph_spec
    from seg_perception.recordings.readers.open_recording import open_recording
    from seg_perception.risk.cost_matrix import CostMatrix

    engine = open_engine(arguments.model or find("models/urban.onnx"), graph_spec(settings), threads=arguments.threads)
    path = arguments.matrix or find("config/cost_matrices/road_car.yaml")
    matrix = CostMatrix.load(path, engine.card.classes)
    body = Body(radius=arguments.radius, inflation_radius=arguments.radius + 0.75)
    truth_bag = arguments.truth or Path(arguments.recording)
    truth = TruthSource(truth_bag, arguments.truth_topic, arguments.odom_frame, matrix)
    try:
        with open_recording(arguments.recording, source_options(arguments)) as recording, Bar("judging") as progress:
            judged = judge_bag(recording, truth, engine, matrix, settings, rules, body, arguments.max_age, progress)
    finally:
        truth.close()
        engine.close()
    return {Path(arguments.recording).name: judged.figures()}
