"""Check that an MP4 or QuickTime file is complete; decoders do not, they end early without an error."""

from __future__ import annotations

import struct
from pathlib import Path

from seg_perception.errors import RecordingError

_SUFFIXES = (".mp4", ".m4v", ".mov")


def check_mp4(path: Path) -> None:
    """Raise RecordingError if a box of the file reaches beyond the end of the file (ISO/IEC 14496-12, 4.2).

    Files with other suffixes pass.
    """
    if path.suffix.lower() not in _SUFFIXES:
        return
    end = path.stat().st_size
    offset = 0
    with path.open("rb") as file:
        while offset + 8 <= end:
            file.seek(offset)
            (size,) = struct.unpack(">I4x", file.read(8))
            if size == 1:  # the size follows as 64 bits
                (size,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
            if size == 0:  # to the end of the file
                return
            if size < 8:
                raise RecordingError(f"{path}: is no MP4 file; give one, or rename it to what it is.")
            offset += size
    if offset != end:
        raise RecordingError(f"{path}: is cut short by {offset - end} bytes; copy it again, all of it.")
