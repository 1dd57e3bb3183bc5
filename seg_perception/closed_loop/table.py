"""The comparison as Markdown: how each way to price cells drove, and what it changes against labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from seg_perception.closed_loop.drive import Record
from seg_perception.closed_loop.study import DEGRADED, IMAGES, TRUE_LABELS, TRUE_MAP, Cell, Images, Outcome, cells
from seg_perception.closed_loop.variants import VARIANTS
from seg_perception.evaluation.metrics.intervals import Interval, bootstrap_mean, wilson

_NAMES = {
    TRUE_MAP: "true map",
    TRUE_LABELS.name: "true labels",
    "labels": "(a) labels",
    "threshold": "(b) labels from 0.7",
    "expected": "(c) expected cost",
    "expected_bolder": "(c) expected cost, q × 1.5",
    "expected_boldest": "(c) expected cost, q × 2",
    "cvar_0.5": "(d) CVaR 0.5",
    "cvar_0.9": "(d) CVaR 0.9",
    "cvar_0.9_bolder": "(d) CVaR 0.9, q × 10",
}
_BASE = "labels"
_CHANGES = ("collided, points", "arrived, points", "pavement and grass m", "path m where both arrived")
_DIGITS = (1, 1, 2, 2)


def write_tables(outcomes: Sequence[Outcome]) -> str:
    """All tables; cells in which nothing was driven yet are left out."""
    parts = []
    for images in IMAGES:
        of_images = [outcome for outcome in outcomes if outcome.cell.images == images]
        parts += [
            f"### {images.capitalize()} images",
            _how_they_drove(of_images, images),
            "Against (a) on the same courses:",
            _differences(of_images, images),
            "What was hit:",
            _hits(of_images, images),
        ]
    parts += ["### Against (a), a course's drives on both kinds of images taken together", _together(outcomes)]
    parts += ["### Calibrated against uncalibrated on the same courses", _calibration(outcomes)]
    parts += ["### By what was wrong", _by_fault(outcomes)]
    return "\n\n".join(parts) + "\n"


def _how_they_drove(outcomes: Sequence[Outcome], images: Images) -> str:
    rows = []
    for cell in cells(images):
        drives = [outcome.record for outcome in outcomes if outcome.cell == cell]
        if not drives:
            continue
        ends = Counter(record.end for record in drives)
        arrived = [_path(record) for record in drives if record.end == "goal"]
        rows.append(
            [
                *_title(cell),
                str(len(drives)),
                *(_share(wilson(count, len(drives))) for count in (ends["collision"], ends["goal"])),
                _share(wilson(ends["stuck"] + ends["late"], len(drives))),
                *(_metres([r.ground.get(name, 0.0) for r in drives]) for name in ("Pavement", "Grass")),
                _metres(arrived),
                _number(bootstrap_mean([float(record.waits) for record in drives]), 1),
            ]
        )
    head = ["cells by", "calibrated", "drives", "collided %", "arrived %", "gave up %"]
    return _table([*head, "pavement m", "grass m", "path m if arrived", "images that led nowhere"], rows)


def _differences(outcomes: Sequence[Outcome], images: Images) -> str:
    rows = [
        [*_title(cell), *_changes(outcomes, cell, Cell(images, _BASE))]
        for cell in cells(images)
        if cell.variant != _BASE and any(outcome.cell == cell for outcome in outcomes)
    ]
    return _table(["cells by", "calibrated", *_CHANGES], rows)


def _together(outcomes: Sequence[Outcome]) -> str:
    """As `_differences` of what ended how, with the mean of a course's two drives in place of each."""
    ends = {(outcome.cell, outcome.seed): outcome.record.end for outcome in outcomes}
    rows = []
    for cell in cells("clean"):
        both = [replace(cell, images=images) for images in IMAGES]
        base = [Cell(images, _BASE) for images in IMAGES]
        whole = [seed for seed in sorted({o.seed for o in outcomes}) if all((c, seed) in ends for c in (*both, *base))]
        if cell.variant == _BASE or not whole:
            continue
        changes = [
            [
                50.0 * (sum(ends[c, seed] == end for c in both) - sum(ends[c, seed] == end for c in base))
                for seed in whole
            ]
            for end in ("collision", "goal")
        ]
        rows.append([*_title(cell), *(_signed(bootstrap_mean(values), 1) for values in changes)])
    return _table(["cells by", "calibrated", *_CHANGES[:2]], rows)


