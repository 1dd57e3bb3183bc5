"""The statistics of a camera, on a manual clock."""

from __future__ import annotations

import threading

import pytest
from support.ros.fake_drive import FakeDrive

from seg_perception.ros.diagnostics.statistics import CameraStatistics


def test_rates_are_current() -> None:
    drive = FakeDrive()
    drive.advance(1.0, rate=30)
    assert drive.statistics.snapshot(drive.now).image_rate == pytest.approx(30, abs=1.1)
    drive.advance(20.0, rate=10)
    assert drive.statistics.snapshot(drive.now).image_rate == pytest.approx(10, abs=0.3)
    assert drive.statistics.snapshot(drive.now).result_rate == pytest.approx(10, abs=0.3)
    drive.now += 10
    assert drive.statistics.snapshot(drive.now).image_rate == 0


def test_latencies_are_current() -> None:
    drive = FakeDrive()
    for index in range(1000):
        drive.now += 0.03
        drive.statistics.result(drive.now, {"network": 500.0 if index < 700 else float(index - 699)})
    summary = drive.statistics.snapshot(drive.now).latency()["network"]
    assert summary["p50"] == pytest.approx(150, rel=0.01)
    assert summary["p95"] == pytest.approx(285, rel=0.01)
    assert summary["p99"] == pytest.approx(297, rel=0.01)
    drive.now += 60
    assert drive.statistics.snapshot(drive.now).latency() == {}


def test_activation_resets_the_counts() -> None:
    drive = FakeDrive()
    drive.advance(1.0)
    drive.advance(1.0, reason="too old")
    drive.statistics.replaced()
    drive.statistics.activated(drive.now)
    snapshot = drive.statistics.snapshot(drive.now)
    assert (snapshot.images, snapshot.results, snapshot.replaced, snapshot.drops) == (0, 0, 0, {})


def test_statistics_are_thread_safe() -> None:
    statistics = CameraStatistics()
    statistics.activated(0.0)

    def report() -> None:
        for index in range(2000):
            statistics.received(float(index))
            statistics.dropped("too old", "why.")
            statistics.result(float(index), {"total": 1.0})
            statistics.snapshot(float(index)) if index % 100 == 0 else statistics.replaced()

    threads = [threading.Thread(target=report) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    snapshot = statistics.snapshot(2000.0)
    assert (snapshot.images, snapshot.results, snapshot.drops["too old"]) == (8000, 8000, 8000)
    assert snapshot.replaced == 4 * 1980
