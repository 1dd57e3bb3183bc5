"""What the node counts about itself: how much comes in and out, what is lost and why, and how long things take."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from seg_perception.utils.durations import Durations

RATE_WINDOW = 5.0
"""Rates are those of the last so many seconds."""

_LATENCY_WINDOW = 10.0  # s; figures of a minute ago say nothing about now
_MOST_LATENCIES = 300
_MOST_OUTCOMES = 100


@dataclass(frozen=True)
class Refusal:
    """Why an image could not be projected with what a sensor measured.

    Attributes:
        reason: a few words, the same for all of a kind, for counting.
        detail: one sentence about this one.
    """

    reason: str
    detail: str


@dataclass(frozen=True)
class Figures:
    """What the node has done, seen at one moment; counts begin anew with each activation.

    Attributes:
        now: that moment, time.monotonic().
        active: whether the node is.
        images: taken in from the camera.
        image_rate: of those, Hz, lately.
        quiet: time without an image, s.
        replaced: images that a newer one took the place of, before they were worked on.
        results: published.
        result_rate: of those, Hz, lately.
        silent: time without a result, s; 0 while the node is not active.
        drops: reason → number of images.
        details: reason → the sentence of its latest drop or refusal.
        recent: for the latest images that were worked on, in order, the reason of the drop; "" for a result.
        projections: what told where things are → number of results.
        refusals: reason why a better projection was not used → number of results.
        recent_projections: for the latest results, in order, the projection and the reasons against better ones.
        horizon: what is known of the camera's attitude, in words; empty where nobody asks.
        busy: how long the image in the network has been there, s; None if none is.
        latencies: stage → ms, of each of the latest results.
    """

    now: float
    active: bool
    images: int
    image_rate: float
    quiet: float
    replaced: int
    results: int
    result_rate: float
    silent: float
    drops: Mapping[str, int]
    details: Mapping[str, str]
    recent: tuple[str, ...]
    projections: Mapping[str, int]
    refusals: Mapping[str, int]
    recent_projections: tuple[tuple[str, tuple[str, ...]], ...]
    horizon: str
    busy: float | None
    latencies: tuple[Mapping[str, float], ...]

    def latency(self) -> dict[str, dict[str, float]]:
        """Stage → p50, p95 and p99 of the latest results, ms."""
        stages: dict[str, Durations] = {}
        for result in self.latencies:
            for stage, milliseconds in result.items():
                stages.setdefault(stage, Durations()).add(milliseconds)
        return {stage: durations.summary() for stage, durations in stages.items()}

    def drops_since_result(self) -> tuple[str, ...]:
        """The reasons, in order, of the drops that no result has followed."""
        last = max((place for place, reason in enumerate(self.recent) if not reason), default=-1)
        return self.recent[last + 1 :]


class Health:
    """Collects the figures; every method may be called from any thread. All times are time.monotonic()."""

    def __init__(self) -> None:
        """Start inactive, with nothing counted."""
        self._lock = threading.Lock()
        self._activated: float | None = None
        self._busy_since: float | None = None
        self._start()

    def activated(self, now: float) -> None:
        """From now on images and results are expected."""
        with self._lock:
            self._start()
            self._activated = now

    def deactivated(self) -> None:
        """Nothing is expected any more."""
        with self._lock:
            self._activated = None

    def received(self, now: float) -> None:
        """An image came from the camera."""
        with self._lock:
            self._images += 1
            self._image_times.append(now)

    def replaced(self) -> None:
        """An image was replaced by a newer one, before it was worked on."""
        with self._lock:
            self._replaced += 1

    def dropped(self, reason: str, detail: str) -> None:
        """An image was worked on and gave no result.

        Args:
            reason: a few words, the same for all drops of a kind.
            detail: one sentence about this one.
        """
        with self._lock:
            self._drops[reason] += 1
            self._details[reason] = detail
            self._recent.append(reason)

    def projected(self, projection: str, refusals: Iterable[Refusal], horizon: str = "") -> None:
        """An image has been projected.

        Args:
            projection: what told where things are.
            refusals: why better ones were not used.
            horizon: what is known of the camera's attitude, in words.
        """
        with self._lock:
            self._projections[projection] += 1
            self._horizon = horizon
            reasons = []
            for refusal in refusals:
                self._refusals[refusal.reason] += 1
                self._details[refusal.reason] = refusal.detail
                reasons.append(refusal.reason)
            self._recent_projections.append((projection, tuple(reasons)))

    def result(self, now: float, milliseconds: Mapping[str, float]) -> None:
        """An image has become a published result.

        Args:
            now: when.
            milliseconds: stage → how long it took.
        """
        with self._lock:
            self._results += 1
            self._result_times.append(now)
            self._latencies.append(milliseconds)
            self._recent.append("")

    def engine_began(self, now: float) -> None:
        """The network got an image."""
        with self._lock:
            self._busy_since = now

    def engine_ended(self, now: float) -> None:
        """The network gave the image back, whatever became of it."""
        with self._lock:
            self._busy_since = None

    def silent(self, now: float) -> float:
        """As `Figures` has it."""
        with self._lock:
            return self._silent(now)

    def figures(self, now: float) -> Figures:
        """Everything as it is now; a copy that stays as it is."""
        with self._lock:
            since = now if self._activated is None else self._activated
            latest = zip(reversed(self._result_times), reversed(self._latencies), strict=False)
            return Figures(
                now=now,
                active=self._activated is not None,
                images=self._images,
                image_rate=_rate(self._image_times, since, now),
                quiet=now - max(since, self._image_times[-1] if self._image_times else since),
                replaced=self._replaced,
                results=self._results,
                result_rate=_rate(self._result_times, since, now),
                silent=self._silent(now),
                drops=dict(self._drops),
                details=dict(self._details),
                recent=tuple(self._recent),
                projections=dict(self._projections),
                refusals=dict(self._refusals),
                recent_projections=tuple(self._recent_projections),
                horizon=self._horizon,
                busy=None if self._busy_since is None else now - self._busy_since,
                latencies=tuple(stages for at, stages in latest if now - at <= _LATENCY_WINDOW),
            )

    def _silent(self, now: float) -> float:
        since = now if self._activated is None else self._activated
        return now - max(since, self._result_times[-1] if self._result_times else since)

    def _start(self) -> None:
        self._images = self._replaced = self._results = 0
        self._image_times: deque[float] = deque(maxlen=1000)
        self._result_times: deque[float] = deque(maxlen=1000)
        self._latencies: deque[Mapping[str, float]] = deque(maxlen=_MOST_LATENCIES)
        self._drops: Counter[str] = Counter()
        self._details: dict[str, str] = {}
        self._recent: deque[str] = deque(maxlen=_MOST_OUTCOMES)
        self._projections: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._horizon = ""
        self._recent_projections: deque[tuple[str, tuple[str, ...]]] = deque(maxlen=_MOST_OUTCOMES)
        self._busy_since = None


def _rate(times: deque[float], since: float, now: float) -> float:
    """Events per second lately; a stream that has just begun has its rate at once, one that has stopped falls to 0."""
    window = min(RATE_WINDOW, now - since)
    if window <= 0:
        return 0.0
    return sum(1 for at in times if now - at < window) / window
