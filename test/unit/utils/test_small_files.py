"""Files that a user names: what is no regular file, or too large, is refused at once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from seg_perception.errors import ConfigError
from seg_perception.geometry.camera import Camera
from seg_perception.model.card import ModelCard
from seg_perception.risk.cost_matrix import CostMatrix
from seg_perception.settings.pipeline import load_settings
from seg_perception.utils.small_files import MAX_TEXT_BYTES, read_regular_file, read_small_text


def test_text_is_read_as_open_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    for content in (b"", b"plain\n", "grün\r\nzwei\rdrei".encode()):
        file.write_bytes(content)
        assert read_small_text(file) == file.read_text(encoding="utf-8")
    file.write_bytes(b"\xef\xbb\xbfx,y\n")
    assert read_small_text(file, encoding="utf-8-sig") == "x,y\n"


def test_the_limit_itself_is_allowed_and_one_byte_more_is_not(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"x" * MAX_TEXT_BYTES)
    assert len(read_small_text(file)) == MAX_TEXT_BYTES
    file.write_bytes(b"x" * (MAX_TEXT_BYTES + 1))
    with pytest.raises(ConfigError) as error:
        read_small_text(file)
    assert str(error.value) == (
        f"{file}: cannot be read (1000001 bytes are more than the limit of 1000000); give a text file."
    )


def test_a_file_that_claims_to_be_empty_and_is_not_is_read_up_to_the_limit() -> None:
    assert b"processor" in read_regular_file("/proc/cpuinfo", MAX_TEXT_BYTES)
    with pytest.raises(OSError, match="more than the limit of 100"):
        read_regular_file("/proc/cpuinfo", 100)


READERS = {
    "cost matrix": lambda path: CostMatrix.load(path, ("a", "b")),
    "model card": ModelCard.load,
    "camera": Camera.from_yaml,
    "pipeline settings": load_settings,
    "text": read_small_text,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_what_is_no_regular_file_is_refused_without_waiting(read, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    link = tmp_path / "link.yaml"
    link.symlink_to("/dev/zero")
    for path, kind in (
        (pipe, "Is a pipe"),
        (Path("/dev/zero"), "Is a device"),
        (link, "Is a device"),
        (tmp_path, "Is a directory"),
        (tmp_path / ("n" * 300), "File name too long"),
        (tmp_path / "a\0b", "Its name is not a valid path"),
    ):
        start = time.monotonic()
        with pytest.raises(ConfigError) as error:
            read(path)
        assert time.monotonic() - start < 1.0
        message = str(error.value)
        assert f": cannot be read ({kind}); give a " in message
        assert len(message) < 300
