"""The results of the study as Markdown: how each cost rule drove, and its difference to labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from seg_perception.closed_loop.drive import DriveRecord
from seg_perception.closed_loop.study import (
    DEGRADED,
    IMAGES,
    TRUE_LABELS,
    TRUE_MAP,
    DriveResult,
    Images,
    StudyCase,
    study_cases,
)
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
_REFERENCE = "labels"
_CHANGES = ("collided, points", "arrived, points", "pavement and grass m", "path m where both arrived")
_DIGITS = (1, 1, 2, 2)


def write_tables(results: Sequence[DriveResult]) -> str:
    """All tables; cases without a finished drive are left out."""
    parts = []
    for images in IMAGES:
        of_images = [result for result in results if result.case.images == images]
        parts += [
            f"### {images.capitalize()} images",
            _summary(of_images, images),
            "Against (a) on the same courses:",
            _differences(of_images, images),
            "Collisions by class:",
            _collisions_by_class(of_images, images),
        ]
    parts += ["### Clean and degraded images combined, against (a)", _combined(results)]
    parts += ["### Calibrated against uncalibrated on the same courses", _calibration(results)]
    parts += ["### By degradation", _by_degradation(results)]
    return "\n\n".join(parts) + "\n"


def _summary(results: Sequence[DriveResult], images: Images) -> str:
    rows = []
    for case in study_cases(images):
        drives = [result.record for result in results if result.case == case]
        if not drives:
            continue
        ends = Counter(record.end for record in drives)
        arrived = [_path(record) for record in drives if record.end == "goal"]
        rows.append(
            [
                *_title(case),
                str(len(drives)),
                *(_share(wilson(count, len(drives))) for count in (ends["collision"], ends["goal"])),
                _share(wilson(ends["stuck"] + ends["late"], len(drives))),
                *(_metres([r.ground.get(name, 0.0) for r in drives]) for name in ("Pavement", "Grass")),
                _metres(arrived),
                _number(bootstrap_mean([float(record.waits) for record in drives]), 1),
            ]
        )
    head = ["cost rule", "calibrated", "drives", "collided %", "arrived %", "gave up %"]
    return _table([*head, "pavement m", "grass m", "path m if arrived", "images without a path"], rows)


def _differences(results: Sequence[DriveResult], images: Images) -> str:
    rows = [
        [*_title(case), *_changes(results, case, StudyCase(images, _REFERENCE))]
        for case in study_cases(images)
        if case.variant != _REFERENCE and any(result.case == case for result in results)
    ]
    return _table(["cost rule", "calibrated", *_CHANGES], rows)


def _combined(results: Sequence[DriveResult]) -> str:
    """Differences of the shares of ends, over the means of each course's two drives."""
    ends = {(result.case, result.seed): result.record.end for result in results}
    rows = []
    for case in study_cases("clean"):
        both = [replace(case, images=images) for images in IMAGES]
        reference = [StudyCase(images, _REFERENCE) for images in IMAGES]
        whole = [
            seed
            for seed in sorted({result.seed for result in results})
            if all((c, seed) in ends for c in (*both, *reference))
        ]
        if case.variant == _REFERENCE or not whole:
            continue
        changes = [
            [
                50.0 * (sum(ends[c, seed] == end for c in both) - sum(ends[c, seed] == end for c in reference))
                for seed in whole
            ]
            for end in ("collision", "goal")
        ]
        rows.append([*_title(case), *(_signed(bootstrap_mean(values), 1) for values in changes)])
    return _table(["cost rule", "calibrated", *_CHANGES[:2]], rows)


def _calibration(results: Sequence[DriveResult]) -> str:
    rows = []
    for images in IMAGES:
        for case in study_cases(images):
            if not case.calibrated and any(result.case == case for result in results):
                changes = _changes(results, replace(case, calibrated=True), case)
                rows.append([images, _NAMES[case.variant], *changes])
    return _table(["images", "cost rule", *_CHANGES], rows)


def _changes(results: Sequence[DriveResult], case: StudyCase, reference: StudyCase) -> list[str]:
    """How a case differs from another on the courses that both drove, one text for each of `_CHANGES`."""
    of_reference = {result.seed: result.record for result in results if result.case == reference}
    pairs = [
        (result.record, of_reference[result.seed])
        for result in results
        if result.case == case and result.seed in of_reference
    ]
    ends = [[100.0 * ((one.end == end) - (other.end == end)) for one, other in pairs] for end in ("collision", "goal")]
    off_road = [_off_road(one) - _off_road(other) for one, other in pairs]
    both = [_path(one) - _path(other) for one, other in pairs if one.end == other.end == "goal"]
    return [
        _signed(bootstrap_mean(values), digits) for values, digits in zip((*ends, off_road, both), _DIGITS, strict=True)
    ]


def _off_road(record: DriveRecord) -> float:
    return record.ground.get("Pavement", 0.0) + record.ground.get("Grass", 0.0)


def _path(record: DriveRecord) -> float:
    return sum(record.ground.values())


def _collisions_by_class(results: Sequence[DriveResult], images: Images) -> str:
    rows = []
    hits = [(result.case, result.record.hit) for result in results if result.record.hit]
    counts = {case: Counter(hit for where, hit in hits if where == case) for case in study_cases(images)}
    classes = sorted({hit for _, hit in hits})
    for case, count in counts.items():
        rows.append([*_title(case), *(str(count[name]) for name in classes)])
    return _table(["cost rule", "calibrated", *classes], rows)


def _by_degradation(results: Sequence[DriveResult]) -> str:
    rows = []
    for degradation in ("day", *DEGRADED):
        row = [degradation]
        for variant in VARIANTS:
            drives = [
                result.record
                for result in results
                if result.degradation == degradation and _is_calibrated(result.case, variant.name)
            ]
            ends = Counter(record.end for record in drives)
            shares = [100.0 * ends[end] / max(len(drives), 1) for end in ("collision", "goal")]
            row.append(f"{shares[0]:.0f} / {shares[1]:.0f}" if drives else "")
        rows.append(row)
    return _table(["collided % / arrived %, calibrated", *(_NAMES[variant.name] for variant in VARIANTS)], rows)


def _is_calibrated(case: StudyCase, name: str) -> bool:
    return case.variant == name and case.calibrated


def _title(case: StudyCase) -> tuple[str, str]:
    indifferent = case.variant in (TRUE_MAP, TRUE_LABELS.name, _REFERENCE)
    return _NAMES[case.variant], "" if indifferent else "yes" if case.calibrated else "no"


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
    least = 0.5 * 10.0**-digits  # the smallest value that does not round to 0
    return f"**{text}**" if interval.low >= least or interval.high <= -least else text


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)
