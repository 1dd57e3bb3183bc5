"""Write `result.mcap` with the stamps of the recording, for Foxglove, RViz and ros2 bag."""

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

    Whenever the process ends, the file is a complete MCAP up to the last flush, at most about a second earlier; see
    `McapFile`. It holds a frame with all its messages or not at all.

    /tf holds both transforms of each frame, odom to base and base to camera, so that a player can start anywhere.
    """

    def __init__(self, file: McapFile, label_info: LabelInfo | None, names: FrameNames) -> None:
        """Use `create` or `resume`."""
        self._file = file
        self._label_info = label_info
        self._names = names
        self._has_label_info = file.count(channel_id(LABEL_INFO_TOPIC)) > 0

    @classmethod
    def create(cls, path: Path, label_info: LabelInfo | None, names: FrameNames) -> ResultWriter:
        """Create a file; an existing one is replaced.

        Args:
            path: the file.
            label_info: written once; None for a file that will be appended to another.
            names: of the coordinate frames.

        Raises:
            RecordingError: the file cannot be written.
        """
        return cls(McapFile.create(path, channels()), label_info, names)

    @classmethod
    def resume(cls, path: Path, position: int, label_info: LabelInfo | None, names: FrameNames) -> ResultWriter:
        """Resume a file at the `flush` that returned `position`; frames written after that flush are dropped.

        Raises:
            RecordingError: the file is missing, belongs to another run, or cannot be written.
        """
        return cls(McapFile.reopen(path, channels(), position), label_info, names)

    def write(self, result: ResultFrame, camera: Camera, base_from_optical: Transform) -> None:
        """Write one frame.

        Args:
            result: the frame; its stamp is not before that of the last one.
            camera: intrinsics at the size of the frame's images.
            base_from_optical: extrinsics of the camera.

        Raises:
            RecordingError: the file cannot be written.
        """
        messages = frame_messages(result, camera, base_from_optical, self._names)
        if self._label_info is not None and not self._has_label_info:
            messages.insert(0, label_info_message(self._label_info, result.stamp_ns))
        self._file.add(messages)
        self._has_label_info = True

    def flush(self) -> int:
        """Bring all frames so far into the file.

        Returns:
            The position for `resume`, bytes.

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
