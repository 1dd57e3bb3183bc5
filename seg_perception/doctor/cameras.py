"""Whether the images of a camera arrive, and why they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seg_perception.doctor.dds import SEGMENT
from seg_perception.doctor.finding import Finding, note, ok, problem, size

_LOSS = 0.3  # of the images, that is no accident any more
_FEW = 2  # images that may be missing at the ends of the time of listening
_SUFFIX = "/compressed"


@dataclass(frozen=True)
class Publisher:
    """Who publishes a topic.

    Attributes:
        node: its name, with its namespace.
        reliable: whether it offers reliable delivery.
        here: whether it runs on this machine; None if that cannot be told.
    """

    node: str
    reliable: bool
    here: bool | None


@dataclass(frozen=True)
class Heard:
    """What arrived during some seconds of listening.

    Attributes:
        count: messages.
        rate: of them, Hz.
        size: of the largest, bytes; 0 of none.
    """

    count: int = 0
    rate: float = 0.0
    size: int = 0


@dataclass(frozen=True)
class CameraTopic:
    """An image topic as seen from this machine.

    Attributes:
        name: of the topic.
        publishers: of it.
        heard: with best effort, as sensors are listened to.
        heard_reliably: the same, asked for reliably; None when that was not needed or is not offered.
        infos: CameraInfo messages that arrived beside it in the same time as `heard`.
        expected: largest size of a raw image by its CameraInfo, bytes; 0 if unknown.
    """

    name: str
    publishers: tuple[Publisher, ...]
    heard: Heard
    heard_reliably: Heard | None = None
    infos: int = 0
    expected: int = 0

    @property
    def compressed(self) -> bool:
        """Whether it carries compressed images."""
        return self.name.endswith(_SUFFIX)

    @property
    def loses(self) -> bool:
        """Whether images go missing: none arrive, or far fewer than calibrations, of which each image has one."""
        missing = self.infos - self.heard.count
        return not self.heard.count or missing > max(_FEW, _LOSS * self.infos)


def info_topic(image_topic: str) -> str:
    """Where the CameraInfo of an image topic is by convention: beside it."""
    return image_topic.removesuffix(_SUFFIX).rpartition("/")[0] + "/camera_info"


def diagnose(topics: Sequence[CameraTopic], profile: str) -> list[Finding]:
    """One finding for each topic.

    Args:
        topics: all that were seen.
        profile: the setting, NAME=FILE, that gives a publisher enough shared memory.
    """
    names = {topic.name for topic in topics}
    return [_diagnosis(topic, profile, topic.name + _SUFFIX in names) for topic in topics]


def _diagnosis(topic: CameraTopic, profile: str, has_compressed: bool) -> Finding:
    heard, reliably = topic.heard, topic.heard_reliably
    if not topic.loses:
        return ok(topic.name, f"{heard.rate:.1f} Hz, {size(heard.size)} each")
    who = "announced by " + ", ".join(sorted({publisher.node for publisher in topic.publishers}))
    cause, mend = _cause(topic, profile, has_compressed)
    if reliably and reliably.count:
        found = f"{reliably.rate:.1f} Hz when asked for reliably, {heard.rate:.1f} Hz with best effort: {cause}"
        mend += ", or set the node's image_reliability to reliable"
        # When nothing at all arrives, the node asks for reliable delivery by itself.
        return problem(topic.name, found, mend) if heard.count else note(topic.name, found, mend)
    if heard.count:
        return problem(topic.name, f"{heard.count} images beside {topic.infos} camera_infos: {cause}", mend)
    if reliably and not topic.infos:
        # Nothing can get lost on a reliable topic, so nothing was sent.
        return note(topic.name, f"{who}, which sends no images now", "check the camera, or what that node waits for")
    return problem(topic.name, f"{who}, but nothing arrives: {cause}", mend)


def _cause(topic: CameraTopic, profile: str, has_compressed: bool) -> tuple[str, str]:
    """Why images go missing, and the mend."""
    arrived = max(topic.heard.size, topic.heard_reliably.size if topic.heard_reliably else 0)
    largest = arrived or topic.expected
    instead = f", or take {topic.name}{_SUFFIX}" if has_compressed else ", or let it publish compressed images"
    if any(publisher.here is False for publisher in topic.publishers):
        return (
            "images from another machine overflow the socket buffers of this one",
            f"start the node with {profile}, and raise net.core.rmem_max to 4194304{instead}",
        )
    if topic.compressed or 0 < largest <= SEGMENT:
        return (
            "they are small enough for DDS",
            "check the camera; between containers share /dev/shm and the process ids (--ipc=host --pid=host)",
        )
    frame = (
        f"a frame of {size(largest)}" if largest else f"a frame of more than {size(SEGMENT)}, if that is what it sends,"
    )
    return (
        f"{frame} does not fit into the publisher's {size(SEGMENT)} of shared memory",
        f"start the camera with {profile}{instead}",
    )
