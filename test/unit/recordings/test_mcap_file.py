"""MCAP files: index, statistics and checksums, and when messages reach the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rosbags.highlevel import AnyReader

from seg_perception.recordings.result_bag.mcap_file import McapFile
from seg_perception.recordings.result_bag.mcap_records import Channel, Message


def test_the_reference_mcap_reader_agrees_with_index_statistics_and_checksums(tmp_path: Path) -> None:
    reader_module = pytest.importorskip("mcap.reader")
    path = tmp_path / "result.mcap"
    channels = [
        Channel("/a", "std_msgs/msg/String", "string data"),
        Channel("/b", "std_msgs/msg/String", "string data"),
    ]
    expected = [(1 + index % 2, 1000 + index, bytes([index]) * 300_000) for index in range(10)]
    file = McapFile.create(path, channels)
    for channel, stamp, data in expected:
        file.add([Message(channel, stamp, data)])
    file.close()
    with path.open("rb") as stream:
        reader = reader_module.make_reader(stream, validate_crcs=True)
        summary = reader.get_summary()
        found = [(message.channel_id, message.log_time, message.data) for _, _, message in reader.iter_messages()]
    with AnyReader([path]) as reader:
        middle = [time_ns for _, time_ns, _ in reader.messages(start=1004, stop=1007)]
    assert found == expected
    assert middle == [1004, 1005, 1006]
    statistics = summary.statistics
    assert (statistics.message_start_time, statistics.message_end_time) == (1000, 1009)
    assert dict(statistics.channel_message_counts) == {1: 5, 2: 5}
    assert statistics.chunk_count == len(summary.chunk_indexes) > 1
    assert len(summary.schemas) == 1 and len(summary.channels) == 2


def test_frames_reach_the_file_within_the_flush_interval_without_being_asked(tmp_path: Path) -> None:
    channels = [Channel("/a", "std_msgs/msg/String", "string data")]
    file = McapFile.create(tmp_path / "result.mcap", channels, flush_interval_s=0.0)
    before = (tmp_path / "result.mcap").stat().st_size
    file.add([Message(1, 5, os.urandom(1000))])
    assert (tmp_path / "result.mcap").stat().st_size > before + 1000
    file.close()
