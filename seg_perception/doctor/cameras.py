"""Checks of camera topics: whether the images arrive, and if not, why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seg_perception.doctor.dds import DEFAULT_SEGMENT
from seg_perception.doctor.finding import Finding, note, ok, problem, size

_MAX_LOSS = 0.3  # fraction of the images that may be lost by chance
_MAX_MISSING = 2  # images that may be missing at the ends of the listening time
_SUFFIX = "/compressed"


@dataclass(frozen=True)
class Publisher:
    """A publisher of a topic.

    Attributes:
        node: name of its node, with namespace.
        reliable: whether it offers reliable delivery.
        is_local: whether it runs on this machine; None if unknown.
    """

    node: str
    reliable: bool
    is_local: bool | None


@dataclass(frozen=True)
class ReceptionStatistics:
    """Reception statistics of a topic over some seconds.

    Attributes:
        count: number of messages.
        rate: Hz.
        size: of the largest message, bytes; 0 without messages.
    """

    count: int = 0
    rate: float = 0.0
    size: int = 0


@dataclass(frozen=True)
class CameraTopic:
    """An image topic as seen from this machine.

    Attributes:
        name: of the topic.
        publishers: of the topic.
        reception: with best-effort QoS, as for sensors.
        reliable_reception: with reliable QoS; None if that was not needed or is not offered.
        infos: CameraInfo messages that arrived during `reception`.
        expected: largest size of a raw image by its CameraInfo, bytes; 0 if unknown.
    """

    name: str
    publishers: tuple[Publisher, ...]
    reception: ReceptionStatistics
    reliable_reception: ReceptionStatistics | None = None
    infos: int = 0
    expected: int = 0

    @property
    def compressed(self) -> bool:
        """Whether it carries compressed images."""
        return self.name.endswith(_SUFFIX)

    @property
    def loses_images(self) -> bool:
        """Whether images are lost: none arrive, or far fewer than CameraInfo messages, of which each image has one."""
        missing = self.infos - self.reception.count
        return not self.reception.count or missing > max(_MAX_MISSING, _MAX_LOSS * self.infos)


def info_topic(image_topic: str) -> str:
    """The CameraInfo topic of an image topic by convention: next to it, in the same namespace."""
    return image_topic.removesuffix(_SUFFIX).rpartition("/")[0] + "/camera_info"


def diagnose(topics: Sequence[CameraTopic], profile: str) -> list[Finding]:
    """One finding for each topic.

    Args:
        topics: all image topics that were found.
        profile: the setting NAME=FILE that gives a publisher enough shared memory.
    """
    names = {topic.name for topic in topics}
    return [_diagnosis(topic, profile, topic.name + _SUFFIX in names) for topic in topics]


def _diagnosis(topic: CameraTopic, profile: str, has_compressed: bool) -> Finding:
    reception, reliable = topic.reception, topic.reliable_reception
    if not topic.loses_images:
        return ok(topic.name, f"{reception.rate:.1f} Hz, {size(reception.size)} each")
    who = "announced by " + ", ".join(sorted({publisher.node for publisher in topic.publishers}))
    cause, fix = _cause(topic, profile, has_compressed)
    if reliable and reliable.count:
        found = f"{reliable.rate:.1f} Hz with reliable QoS, {reception.rate:.1f} Hz with best effort: {cause}"
        fix += ", or set the node's image_reliability to reliable"
        # When nothing at all arrives, the node falls back to reliable QoS by itself.
        return problem(topic.name, found, fix) if reception.count else note(topic.name, found, fix)
    if reception.count:
        return problem(topic.name, f"{reception.count} images, but {topic.infos} camera_infos: {cause}", fix)
    if reliable and not topic.infos:
        # Reliable delivery loses nothing, so nothing was sent.
        return note(topic.name, f"{who}, which sends no images now", "check the camera, or what that node waits for")
    return problem(topic.name, f"{who}, but nothing arrives: {cause}", fix)


def _cause(topic: CameraTopic, profile: str, has_compressed: bool) -> tuple[str, str]:
    """Why images are lost, and the fix."""
    arrived = max(topic.reception.size, topic.reliable_reception.size if topic.reliable_reception else 0)
    largest = arrived or topic.expected
    instead = f", or take {topic.name}{_SUFFIX}" if has_compressed else ", or let it publish compressed images"
    if any(publisher.is_local is False for publisher in topic.publishers):
        return (
            "images from another machine overflow the socket buffers of this one",
            f"start the node with {profile}, and raise net.core.rmem_max to 4194304{instead}",
        )
    if topic.compressed or 0 < largest <= DEFAULT_SEGMENT:
        return (
            "they are small enough for DDS",
            "check the camera; between containers share /dev/shm and the process ids (--ipc=host --pid=host)",
        )
    frame = (
        f"a frame of {size(largest)}"
        if largest
        else f"a frame of more than {size(DEFAULT_SEGMENT)}, if that is what it sends,"
    )
    return (
        f"{frame} does not fit into the publisher's {size(DEFAULT_SEGMENT)} of shared memory",
        f"start the camera with {profile}{instead}",
    )
