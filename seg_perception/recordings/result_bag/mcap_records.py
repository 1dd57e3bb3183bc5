"""The records of an MCAP file as bytes, after https://mcap.dev/spec (version 0)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from mmap import mmap

import lz4.frame  # type: ignore[import-untyped]

MAGIC = b"\x89MCAP0\r\n"
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
_MESSAGE_INDEX, _CHUNK_INDEX, _STATISTICS, _DATA_END = 0x07, 0x08, 0x0B, 0x0F
_HEAD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
_CHUNK_HEAD = struct.Struct("<QQQI")
_COMPRESSION = struct.pack("<I", 3) + b"lz4"


@dataclass(frozen=True)
class Channel:
    """A topic and the definition (ros2msg text) of its messages. Channel ids count from 1, in order."""

    topic: str
    message_type: str
    definition: str


@dataclass(frozen=True)
class Message:
    """One message of a channel; `data` is CDR."""

    channel_id: int
    stamp_ns: int
    data: bytes | memoryview


@dataclass(frozen=True)
class ChunkInfo:
    """The entry of a chunk in the file's index.

    Attributes:
        start_ns, end_ns: first and last stamp.
        offset, length: position and size of the chunk record in the file, bytes.
        index_offsets: channel id to the position of its message index, which follows the chunk, bytes.
        index_length: size of all message indexes, bytes.
        compressed_size, uncompressed_size: of its messages, bytes.
        counts: channel id to number of messages.
    """

    start_ns: int
    end_ns: int
    offset: int
    length: int
    index_offsets: Mapping[int, int]
    index_length: int
    compressed_size: int
    uncompressed_size: int
    counts: Mapping[int, int]

    @property
    def end(self) -> int:
        """Position of the next chunk in the file, bytes."""
        return self.offset + self.length + self.index_length

    def moved(self, offset: int) -> ChunkInfo:
        """The same chunk at another position."""
        shift = offset - self.offset
        index_offsets = {channel_id: index_offset + shift for channel_id, index_offset in self.index_offsets.items()}
        return replace(self, offset=offset, index_offsets=index_offsets)


def file_start(library: str, channels: Sequence[Channel]) -> bytes:
    """Opening magic, header with the ros2 profile, and the declarations of all channels."""
    return MAGIC + _record(_HEADER, _text("ros2"), _text(library)) + _declarations(channels)


def chunk(messages: Sequence[Message], offset: int) -> tuple[bytes, ChunkInfo]:
    """A compressed chunk with its message indexes, for the position `offset` in the file.

    The compression is LZ4: on label and cost images it takes half the time of zstd's level 1, for a quarter more bytes.
    """
    parts: list[bytes | memoryview] = []
    entries: dict[int, list[int]] = {}
    position = 0
    for message in messages:
        entries.setdefault(message.channel_id, []).extend((message.stamp_ns, position))
        size = _MESSAGE_HEAD.size + len(message.data)
        head = _MESSAGE_HEAD.pack(message.channel_id, 0, message.stamp_ns, message.stamp_ns)
        parts += (_HEAD.pack(_MESSAGE, size), head, message.data)
        position += _HEAD.size + size
    content = b"".join(parts)
    compressed = lz4.frame.compress(content)
    stamps = [message.stamp_ns for message in messages]
    head = _CHUNK_HEAD.pack(min(stamps), max(stamps), len(content), zlib.crc32(content))
    blob = [_record(_CHUNK, head, _COMPRESSION, struct.pack("<Q", len(compressed)), compressed)]
    position = offset + len(blob[0])
    index_offsets = {}
    for channel_id, values in entries.items():
        index_offsets[channel_id] = position
        packed = struct.pack(f"<{len(values)}Q", *values)
        blob.append(_record(_MESSAGE_INDEX, struct.pack("<HI", channel_id, len(packed)), packed))
        position += len(blob[-1])
    info = ChunkInfo(
        start_ns=min(stamps),
        end_ns=max(stamps),
        offset=offset,
        length=len(blob[0]),
        index_offsets=index_offsets,
        index_length=position - offset - len(blob[0]),
        compressed_size=len(compressed),
        uncompressed_size=len(content),
        counts={channel_id: len(values) // 2 for channel_id, values in entries.items()},
    )
    return b"".join(blob), info


def parse_chunk(data: bytes | mmap, offset: int, limit: int) -> ChunkInfo:
    """The entry of the chunk at `offset` of a file, as `chunk` returned it.

    Args:
        data: the whole file.
        offset: position of the chunk.
        limit: position at which the chunk and its message indexes must end at the latest.

    Raises:
        ValueError: there is no complete chunk.
    """
    try:
        opcode, size = _HEAD.unpack_from(data, offset)
        if opcode != _CHUNK:
            raise ValueError(f"byte {offset} does not start a chunk")
        start_ns, end_ns, uncompressed_size, _ = _CHUNK_HEAD.unpack_from(data, offset + _HEAD.size)
        indexes_start = position = offset + _HEAD.size + size
        index_offsets, counts = {}, {}
        while position < limit and data[position] == _MESSAGE_INDEX:
            _, index_size = _HEAD.unpack_from(data, position)
            channel_id, entries_size = struct.unpack_from("<HI", data, position + _HEAD.size)
            index_offsets[channel_id], counts[channel_id] = position, entries_size // 16
            position += _HEAD.size + index_size
    except (struct.error, IndexError):
        raise ValueError(f"the chunk at byte {offset} is cut short") from None
    if position > limit:
        raise ValueError(f"the chunk at byte {offset} is cut short")
    return ChunkInfo(
        start_ns=start_ns,
        end_ns=end_ns,
        offset=offset,
        length=indexes_start - offset,
        index_offsets=index_offsets,
        index_length=position - indexes_start,
        compressed_size=size - _CHUNK_HEAD.size - len(_COMPRESSION) - 8,
        uncompressed_size=uncompressed_size,
        counts=counts,
    )


class Summary:
    """The index at the end of a file, extended chunk by chunk; kept as bytes, so that a flush only copies it."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._declarations = _declarations(channels)
        self._schema_count = len({channel.message_type for channel in channels})
        self._counts = dict.fromkeys(range(1, len(channels) + 1), 0)
        self._indexes = bytearray()
        self._chunk_count = 0
        self._start_ns = self._end_ns = 0

    def add(self, info: ChunkInfo) -> None:
        """Add a chunk that follows all chunks so far."""
        self._start_ns = min(self._start_ns, info.start_ns) if self._chunk_count else info.start_ns
        self._end_ns = max(self._end_ns, info.end_ns)
        self._chunk_count += 1
        for channel_id, count in info.counts.items():
            self._counts[channel_id] += count
        self._indexes += _chunk_index(info)

    def count(self, channel_id: int) -> int:
        """Number of messages of a channel."""
        return self._counts[channel_id]

    def file_end(self, offset: int) -> bytes:
        """All that follows the last chunk, for the position `offset`: end of data, summary, footer, closing magic."""
        data_end = _record(_DATA_END, struct.pack("<I", 0))
        totals = (sum(self._counts.values()), self._schema_count, len(self._counts), 0, 0, self._chunk_count)
        counts = b"".join(struct.pack("<HQ", *item) for item in self._counts.items())
        times = struct.pack("<QQI", self._start_ns, self._end_ns, len(counts))
        statistics = _record(_STATISTICS, struct.pack("<QHIIII", *totals), times, counts)
        summary = b"".join([self._declarations, statistics, self._indexes])
        footer = _HEAD.pack(_FOOTER, 20) + struct.pack("<QQ", offset + len(data_end), 0)
        crc = struct.pack("<I", zlib.crc32(footer, zlib.crc32(summary)))
        return b"".join([data_end, summary, footer, crc, MAGIC])


