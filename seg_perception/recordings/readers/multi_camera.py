"""Several cameras of one bag as one recording: their images in the order of their stamps."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from seg_perception.errors import RecordingError
from seg_perception.recordings.readers.bag_recording import BagRecording, PosedImage, open_bag
from seg_perception.recordings.readers.recording import Dropped, Recording, SourceOptions
from seg_perception.sensor_data.frame import Frame


def open_multi_camera(path: Path, options: SourceOptions) -> Recording:
    """Open a bag with several cameras; the bag must hold calibration and extrinsics of each.

    Raises:
        RecordingError: as `open_bag`, or an option is for one camera only, or the bag has no poses.
    """
    for given, option in (
        (options.camera, "--camera"),
        (options.mount, "--mount"),
        (options.depth_topic, "--depth-topic"),
    ):
        if given is not None:
            raise RecordingError(
                f"{option} is for one camera, and --image-topic names several; leave it out, and record what it says."
            )
    topics = options.image_topics
    if len(set(topics)) < len(topics):
        raise RecordingError(f"--image-topic names a topic twice ({', '.join(topics)}); name each once.")
    with ExitStack() as opened:
        cameras = []
        for topic in topics:
            cameras.append(open_bag(path, replace(options, image_topics=(topic,)), is_only=False))
            opened.callback(cameras[-1].close)
        if not all(camera.has_poses for camera in cameras):
            raise RecordingError(
                f"{path}: without poses of the robot each image has a map of its own, so several cameras cannot share "
                "one; record /tf or odometry, or name one --image-topic."
            )
        recording = MultiCameraRecording(cameras)
        opened.pop_all()
    return recording


class MultiCameraRecording(Recording):
    """The images of several cameras; each camera reads the bag once."""

    def __init__(self, cameras: Sequence[BagRecording]) -> None:
        """Use `open_multi_camera`."""
        every = [camera.description for camera in cameras]
        super().__init__(
            files=cameras[0].files,
            description={key: "; ".join(dict.fromkeys(each[key] for each in every)) for key in every[0]},
            expected_items=sum(camera.expected_items or 0 for camera in cameras),
            has_poses=True,
        )
        self.seconds = max(camera.seconds for camera in cameras)
        self._cameras = cameras
        self._problems_counted = [Counter[str]() for _ in cameras]

    def frames(self, skip: int = 0) -> Iterator[Frame | Dropped]:  # noqa: D102
        newest_ns = 0
        streams = (((item, camera) for item in camera.posed_images()) for camera in self._cameras)
        for index, (item, camera) in enumerate(heapq.merge(*streams, key=lambda pair: pair[0].stamp_ns)):
            if isinstance(item, PosedImage):
                # Cameras that are triggered together share their stamps; a result has one frame per stamp.
                stamp_ns = newest_ns = max(item.stamp_ns, newest_ns + 1)
            if index < skip:
                continue
            self._count_problems()
            if isinstance(item, Dropped):
                yield item
                continue
            frame = camera.frame_of(item)
            yield replace(frame, stamp_ns=stamp_ns)

    def close(self) -> None:  # noqa: D102
        for camera in self._cameras:
            camera.close()

    def _count_problems(self) -> None:
        for number, camera in enumerate(self._cameras):
            self.problems.update(camera.problems - self._problems_counted[number])
            self._problems_counted[number] = Counter(camera.problems)
