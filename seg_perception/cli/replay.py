"""seg-perception replay: run a recording through the pipeline."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from seg_perception.cli.common import Bar, Commands, add_command, positive
from seg_perception.errors import RecordingError, SegPerceptionError
from seg_perception.inference.options import BACKENDS
from seg_perception.model.card import PRECISIONS
from seg_perception.utils.package_files import find

INPUT_HELP = "rosbag2, .mcap, .db3, ROS 1 .bag, video, image, image folder or quoted glob"

# Modules are imported when they are needed: help must not wait for ONNX Runtime.


def register(commands: Commands) -> None:
    """Add the command."""
    replay = add_command(commands, "replay", "run a recording through the pipeline")
    replay.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for result.mcap, summary.json and report.html; with several inputs, for a folder of each",
    )
    replay.add_argument("--model", type=Path, help="ONNX file with its card next to it (default: the shipped network)")
    replay.add_argument("--matrix", type=Path, help="cost matrix YAML (default: the shipped road_car.yaml)")
    replay.add_argument("--config", type=Path, help="pipeline settings YAML (default: config/pipeline.yaml's values)")
    replay.add_argument("inputs", nargs="+", metavar="INPUT", help=INPUT_HELP)
    add_reading_arguments(replay)
    replay.add_argument(
        "--depth-topic",
        help="depth images aligned with the camera images, if they are not recognised by the topic name",
    )
    replay.add_argument("--points-topic", help="point clouds to use, if a bag has several topics")
    replay.add_argument("--threads", type=positive, help="CPU threads of the network (default: one per core)")
    replay.add_argument("--backend", choices=BACKENDS, default="auto", help="that runs the network")
    replay.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of TensorRT")
    replay.add_argument("--resume", action="store_true", help="resume an interrupted replay in --out")
    replay.add_argument(
        "--ray", nargs="?", const="local", metavar="ADDRESS",
        help="distribute the replay over a Ray cluster; without an address over the cores of this machine",
    )  # fmt: skip
    replay.set_defaults(run=run)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for one recording and how to read it; `source_options` evaluates them."""
    parser.add_argument("input", help=INPUT_HELP)
    add_reading_arguments(parser)


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for how to read a recording."""
    parser.add_argument("--camera", type=Path, help="ROS calibration YAML; replaces recorded CameraInfo")
    parser.add_argument(
        "--mount", type=float, nargs=6, metavar=("X", "Y", "Z", "ROLL", "PITCH", "YAW"),
        help="extrinsics: pose of the camera body in base_link, m and rad; a positive pitch looks down",
    )  # fmt: skip
    parser.add_argument(
        "--image-topic", action="append", default=[], metavar="TOPIC",
        help="images to read, if a bag has several topics; repeat it to fuse several cameras into one map",
    )  # fmt: skip
    parser.add_argument("--poses", choices=("auto", "tf", "odometry", "none"), default="auto", help="robot poses from")
    parser.add_argument("--odometry-topic", help="odometry to use, if a bag has several topics")
    parser.add_argument("--odom-frame", default="odom", help="the fixed frame (REP-105)")
    parser.add_argument("--base-frame", default="base_link", help="the robot's frame (REP-105)")
    parser.add_argument("--rate", type=float, help="images per second of image files (default 10) or a video")


def source_options(arguments: argparse.Namespace) -> Any:
    """The `SourceOptions` for the arguments of `add_source_arguments`.

    Raises:
        RecordingError: a number is not valid.
        ConfigError: the calibration file is not valid.
    """
    from seg_perception.geometry.camera import Camera
    from seg_perception.geometry.transforms import mount_to_base_from_optical
    from seg_perception.recordings.readers.recording import SourceOptions

    if arguments.mount is not None and not all(map(math.isfinite, arguments.mount)):
        raise RecordingError(
            f"--mount {arguments.mount}: must be six finite numbers, x y z in m, roll pitch yaw in rad."
        )
    if arguments.rate is not None and not arguments.rate > 0:
        raise RecordingError(f"--rate {arguments.rate:g}: must be above 0 images per second.")
    return SourceOptions(
        camera=None if arguments.camera is None else Camera.from_yaml(arguments.camera),
        mount=None if arguments.mount is None else mount_to_base_from_optical(*arguments.mount),
        image_topics=tuple(arguments.image_topic),
        poses=arguments.poses,
        odometry_topic=arguments.odometry_topic,
        odom_frame=arguments.odom_frame,
        base_frame=arguments.base_frame,
        rate_hz=arguments.rate,
    )


def run(arguments: argparse.Namespace) -> None:
    """Replay the recordings, and write the reports.

    Raises:
        SegPerceptionError: a recording gave no result.
    """
    from seg_perception.report import write_report

    requests = _requests(arguments)
    problems = []
    for request, summary in _replayed(requests, arguments):
        if isinstance(summary, str):
            problems.append(summary)
            if len(requests) > 1:
                tqdm.write(f"seg-perception: {summary}", file=sys.stderr)
            continue
        write_report(request.result, summary, request.report)
        print_summary(request.out, summary)
    if len(requests) == 1 and problems:
        raise RecordingError(problems[0])
    if problems:
        raise RecordingError(f"{len(problems)} of {len(requests)} recordings gave no result; the reasons are above.")


def _requests(arguments: argparse.Namespace) -> list[Any]:
    from seg_perception.offline.request import ReplayRequest
    from seg_perception.recordings.readers.open_recording import recording_name
    from seg_perception.settings.pipeline import PipelineSettings, load_settings

    first = ReplayRequest(
        source=arguments.inputs[0],
        out=arguments.out,
        model=arguments.model or find("models/urban.onnx"),
        matrix=arguments.matrix or find("config/cost_matrices/road_car.yaml"),
        settings=load_settings(arguments.config) if arguments.config else PipelineSettings(),
        options=replace(
            source_options(arguments), depth_topic=arguments.depth_topic, points_topic=arguments.points_topic
        ),
        threads=arguments.threads,
        backend=arguments.backend,
        precision=arguments.precision,
        resume=arguments.resume,
        command=arguments.command_line,
        started=arguments.started,
    )
    if len(arguments.inputs) == 1:
        return [first]
    names: Counter[str] = Counter()
    requests = []
    for source in arguments.inputs:
        name = recording_name(source)
        names[name] += 1
        out = arguments.out / (name if names[name] == 1 else f"{name}-{names[name]}")
        requests.append(replace(first, source=source, out=out))
    return requests


def _replayed(requests: list[Any], arguments: argparse.Namespace) -> Iterator[tuple[Any, dict[str, Any] | str]]:
    """Each request with its summary, or one sentence why there is none."""
    if len(requests) > 1 and arguments.resume:
        # Some may be finished, and some not started.
        finished = [request for request in requests if request.summary.exists()]
        for request in finished:
            print(f"{request.summary.resolve()}: finished before")
        requests = [
            replace(request, resume=request.checkpoint.exists() or request.parts.exists())
            for request in requests
            if request not in finished
        ]
    if arguments.ray is not None:
        yield from _distributed(requests, arguments)
        return
    from seg_perception.inference.progress import ProgressReporter
    from seg_perception.offline.replay import replay

    for request in requests:
        try:
            with Bar("replaying") as progress:
                summary = replay(request, progress, ProgressReporter(log=tqdm.write))
        except SegPerceptionError as error:
            yield request, f"{error}"
        else:
            yield request, summary


def _distributed(requests: list[Any], arguments: argparse.Namespace) -> Iterator[tuple[Any, dict[str, Any] | str]]:
    from seg_perception.offline.distributed import replay_distributed
    from seg_perception.offline.job import run_job
    from seg_perception.offline.ray_workers import RayWorkers

    threads = arguments.threads or 1
    shared = [
        replace(
            request,
            source=os.path.abspath(request.source),
            out=request.out.absolute(),
            model=request.model.absolute(),
            matrix=request.matrix.absolute(),
            threads=threads,
        )
        for request in requests
    ]
    gpu = arguments.backend in ("tensorrt", "tensorrt_rtx", "onnx_cuda")
    with RayWorkers(arguments.ray, run_job, threads, gpu) as workers, Bar("replaying") as progress:
        yield from replay_distributed(shared, workers, progress)


def print_summary(out: Path, summary: dict[str, Any]) -> None:
    """Print the statistics of a replay and the paths of its files."""
    frames = summary["frames"]
    dropped = "".join(f"\n  dropped {count}: {reason}" for reason, count in frames["dropped"].items())
    print(f"{frames['in']} images in, {frames['out']} results out{dropped}")
    if "pipeline_ms" in summary:
        print(
            f"pipeline {summary['pipeline_ms']['p50']:.1f} ms per frame (p50), network alone "
            f"{summary['network_alone_ms']['p50']:.1f} ms, first result after {summary['first_result_s']:.1f} s, "
            f"peak memory {summary['peak_rss_mb']:.0f} MB"
        )
    for name in ("report.html", "result.mcap", "summary.json"):
        print((out / name).resolve())
