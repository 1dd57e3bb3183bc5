"""The targets that the figures of a run are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

MAX_OVERHEAD = {(480, 360): 0.20, (1024, 512): 0.10}
"""By image size, the greatest overhead of the pipeline, as a share of the median of its network alone."""

GRID_CELLS = 200
"""Cells along a side of the grid for which `MAX_OVERHEAD` and `MAX_GRID_MS` hold."""

MIN_SPEEDUP = {"nav2_tutorial": 8.0, "pixel_projection": 5.0, "warp_torch": 5.0}
"""By baseline, the least ratio of its time after the network to the pipeline's overhead."""

MIN_LABEL_AGREEMENT = 0.999
"""The least share of pixels with the same label as a baseline that makes labels."""

CAMERAS = {(1280, 720, "raw", 30), (1920, 1080, "compressed", 30)}
"""Cameras (width, height, transport, rate in Hz) that may lose no image and for which `MAX_LATENCY_P95_MS` holds."""

MAX_LATENCY_P95_MS = 40.0
"""The greatest 95th percentile of the time from an image's stamp to its costmap."""

MAX_GRID_MS = {"plane": 4.0, "depth": 12.0}
"""By projection, the greatest median of projection, fusion and costs on one core, with `GRID_CELLS` cells."""

MIN_WORKER_SPEEDUP = 1.7
"""The least ratio of the time of one worker to that of two, on two cores."""

MAX_MEMORY_GROWTH = 0.02
"""The greatest growth of memory over very many frames."""


@dataclass(frozen=True)
class TargetResult:
    """A figure compared with its target.

    Attributes:
        what: what was measured.
        figure: value, low and high; all equal where nothing was timed, None where noise hides the figure.
        limit: the target.
        side: whether the limit is the most or the least that the figure may be.
        form: how to write the figure: a share, a factor, or milliseconds.
    """

    what: str
    figure: Mapping[str, float | None]
    limit: float
    side: Literal["most", "least"]
    form: Literal["share", "times", "ms"]

    @property
    def met(self) -> bool:
        """Whether the figure meets the target."""
        value = self.figure["value"]
        if value is None:
            return False
        return value <= self.limit if self.side == "most" else value >= self.limit

    def content(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "what": self.what,
            "figure": dict(self.figure),
            "limit": self.limit,
            "side": self.side,
            "form": self.form,
            "met": self.met,
        }

    def line(self) -> str:
        """One line for the terminal."""
        value, low, high = (self._written(self.figure[name]) for name in ("value", "low", "high"))
        interval = "" if value == low == high else f" ({low} to {high})"
        side = "at most" if self.side == "most" else "at least"
        return (
            f"{'met   ' if self.met else 'missed'}  {self.what}: {value}{interval}, {side} {self._written(self.limit)}"
        )

    def _written(self, number: float | None) -> str:
        if number is None:
            return "–"
        if self.form == "share":
            return f"{100 * number:.4g} %"
        return f"{number:.3g}×" if self.form == "times" else f"{number:.3g} ms"


def check_targets(parts: Mapping[str, Any]) -> list[TargetResult]:
    """Compare the figures of a run with every target that applies.

    Args:
        parts: by name, as `measure_latency` and the other parts return them; any may be missing.
    """
    return [
        *_latency(parts.get("latency", ())),
        *_baselines(parts.get("baselines", ())),
        *_cameras(parts.get("ros", ())),
        *_grids(parts.get("grid", ())),
        *_workers(parts.get("ray", {})),
        *_memory(parts.get("soak", {})),
    ]


def _latency(rows: Any) -> Iterator[TargetResult]:
    for row in rows:
        limit = MAX_OVERHEAD.get((row["width"], row["height"]))
        if limit is not None and row["cells"] == GRID_CELLS:
            yield TargetResult(f"overhead at {case_name(row)}", row["overhead"], limit, "most", "share")


def _baselines(rows: Any) -> Iterator[TargetResult]:
    for row in rows:
        name = f"{row['baseline']} at {case_name(row)}"
        yield TargetResult(f"speedup over {name}", row["speedup"], MIN_SPEEDUP[row["key"]], "least", "times")
        if "labels" in row["agreement"]:
            yield TargetResult(
                f"same labels as {name}", _exactly(row["agreement"]["labels"]), MIN_LABEL_AGREEMENT, "least", "share"
            )


def _cameras(rows: Any) -> Iterator[TargetResult]:
    for row in rows:
        if (row["width"], row["height"], row["transport"], row["rate"]) in CAMERAS:
            name = camera_name(row)
            yield TargetResult(f"images that became costmaps, {name}", _exactly(row["received"]), 1.0, "least", "share")
            p95 = row["latency_ms"] and row["latency_ms"]["p95"]
            yield TargetResult(f"image stamp to costmap, p95, {name}", _exactly(p95), MAX_LATENCY_P95_MS, "most", "ms")


def _grids(rows: Any) -> Iterator[TargetResult]:
    for row in rows:
        if row["cells"] == GRID_CELLS:
            name = f"projection, fusion and costs, {row['projection']}, {GRID_CELLS}² cells"
            yield TargetResult(name, _exactly(row["grid_ms"]["p50"]), MAX_GRID_MS[row["projection"]], "most", "ms")


def _workers(part: Mapping[str, Any]) -> Iterator[TargetResult]:
    if part:
        yield TargetResult("speedup of two workers over one", part["speedup"], MIN_WORKER_SPEEDUP, "least", "times")


def _memory(paths: Mapping[str, Any]) -> Iterator[TargetResult]:
    for path, rows in paths.items():
        grown = max(row["rss_mb"] for row in rows) / rows[0]["rss_mb"] - 1
        name = f"memory growth from {rows[0]['x']} to {rows[-1]['x']} frames, {path}"
        yield TargetResult(name, _exactly(grown), MAX_MEMORY_GROWTH, "most", "share")


def _exactly(value: float | None) -> dict[str, float | None]:
    return {"value": value, "low": value, "high": value}


def case_name(row: Mapping[str, Any]) -> str:
    """Such as "480×360, 12 classes, 200² cells"."""
    return f"{row['width']}×{row['height']}, {row['classes']} classes, {row['cells']}² cells"


def camera_name(row: Mapping[str, Any]) -> str:
    """Such as "1280×720 raw at 30 Hz"."""
    return f"{row['width']}×{row['height']} {row['transport']} at {row['rate']} Hz"
