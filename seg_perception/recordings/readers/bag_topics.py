"""Choose the topics of a bag that hold the camera's images and its calibration."""

from __future__ import annotations

from typing import Any

from seg_perception.errors import GeometryError, ImageError, RecordingError
from seg_perception.geometry.camera import Camera
from seg_perception.recordings.readers.bag import Bag
from seg_perception.sensor_data.images.compressed import check_format, decode_compressed
from seg_perception.sensor_data.images.raw import check_encoding

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
_TRIES = 20  # so many messages are tried until one can be decoded


def choose_image_topic(bag: Bag, wanted: str | None, depth: str | None = None) -> str:
    """The given image topic, or the only one of the bag.

    Args:
        bag: the bag.
        wanted: the user's choice; None for none.
        depth: topic of depth images, which are not camera images.

    Raises:
        RecordingError: the topic does not exist, or there are none or several to choose from.
    """
    topics = [topic for topic in bag.topics_of(RAW, COMPRESSED) if not topic.endswith("/compressedDepth")]
    topics = [topic for topic in topics if topic != depth]
    listed = ", ".join(topics) or "none"
    if wanted is not None and wanted not in topics:
        what = bag.types.get(wanted)
        problem = f"{wanted} holds {what}" if what else f"there is no {wanted} with messages"
        raise RecordingError(
            f"{bag.path}: {problem} (topics with images: {listed}); choose one of these with --image-topic."
        )
    if wanted is not None:
        return wanted
    if not topics:
        others = ", ".join(sorted(bag.types)) or "nothing"
        raise RecordingError(f"{bag.path}: holds no topic with images, only {others}; record the camera's images too.")
    if len(topics) > 1:
        raise RecordingError(
            f"{bag.path}: has {len(topics)} topics with images ({listed}); choose one with --image-topic."
        )
    return topics[0]


def first_image(bag: Bag, topic: str) -> Any:
    """The first image message that can be decoded.

    Raises:
        RecordingError: its encoding or format is not supported, or none of the first messages can be decoded.
    """
    message = _first(bag, topic)
    if message is None:
        raise RecordingError(f"{bag.path}: the messages on {topic} are broken; record them again.")
    try:
        check_encoding(message.encoding) if bag.types[topic] == RAW else check_format(message.format)
    except ImageError as error:
        raise RecordingError(f"{bag.path}, topic {topic}: {error}") from None
    return message


def choose_camera(bag: Bag, topic: str, given: Camera | None) -> Camera:
    """The given calibration, or the one recorded with the images.

    Raises:
        RecordingError: there is none, or it is not valid.
    """
    if given is not None:
        return given
    candidates = _info_topics(topic)
    info_topic = next((name for name in candidates if bag.types.get(name) == _CAMERA_INFO), None)
    info = _first(bag, info_topic) if info_topic else None
    if info is None:
        raise RecordingError(
            f"{bag.path}: holds no calibration for {topic} (looked for {' and '.join(candidates)}); "
            "give one with --camera."
        )
    lower = hasattr(info, "k")  # ROS 1 writes these fields in upper case
    k, d, p = (info.k, info.d, info.p) if lower else (info.K, info.D, info.P)
    try:
        return Camera.from_info(info.width, info.height, info.distortion_model, k, d, p, topic)
    except GeometryError as error:
        raise RecordingError(f"{bag.path}, topic {info_topic}: {error} Or give a calibration with --camera.") from None


def check_size(bag: Bag, topic: str, message: Any, camera: Camera) -> None:
    """Raise RecordingError if the images do not have the size of the calibration."""
    if bag.types[topic] == RAW:
        width, height = message.width, message.height
    else:
        try:
            height, width = decode_compressed(message.data).shape[:2]
        except ImageError:
            return  # one broken image; frames() checks the others
    if (width, height) != (camera.width, camera.height):
        raise RecordingError(
            f"{bag.path}: images on {topic} are {width}x{height} pixels, but their calibration is for "
            f"{camera.width}x{camera.height}; give the calibration of these images with --camera."
        )


def _info_topics(topic: str) -> list[str]:
    """Where camera_info may be: in the namespace of the images, or in that of the base topic of a transport."""
    parents = [topic.rpartition("/")[0]]
    if topic.endswith("/compressed"):
        parents.insert(0, parents[0].rpartition("/")[0])
    return [f"{parent}/camera_info" for parent in parents]


def _first(bag: Bag, topic: str) -> Any:
    for tries, (_, _, data) in enumerate(bag.messages([topic])):
        if tries == _TRIES:
            break
        try:
            return bag.decode(topic, data)
        except RecordingError:
            continue
    return None
