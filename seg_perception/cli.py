"""The command line: seg-perception demo | replay | render | train | calibrate."""

from __future__ import annotations

import time

STARTED = time.monotonic()  # before the imports, which are part of the time to the first result

import argparse  # noqa: E402
import math  # noqa: E402
import shlex  # noqa: E402
import shutil  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from tqdm import tqdm  # noqa: E402

from seg_perception.errors import RecordingError, SegPerceptionError  # noqa: E402
from seg_perception.resources import find  # noqa: E402

# Rooms are imported by the command that needs them: `replay` must not wait for the simulator, nor anyone for torch.

_USER_ERROR = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line without the program's name; `sys.argv[1:]` when None.

    Returns:
        The exit code: 0 done, 2 a mistake that one sentence on stderr explains, 130 interrupted.
    """
    parsed = _parser().parse_args(arguments)
    parsed.command_line = shlex.join(["seg-perception", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        parsed.run(parsed)
    except SegPerceptionError as error:
        print(f"seg-perception: {error}", file=sys.stderr)
        return _USER_ERROR
    except KeyboardInterrupt:
        print("seg-perception: interrupted; what is finished is on disk, --resume goes on.", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="seg-perception", description="Camera images to nav2 costmaps by Bayes risk.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="drive through the simulated world with the shipped network")
    demo.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the drive and its results")
    demo.add_argument("--seconds", type=float, default=12.0, help="length of the drive, s")
    demo.add_argument("--seed", type=int, default=1, help="which world, weather and traffic")
    demo.add_argument("--robot", choices=("car", "pavement"), default="car", help="what drives")
    demo.set_defaults(run=_demo)

    replay = commands.add_parser("replay", help="run a recording through the pipeline")
    replay.add_argument("input", help="rosbag2, .mcap, .db3, ROS 1 .bag, video, image, image folder or quoted glob")
    replay.add_argument("--out", type=Path, required=True, help="folder for result.mcap, summary.json and report.html")
    replay.add_argument("--model", type=Path, help="ONNX file with its card beside it (default: the shipped network)")
    replay.add_argument("--matrix", type=Path, help="cost matrix YAML (default: the shipped road_car.yaml)")
    replay.add_argument("--config", type=Path, help="pipeline settings YAML (default: config/pipeline.yaml's values)")
    replay.add_argument("--camera", type=Path, help="ROS calibration YAML; outranks recorded CameraInfo")
    replay.add_argument(
        "--mount", type=float, nargs=6, metavar=("X", "Y", "Z", "ROLL", "PITCH", "YAW"),
        help="pose of the camera body in base_link, m and rad; a positive pitch looks down",
    )  # fmt: skip
    replay.add_argument("--image-topic", help="which images, where a bag has several")
    replay.add_argument("--poses", choices=("auto", "tf", "odometry", "none"), default="auto", help="robot poses from")
    replay.add_argument("--odometry-topic", help="which odometry, where a bag has several")
    replay.add_argument("--odom-frame", default="odom", help="the fixed frame (REP-105)")
    replay.add_argument("--base-frame", default="base_link", help="the robot's frame (REP-105)")
    replay.add_argument("--rate", type=float, help="images per second of image files (default 10) or a video")
    replay.add_argument("--threads", type=_positive, help="CPU threads of the network (default: one per core)")
    replay.add_argument("--resume", action="store_true", help="go on with an interrupted replay in --out")
    replay.set_defaults(run=_replay)

    render = commands.add_parser("render", help="render labelled training images of the simulated world")
    render.add_argument("out", type=Path, help="folder for images/ and labels/")
    render.add_argument("--count", type=_positive, default=400, help="number of images")
    render.add_argument("--seed", type=int, default=77, help="of the worlds")
    render.set_defaults(run=_render)

    train = commands.add_parser("train", help="train a network by a plan such as config/training/urban.yaml")
    train.add_argument("plan", type=Path, help="training YAML")
    train.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log and the exported network")
    train.add_argument("--data", type=Path, help="folder that dataset paths start from (default: the plan's)")
    train.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt")
    train.add_argument("--start-from", type=Path, help="checkpoint whose weights to start from")
    train.set_defaults(run=_train)

    calibrate = commands.add_parser("calibrate", help="fit a network's temperature and write its figures to its card")
    calibrate.add_argument("plan", type=Path, help="the training YAML, for its validation data")
    calibrate.add_argument("model", type=Path, help="ONNX file with its card beside it")
    calibrate.add_argument("--data", type=Path, help="folder that dataset paths start from (default: the plan's)")
    calibrate.set_defaults(run=_calibrate)
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


class _Bar:
    """A progress bar with ETA, made when the total is known."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: Any = None

    def __call__(self, done: int, total: int | None) -> None:
        if self._bar is None:
            # A resumed run starts in the middle; the rate must not count what was done before.
            self._bar = tqdm(total=total, desc=self._what, unit="", initial=done - 1, disable=None)
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Callable[[int, int | None], None]:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _demo(arguments: argparse.Namespace) -> None:
    from seg_perception.geometry.camera import Camera
    from seg_perception.sim.drive import Scenario
    from seg_perception.sim.drive_bag import write_drive

    find("models/urban.onnx")
    drive = arguments.out / "drive"
    focal = 480 / (2 * math.tan(math.radians(62) / 2))
    camera = Camera.from_fields(480, 360, "plumb_bob", [focal, 0, 239.5, 0, focal, 179.5, 0, 0, 1], [0.0] * 5)
    scenario = Scenario(camera, seed=arguments.seed, duration=arguments.seconds, robot=arguments.robot)
    # Only what an earlier demo left there: the folder may hold other things of the user's.
    shutil.rmtree(drive, ignore_errors=True)
    for name in ("result.mcap", "summary.json", "report.html", "checkpoint.npz"):
        (arguments.out / name).unlink(missing_ok=True)
    with _Bar("rendering the drive") as progress:
        write_drive(drive, scenario, progress=progress)
    matrix = "road_car" if arguments.robot == "car" else "sidewalk_robot"
    command = ["replay", str(drive), "--out", str(arguments.out)]
    replay = _parser().parse_args([*command, "--matrix", str(find(f"config/cost_matrices/{matrix}.yaml"))])
    replay.command_line = arguments.command_line
    _replay(replay, started=time.monotonic())


