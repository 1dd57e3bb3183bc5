"""seg-perception bench speed | closed-loop: latency and memory, or closed-loop drives in the simulator."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from seg_perception.benchmark.options import LONG_PARTS, PARTS
from seg_perception.cli.common import Bar, Commands, add_command, positive
from seg_perception.errors import ConfigError
from seg_perception.utils.package_files import find

# Modules are imported when they are needed: help must not wait for ONNX Runtime.


def register(commands: Commands) -> None:
    """Add the command."""
    bench = add_command(commands, "bench", "measure latency and memory, or drive the closed-loop study")
    kinds = bench.add_subparsers(required=True, metavar="speed|closed-loop")

    speed = add_command(kinds, "speed", "measure latency and memory on this machine")
    speed.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"what to measure, of {', '.join(PARTS)} (default: these) and {', '.join(LONG_PARTS)}",
    )
    speed.add_argument("--quick", action="store_true", help="a few cases only: two minutes instead of twenty")
    speed.add_argument("--threads", type=positive, help="CPU threads of the network (default: one per core)")
    speed.add_argument(
        "--out", type=Path, default=Path("bench_out"), help="folder for bench.json and bench.html"
    )  # fmt: skip
    _add_network_arguments(speed)
    speed.set_defaults(run=_speed)

    closed_loop = add_command(
        kinds, "closed-loop", "compare cost rules, labels against risk, by closed-loop drives in the simulator"
    )
    closed_loop.add_argument("--drives", type=positive, default=204, help="drives of each case (default: 204)")
    closed_loop.add_argument("--workers", type=positive, default=1, help="processes (default: 1)")
    closed_loop.add_argument(
        "--out",
        type=Path,
        default=Path("closed_loop_out"),
        help="folder for drives.jsonl and closed_loop.md; a second run resumes there",
    )
    _add_network_arguments(closed_loop)
    closed_loop.set_defaults(run=_closed_loop)


def _add_network_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, help="ONNX file with its card next to it (default: the shipped network)")
    parser.add_argument("--matrix", type=Path, help="cost matrix YAML (default: the shipped road_car.yaml)")


def _speed(arguments: argparse.Namespace) -> None:
    from seg_perception.benchmark.run import run_bench, write_json
    from seg_perception.benchmark.setup import BenchRequest
    from seg_perception.benchmark.targets import check_targets
    from seg_perception.report.bench_page import write_bench_page

    for part in arguments.parts:
        if part not in (*PARTS, *LONG_PARTS):
            known = ", ".join((*PARTS, *LONG_PARTS))
            raise ConfigError(f"bench speed {part}: is not a part of the benchmark; name one or more of {known}.")
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {arguments.out}: cannot be made ({error.strerror}); choose another folder.") from None
    with tempfile.TemporaryDirectory() as folder:
        request = BenchRequest(
            model=arguments.model or find("models/urban.onnx"),
            matrix=arguments.matrix or find("config/cost_matrices/road_car.yaml"),
            quick=arguments.quick,
            threads=arguments.threads,
            folder=Path(folder),
        )
        summary = run_bench(request, arguments.parts or PARTS, Bar)
    summary["command"] = arguments.command_line
    write_json(summary, arguments.out / "bench.json")
    write_bench_page(summary, arguments.out / "bench.html")
    for result in check_targets(summary["parts"]):
        print(result.line())
    _print_skipped(summary["parts"])
    for name in ("bench.html", "bench.json"):
        print((arguments.out / name).resolve())


def _print_skipped(parts: dict[str, Any]) -> None:
    """Say what was not measured because something is not installed."""
    if "baselines" in parts and all(row["key"] != "warp_torch" for row in parts["baselines"]):
        print("baselines: PyTorch is not installed, so the baseline that needs it was skipped; pip install torch.")
    if parts.get("ros") == []:
        print("ros: ROS 2 is not installed, so this part was skipped; pip install 'seg_perception[ros]'.")
    if parts.get("ray") == {}:
        print("ray: Ray is not installed, so this part was skipped; pip install 'seg_perception[ray]'.")
    for sentence in parts.get("gpu", {}).get("skipped", ()):
        print(f"gpu: {sentence}")


def _closed_loop(arguments: argparse.Namespace) -> None:
    from seg_perception.closed_loop.study import StudyRequest, run_study
    from seg_perception.closed_loop.table import write_tables

    request = StudyRequest(
        out=arguments.out,
        model=arguments.model or find("models/urban.onnx"),
        matrix=arguments.matrix or find("config/cost_matrices/road_car.yaml"),
        drives=arguments.drives,
        workers=arguments.workers,
    )
    tables = ""
    with Bar("driving") as progress:
        for results in run_study(request, progress):
            tables = write_tables(results)
            (request.out / "closed_loop.md").write_text(tables, encoding="utf-8")
    print(tables)
