"""seg-perception bench: figures that take a while to measure."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from seg_perception.benchmark.options import LONG_PARTS, PARTS
from seg_perception.cli.common import Bar, Commands, positive
from seg_perception.errors import ConfigError
from seg_perception.utils.package_files import find

# Rooms are imported when they are needed, as in the other commands.


def register(commands: Commands) -> None:
    """Add the command."""
    bench = commands.add_parser("bench", help="measure what takes a while to measure")
    bench.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"what to measure, of {', '.join(PARTS)} (default: these) and {', '.join(LONG_PARTS)}",
    )
    bench.add_argument("--quick", action="store_true", help="a few cases only: two minutes instead of twenty")
    bench.add_argument("--risk", action="store_true", help="labels against risk instead: drives in the simulator")
    bench.add_argument("--drives", type=positive, default=204, help="with --risk: drives of each kind")
    bench.add_argument("--workers", type=positive, default=1, help="with --risk: processes")
    bench.add_argument(
        "--out", type=Path, default=Path("bench_out"),
        help="folder for bench.json and bench.html; with --risk for drives.jsonl, where a second run goes on",
    )  # fmt: skip
    bench.add_argument("--model", type=Path, help="ONNX file with its card beside it (default: the shipped network)")
    bench.add_argument("--matrix", type=Path, help="cost matrix YAML (default: the shipped road_car.yaml)")
    bench.add_argument("--threads", type=positive, help="CPU threads of the network (default: one per core)")
    bench.set_defaults(run=_bench)


def _bench(arguments: argparse.Namespace) -> None:
    from seg_perception.benchmark.run import run_bench, write_json
    from seg_perception.benchmark.setup import BenchRequest
    from seg_perception.benchmark.targets import verdicts
    from seg_perception.report.bench_page import write_bench_page

    if arguments.risk:
        _risk(arguments)
        return
    for part in arguments.parts:
        if part not in (*PARTS, *LONG_PARTS):
            known = ", ".join((*PARTS, *LONG_PARTS))
            raise ConfigError(f"bench {part}: is no part of the bench; name one or more of {known}.")
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
    for verdict in verdicts(summary["parts"]):
        print(verdict.line())
    if "peers" in summary["parts"] and all(row["key"] != "warp_torch" for row in summary["parts"]["peers"]):
        print("peers: PyTorch is not installed, so the peer that is written in it is left out; pip install torch.")
    if summary["parts"].get("ros") == []:
        print("ros: ROS 2 is not installed, so nothing was measured over it; pip install 'seg_perception[ros]'.")
    if summary["parts"].get("ray") == {}:
        print("ray: Ray is not installed, so nothing was spread; pip install 'seg_perception[ray]'.")
    for sentence in summary["parts"].get("gpu", {}).get("left_out", ()):
        print(f"gpu: {sentence}")
    for name in ("bench.html", "bench.json"):
        print((arguments.out / name).resolve())


def _risk(arguments: argparse.Namespace) -> None:
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
        for outcomes in run_study(request, progress):
            tables = write_tables(outcomes)
            (request.out / "risk.md").write_text(tables, encoding="utf-8")
    print(tables)