def _replay(arguments: argparse.Namespace, started: float = STARTED) -> None:
    from seg_perception.bags.recording import SourceOptions
    from seg_perception.bags.replay import ReplayRequest, replay
    from seg_perception.config import PipelineSettings, load_settings
    from seg_perception.geometry.camera import Camera
    from seg_perception.geometry.transforms import mount_to_base_from_optical
    from seg_perception.report import write_report

    if arguments.mount is not None and not all(map(math.isfinite, arguments.mount)):
        raise RecordingError(
            f"--mount {arguments.mount}: must be six finite numbers, x y z in m, roll pitch yaw in rad."
        )
    if arguments.rate is not None and not arguments.rate > 0:
        raise RecordingError(f"--rate {arguments.rate:g}: must be above 0 images per second.")
    options = SourceOptions(
        camera=None if arguments.camera is None else Camera.from_yaml(arguments.camera),
        mount=None if arguments.mount is None else mount_to_base_from_optical(*arguments.mount),
        image_topic=arguments.image_topic,
        poses=arguments.poses,
        odometry_topic=arguments.odometry_topic,
        odom_frame=arguments.odom_frame,
        base_frame=arguments.base_frame,
        rate_hz=arguments.rate,
    )
    request = ReplayRequest(
        source=arguments.input,
        out=arguments.out,
        model=arguments.model or find("models/urban.onnx"),
        matrix=arguments.matrix or find("config/cost_matrices/road_car.yaml"),
        settings=load_settings(arguments.config) if arguments.config else PipelineSettings(),
        options=options,
        threads=arguments.threads,
        resume=arguments.resume,
        command=arguments.command_line,
        started=started,
    )
    with _Bar("replaying") as progress:
        summary = replay(request, progress)
    write_report(request.result, summary, request.report)
    _print_summary(request.out, summary)


def _print_summary(out: Path, summary: dict[str, Any]) -> None:
    frames = summary["frames"]
    dropped = "".join(f"\n  dropped {count}: {reason}" for reason, count in frames["dropped"].items())
    print(
        f"{frames['in']} images in, {frames['out']} results out{dropped}\n"
        f"pipeline {summary['pipeline_ms']['p50']:.1f} ms per frame (p50), network alone "
        f"{summary['network_alone_ms']['p50']:.1f} ms, first result after {summary['first_result_s']:.1f} s, "
        f"peak memory {summary['peak_rss_mb']:.0f} MB"
    )
    for name in ("report.html", "result.mcap", "summary.json"):
        print((out / name).resolve())


def _render(arguments: argparse.Namespace) -> None:
    from seg_perception.geometry.camera import Camera
    from seg_perception.sim.views import write_views

    focal = 480 / (2 * math.tan(math.radians(60) / 2))
    camera = Camera.from_fields(480, 360, "plumb_bob", [focal, 0, 239.5, 0, focal, 179.5, 0, 0, 1], [0.0] * 5)
    with _Bar("rendering") as progress:
        write_views(arguments.out, arguments.seed, arguments.count, camera, progress)
    print(arguments.out.resolve())


def _train(arguments: argparse.Namespace) -> None:
    try:
        from seg_perception.training.plan import load_plan
        from seg_perception.training.train import export, train
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise SegPerceptionError(
            "training needs PyTorch; install it with: pip install 'seg_perception[train]'."
        ) from None
    plan = load_plan(arguments.plan, arguments.data)
    with _Bar("training") as progress:
        checkpoint = train(
            plan,
            arguments.out,
            arguments.resume,
            arguments.start_from,
            progress=lambda done, total, loss: progress(done, total),
            report=tqdm.write,
        )
    model = export(checkpoint, plan, arguments.plan.stem)
    print(f"{model.resolve()}\nnext: seg-perception calibrate {arguments.plan} {model}")


def _calibrate(arguments: argparse.Namespace) -> None:
    from seg_perception.training.calibrate import calibrate_model

    with _Bar("calibrating") as progress:
        result = calibrate_model(arguments.plan, arguments.data, arguments.model, progress)
    for name, score in result.iou.items():
        print(f"{name:>12}  IoU {score:.3f}")
    print(
        f"mean IoU {result.mean_iou:.4f}\ntemperature {result.temperature:.3f}\n"
        f"ECE {result.ece_before:.4f} before, {result.ece_after:.4f} after"
    )


if __name__ == "__main__":
    sys.exit(main())
