"""seg-perception evaluate costmap: costmaps against ground truth of the simulator or of a bag."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seg_perception.cli.common import Bar, Commands, add_command, positive
from seg_perception.cli.replay import add_reading_arguments, source_options
from seg_perception.errors import ConfigError
from seg_perception.utils.package_files import find

if TYPE_CHECKING:
    from seg_perception.evaluation.costmap.metrics import CostmapEvaluationConfig
    from seg_perception.settings.pipeline import PipelineSettings

# Modules are imported when they are needed, as in the other commands.

_SHIPPED = {"car": "road_car", "pavement": "sidewalk_robot"}


def register(kinds: Commands) -> None:
    """Add the subcommand."""
    parser = add_command(kinds, "costmap", "evaluate costmaps against ground truth of the simulator or of a bag")
    parser.add_argument("--out", type=Path, default=Path("evaluation_out"), help="folder for costmap.json")
    parser.add_argument("--model", type=Path, help="ONNX file, its card next to it (default: the shipped network)")
    parser.add_argument("--matrix", type=Path, help="cost matrix YAML (default: the shipped one for the robot)")
    parser.add_argument("--config", type=Path, help="pipeline settings YAML (default: config/pipeline.yaml's values)")
    parser.add_argument("--threads", type=positive, help="CPU threads of the network (default: one per core)")
    parser.add_argument(
        "--bands", type=float, nargs="+", default=[4.0, 8.0, 10.0], metavar="M", help="upper ends of range bands, m"
    )
    parser.add_argument(
        "--tolerance", type=float, default=0.2, metavar="M", help="distance up to which lethal cells match, m"
    )
    drives = parser.add_argument_group("standard drives in the simulator")
    drives.add_argument("--robot", choices=tuple(_SHIPPED), default="pavement", help="what drives")
    drives.add_argument("--seeds", type=positive, default=3, help="worlds, each driven under each condition")
    drives.add_argument("--conditions", nargs="+", metavar="NAME", help="only these conditions (default: all)")
    drives.add_argument("--true-labels", action="store_true", help="ground-truth labels in place of the network's")
    drives.add_argument("--depth", action="store_true", help="the camera also measures depth")
    bag = parser.add_argument_group("a recording with ground truth")
    bag.add_argument("--recording", help="bag with images and poses")
    bag.add_argument("--truth-topic", help="topic of the ground truth: OccupancyGrid, or PointCloud2 with class labels")
    bag.add_argument("--truth", type=Path, help="bag that holds the ground truth (default: the recording)")
    bag.add_argument("--max-age", type=float, default=0.2, metavar="S", help="largest difference in time, s")
    bag.add_argument("--radius", type=float, default=0.45, metavar="M", help="of the robot, m, for path planning")
    add_reading_arguments(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> None:
    from seg_perception.evaluation.costmap.metrics import CostmapEvaluationConfig
    from seg_perception.evaluation.costmap.table import costmap_table
    from seg_perception.settings.pipeline import PipelineSettings, load_settings

    if (arguments.recording is None) != (arguments.truth_topic is None):
        raise ConfigError("--recording and --truth-topic belong together; give both, or neither for the simulator.")
    settings = load_settings(arguments.config) if arguments.config else PipelineSettings()
    config = CostmapEvaluationConfig(tuple(arguments.bands), arguments.tolerance)
    of_source = _of_drives if arguments.recording is None else _of_bag
    summaries = of_source(arguments, settings, config)
    arguments.out.mkdir(parents=True, exist_ok=True)
    content = {"command": arguments.command_line, "drives": summaries}
    (arguments.out / "costmap.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(costmap_table(summaries))
    print((arguments.out / "costmap.json").resolve())


def _of_drives(
    arguments: argparse.Namespace, settings: PipelineSettings, config: CostmapEvaluationConfig
) -> dict[str, Any]:
    from seg_perception.evaluation.costmap.label_engine import LabelEngine
    from seg_perception.evaluation.costmap.standard_drives import StandardDrives, evaluate_drives
    from seg_perception.inference.backends import open_engine
    from seg_perception.inference.engine import Engine
    from seg_perception.inference.prepared_graphs import load_card
    from seg_perception.pipeline.pipeline import graph_spec
    from seg_perception.risk.cost_matrix import CostMatrix
    from seg_perception.simulation.labels import check_classes
    from seg_perception.simulation.sensors.degradation import DEGRADATIONS

    names = arguments.conditions or list(DEGRADATIONS)
    unknown = [name for name in names if name not in DEGRADATIONS]
    if unknown:
        raise ConfigError(f"--conditions {unknown[0]}: is not known; choose from {', '.join(DEGRADATIONS)}.")
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
    standard = StandardDrives(robot=arguments.robot, seeds=seeds, depth=arguments.depth)
    summaries = {}
    with Bar("driving") as progress:
        for done, name in enumerate(names, 1):
            evaluator = evaluate_drives(
                DEGRADATIONS[name], standard, engine, matrix, settings, config, arguments.true_labels
            )
            summaries[name] = evaluator.summary()
            progress(done, len(names))
    engine.close()
    return summaries


def _of_bag(
    arguments: argparse.Namespace, settings: PipelineSettings, config: CostmapEvaluationConfig
) -> dict[str, Any]:
    from seg_perception.evaluation.costmap.bag_evaluation import evaluate_bag
    from seg_perception.evaluation.costmap.ground_truth import GroundTruthSource
    from seg_perception.evaluation.costmap.paths import RobotFootprint
    from seg_perception.inference.backends import open_engine
    from seg_perception.pipeline.pipeline import graph_spec
    from seg_perception.recordings.readers.open_recording import open_recording
    from seg_perception.risk.cost_matrix import CostMatrix

    engine = open_engine(arguments.model or find("models/urban.onnx"), graph_spec(settings), threads=arguments.threads)
    path = arguments.matrix or find("config/cost_matrices/road_car.yaml")
    matrix = CostMatrix.load(path, engine.card.classes)
    footprint = RobotFootprint(radius=arguments.radius, inflation_radius=arguments.radius + 0.75)
    ground_truth_bag = arguments.truth or Path(arguments.recording)
    ground_truth = GroundTruthSource(ground_truth_bag, arguments.truth_topic, arguments.odom_frame, matrix)
    try:
        with open_recording(arguments.recording, source_options(arguments)) as recording, Bar("evaluating") as progress:
            evaluator = evaluate_bag(
                recording, ground_truth, engine, matrix, settings, config, footprint, arguments.max_age, progress
            )
    finally:
        ground_truth.close()
        engine.close()
    return {Path(arguments.recording).name: evaluator.summary()}
