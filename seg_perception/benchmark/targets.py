"""What the figures of a run are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

AROUND = {(480, 360): 0.20, (1024, 512): 0.10}
"""By image size, the most that everything but the network may cost, as a share of the network's own median."""

GRID = 200
"""Cells along a side of the grid for which that holds."""

FASTER = {"nav2_tutorial": 8.0, "pixel_projection": 5.0, "warp_torch": 5.0}
"""By peer: how many times longer it is to take behind the network."""

LABELS = 0.999
"""The least share of pixels with the same label, where a peer answers the same question."""


CAMERAS = {(1280, 720, "raw", 30), (1920, 1080, "compressed", 30)}
"""Width, height, transport and rate (Hz) of which no image is to be lost, and from whose stamp to the costmap it may
take so long:"""

LATENCY_MS = 40.0
"""95 % of the time."""


GRID_MS = {"plane": 4.0, "depth": 12.0}
"""By projection, the most that projecting, fusing and pricing may take on one core, median, with `GRID` cells."""

WORKERS = 1.7
"""How many times as fast two workers are to be as one, on two cores."""

GROWTH = 0.02
"""The most that memory may grow over very many frames."""


@dataclass(frozen=True)
class Verdict:
    """A figure and its goal.

    Attributes:
        what: what was measured.
        figure: value, low and high; all the same where nothing was timed, None where noise leaves no figure.
        limit: the goal.
        side: whether it is the most or the least that the figure may be.
        form: how to write the figure: a share, how many times, or milliseconds.
    """

    what: str
    figure: Mapping[str, float | None]
    limit: float
    side: Literal["most", "least"]
    form: Literal["share", "times", "ms"]

    @property
    def met(self) -> bool:
        """Whether the figure is on the right side of the goal."""
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
        """For people."""
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


def verdicts(parts: Mapping[str, Any]) -> list[Verdict]:
    """The goals that the figures of a run can be held against.

    Args:
        parts: "frame", "peers", "ros", "grid", "ray" and "soak" as their parts give them; any may be missing.
    """
    return [
        *_of_frames(parts.get("frame", ())),
        *_of_peers(parts.get("peers", ())),
        *_of_cameras(parts.get("ros", ())),
        *_of_grids(parts.get("grid", ())),
        *_of_workers(parts.get("ray", {})),
        *_of_memory(parts.get("soak", {})),
    ]


def _of_frames(rows: Any) -> Iterator[Verdict]:
    for row in rows:
        limit = AROUND.get((row["width"], row["height"]))
        if limit is not None and row["cells"] == GRID:
            yield Verdict(f"all but the network at {case_name(row)}", row["around"], limit, "most", "share")


def _of_peers(rows: Any) -> Iterator[Verdict]:
    for row in rows:
        name = f"{row['peer']} at {case_name(row)}"
        yield Verdict(f"faster behind the network than {name}", row["faster"], FASTER[row["key"]], "least", "times")
        if "labels" in row["agreement"]:
            yield Verdict(f"labels as {name}", _exactly(row["agreement"]["labels"]), LABELS, "least", "share")


def _of_cameras(rows: Any) -> Iterator[Verdict]:
    for row in rows:
        if (row["width"], row["height"], row["transport"], row["rate"]) in CAMERAS:
            name = camera_name(row)
            yield Verdict(f"images that become costmaps, {name}", _exactly(row["received"]), 1.0, "least", "share")
            p95 = row["latency_ms"] and row["latency_ms"]["p95"]
            yield Verdict(f"image's stamp to costmap, p95, {name}", _exactly(p95), LATENCY_MS, "most", "ms")


def _of_grids(rows: Any) -> Iterator[Verdict]:
    for row in rows:
        if row["cells"] == GRID:
            name = f"projecting, fusing and pricing, {row['projection']}, {GRID}² cells"
            yield Verdict(name, _exactly(row["grid_ms"]["p50"]), GRID_MS[row["projection"]], "most", "ms")


def _of_workers(part: Mapping[str, Any]) -> Iterator[Verdict]:
    if part:
        yield Verdict("faster with two workers than with one", part["faster"], WORKERS, "least", "times")


def _of_memory(ways: Mapping[str, Any]) -> Iterator[Verdict]:
    for way, rows in ways.items():
        grown = max(row["rss_mb"] for row in rows) / rows[0]["rss_mb"] - 1
        name = f"memory grows from {rows[0]['x']} to {rows[-1]['x']} frames, {way}"
        yield Verdict(name, _exactly(grown), GROWTH, "most", "share")


def _exactly(value: float | None) -> dict[str, float | None]:
    return {"value": value, "low": value, "high": value}


def case_name(row: Mapping[str, Any]) -> str:
    """Such as "480×360, 12 classes, 200² cells"."""
    return f"{row['width']}×{row['height']}, {row['classes']} classes, {row['cells']}² cells"


def camera_name(row: Mapping[str, Any]) -> str:
    """Such as "1280×720 raw at 30 Hz"."""
    return f"{row['width']}×{row['height']} {row['transport']} at {row['rate']} Hz"
