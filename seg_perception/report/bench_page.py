"""The web page of the speed benchmark: targets, latency, baselines, ROS 2, grid, GPU, scaling and soak test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seg_perception.report.page import BENCH, render, write_page


def write_bench_page(summary: Mapping[str, Any], out: Path) -> None:
    """Write a self-contained HTML page: no network, no other files.

    Args:
        summary: from `benchmark.run.run_bench`, with the `command` added.
        out: the page; an existing one is replaced once the new one is complete.

    Raises:
        RecordingError: `out` cannot be written.
    """
    write_page(render({"summary": summary}, BENCH), out)
