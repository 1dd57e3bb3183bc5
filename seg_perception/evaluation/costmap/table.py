"""Costmap metrics as a table for terminal and documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BY_BAND = {
    "lethal recall": "lethal_recall",
    "in the same cell": "lethal_exact",
    "false free": "false_free",
    "lethal precision": "lethal_precision",
}


def costmap_table(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a row per drive, metrics by range band separated by slashes.

    Args:
        summaries: name of a drive → `CostmapEvaluator.summary`.
    """
    bands = next(iter(summaries.values()))["bands"]
    head = ["", *_BY_BAND, "unknown", "cost error", "regret m", "no path", "p50 ms"]
    rows = []
    for name, each in summaries.items():
        by_band = each["by_band"]
        regret, low, high = each["regret_m"]
        rows.append(
            [
                name,
                *(_slashed(by_band[key], 3) for key in _BY_BAND.values()),
                _slashed(by_band["unknown"], 2),
                _slashed(by_band["cost_error"], 0),
                "–" if regret is None else f"{regret:.2f} [{low:.2f}, {high:.2f}]",
                _plain(each["no_way"], 2),
                _plain(each["latency_ms"]["p50"], 1),
            ]
        )
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join([*lines, "", f"Bands: {' / '.join(bands)}."])


def _slashed(values: list[float | None], digits: int) -> str:
    return " / ".join(_plain(value, digits) for value in values)


def _plain(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
