"""Runs the parts of the benchmark and collects their figures."""

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
from seg_perception.benchmark.parts.baselines import measure_baselines
from seg_perception.benchmark.parts.gpu import measure_gpu
from seg_perception.benchmark.parts.grid import measure_grid
from seg_perception.benchmark.parts.latency import measure_latency
from seg_perception.benchmark.parts.ray import measure_ray
from seg_perception.benchmark.parts.ros import measure_ros
from seg_perception.benchmark.parts.scaling import measure_scaling
from seg_perception.benchmark.parts.soak import measure_soak
from seg_perception.benchmark.setup import BenchRequest, Progress, Setup
from seg_perception.benchmark.targets import check_targets
from seg_perception.model.card import file_sha256, model_sha256
from seg_perception.offline.statistics import versions

_MEASUREMENTS: dict[str, Callable[[Setup, Progress], Any]] = dict(
    zip(
        (*PARTS, *LONG_PARTS),
        (
            measure_latency,
            measure_baselines,
            measure_ros,
            measure_grid,
            measure_scaling,
            measure_gpu,
            measure_ray,
            measure_soak,
        ),
        strict=True,
    )
)


def run_bench(
    request: BenchRequest, parts: Sequence[str], bar: Callable[[str], AbstractContextManager[Progress]]
) -> dict[str, Any]:
    """Run parts of the benchmark.

    Args:
        request: what to measure.
        parts: of `options.PARTS` and `options.LONG_PARTS`.
        bar: opens a progress bar with a name.

    Returns:
        The content of bench.json: targets (`TargetResult.content`); parts, the figures of each by its name; quick;
        network; machine (cores, processor, load at the start); versions and hashes.

    Raises:
        SegPerceptionError: network or matrix cannot be used.
    """
    load = os.getloadavg()[0]
    setup = Setup(request)
    figures = {}
    for part in parts:
        with bar(part) as progress:
            figures[part] = _MEASUREMENTS[part](setup, progress)
    return {
        "targets": [verdict.content() for verdict in check_targets(figures)],
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
    """The processor's name, as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
