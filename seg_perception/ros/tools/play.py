"""Publishes a recording with its own timing: `seg-perception play`, for installations without `ros2 bag`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
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
from seg_perception.ros.tools.playback import BagPlayback, FramePlayback, PlaybackMessage, PlaybackSource

_READ_AHEAD = 8  # messages; the first of a type takes a ROS 1 bag up to 0.3 s, which is no time of the recording
_CLOCK_PERIOD = 0.008  # s of the steady clock; with the delay of waking up, /clock still has at least 100 Hz
_SUBSCRIBER_TIMEOUT = 5.0  # s for each subscriber to the images; DDS repeats its announcements every 3 s
_SETTLE = 1.0  # s until the discovery of all subscribers is done
_FLUSH = 0.5  # s until the last messages are sent
# Reliable, so that large images arrive without a shared memory profile.
_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
# /tf_static has one latched message per broadcaster, and late subscribers need all of them.
_LATCHED = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(frozen=True)
class PlayRequest:
    """Options of the player.

    Attributes:
        source: a recording of any kind, see `open_recording`.
        options: how to read it.
        rate: speed relative to the recording.
        loop: restart at the end; the clock then jumps back, as with `ros2 bag play`.
        clock: publish /clock.
        subscribers: number of subscribers to the images to wait for.
    """

    source: str
    options: SourceOptions
    rate: float = 1.0
    loop: bool = False
    clock: bool = True
    subscribers: int = 1


def play(request: PlayRequest, say: Callable[[str], None], progress: Callable[[int, int | None], None]) -> int:
    """Publish a recording; rclpy must be initialised.

    Args:
        request: options.
        say: called with one sentence for each topic or message that is skipped.
        progress: called with messages published and in total (None if unknown).

    Returns:
        The number of published messages.

    Raises:
        RecordingError: the recording cannot be read, or has nothing to publish.
        KeyboardInterrupt: interrupted.
    """
    with _opened(request) as source:
        for note in source.notes:
            say(note)
        node = rclpy.create_node("player")
        try:
            return _Player(node, source, request).run(say, progress)
        finally:
            node.destroy_node()


@contextmanager
def _opened(request: PlayRequest) -> Iterator[PlaybackSource]:
    path = find_bag(request.source)
    if path is not None:
        bag = Bag(path)
        try:
            yield BagPlayback(bag, request.options)
        finally:
            bag.close()
    else:
        with open_recording(request.source, request.options) as recording:
            yield FramePlayback(recording)


class _Player:
    """The publishers of a recording, and its clock."""

    def __init__(self, node: Any, source: PlaybackSource, request: PlayRequest) -> None:
        self._source = source
        self._request = request
        self._clock = node.create_publisher(Clock, "/clock", 10) if request.clock else None
        self._publishers = {
            topic: node.create_publisher(kind, topic, _LATCHED if topic in source.latched else _QOS)
            for topic, kind in source.topics.items()
        }

    def run(self, say: Callable[[str], None], progress: Callable[[int, int | None], None]) -> int:
        self._wait_for_subscribers(say)
        done = 0
        while True:
            for message in self._in_time(say):
                self._publishers[message.topic].publish(message.content)
                done += 1
                progress(done, None if self._request.loop else self._source.count)
            if not self._request.loop:
                time.sleep(_FLUSH)
                return done

    def _in_time(self, say: Callable[[str], None]) -> Iterator[PlaybackMessage]:
        """The messages, each at its time; the clock is published in between."""
        messages = iter(self._source.messages(say))
        first = list(islice(messages, _READ_AHEAD))
        began = time.monotonic()
        first_ns: int | None = None
        for message in chain(first, messages):
            first_ns = message.time_ns if first_ns is None else first_ns
            due = began + (message.time_ns - first_ns) / 1e9 / self._request.rate
            while True:
                now = time.monotonic()
                self._publish_clock(min(first_ns + int((now - began) * 1e9 * self._request.rate), message.time_ns))
                if now >= due:
                    break
                time.sleep(min(_CLOCK_PERIOD, due - now))
            yield message
        if first_ns is None:
            raise RecordingError(f"{self._request.source}: has no message that can be published.")

    def _publish_clock(self, time_ns: int) -> None:
        if self._clock is not None:
            self._clock.publish(Clock(clock=time_of(time_ns)))

    def _wait_for_subscribers(self, say: Callable[[str], None]) -> None:
        images = {topic: self._publishers[topic] for topic in self._source.images if topic in self._publishers}
        if not images:
            return
        required = self._request.subscribers
        timeout = _SUBSCRIBER_TIMEOUT * required
        end = time.monotonic() + timeout
        while (found := max(publisher.get_subscription_count() for publisher in images.values())) < required:
            if time.monotonic() > end:
                found_words = f"only {found} of {required} nodes have" if found else "no node has"
                say(f"{', '.join(images)}: {found_words} subscribed in {timeout:g} s; playing anyway.")
                break
            time.sleep(0.02)
        time.sleep(_SETTLE)


@contextmanager
def ros() -> Iterator[None]:
    """Initialise rclpy, and shut it down at the end; Ctrl-C stays a KeyboardInterrupt."""
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield
    finally:
        rclpy.try_shutdown()
