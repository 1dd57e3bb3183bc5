"""The web page of a replay: images, decisions, costmaps, costs and latencies of a whole drive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seg_perception.recordings.result_bag.reader import LabelInfo, read_label_info, read_result
from seg_perception.report.content import collect
from seg_perception.report.page import render, write_page

__all__ = ["write_report"]


def write_report(result: Path, summary: Mapping[str, Any], out: Path, max_frames: int = 120) -> None:
    """Write a self-contained HTML page: no network, no other files, opens from disk in any current browser.

    Args:
        result: the `result.mcap` of a replay. It is read twice, a chunk at a time.
        summary: the content of `summary.json`. `frames` is required; the page shows all other keys that exist:

            frames: {"in": int, "out": int, "dropped": {reason: int}}
            input: the recording, label to text or number, e.g. {"path": "drive.mcap", "kind": "rosbag2"}
            command: the command line
            stages: {name: {"p50": ms, "p95": ms, "p99": ms}}, in pipeline order
            network_alone_ms: {"p50": ms, "p95": ms, "p99": ms}, the network without the decision
            overhead: time of everything but the network, as a multiple of the network's time (p50)
            first_result_s: seconds from start to the first result
            peak_rss_mb: largest resident memory, MB
            cells: {name: number}; a name that ends in "share" is a share of the grid's cells, 0..1
            versions: {name: text}
            hashes: {name: text}
        out: the page; an existing one is replaced once the new one is complete.
        max_frames: number of frames with images, evenly distributed over the drive; curves cover many more.

    Raises:
        RecordingError: `result` is not the result of a replay, or `out` cannot be written.
    """
    if summary["frames"]["out"]:
        content = collect(lambda: read_result(result), read_label_info(result), summary, max_frames)
    else:  # the page shows the reasons; a result without frames has no label info
        content = collect(tuple, LabelInfo((), np.empty((0, 3), dtype=np.uint8), ()), summary, max_frames)
    write_page(render(content), out)
