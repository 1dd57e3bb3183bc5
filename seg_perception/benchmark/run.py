"""The parts of the bench, one after the other, and all their figures together."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seg_perception.benchmark.options import LONG_PARTS, PARTS
from seg_perception.benchmark.parts.baselines import peers_part
from seg_perception.benchmark.parts.gpu import gpu_part
from seg_perception.benchmark.parts.grid import grid_part
from seg_perception.benchmark.parts.latency import frame_part
from seg_perception.benchmark.parts.ray import ray_part
from seg_perception.benchmark.parts.ros import ros_part
from seg_perception.benchmark.parts.scaling import grow_part
from seg_perception.benchmark.parts.soak import soak_part
from seg_perception.benchmark.setup import BenchRequest, Progress, Setup
from seg_perception.benchmark.targets import verdicts
from seg_perception.model.card import file_sha256, model_sha256
from seg_perception.offline.statistics import versions

_MEASURE: dict[str, Callable[[Setup, Progress], Any]] = dict(
    zip(
        (*PARTS, *LONG_PARTS),
        (frame_part, peers_part, ros_part, grid_part, grow_part, gpu_part, ray_part, soak_part),
        strict=True,
    )
)


def run_bench(
    request: BenchRequest, parts: Sequence[str], bar: Callable[[str], AbstractContextManager[Progress]]
) -> dict[str, Any]:
    """Run parts of the bench.

    Args:
        request: what to bench.
        parts: of `choices.PARTS` and `choices.LONG_PARTS`.
        bar: opens a progress bar with a name.

    Returns:
        The content of bench.json: goals (`goals.Verdict.content`); parts, by name what each gives; quick; network;
        machine (cores, processor, load when it began); versions and hashes.

    Raises:
        SegPerceptionError: network or matrix cannot be used.
    """
    load = os.getloadavg()[0]
    setup = Setup(request)
    figures = {}
    for part in parts:
        with bar(part) as progress:
            figures[part] = _MEASURE[part](setup, progress)
    return {
        "goals": [verdict.content() for verdict in verdicts(figures)],
        "parts": figures,
        "quick": request.quick,
        "network": {"name": setup.card.name, **asdict(setup.own_size)},
        "machine": {"cores": os.cpu_count(), "processor": _processor(), "load": round(load, 2)},
        "versions": dict(versions()),
        "hashes": {"model": model_sha256(request.model), "matrix": file_sha256(request.matrix)},
    }


def write_json(summary: dict[str, Any], path: Path) -> None:
    """Write the figures."""
    path.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _processor() -> str:
    """The processor's name, as well as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