def _chunk_index(info: ChunkInfo) -> bytes:
    offsets = b"".join(struct.pack("<HQ", *item) for item in info.index_offsets.items())
    return _record(
        _CHUNK_INDEX,
        struct.pack("<QQQQI", info.start_ns, info.end_ns, info.offset, info.length, len(offsets)),
        offsets,
        struct.pack("<Q", info.index_length),
        _COMPRESSION,
        struct.pack("<QQ", info.compressed_size, info.uncompressed_size),
    )


def _declarations(channels: Sequence[Channel]) -> bytes:
    schema_ids: dict[str, int] = {}
    schemas, topics = [], []
    for channel_id, channel in enumerate(channels, 1):
        if channel.message_type not in schema_ids:
            schema_ids[channel.message_type] = len(schema_ids) + 1
            schema_id = struct.pack("<H", schema_ids[channel.message_type])
            texts = (_text(channel.message_type), _text("ros2msg"), _text(channel.definition))
            schemas.append(_record(_SCHEMA, schema_id, *texts))
        # The ros2 profile requires this key; if it is empty, players use their default quality of service.
        metadata = _text("offered_qos_profiles") + _text("")
        ids = struct.pack("<HH", channel_id, schema_ids[channel.message_type])
        size = struct.pack("<I", len(metadata))
        topics.append(_record(_CHANNEL, ids, _text(channel.topic), _text("cdr"), size, metadata))
    return b"".join(schemas + topics)


def _record(opcode: int, *parts: bytes | memoryview) -> bytes:
    return b"".join([_HEAD.pack(opcode, sum(map(len, parts))), *parts])


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<I", len(encoded)) + encoded
