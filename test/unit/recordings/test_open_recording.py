"""Missing, empty, damaged and wrong recordings: each is refused with one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from support.reading import GIVEN, MOUNT, read, reasons, refused, write_images, write_video
from support.small_bags import (
    drive,
)

from seg_perception.errors import RecordingError
from seg_perception.geometry.camera import Camera
from seg_perception.recordings.readers.open_recording import Dropped, Recording, SourceOptions, open_recording
from seg_perception.sensor_data.frame import Frame

RECORDING_SUFFIXES = [".mcap", ".db3", ".bag", ".mp4", ".mov", ".avi", ".mkv", ".webm", ".jpg", ".png", ".tif", ".webp"]


def test_a_missing_path_and_an_empty_match_are_reported(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nowhere", GIVEN)
    assert "no such file" in refused(tmp_path / "nowhere.mcap", GIVEN)
    assert "matches no image" in refused(tmp_path / "*.png", GIVEN)


def test_folders_without_a_recording_are_reported(tmp_path: Path) -> None:
    assert "neither a bag nor images" in refused(tmp_path, GIVEN)
    (tmp_path / "notes.txt").write_text("hello")
    assert "neither a bag nor images" in refused(tmp_path, GIVEN)
    (tmp_path / "1.mcap").write_bytes(b"x")
    assert "1.mcap" in refused(tmp_path, GIVEN)
    (tmp_path / "2.mcap").write_bytes(b"x")
    assert "ros2 bag reindex" in refused(tmp_path, GIVEN)


def test_a_folder_stands_for_the_only_recording_in_it_and_several_are_listed(tmp_path: Path) -> None:
    write_images(tmp_path / "left", ["1.png"])
    (tmp_path / "empty").mkdir()
    assert reasons(read(tmp_path, GIVEN)) == ["frame"]
    drive().write(tmp_path)
    assert f"give {tmp_path / 'left'} or {tmp_path / 'recording'}." in refused(tmp_path, GIVEN)


def test_a_folder_with_one_storage_file_needs_no_metadata(tmp_path: Path) -> None:
    path = drive().write(tmp_path)
    (path / "metadata.yaml").unlink()
    assert reasons(read(path)) == ["frame"] * 8


@pytest.mark.parametrize("content", ["", "text: [", "rosbag2_bagfile_information: {}", "- 1"])
def test_damaged_metadata_is_reported(tmp_path: Path, content: str) -> None:
    path = drive().write(tmp_path)
    (path / "metadata.yaml").write_text(content)
    assert str(path) in refused(path)


def test_a_bag_folder_without_its_storage_file_is_reported(tmp_path: Path) -> None:
    path = drive().write(tmp_path)
    next(path.glob("*.mcap")).unlink()
    assert "missing" in refused(path)


def test_a_file_of_no_known_kind_is_reported(tmp_path: Path) -> None:
    for name in ("notes.txt", "camera.yaml", "recording.mcap.zstd", "noend"):
        (tmp_path / name).write_text("hello")
        assert name in refused(tmp_path / name, GIVEN)
        assert ".mcap" in refused(tmp_path / name, GIVEN)


@pytest.mark.parametrize("suffix", RECORDING_SUFFIXES)
def test_empty_files_random_bytes_and_text_are_reported_for_every_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"recording{suffix}"
    rng = np.random.default_rng(5)
    contents = [b"", b"x", rng.bytes(10), rng.bytes(5000), b"This is a text file.\n" * 50, bytes(3000)]
    for content in contents:
        path.write_bytes(content)
        assert str(path) in refused(path, GIVEN)
        assert path.read_bytes() == content


@pytest.mark.parametrize("suffix", [".mcap", ".db3", ".bag"])
def test_a_bag_under_the_name_of_another_kind_is_reported(tmp_path: Path, suffix: str) -> None:
    real = {".mcap": "db3-file", ".db3": "bag", ".bag": "mcap-file"}[suffix]
    path = tmp_path / f"wrong{suffix}"
    path.write_bytes(drive(real).write(tmp_path, real).read_bytes())
    assert str(path) in refused(path)


@pytest.mark.slow
@pytest.mark.parametrize("part", [0.0005, 0.01, 0.2, 0.5, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize("kind", ["mcap", "mcap-file", "db3", "db3-file", "db3-file-zstd", "bag"])
def test_a_bag_cut_anywhere_is_reported(tmp_path: Path, kind: str, part: float) -> None:
    path = drive(kind, count=20).write(tmp_path, kind)
    storage = path if path.is_file() else next(file for file in path.iterdir() if file.suffix != ".yaml")
    content = storage.read_bytes()
    storage.write_bytes(content[: int(len(content) * part)])
    message = refused(path)
    assert str(path) in message and re.search("again|reindex|recover", message)


@pytest.mark.parametrize("part", [0.0005, 0.01, 0.2, 0.5, 0.9, 0.99, 0.9999])
def test_an_mp4_cut_anywhere_is_reported_wherever_its_index_lies(tmp_path: Path, part: float, real_data: Path) -> None:
    camera = Camera(960, 540, "plumb_bob", np.array([[800.0, 0, 480], [0, 800, 270], [0, 0, 1]]), ())
    index_first = (real_data / "road_video" / "solidWhiteRight.mp4").read_bytes()
    index_last = write_video(tmp_path / "whole.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    for content, options in ((index_first, SourceOptions(camera=camera, mount=MOUNT)), (index_last, GIVEN)):
        path.write_bytes(content[: int(len(content) * part)])
        assert str(path) in refused(path, options)


def test_a_video_that_ends_early_is_counted_among_the_problems(tmp_path: Path) -> None:
    path = write_video(tmp_path / "drive.avi", count=40)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    try:
        recording: Recording = open_recording(str(path), GIVEN)
    except RecordingError:
        return  # this OpenCV notices at once
    frames = list(recording.frames())
    assert len(frames) < 40
    expected = recording.expected_items
    assert recording.problems or expected is None or expected - len(frames) <= 3


def test_damage_within_a_bag_is_reported_after_the_good_frames(tmp_path: Path) -> None:
    path = drive("mcap-zstd", count=400).write(tmp_path, "mcap-zstd")
    storage = next(path.glob("*.mcap"))
    content = bytearray(storage.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    storage.write_bytes(content)
    items: list[Frame | Dropped] = []
    with open_recording(str(path), SourceOptions()) as recording, pytest.raises(RecordingError, match="damaged after"):
        for item in recording.frames():
            items.append(item)
    assert len(items) > 20
