"""Where recordings are cut for several workers."""

from __future__ import annotations

import pytest

from seg_perception.offline.segment import WHOLE
from seg_perception.offline.split import RecordingLength, split, warm_up_s
from seg_perception.settings.grid import GridSettings


def test_segments_cover_every_image_once_and_are_equal_work() -> None:
    (segments,) = split([RecordingLength(10_000, 500.0)], 4)
    assert [each.first for each in segments[1:]] == [each.end for each in segments[:-1]]
    assert segments[0].first == 0 and segments[-1].end is None
    ends = [each.end or 10_000 for each in segments]
    work = [end - each.warm_up for end, each in zip(ends, segments, strict=True)]
    assert len(segments) == 4 and max(work) - min(work) <= 2
    assert all(each.first - each.warm_up == 500 for each in segments[1:])


def test_recordings_that_keep_all_workers_busy_are_not_cut() -> None:
    assert split([RecordingLength(100, 10.0)] * 3, 2) == [[WHOLE]] * 3
    assert split([RecordingLength(1000, float("inf"))], 8) == [[WHOLE]], "a map that never forgets must see all"
    assert split([RecordingLength(None, 0.0)], 8) == [[WHOLE]], "a recording of unknown length"
    assert len(split([RecordingLength(1000, 0.0), RecordingLength(10, 0.0)], 2)[0]) == 2, (
        "images without poses do not depend on each other"
    )
    assert len(split([RecordingLength(1000, 300.0)], 8)[0]) == 1, "workers would mostly repeat each other's work"


def test_the_slowest_class_determines_the_warm_up() -> None:
    plain, slow = GridSettings(half_life=2.0), GridSettings(half_life=2.0, half_lives=(("Road", 20.0), ("Car", 0.5)))
    assert warm_up_s(slow, 12) == pytest.approx(10 * warm_up_s(plain, 12))
    assert 80 < warm_up_s(plain, 12) < 110
