"""An MCAP file that is complete after every flush, and that can be reopened at any flush and written on."""

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

    Messages are gathered into compressed chunks in memory. A flush puts the finished chunks and a new index where the
    old index was, in one write. So whenever the process ends, by whatever signal, the file is complete up to the last
    flush and opens in any reader; only a process killed during the few milliseconds of that one write leaves a file
    without an index, which `reopen` mends. The operating system is not asked to put the bytes on the disk at once:
    after a power cut the file may be damaged.

    Adding messages flushes by itself about once a second.
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
        """Start a new file, in place of one that may be there.

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
        """Go on with a file where a `flush` had left it; what was written after that flush is dropped.

        Args:
            path: the file.
            channels: the same channels it was created with.
            position: what that `flush` returned.
            flush_interval_s: as for `create`.

        Raises:
            RecordingError: the file is missing, was made with other channels, or does not reach that far.
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
        """Append messages that belong together: they are in the file all or none.

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
            position: what its last `flush` returned.

        Raises:
            RecordingError: it is not such a file, or this one cannot be written.
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
        """Bring the file up to date and make it complete.

        Returns:
            The position in the file that `reopen` takes.

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
    """The chunks of a file that begins with `start`, up to what a flush returned."""
    if data[: len(start)] != start or position > len(data):
        raise ValueError("it is not the file of that run")
    place = len(start)
    while place < position:
        info = parse_chunk(data, place, position)
        yield info
        place = info.end


def _cannot_resume(path: Path, error: Exception) -> RecordingError:
    return RecordingError(
        f"{path}: cannot be resumed ({error}); remove the output folder and run the replay from the start."
    )


def _cannot_write(path: Path, error: OSError) -> RecordingError:
    return RecordingError(f"{path}: cannot be written ({error.strerror}); check the folder, its rights and its space.")
