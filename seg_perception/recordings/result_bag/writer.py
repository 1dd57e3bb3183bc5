"""Writing `result.mcap`: what was seen and decided at the recording's own stamps, for Foxglove, RViz and ros2 bag."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from seg_perception.geometry.camera import Camera
from seg_perception.geometry.transforms import Transform
from seg_perception.recordings.result_bag.mcap_file import McapFile
from seg_perception.recordings.result_bag.messages import (
    LABEL_INFO_TOPIC,
    FrameNames,
    channel_id,
    channels,
    frame_messages,
    label_info_message,
)
from seg_perception.recordings.result_bag.result_frame import LabelInfo, ResultFrame


class ResultWriter:
    """Writes one result file, frame by frame; a context manager that closes it.

    However the process ends, the file is a complete MCAP up to the last flush, about a second before at most (what
    exactly holds is told by `McapFile`). Frames are in it whole or not at all.

    Both transforms of a frame, odom to base and base to camera, are on /tf, so that a player may start anywhere.
    """

    def __init__(self, file: McapFile, label_info: LabelInfo | None, names: FrameNames) -> None:
        """Use `create` or `resume`."""
        self._file = file
        self._label_info = label_info
        self._names = names
        self._told_labels = file.count(channel_id(LABEL_INFO_TOPIC)) > 0

    @classmethod
    def create(cls, path: Path, label_info: LabelInfo | None, names: FrameNames) -> ResultWriter:
        """Start a new file, in place of one that may be there.

        Args:
            path: the file.
            label_info: what the labels mean; None for a file that is to become part of another.
            names: of the coordinate frames.

        Raises:
            RecordingError: the file cannot be written.
        """
        return cls(McapFile.create(path, channels()), label_info, names)

    @classmethod
    def resume(cls, path: Path, position: int, label_info: LabelInfo | None, names: FrameNames) -> ResultWriter:
        """Go on where `flush` had returned `position`; frames written after that flush are dropped.

        Raises:
            RecordingError: the file is missing, is not the one of that run, or cannot be written.
        """
        return cls(McapFile.reopen(path, channels(), position), label_info, names)

    def write(self, result: ResultFrame, camera: Camera, base_from_optical: Transform) -> None:
        """Write one frame.

        Args:
            result: the frame; stamps must not run backwards.
            camera: intrinsics at the size of the frame's images.
            base_from_optical: pose of the camera on the robot.

        Raises:
            RecordingError: the file cannot be written.
        """
        messages = frame_messages(result, camera, base_from_optical, self._names)
        if self._label_info is not None and not self._told_labels:
            messages.insert(0, label_info_message(self._label_info, result.stamp_ns))
        self._file.add(messages)
        self._told_labels = True

    def flush(self) -> int:
        """Bring everything written so far into the file.

        Returns:
            The position that `resume` takes, for the checkpoint.

        Raises:
            RecordingError: the file cannot be written.
        """
        return self._file.flush()

    def close(self) -> None:
        """Flush and close; closing twice does nothing.

        Raises:
            RecordingError: the file cannot be written.
        """
        self._file.close()

    def __enter__(self) -> ResultWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
