"""An MCAP file that is complete after every flush and can be resumed from any flush."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path
from time import monotonic

from seg_perception.errors import RecordingError
from seg_perception.recordings.result_bag.mcap_records import (
    Channel,
    ChunkInfo,
    Message,
    Summary,
    chunk,
    file_start,
    parse_chunk,
)

_LIBRARY = "seg_perception"
_CHUNK_BYTES = 2**20  # what players load to show one moment
_PENDING_BYTES = 2**24


class McapFile:
    """Writes messages of a fixed set of channels to one file.

    It gathers messages in memory, as compressed chunks. A flush replaces the old index by the finished chunks and a
    new index, in one write. So the file is complete up to the last flush whenever the process ends, by whatever
    signal, and opens in any reader. Only a process killed during that one write, a few milliseconds, leaves a file
    without an index; `reopen` repairs it. There is no fsync: after a power cut the file may be damaged.

    `add` flushes about once a second.
    """

    def __init__(self, path: Path, file: FileIO, channels: Sequence[Channel], flush_interval_s: float) -> None:
        """Use `create` or `reopen`."""
        self._path = path
        self._file = file
        self._start = file_start(_LIBRARY, channels)
        self._summary = Summary(channels)
        self._flush_interval_s = flush_interval_s
        self._data_end = 0
        self._messages: list[Message] = []
        self._message_bytes = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._flushed_at = monotonic()

    @classmethod
    def create(cls, path: Path, channels: Sequence[Channel], flush_interval_s: float = 1.0) -> McapFile:
        """Create a file; an existing one is replaced.

        Raises:
            RecordingError: the file cannot be written.
        """
        try:
            file = FileIO(str(path), "w+")
        except OSError as error:
            raise _cannot_write(path, error) from None
        mcap = cls(path, file, channels, flush_interval_s)
        mcap._pending = [mcap._start]
        mcap._pending_bytes = len(mcap._start)
        mcap.flush()
        return mcap

    @classmethod
    def reopen(cls, path: Path, channels: Sequence[Channel], position: int, flush_interval_s: float = 1.0) -> McapFile:
        """Resume a file at a `flush`; messages written after that flush are dropped.

        Args:
            path: the file.
            channels: those the file was created with.
            position: the return value of that `flush`.
            flush_interval_s: as for `create`.

        Raises:
            RecordingError: the file is missing, has other channels, or is shorter than `position`.
        """
        try:
            mcap = cls(path, FileIO(str(path), "r+"), channels, flush_interval_s)
        except OSError as error:
            raise _cannot_resume(path, error) from None
        try:
            with mmap.mmap(mcap._file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                mcap._data_end = len(mcap._start)
                for info in _chunks(data, mcap._start, position):
                    mcap._summary.add(info)
                    mcap._data_end = info.end
            mcap.flush()
            mcap._file.truncate()
        except (OSError, ValueError) as error:
            mcap._file.close()
            raise _cannot_resume(path, error) from None
        return mcap

    def count(self, channel_id: int) -> int:
        """Messages of a channel in finished chunks."""
        return self._summary.count(channel_id)

    def add(self, messages: Sequence[Message]) -> None:
        """Append messages that belong together: after an interruption the file holds all of them or none.

        Raises:
            RecordingError: the file cannot be written.
        """
        self._messages.extend(messages)
        self._message_bytes += sum(len(message.data) for message in messages)
        if self._message_bytes >= _CHUNK_BYTES:
            self._finish_chunk()
        if self._pending_bytes >= _PENDING_BYTES or monotonic() - self._flushed_at >= self._flush_interval_s:
            self.flush()

    def append(self, path: Path, position: int) -> None:
        """Append the chunks of another file of the same channels, as they are.

        Args:
            path: that file.
            position: the return value of its last `flush`.

        Raises:
            RecordingError: the other file has other channels, or this one cannot be written.
        """
        self._finish_chunk()
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                for info in _chunks(data, self._start, position):
                    self._summary.add(info.moved(self._data_end + self._pending_bytes))
                    self._pending.append(data[info.offset : info.end])
                    self._pending_bytes += info.end - info.offset
                    if self._pending_bytes >= _PENDING_BYTES:
                        self.flush()
        except (OSError, ValueError) as error:
            raise RecordingError(f"{path}: cannot be read ({error}); run the replay from the start.") from None

    def flush(self) -> int:
        """Write all messages so far, and the index that makes the file complete.

        Returns:
            The position for `reopen`, bytes.

        Raises:
            RecordingError: the file cannot be written.
        """
        self._finish_chunk()
        end = self._data_end + self._pending_bytes
        blob = memoryview(b"".join([*self._pending, self._summary.file_end(end)]))
        try:
            self._file.seek(self._data_end)
            while blob:
                blob = blob[self._file.write(blob) :]
        except OSError as error:
            raise _cannot_write(self._path, error) from None
        self._data_end, self._pending, self._pending_bytes = end, [], 0
        self._flushed_at = monotonic()
        return end

    def close(self) -> None:
        """Flush and close; closing twice does nothing.

        Raises:
            RecordingError: the file cannot be written.
        """
        if not self._file.closed:
            try:
                self.flush()
            finally:
                self._file.close()

    def _finish_chunk(self) -> None:
        if self._messages:
            blob, info = chunk(self._messages, self._data_end + self._pending_bytes)
            self._summary.add(info)
            self._pending.append(blob)
            self._pending_bytes += len(blob)
            self._messages, self._message_bytes = [], 0


def _chunks(data: mmap.mmap, start: bytes, position: int) -> Iterator[ChunkInfo]:
    """The chunks of a file that begins with `start`, up to the position that a flush returned."""
    if data[: len(start)] != start or position > len(data):
        raise ValueError("it is not the file of that run")
    offset = len(start)
    while offset < position:
        info = parse_chunk(data, offset, position)
        yield info
        offset = info.end


def _cannot_resume(path: Path, error: Exception) -> RecordingError:
    return RecordingError(
        f"{path}: cannot be resumed ({error}); remove the output folder and run the replay from the start."
    )


def _cannot_write(path: Path, error: OSError) -> RecordingError:
    return RecordingError(f"{path}: cannot be written ({error.strerror}); check the folder, its rights and its space.")
