"""A recording published with its own times: `seg-perception play`, for installations without `ros2 bag`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from seg_perception.errors import RecordingError
from seg_perception.recordings.readers.bag import Bag
from seg_perception.recordings.readers.open_recording import find_bag, open_recording
from seg_perception.recordings.readers.recording import SourceOptions
from seg_perception.ros.messages import time_of
from seg_perception.ros.tools.playback import BagTrack, FrameTrack, Played, Track

_CLOCK_PERIOD = 0.008  # s of the steady clock; with what waking up takes, /clock has at least 100 Hz
_PATIENCE = 5.0  # s for each subscriber to the images; DDS repeats its announcements every 3 s
_SETTLE = 1.0  # s in which the subscribers find us, and those of the other topics are found
_FLUSH = 0.5  # s for the last messages to leave
# Reliable, so that large images get through without shared memory being set up for them.
_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
# As deep as many a robot has broadcasters on /tf_static: each has latched one message, and all of them are wanted.
_LATCHED = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(frozen=True)
class PlayRequest:
    """What to play and how.

    Attributes:
        source: a recording of any kind, as `open_recording` takes it.
        options: how to read it.
        rate: how many times as fast as it was recorded.
        loop: start again at the end; the clock then jumps back, as with `ros2 bag play`.
        clock: publish /clock.
        readers: so many subscribers to the images are waited for.
    """

    source: str
    options: SourceOptions
    rate: float = 1.0
    loop: bool = False
    clock: bool = True
    readers: int = 1


def play(request: PlayRequest, say: Callable[[str], None], progress: Callable[[int, int | None], None]) -> int:
    """Publish a recording; rclpy must be initialised.

    Args:
        request: what to play.
        say: told what is left out, a sentence each.
        progress: called with messages done and in all (None where unknown).

    Returns:
        How many messages were published.

    Raises:
        RecordingError: it cannot be read, or nothing of it can be published.
        KeyboardInterrupt: interrupted.
    """
    with _opened(request) as track:
        for note in track.notes:
            say(note)
        node = rclpy.create_node("player")
        try:
            return _Player(node, track, request).run(say, progress)
        finally:
            node.destroy_node()


@contextmanager
def _opened(request: PlayRequest) -> Iterator[Track]:
    path = find_bag(request.source)
    if path is not None:
        bag = Bag(path)
        try:
            yield BagTrack(bag, request.options)
        finally:
            bag.close()
    else:
        with open_recording(request.source, request.options) as recording:
            yield FrameTrack(recording)


class _Player:
    """The publishers of a track, and the time."""

    def __init__(self, node: Any, track: Track, request: PlayRequest) -> None:
        self._track = track
        self._request = request
        self._clock = node.create_publisher(Clock, "/clock", 10) if request.clock else None
        self._publishers = {
            topic: node.create_publisher(kind, topic, _LATCHED if topic in track.latched else _QOS)
            for topic, kind in track.topics.items()
        }

    def run(self, say: Callable[[str], None], progress: Callable[[int, int | None], None]) -> int:
        self._wait_for_reader(say)
        done = 0
        while True:
            for played in self._in_time(say):
                self._publishers[played.topic].publish(played.message)
                done += 1
                progress(done, None if self._request.loop else self._track.count)
            if not self._request.loop:
                time.sleep(_FLUSH)
                return done

    def _in_time(self, say: Callable[[str], None]) -> Iterator[Played]:
        """The messages, each when its time has come; the clock runs on in between."""
        began = time.monotonic()
        first_ns: int | None = None
        for played in self._track.messages(say):
            first_ns = played.time_ns if first_ns is None else first_ns
            due = began + (played.time_ns - first_ns) / 1e9 / self._request.rate
            while True:
                now = time.monotonic()
                self._tell_time(min(first_ns + int((now - began) * 1e9 * self._request.rate), played.time_ns))
                if now >= due:
                    break
                time.sleep(min(_CLOCK_PERIOD, due - now))
            yield played
        if first_ns is None:
            raise RecordingError(f"{self._request.source}: holds no message that can be published.")

    def _tell_time(self, time_ns: int) -> None:
        if self._clock is not None:
            self._clock.publish(Clock(clock=time_of(time_ns)))

    def _wait_for_reader(self, say: Callable[[str], None]) -> None:
        images = {topic: self._publishers[topic] for topic in self._track.images if topic in self._publishers}
        if not images:
            return
        wanted = self._request.readers
        patience = _PATIENCE * wanted
        end = time.monotonic() + patience
        while (found := max(publisher.get_subscription_count() for publisher in images.values())) < wanted:
            if time.monotonic() > end:
                who = f"only {found} of {wanted} have" if found else "nobody has"
                say(f"{', '.join(images)}: {who} subscribed in {patience:g} s; playing anyway.")
                break
            time.sleep(0.02)
        time.sleep(_SETTLE)


@contextmanager
def ros() -> Iterator[None]:
    """rclpy from its start to its end; Ctrl-C stays a KeyboardInterrupt."""
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield
    finally:
        rclpy.try_shutdown()
