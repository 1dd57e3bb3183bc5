"""Statistics of one camera: images received, results published, images dropped and why, and durations."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from seg_perception.utils.duration_histogram import DurationHistogram

RATE_WINDOW = 5.0
"""Window over which rates are computed, s."""

_LATENCY_WINDOW = 10.0  # s; latencies of a minute ago are out of date
_MAX_LATENCIES = 300
_MAX_RECENT = 100


@dataclass(frozen=True)
class Refusal:
    """Why an image could not be projected with the measurement of a sensor.

    Attributes:
        reason: a few words, the same for all of a kind, for counting.
        detail: one sentence about this one.
    """

    reason: str
    detail: str


@dataclass(frozen=True)
class StatisticsSnapshot:
    """The statistics of a camera at one moment; each activation resets the counts.

    Attributes:
        now: that moment, time.monotonic().
        active: whether the node is active.
        images: number of images received.
        image_rate: recent rate of images, Hz.
        seconds_without_image: s.
        replaced: number of images that a newer one replaced before processing.
        results: number of results published.
        result_rate: recent rate of results, Hz.
        seconds_without_result: s; 0 while the node is not active.
        drops: reason → number of images.
        details: reason → the sentence of its latest drop or refusal.
        recent: for each of the latest processed images, in order, the reason of the drop; "" for a result.
        projections: projection → number of results.
        refusals: reason why a better projection was not used → number of results.
        recent_projections: for each of the latest results, in order, projection and the reasons against better ones.
        calibration: estimate of the online extrinsic calibration, in words; empty if that is off.
        engine_busy: how long the network has been processing the current image, s; None if it is idle.
        latencies: stage → ms, for each of the latest results.
    """

    now: float
    active: bool
    images: int
    image_rate: float
    seconds_without_image: float
    replaced: int
    results: int
    result_rate: float
    seconds_without_result: float
    drops: Mapping[str, int]
    details: Mapping[str, str]
    recent: tuple[str, ...]
    projections: Mapping[str, int]
    refusals: Mapping[str, int]
    recent_projections: tuple[tuple[str, tuple[str, ...]], ...]
    calibration: str
    engine_busy: float | None
    latencies: tuple[Mapping[str, float], ...]

    def latency(self) -> dict[str, dict[str, float]]:
        """Stage → p50, p95 and p99 of the latest results, ms."""
        stages: dict[str, DurationHistogram] = {}
        for result in self.latencies:
            for stage, milliseconds in result.items():
                stages.setdefault(stage, DurationHistogram()).add(milliseconds)
        return {stage: durations.summary() for stage, durations in stages.items()}

    def drops_since_result(self) -> tuple[str, ...]:
        """The reasons of the drops after the last result, in order."""
        last = max((index for index, reason in enumerate(self.recent) if not reason), default=-1)
        return self.recent[last + 1 :]


class CameraStatistics:
    """Collects the statistics of one camera; thread-safe. All times are time.monotonic()."""

    def __init__(self) -> None:
        """Start inactive, with nothing counted."""
        self._lock = threading.Lock()
        self._activated: float | None = None
        self._busy_since: float | None = None
        self._reset()

    def activated(self, now: float) -> None:
        """Reset the counts; from now on images and results are expected."""
        with self._lock:
            self._reset()
            self._activated = now

    def deactivated(self) -> None:
        """From now on no images and results are expected."""
        with self._lock:
            self._activated = None

    def received(self, now: float) -> None:
        """Count an image from the camera."""
        with self._lock:
            self._images += 1
            self._image_times.append(now)

    def replaced(self) -> None:
        """Count an image that a newer one replaced before processing."""
        with self._lock:
            self._replaced += 1

    def dropped(self, reason: str, detail: str) -> None:
        """Count an image that was processed without a result.

        Args:
            reason: a few words, the same for all drops of a kind.
            detail: one sentence about this one.
        """
        with self._lock:
            self._drops[reason] += 1
            self._details[reason] = detail
            self._recent.append(reason)

    def projected(self, projection: str, refusals: Iterable[Refusal], calibration: str = "") -> None:
        """Count a projected image.

        Args:
            projection: that was used.
            refusals: why better ones were not used.
            calibration: estimate of the online extrinsic calibration, in words.
        """
        with self._lock:
            self._projections[projection] += 1
            self._calibration = calibration
            reasons = []
            for refusal in refusals:
                self._refusals[refusal.reason] += 1
                self._details[refusal.reason] = refusal.detail
                reasons.append(refusal.reason)
            self._recent_projections.append((projection, tuple(reasons)))

    def result(self, now: float, milliseconds: Mapping[str, float]) -> None:
        """Count a published result.

        Args:
            now: time of publication.
            milliseconds: stage → its duration, ms.
        """
        with self._lock:
            self._results += 1
            self._result_times.append(now)
            self._latencies.append(milliseconds)
            self._recent.append("")

    def engine_started(self, now: float) -> None:
        """The network starts on an image."""
        with self._lock:
            self._busy_since = now

    def engine_finished(self, now: float) -> None:
        """The network is done with an image, with or without output."""
        with self._lock:
            self._busy_since = None

    def seconds_without_result(self, now: float) -> float:
        """See `StatisticsSnapshot.seconds_without_result`."""
        with self._lock:
            return self._seconds_without_result(now)

    def snapshot(self, now: float) -> StatisticsSnapshot:
        """An immutable copy of the statistics now."""
        with self._lock:
            since = now if self._activated is None else self._activated
            latest = zip(reversed(self._result_times), reversed(self._latencies), strict=False)
            return StatisticsSnapshot(
                now=now,
                active=self._activated is not None,
                images=self._images,
                image_rate=_rate(self._image_times, since, now),
                seconds_without_image=now - max(since, self._image_times[-1] if self._image_times else since),
                replaced=self._replaced,
                results=self._results,
                result_rate=_rate(self._result_times, since, now),
                seconds_without_result=self._seconds_without_result(now),
                drops=dict(self._drops),
                details=dict(self._details),
                recent=tuple(self._recent),
                projections=dict(self._projections),
                refusals=dict(self._refusals),
                recent_projections=tuple(self._recent_projections),
                calibration=self._calibration,
                engine_busy=None if self._busy_since is None else now - self._busy_since,
                latencies=tuple(stages for at, stages in latest if now - at <= _LATENCY_WINDOW),
            )

    def _seconds_without_result(self, now: float) -> float:
        since = now if self._activated is None else self._activated
        return now - max(since, self._result_times[-1] if self._result_times else since)

    def _reset(self) -> None:
        self._images = self._replaced = self._results = 0
        self._image_times: deque[float] = deque(maxlen=1000)
        self._result_times: deque[float] = deque(maxlen=1000)
        self._latencies: deque[Mapping[str, float]] = deque(maxlen=_MAX_LATENCIES)
        self._drops: Counter[str] = Counter()
        self._details: dict[str, str] = {}
        self._recent: deque[str] = deque(maxlen=_MAX_RECENT)
        self._projections: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._calibration = ""
        self._recent_projections: deque[tuple[str, tuple[str, ...]]] = deque(maxlen=_MAX_RECENT)
        self._busy_since = None


def _rate(times: deque[float], since: float, now: float) -> float:
    """Events per second in the last RATE_WINDOW, or since `since` if that is later."""
    window = min(RATE_WINDOW, now - since)
    if window <= 0:
        return 0.0
    return sum(1 for at in times if now - at < window) / window
