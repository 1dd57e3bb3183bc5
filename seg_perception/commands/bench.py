"""seg-perception bench: figures that take a while to measure."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg_perception.commands.common import Bar, Commands, positive
from seg_perception.resources import find

# Rooms are imported when they are needed, as in the other commands.


def register(commands: Commands) -> None:
    """Add the command."""
    bench = commands.add_parser("bench", help="measure what takes a while to measure")
    what = bench.add_mutually_exclusive_group(required=True)
    what.add_argument("--risk", action="store_true", help="labels against risk: drives in the simulator")
    bench.add_argument("--out", type=Path, required=True, help="folder for drives.jsonl and risk.md; again goes on")
    bench.add_argument("--drives", type=positive, default=204, help="drives of each kind")
    bench.add_argument("--workers", type=positive, default=1, help="processes")
    bench.add_argument("--model", type=Path, help="ONNX file with its card beside it (default: the shipped network)")
    bench.add_argument("--matrix", type=Path, help="cost matrix YAML (default: the shipped road_car.yaml)")
    bench.set_defaults(run=_risk)


def _risk(arguments: argparse.Namespace) -> None:
    from seg_perception.proof.study import StudyRequest, run_study
    from seg_perception.proof.table import write_tables

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