def _calibration(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for images in IMAGES:
        for cell in cells(images):
            if not cell.calibrated and any(outcome.cell == cell for outcome in outcomes):
                changes = _changes(outcomes, replace(cell, calibrated=True), cell)
                rows.append([images, _NAMES[cell.variant], *changes])
    return _table(["images", "cells by", *_CHANGES], rows)


def _changes(outcomes: Sequence[Outcome], cell: Cell, base: Cell) -> list[str]:
    """How a cell differs from another on the courses that both drove, one text for each of `_CHANGES`."""
    of_base = {outcome.seed: outcome.record for outcome in outcomes if outcome.cell == base}
    pairs = [(o.record, of_base[o.seed]) for o in outcomes if o.cell == cell and o.seed in of_base]
    ends = [[100.0 * ((one.end == end) - (other.end == end)) for one, other in pairs] for end in ("collision", "goal")]
    aside = [_aside(one) - _aside(other) for one, other in pairs]
    both = [_path(one) - _path(other) for one, other in pairs if one.end == other.end == "goal"]
    return [
        _signed(bootstrap_mean(values), digits) for values, digits in zip((*ends, aside, both), _DIGITS, strict=True)
    ]


def _aside(record: Record) -> float:
    return record.ground.get("Pavement", 0.0) + record.ground.get("Grass", 0.0)


def _path(record: Record) -> float:
    return sum(record.ground.values())


def _hits(outcomes: Sequence[Outcome], images: Images) -> str:
    rows = []
    hits = [(outcome.cell, outcome.record.hit) for outcome in outcomes if outcome.record.hit]
    counts = {cell: Counter(hit for where, hit in hits if where == cell) for cell in cells(images)}
    classes = sorted({hit for _, hit in hits})
    for cell, count in counts.items():
        rows.append([*_title(cell), *(str(count[name]) for name in classes)])
    return _table(["cells by", "calibrated", *classes], rows)


def _by_fault(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for fault in ("day", *DEGRADED):
        row = [fault]
        for variant in VARIANTS:
            drives = [o.record for o in outcomes if o.fault == fault and _is(o.cell, variant.name)]
            ends = Counter(record.end for record in drives)
            shares = [100.0 * ends[end] / max(len(drives), 1) for end in ("collision", "goal")]
            row.append(f"{shares[0]:.0f} / {shares[1]:.0f}" if drives else "")
        rows.append(row)
    return _table(["collided % / arrived %, calibrated", *(_NAMES[variant.name] for variant in VARIANTS)], rows)


def _is(cell: Cell, name: str) -> bool:
    return cell.variant == name and cell.calibrated


def _title(cell: Cell) -> tuple[str, str]:
    indifferent = cell.variant in (TRUE_MAP, TRUE_LABELS.name, _BASE)
    return _NAMES[cell.variant], "" if indifferent else "yes" if cell.calibrated else "no"


def _share(interval: Interval) -> str:
    return _number(Interval(100.0 * interval.value, 100.0 * interval.low, 100.0 * interval.high), 1)


def _metres(values: Sequence[float]) -> str:
    return _number(bootstrap_mean(values), 2)


def _number(interval: Interval, digits: int) -> str:
    if math.isnan(interval.value):
        return ""
    return f"{interval.value:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def _signed(interval: Interval, digits: int) -> str:
    if math.isnan(interval.value):
        return ""
    text = f"{interval.value:+.{digits}f} [{interval.low:+.{digits}f}, {interval.high:+.{digits}f}]"
    least = 0.5 * 10.0**-digits  # what is not rounded to 0
    return f"**{text}**" if interval.low >= least or interval.high <= -least else text


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)
