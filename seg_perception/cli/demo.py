"""seg-perception demo: a drive through the simulated world with the shipped network."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from pathlib import Path

from seg_perception.cli import replay
from seg_perception.cli.common import Bar, Commands, add_command, needs_ros
from seg_perception.errors import SegPerceptionError
from seg_perception.utils.package_files import find

# Modules are imported when they are needed: help must not wait for ONNX Runtime.

_RESULTS = ("result.mcap", "summary.json", "report.html", "checkpoint.npz", "demo.log")


def register(commands: Commands) -> None:
    """Add the command."""
    demo = add_command(
        commands, "demo", "drive through the simulated world with the shipped network, over ROS 2 where it is installed"
    )
    demo.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the drive and its results")
    demo.add_argument("--seconds", type=float, default=12.0, help="length of the drive, s")
    demo.add_argument("--seed", type=int, default=1, help="seed of world, weather and traffic")
    demo.add_argument("--robot", choices=("car", "pavement"), default="car", help="the robot that drives")
    demo.add_argument("--offline", action="store_true", help="replay the drive without ROS 2")
    demo.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> None:
    find("models/urban.onnx")
    drive = _render(arguments)
    matrix = find(f"config/cost_matrices/{'road_car' if arguments.robot == 'car' else 'sidewalk_robot'}.yaml")
    if not arguments.offline:
        try:
            with needs_ros("the demo over ROS 2"):
                import seg_perception.ros.tools.demo  # noqa: F401 - checks that ROS 2 is installed
        except SegPerceptionError as error:
            print(f"{error} Continuing without it: the demo replays the drive offline.")
        else:
            _over_ros(arguments, drive, matrix)
            return
    parser = argparse.ArgumentParser()
    replay.register(parser.add_subparsers())
    parsed = parser.parse_args(["replay", str(drive), "--out", str(arguments.out), "--matrix", str(matrix)])
    parsed.command_line, parsed.started = arguments.command_line, time.monotonic()
    replay.run(parsed)


def _render(arguments: argparse.Namespace) -> Path:
    from seg_perception.geometry.camera import Camera
    from seg_perception.simulation.drive import Scenario
    from seg_perception.simulation.drive_bag import write_drive

    drive: Path = arguments.out / "drive"
    focal = 480 / (2 * math.tan(math.radians(62) / 2))
    camera = Camera.from_fields(480, 360, "plumb_bob", [focal, 0, 239.5, 0, focal, 179.5, 0, 0, 1], [0.0] * 5)
    scenario = Scenario(camera, seed=arguments.seed, duration=arguments.seconds, robot=arguments.robot)
    # Only the results of an earlier demo: the folder may hold other files of the user.
    shutil.rmtree(drive, ignore_errors=True)
    for name in _RESULTS:
        (arguments.out / name).unlink(missing_ok=True)
    with Bar("rendering the drive") as progress:
        write_drive(drive, scenario, progress=progress)
    return drive


def _over_ros(arguments: argparse.Namespace, drive: Path, matrix: Path) -> None:
    from seg_perception.report import write_report
    from seg_perception.ros.tools.demo import DemoRequest, run_demo
    from seg_perception.simulation.drive import ROBOTS
    from seg_perception.simulation.drive_bag import IMAGE, ODOMETRY

    request = DemoRequest(
        drive=drive,
        image=IMAGE,
        odometry=ODOMETRY,
        out=arguments.out,
        model=find("models/urban.onnx"),
        matrix=matrix,
        mount=ROBOTS[arguments.robot].mount,
        command=arguments.command_line,
    )
    run_demo(request, print)
    summary = json.loads((arguments.out / "summary.json").read_text(encoding="utf-8"))
    write_report(arguments.out / "result.mcap", summary, arguments.out / "report.html")
    replay.print_summary(arguments.out, summary)
